/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory and queues of the fake fabric. A descriptor is executed when it is
 * posted, or when what it waits for is there (a receive, the connection, the
 * end of a pause), always in the order of its queue.
 */
#include "fake-verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The library has freed what this would touch. */
void fake_late(const struct leap__v_dev *dev)
{
	if (dev->removed && !dev->nr_ids)
		dev->f->nr_late++;
}

/* ---- memory ---- */

static int pd_create(struct leap__v_dev *dev, struct leap__v_pd **out)
{
	struct leap__v_pd *pd = NULL;

	fake_lock(dev->f);
	if (!fake_fails(dev->f))
		pd = calloc(1, sizeof(*pd));
	if (pd) {
		pd->dev = dev;
		dev->f->nr_pds++;
		*out = pd;
	}
	fake_unlock(dev->f);
	return pd ? 0 : -ENOMEM;
}

static void pd_destroy(struct leap__v_pd *pd)
{
	fake_lock(pd->dev->f);
	if (pd->users)
		abort();
	fake_late(pd->dev);
	pd->dev->f->nr_pds--;
	fake_unlock(pd->dev->f);
	free(pd);
}

static int mr_create(struct leap__v_pd *pd, void *addr, uint64_t bytes,
		     uint32_t access, struct leap__v_keys *keys,
		     struct leap__v_mr **out)
{
	struct fake_fabric *f = pd->dev->f;
	struct leap__v_mr *mr = NULL;
	uint32_t i, n;

	fake_lock(f);
	if (access & LEAP__V_ON_DEMAND && f->pins)
		f->nr_refused++;
	else if (f->max_mrs && f->nr_mrs >= f->max_mrs)
		f->nr_refused++;
	else if (!fake_fails(f))
		mr = calloc(1, sizeof(*mr));
	/* Not the key that was given back last. */
	for (n = 0, i = f->next_mr; mr && f->mrs[i]; n++)
		i = (i + 1) % FAKE_MRS;
	if (mr) {
		f->next_mr = (i + 1) % FAKE_MRS;
		mr->pd = pd;
		mr->addr = (uintptr_t)addr;
		mr->bytes = bytes;
		mr->access = access;
		mr->key = ++f->key_gen << 16 | i;
		f->mrs[i] = mr;
		f->nr_mrs++;
		f->nr_unpinned += !!(access & LEAP__V_ON_DEMAND);
		pd->users++;
		keys->lkey = mr->key;
		keys->rkey = mr->key;
		*out = mr;
	}
	fake_unlock(f);
	return mr ? 0 : -ENOMEM;
}

static void mr_destroy(struct leap__v_mr *mr)
{
	struct fake_fabric *f = mr->pd->dev->f;

	fake_lock(f);
	fake_late(mr->pd->dev);
	f->mrs[mr->key & 0xffff] = NULL;
	f->nr_mrs--;
	mr->pd->users--;
	fake_unlock(f);
	free(mr);
}

/* Where @len bytes at @addr are, or NULL. */
static uint8_t *reach(struct fake_fabric *f, const struct leap__v_pd *pd,
		      uint32_t key, uint64_t addr, uint64_t len,
		      uint32_t access)
{
	const struct leap__v_mr *mr = f->mrs[key & 0xffff];

	if (!mr || mr->key != key || mr->pd != pd || mr->invalid ||
	    (mr->access & access) != access || addr < mr->addr ||
	    len > mr->bytes || addr - mr->addr > mr->bytes - len)
		return NULL;
	if (addr - f->alias_at < f->alias_bytes)
		return f->alias + (addr - f->alias_at);
	return (uint8_t *)(uintptr_t)addr;
}

void fake_may_invalidate(struct fake_fabric *f, uint32_t key)
{
	fake_lock(f);
	f->mrs[key & 0xffff]->may_invalidate = 1;
	fake_unlock(f);
}

int fake_is_invalid(struct fake_fabric *f, uint32_t key)
{
	int is;

	fake_lock(f);
	is = f->mrs[key & 0xffff]->invalid;
	fake_unlock(f);
	return is;
}

/* ---- completions ---- */

static int comp_create(struct leap__v_dev *dev, struct leap__v_comp **out)
{
	struct leap__v_comp *c = NULL;

	fake_lock(dev->f);
	if (!fake_fails(dev->f))
		c = calloc(1, sizeof(*c));
	if (c) {
		c->f = dev->f;
		c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
		dev->f->nr_comps++;
		*out = c;
	}
	fake_unlock(dev->f);
	return c ? 0 : -ENOMEM;
}

