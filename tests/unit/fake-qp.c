/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs of the fake fabric. A descriptor is executed when it is posted,
 * or when what it waits for is there (a receive, the connection, the end of a
 * pause), always in the order of its queue.
 */
#include "fake-verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
		f->nr_qps_made++;
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
		uint8_t *p = fake_reach(f, pd, sge[i].lkey, sge[i].addr,
					sge[i].len, 0);

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
		return fake_reach(qp->f, qp->pd, s->sge[0].lkey, s->sge[0].addr,
				  len, 0);
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
	fake_complete(to->cq, r->id, LEAP__V_OK, len,
		      mr ? LEAP__V_WITH_INV : 0);
	return LEAP__V_OK;
}

static int do_rdma(struct leap__v_qp *qp, struct leap__v_qp *to,
		   struct fake_send *s)
{
	int read = s->wr.op == LEAP__V_READ;
	uint32_t len = bytes_of(&s->wr, s->sge);
	uint8_t *far = fake_reach(qp->f, to->pd, s->wr.key, s->wr.remote, len,
				  read ? LEAP__V_REMOTE_READ :
				  LEAP__V_REMOTE_WRITE);

	/* One who answers no READs refuses any. */
	if (read && !qp->id->peer->ird)
		return LEAP__V_REMOTE;
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

void fake_qp_ops(struct leap__verbs *v)
{
	v->qp_create = qp_create;
	v->qp_destroy = qp_destroy;
	v->post_send = post_send;
	v->post_recv = post_recv;
}