static void comp_destroy(struct leap__v_comp *c)
{
	fake_lock(c->f);
	c->f->nr_comps--;
	fake_unlock(c->f);
	close(c->fd);
	free(c);
}

static int comp_fd(struct leap__v_comp *c)
{
	return c->fd;
}

/* Takes @told[@i] out: its turn has come, or it goes. */
static void take_told(struct leap__v_comp *c, uint32_t i)
{
	uint64_t count;

	if (read(c->fd, &count, sizeof(count)) != sizeof(count))
		abort();
	for (c->nr_told--; i < c->nr_told; i++)
		c->told[i] = c->told[i + 1];
}

static struct leap__v_cq *comp_next(struct leap__v_comp *c)
{
	struct leap__v_cq *cq = NULL;

	fake_lock(c->f);
	if (c->nr_told) {
		cq = c->told[0];
		take_told(c, 0);
	}
	fake_unlock(c->f);
	return cq;
}

static void tell(struct leap__v_cq *cq)
{
	struct leap__v_comp *c = cq->comp;
	uint64_t one = 1;
	uint32_t i;

	for (i = 0; i < c->nr_told; i++)
		if (c->told[i] == cq)
			return;
	if (i == sizeof(c->told) / sizeof(c->told[0]) ||
	    write(c->fd, &one, sizeof(one)) != sizeof(one))
		abort();
	c->told[c->nr_told++] = cq;
}

static int cq_create(struct leap__v_dev *dev, uint32_t entries,
		     struct leap__v_comp *comp, struct leap__v_cq **out)
{
	struct leap__v_cq *cq = NULL;

	fake_lock(dev->f);
	if (!fake_fails(dev->f))
		cq = calloc(1, sizeof(*cq));
	if (cq) {
		cq->f = dev->f;
		cq->comp = comp;
		for (cq->size = 1; cq->size < entries;)
			cq->size *= 2;
		cq->wc = calloc(cq->size, sizeof(*cq->wc));
		dev->f->nr_cqs++;
		*out = cq;
	}
	fake_unlock(dev->f);
	return cq ? 0 : -ENOMEM;
}

static void cq_destroy(struct leap__v_cq *cq)
{
	uint32_t i;

	fake_lock(cq->f);
	for (i = 0; i < cq->comp->nr_told; i++)
		if (cq->comp->told[i] == cq)
			take_told(cq->comp, i);
	cq->f->nr_cqs--;
	fake_unlock(cq->f);
	free(cq->wc);
	free(cq);
}

void fake_complete(struct leap__v_cq *cq, uint64_t id, uint32_t status,
		     uint32_t bytes, uint32_t flags)
{
	struct leap__v_wc *wc = &cq->wc[cq->tail & (cq->size - 1)];

	if (cq->tail - cq->head == cq->size)
		abort();	/* overrun: our bug */
	wc->id = id;
	wc->status = status;
	wc->bytes = bytes;
	wc->flags = flags;
	__atomic_store_n(&cq->tail, cq->tail + 1, __ATOMIC_RELEASE);
	if (!cq->armed)
		return;
	cq->armed = 0;
	tell(cq);
}

static int cq_arm(struct leap__v_cq *cq)
{
	fake_lock(cq->f);
	cq->armed = 1;
	cq->f->nr_arms++;
	fake_unlock(cq->f);
	return 0;
}

static int cq_poll(struct leap__v_cq *cq, struct leap__v_wc *wc, int n)
{
	int i = 0;

	/* As a device: an empty queue costs a load and no lock. */
	if (__atomic_load_n(&cq->tail, __ATOMIC_ACQUIRE) == cq->head)
		return 0;
	fake_lock(cq->f);
	cq->f->nr_polls++;
	while (i < n && cq->head != cq->tail)
		wc[i++] = cq->wc[cq->head++ & (cq->size - 1)];
	fake_unlock(cq->f);
	return i;
}

/* ---- queues ---- */

int fake_rq_create(struct fake_rq *rq, uint32_t size)
{
	for (rq->size = 1; rq->size < size;)
		rq->size *= 2;
	rq->r = calloc(rq->size, sizeof(*rq->r));
	return rq->r ? 0 : -ENOMEM;
}

int fake_rq_post(struct fake_rq *rq, uint32_t max,
		   const struct leap__v_recv *r, uint32_t n)
{
	uint32_t i;

	if (rq->tail - rq->head + n > max)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct fake_recv *to = &rq->r[rq->tail++ & (rq->size - 1)];

		to->id = r[i].id;
		to->nr_sge = r[i].nr_sge;
		memcpy(to->sge, r[i].sge, r[i].nr_sge * sizeof(to->sge[0]));
	}
	return 0;
}

static int qp_create(struct leap__v_id *id, struct leap__v_pd *pd,
		     struct leap__v_cq *cq, struct leap__v_qp_caps *caps,
		     struct leap__v_qp **out)
{
	struct fake_fabric *f = id->f;
	struct leap__v_qp *qp = NULL;

	fake_lock(f);
	if (!fake_fails(f))
		qp = calloc(1, sizeof(*qp));
	if (qp) {
		qp->f = f;
		qp->id = id;
		qp->pd = pd;
		qp->cq = cq;
		qp->send_cq = caps->send_cq ? caps->send_cq : cq;
		qp->caps = *caps;
		qp->srq = caps->srq;
		if (qp->srq)
			qp->srq->users++;
		else
			fake_rq_create(&qp->rq, caps->max_recv);
		qp->sq = calloc(caps->max_send, sizeof(*qp->sq));
		if (caps->max_inline > FAKE_INLINE)
			caps->max_inline = FAKE_INLINE;
		id->qp = qp;
		f->nr_qps++;
		pd->users++;
		*out = qp;
	}
	fake_unlock(f);
	return qp ? 0 : -ENOMEM;
}

static void qp_destroy(struct leap__v_id *id, struct leap__v_qp *qp)
{
	fake_lock(id->f);
	id->qp = NULL;
	id->f->nr_qps--;
	qp->pd->users--;
	if (qp->srq)
		qp->srq->users--;
	fake_unlock(id->f);
	free(qp->rq.r);
	free(qp->sq);
	free(qp);
}

void fake_flush(struct leap__v_qp *qp)
{
	struct fake_rq *rq = &qp->rq;

	if (qp->srq)
		fake_flush_shared(qp);
	qp->error = 1;
	while (qp->sq_head != qp->sq_tail) {
		struct fake_send *s = &qp->sq[qp->sq_head++ %
					      qp->caps.max_send];

		fake_complete(qp->send_cq, s->wr.id, LEAP__V_FLUSHED, 0, 0);
	}
	while (rq->head != rq->tail)
		fake_complete(qp->cq, rq->r[rq->head++ & (rq->size - 1)].id,
			 LEAP__V_FLUSHED, 0, 0);
}

static uint32_t bytes_of(const struct leap__v_wr *wr,
			 const struct leap__v_sge *sge)
{
	uint32_t i, n = 0;

	for (i = 0; i < wr->nr_sge; i++)
		n += sge[i].len;
	return n;
}

/* Between a run of bytes and parts with local keys; -1 = a bad part. */
static int spread(struct fake_fabric *f, const struct leap__v_pd *pd,
		  const struct leap__v_sge *sge, uint32_t nr, uint8_t *run,
		  uint32_t len, int in)
{
	uint32_t i, n;

	for (i = 0; i < nr && len; i++, run += n, len -= n) {
		uint8_t *p = reach(f, pd, sge[i].lkey, sge[i].addr, sge[i].len,
				   0);

		n = sge[i].len < len ? sge[i].len : len;
		if (!p)
			return -1;
		if (in)
			memcpy(p, run, n);
		else
			memcpy(run, p, n);
	}
	return len ? -1 : 0;
}

/* A message out of its parts, in @room or where it lies; NULL = bad. */
static uint8_t *message(struct leap__v_qp *qp, struct fake_send *s,
			uint8_t *room, uint32_t len)
{
	if (s->wr.flags & LEAP__V_INLINE)
		return s->data;
	if (s->wr.nr_sge == 1)
		return reach(qp->f, qp->pd, s->sge[0].lkey, s->sge[0].addr, len,
			     0);
	return spread(qp->f, qp->pd, s->sge, s->wr.nr_sge, room, len, 0) ?
	       NULL : room;
}

/* enum leap__v_status, or -1: wait for a receive. */
static int do_send(struct leap__v_qp *qp, struct leap__v_qp *to,
		   struct fake_send *s)
{
	struct fake_rq *rq = to->srq ? &to->srq->rq : &to->rq;
	uint32_t len = bytes_of(&s->wr, s->sge);
	struct leap__v_mr *mr = NULL;
	struct fake_recv *r;
	uint8_t room[32768];
	uint8_t *data;

	if (len > sizeof(room))
		return LEAP__V_LOCAL;
	qp->f->nr_srq_empty += to->srq && rq->head == rq->tail;
	if (rq->head == rq->tail)
		return qp->id->rnr_retries == 7 ? -1 : LEAP__V_RNR;
	data = message(qp, s, room, len);
	if (!data)
		return LEAP__V_LOCAL;
	if (s->wr.op == LEAP__V_SEND_INV) {
		mr = qp->f->mrs[s->wr.key & 0xffff];
		if (!mr || mr->key != s->wr.key || mr->pd != to->pd ||
		    !mr->may_invalidate)
			return LEAP__V_REMOTE;
		mr->invalid = 1;
		qp->f->nr_invalidated++;
	}
	r = &rq->r[rq->head++ & (rq->size - 1)];
	qp->f->nr_sends++;
	if (spread(qp->f, to->pd, r->sge, r->nr_sge, data, len, 1)) {
		fake_complete(to->cq, r->id, LEAP__V_LOCAL, 0, 0);
		return LEAP__V_REMOTE;
	}
	fake_complete(to->cq, r->id, LEAP__V_OK, len, mr ? LEAP__V_WITH_INV : 0);
	return LEAP__V_OK;
}

static int do_rdma(struct leap__v_qp *qp, struct leap__v_qp *to,
		   struct fake_send *s)
{
	int read = s->wr.op == LEAP__V_READ;
	uint32_t len = bytes_of(&s->wr, s->sge);
	uint8_t *far = reach(qp->f, to->pd, s->wr.key, s->wr.remote, len,
			     read ? LEAP__V_REMOTE_READ : LEAP__V_REMOTE_WRITE);

	/* No key is looked at for no bytes. */
	if (len && !far)
		return LEAP__V_ACCESS;
	if (read)
		qp->f->nr_reads++;
	else
		qp->f->nr_writes++;
	return spread(qp->f, qp->pd, s->sge, s->wr.nr_sge, far, len, read) ?
	       LEAP__V_LOCAL : LEAP__V_OK;
}

/* 1 = the connection has just broken, as the test wants it */
static int breaks(struct leap__v_qp *qp)
{
	struct fake_fabric *f = qp->f;

	if (f->die_after && !--f->die_after) {
		fake_flush(qp->id->peer->qp);
		fake_flush(qp);
		return 1;
	}
	if (f->leave_after && !--f->leave_after) {
		fake_apart(qp->id, 1);
		return 1;
	}
	return 0;
}

static void end_late(struct leap__v_qp *qp)
{
	struct leap__v_id *peer = qp->id->peer;

	if (!qp->has_late)
		return;
	qp->has_late = 0;
	if (!qp->error && peer && peer->qp)
		fake_complete(qp->send_cq, qp->late.wr.id,
			 (uint32_t)do_rdma(qp, peer->qp, &qp->late), 0, 0);
}

void fake_end_late(struct fake_fabric *f)
{
	struct leap__v_id *id;

	fake_lock(f);
	for (id = f->ids; id; id = id->next)
		if (id->qp)
			end_late(id->qp);
	fake_unlock(f);
}

/* 1 = it is done later */
static int put_off(struct leap__v_qp *qp, const struct fake_send *s)
{
	if (!qp->f->late_reads || s->wr.op != LEAP__V_READ ||
	    !(s->wr.flags & LEAP__V_SIGNALED))
		return 0;
	end_late(qp);
	qp->late = *s;
	qp->has_late = 1;
	qp->sq_head++;
	return 1;
}

void fake_run(struct leap__v_qp *qp)
{
	while (qp->sq_head != qp->sq_tail && !qp->error && !qp->f->paused) {
		struct fake_send *s = &qp->sq[qp->sq_head % qp->caps.max_send];
		struct leap__v_id *peer = qp->id->peer;
		struct leap__v_qp *to = peer ? peer->qp : NULL;
		int st;

		if (qp->id->state != FAKE_LINKED ||
		    (!qp->id->passive && qp->nr_posts <= qp->f->deaf))
			return;
		if (put_off(qp, s))
			continue;
		if (!to || to->error)
			st = LEAP__V_RETRY;
		else if (breaks(qp))
			return;
		else if (s->wr.op <= LEAP__V_SEND_INV)
			st = do_send(qp, to, s);
		else
			st = do_rdma(qp, to, s);
		if (st < 0)
			return;
		qp->sq_head++;
		if (st == LEAP__V_OK && !(s->wr.flags & LEAP__V_SIGNALED))
			continue;
		fake_complete(qp->send_cq, s->wr.id, (uint32_t)st, 0, 0);
		if (st == LEAP__V_OK)
			continue;
		fake_flush(qp);
		if (to)
			fake_flush(to);
	}
}

static int post_send(struct leap__v_qp *qp, const struct leap__v_wr *wr,
		     uint32_t n)
{
	struct fake_fabric *f = qp->f;
	uint32_t i, k, at;
	int err;

	fake_lock(f);
	f->nr_posts++;
	qp->nr_posts++;
	err = f->fail_post;
	f->fail_post = 0;
	if (!err && qp->sq_tail - qp->sq_head + n > qp->caps.max_send)
		err = -ENOMEM;
	/* As siw has it, where the one breaks and the other sends too late. */
	for (i = 0; qp->pd->dev->caps.remote_sink && i < n; i++)
		if ((wr[i].op == LEAP__V_SEND_INV &&
		     (wr[i].flags & LEAP__V_INLINE)) ||
		    (wr[i].op == LEAP__V_WRITE &&
		     !(wr[i].flags & LEAP__V_SIGNALED)))
			err = -EINVAL;
	for (i = 0; !err && i < n; i++) {
		struct fake_send *s = &qp->sq[qp->sq_tail++ %
					      qp->caps.max_send];

		if (wr[i].nr_sge > qp->caps.max_sge)
			abort();
		s->wr = wr[i];
		memcpy(s->sge, wr[i].sge, wr[i].nr_sge * sizeof(s->sge[0]));
		if (!(wr[i].flags & LEAP__V_INLINE))
			continue;
		for (k = 0, at = 0; k < wr[i].nr_sge; k++) {
			if (at + s->sge[k].len > FAKE_INLINE)
				abort();
			memcpy(s->data + at, (void *)(uintptr_t)s->sge[k].addr,
			       s->sge[k].len);
			at += s->sge[k].len;
		}
	}
	if (!err && qp->error)
		fake_flush(qp);
	else if (!err)
		fake_run(qp);
	fake_unlock(f);
	return err;
}

static int post_recv(struct leap__v_qp *qp, const struct leap__v_recv *r,
		     uint32_t n)
{
	int err;

	fake_lock(qp->f);
	err = fake_rq_post(&qp->rq, qp->caps.max_recv, r, n);
	if (!err && qp->error)
		fake_flush(qp);
	else if (!err && qp->id->peer && qp->id->peer->qp)
		fake_run(qp->id->peer->qp);
	fake_unlock(qp->f);
	return err;
}

void fake_resume(struct fake_fabric *f)
{
	struct leap__v_id *id;

	fake_lock(f);
	f->paused = 0;
	for (id = f->ids; id; id = id->next)
		if (id->qp)
			fake_run(id->qp);
	fake_unlock(f);
}

static int dev_caps(struct leap__v_dev *dev, struct leap__v_caps *caps)
{
	fake_lock(dev->f);
	*caps = dev->caps;
	fake_unlock(dev->f);
	return 0;
}

struct fake_fabric *fake_fabric_create(void)
{
	struct fake_fabric *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->mrs = calloc(FAKE_MRS, sizeof(struct leap__v_mr *));
	pthread_mutex_init(&f->lock, NULL);
	f->dev.f = f;
	f->dev.caps = (struct leap__v_caps) {
		.max_wr = 16384, .max_sge = FAKE_SGES, .read_sges = FAKE_SGES,
		.max_cqe = 65536, .max_srq = 16384, .max_ird = 16,
		.max_ord = 16,
	};
	f->next_port = 40000;
	fake_cm_ops(&f->v);
	f->v.dev_caps = dev_caps;
	f->v.pd_create = pd_create;
	f->v.pd_destroy = pd_destroy;
	f->v.mr_create = mr_create;
	f->v.mr_destroy = mr_destroy;
	f->v.comp_create = comp_create;
	f->v.comp_destroy = comp_destroy;
	f->v.comp_fd = comp_fd;
	f->v.comp_next = comp_next;
	f->v.cq_create = cq_create;
	f->v.cq_destroy = cq_destroy;
	f->v.cq_arm = cq_arm;
	f->v.cq_poll = cq_poll;
	f->v.qp_create = qp_create;
	f->v.qp_destroy = qp_destroy;
	fake_srq_ops(&f->v);
	f->v.post_send = post_send;
	f->v.post_recv = post_recv;
	return f;
}

unsigned int fake_fabric_destroy(struct fake_fabric *f)
{
	unsigned int left = f->nr_chans + f->nr_ids + f->nr_pds + f->nr_mrs +
			    f->nr_comps + f->nr_cqs + f->nr_qps + f->nr_srqs +
			    (unsigned int)f->nr_late;
	uint32_t i;

	for (i = 0; i < f->nr_devs; i++)
		free(f->devs[i]);
	pthread_mutex_destroy(&f->lock);
	free(f->mrs);
	free(f);
	return left;
}
