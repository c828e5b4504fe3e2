/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lanes of far memory: what moves bytes between the memory of another
 * machine and the payload buffers of one poll group.
 *
 * A lane is a queue pair to the share. One whose connection is lost moves again
 * what was under way, as that has no effect but the bytes; only what the
 * owner's device refused fails. Nothing waits for longer than loss_ms without
 * progress. Knows nothing of commands.
 *
 *	move -> wait -> posted: out -> completion -> leap_ats_io_done
 *	          ^______lost______/
 */
#include "transport/rdma/farmem_lane.h"

#include "core/io/dispatch.h"
#include "util/atomic.h"
#include "util/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS		1000000u
#define SENT_MOVE	1u		/* for end->sent */

static struct leap__farmem_lane *of_conn(struct leap__rdma_conn *c)
{
	return (struct leap__farmem_lane *)c;
}

static void push(struct leap__farmem_queue *q, struct leap_ats_io *io)
{
	io->next = NULL;
	*q->tail = io;
	q->tail = &io->next;
}

static struct leap_ats_io *pop(struct leap__farmem_queue *q)
{
	struct leap_ats_io *io = q->head;

	q->head = io->next;
	if (!q->head)
		q->tail = &q->head;
	return io;
}

static void add(uint64_t *count, uint64_t n)
{
	leap__store_relaxed(count, *count + n);
}

/* ---- moving ---- */

/* Descriptors that one takes: over iWARP a WRITE is done when it is sent, and
 * only the answer to a READ behind it says that it has landed. */
static uint32_t nr_wrs(const struct leap__rdma_conn *c,
		       const struct leap_ats_io *io)
{
	return io->is_write && c->dev->caps.remote_sink ? 2 : 1;
}

/* Each says when it is done: the first that does not is the one that was
 * refused. */
static void post(struct leap__farmem_lane *l, struct leap_ats_io *io)
{
	struct leap__rdma_conn *c = &l->c;
	struct leap_piece remote = {
		.remote = l->mem.addr + io->remote,
		.len_bytes = io->part, .key = l->mem.key,
		.reach = LEAP_REACH_ONE_SIDED,
	};
	struct leap_piece ours = { .addr = io->local, .len_bytes = io->part };
	uint32_t lkey = c->pool->lkey;

	leap__rdma_post_move(c, io->is_write ? LEAP__V_WRITE : LEAP__V_READ,
			     &remote, &ours, 1, lkey, LEAP__V_SIGNALED);
	if (nr_wrs(c, io) > 1) {
		ours.len_bytes = 0;
		leap__rdma_post_move(c, LEAP__V_READ, &remote, &ours, 1, lkey,
				     LEAP__V_SIGNALED);
	}
	leap__rdma_post_end(c, SENT_MOVE, io);
}

static void lane_gather(struct leap__rdma_conn *c)
{
	struct leap__farmem_lane *l = of_conn(c);

	while (l->wait.head && l->nr_out < l->far->depth &&
	       leap__rdma_room(c) >= nr_wrs(c, l->wait.head) &&
	       c->state == LEAP__RDMA_READY) {
		struct leap_ats_io *io = pop(&l->wait);

		post(l, io);
		l->nr_out++;
		push(&l->out, io);
	}
}

static void lane_sent(struct leap__rdma_conn *c, uint32_t kind, void *ptr)
{
	struct leap__farmem_lane *l = of_conn(c);
	struct leap_ats_io *io = ptr;

	(void)kind;
	pop(&l->out);
	l->nr_out--;
	l->since_ns = leap__pollgroup_now(l->pg);
	add(io->is_write ? &l->count.writes : &l->count.reads, 1);
	add(&l->count.bytes, io->part);
	leap_ats_io_done(io, 0);
}

static void fail_all(struct leap__farmem_lane *l, int err)
{
	while (l->wait.head) {
		add(&l->count.failed, 1);
		leap_ats_io_done(pop(&l->wait), err);
	}
}

static void tick_start(struct leap__farmem_lane *l)
{
	if (!l->tick.armed && (l->wait.head || l->out.head))
		leap_timer_start(l->pg, &l->tick, l->far->loss_ns / 4);
}

static int is_late(const struct leap__farmem_lane *l)
{
	return leap__pollgroup_now(l->pg) - l->since_ns >= l->far->loss_ns;
}

/* Nothing has moved for too long: a peer that does not answer, or none. */
static void tick_run(struct leap_timer *timer)
{
	struct leap__farmem_lane *l =
		leap__list_entry(timer, struct leap__farmem_lane, tick);

	if (is_late(l) && l->out.head)
		leap__rdma_kill(&l->c, -ETIMEDOUT);
	else if (is_late(l) && l->c.state != LEAP__RDMA_READY)
		fail_all(l, -ETIMEDOUT);
	tick_start(l);
}

static int is_ours(const struct leap_pollgroup *pg, const void *buf,
		   uint32_t bytes)
{
	const struct leap__dispatch *d = pg->head.dispatch;
	uint64_t all = (uint64_t)d->nr_bufs * d->buf_bytes;
	uint64_t at = (uintptr_t)buf - (uintptr_t)d->bufs;

	return at < all && bytes <= all - at;
}

static struct leap__farmem_lane *lane_of(struct leap_farmem *r,
					struct leap_pollgroup *pg);

int leap__farmem_move(void *arg, const struct leap_piece *remote, void *buf,
		      int out, struct leap_ats_io *io)
{
	struct leap_farmem *r = arg;
	struct leap_pollgroup *pg = leap_ats_io_pollgroup(io);
	uint64_t at = remote->remote - r->mem.addr;
	struct leap__farmem_lane *l;

	(void)out;	/* io->is_write */
	if (at >= r->mem.bytes || remote->len_bytes > r->mem.bytes - at ||
	    remote->key != r->mem.key || !is_ours(pg, buf, remote->len_bytes))
		return -EFAULT;
	if (leap__load_relaxed(&r->stale))
		return -ESTALE;
	l = lane_of(r, pg);
	if (!l)
		return -ENOMEM;
	io->local = buf;
	io->remote = at;
	if (!l->wait.head && !l->out.head)
		l->since_ns = leap__pollgroup_now(pg);
	push(&l->wait, io);
	if (l->busy && l->c.state == LEAP__RDMA_READY)
		leap__rdma_work(&l->c);
	tick_start(l);
	return 0;
}

/* ---- the end of a lane ---- */

void leap__farmem_lane_free(struct leap__farmem_lane *l)
{
	struct leap__farmem_lane **at = &leap__rdma_group(l->pg)->lanes;

	while (*at != l)
		at = &(*at)->in_group;
	*at = l->in_group;
	leap_timer_stop(l->pg, &l->retry);
	leap_timer_stop(l->pg, &l->tick);
	leap__pollgroup_release(l->pg);
	free(l);
}

/* What the peer's device will not do, however often it is asked. */
static int is_refusal(int err)
{
	return err == -EACCES || err == -EREMOTEIO || err == -EMSGSIZE;
}

/* Those that were out come before those that wait, in their order. */
static void take_back(struct leap__farmem_lane *l, int err)
{
	if (l->out.head && is_refusal(err)) {
		add(&l->count.failed, 1);
		leap_ats_io_done(pop(&l->out), err);
		l->nr_out--;
	}
	add(&l->count.redone, l->nr_out);
	if (l->out.head) {
		*l->out.tail = l->wait.head;
		if (!l->wait.head)
			l->wait.tail = l->out.tail;
		l->wait.head = l->out.head;
	}
	l->out.head = NULL;
	l->out.tail = &l->out.head;
	l->nr_out = 0;
}

static void told(struct leap_farmem *r, int err)
{
	void (*opened)(struct leap_farmem *far, int e, void *arg) = r->opened;

	r->opened = NULL;
	if (opened)
		opened(r, err, r->arg);
}

static void lane_gone(struct leap__rdma_conn *c)
{
	struct leap__farmem_lane *l = of_conn(c);
	struct leap_farmem *r = l->far;
	int err = c->err ? c->err : -ECONNRESET;

	l->busy = 0;
	take_back(l, err);
	if (l->closing || leap__load_relaxed(&r->stale))
		fail_all(l, err);
	else if (is_late(l))
		fail_all(l, -ETIMEDOUT);
	if (l->closing) {
		leap__farmem_lane_free(l);
		leap__farmem_leave(r);
	} else if (!r->known) {
		told(r, err);
	} else if (!leap__load_relaxed(&r->stale)) {
		leap_timer_start(l->pg, &l->retry,
				 (uint64_t)r->reconnect_ms * MS);
	}
}

/* ---- connecting ---- */

static int lane_ask(struct leap__rdma_conn *c)
{
	struct leap__farmem_lane *l = of_conn(c);
	struct leap__farmem_req req;
	struct leap__v_param p = {
		.priv = &req, .priv_len = sizeof(req),
		.retries = LEAP__RDMA_RETRIES,
		.rnr_retries = LEAP__RDMA_RNR_RETRIES,
	};
	int err;

	leap__farmem_req_make(&req, l->far->token);
	err = leap__rdma_conn_qp(c, 2 * l->far->depth, 1, 0);
	if (!err)
		err = leap__rdma_pool_bufs(l->pg, c->pool);
	if (err)
		return err;
	p.ord = c->dev->caps.max_ord;
	return leap__rdma_ask(c, &p);
}

static int same(const struct leap__farmem_mem *a,
		const struct leap__farmem_mem *b)
{
	return a->bytes == b->bytes && a->perm == b->perm;
}

static void lane_accepted(struct leap__rdma_conn *c,
			  const struct leap__v_cm *cm)
{
	struct leap__farmem_lane *l = of_conn(c);
	struct leap_farmem *r = l->far;
	struct leap__farmem_mem mem;

	if (leap__farmem_rep_parse(cm->priv, cm->priv_len, &mem)) {
		leap__rdma_fatal(c, "its accept is not that of a share");
		return;
	}
	if (r->known && !same(&mem, &r->mem)) {
		leap__pg_log(l->pg, LEAP_LOG_WARN, "rdma: shared memory is not "
			     "what it was: its ranges are of no use now");
		leap__store_relaxed(&r->stale, 1u);
		leap__rdma_kill(c, -ESTALE);
		return;
	}
	l->mem = mem;
	leap__rdma_up(c);
	add(&l->count.connections, 1);
	leap__rdma_work(c);
	if (r->known)
		return;
	r->mem = mem;
	r->known = 1;
	told(r, 0);
}

static int lane_refused(struct leap__rdma_conn *c, const struct leap__v_cm *cm)
{
	(void)c;
	(void)cm;
	return -ECONNREFUSED;
}

static const struct leap__rdma_end lane_end = {
	.recv = leap__rdma_no_recv,
	.sent = lane_sent,
	.gather = lane_gather,
	.event = leap__rdma_connecting,
	.ask = lane_ask,
	.accepted = lane_accepted,
	.refused = lane_refused,
	.gone = lane_gone,
};

int leap__farmem_lane_connect(struct leap__farmem_lane *l)
{
	struct leap__rdma_conn *c = &l->c;
	int err;

	memset(c, 0, sizeof(*c));
	err = leap__rdma_connect(c, &lane_end, l->pg, &l->far->addr,
				 LEAP__RDMA_HELLO_MS);
	l->busy = !err;
	return err;
}

static void retry_run(struct leap_timer *timer)
{
	struct leap__farmem_lane *l =
		leap__list_entry(timer, struct leap__farmem_lane, retry);

	if (leap__farmem_lane_connect(l))
		leap_timer_start(l->pg, &l->retry,
				 (uint64_t)l->far->reconnect_ms * MS);
}

/* ---- lanes ---- */

struct leap__farmem_lane *leap__farmem_lane_make(struct leap_farmem *r,
					  struct leap_pollgroup *pg)
{
	struct leap__rdma_group *g = leap__rdma_group(pg);
	struct leap__farmem_lane *l = g ? calloc(1, sizeof(*l)) : NULL;

	if (!l)
		return NULL;
	l->far = r;
	l->pg = pg;
	l->c.state = LEAP__RDMA_GONE;
	l->retry.run = retry_run;
	l->tick.run = tick_run;
	l->wait.tail = &l->wait.head;
	l->out.tail = &l->out.head;
	l->in_group = g->lanes;
	g->lanes = l;
	leap__pollgroup_hold(pg);
	return l;
}

void leap__farmem_lane_add(struct leap_farmem *r, struct leap__farmem_lane *l)
{
	pthread_mutex_lock(&r->lock);
	l->next = r->lanes;
	r->lanes = l;
	leap__fetch_add(&r->nr_left, 1u);
	pthread_mutex_unlock(&r->lock);
}

/* @pg's, made when it needs the first. */
static struct leap__farmem_lane *lane_of(struct leap_farmem *r,
					struct leap_pollgroup *pg)
{
	struct leap__rdma_group *g = leap__rdma_group(pg);
	struct leap__farmem_lane *l = g ? g->lanes : NULL;

	while (l && l->far != r)
		l = l->in_group;
	if (l || !g)
		return l;
	l = leap__farmem_lane_make(r, pg);
	if (!l)
		return NULL;
	leap__farmem_lane_add(r, l);
	if (leap__farmem_lane_connect(l))
		leap_timer_start(pg, &l->retry, (uint64_t)r->reconnect_ms * MS);
	return l;
}

void leap__farmem_lane_close(struct leap_msg *msg)
{
	struct leap__farmem_lane *l =
		leap__list_entry(msg, struct leap__farmem_lane, work);
	struct leap_farmem *r = l->far;

	l->closing = 1;
	if (l->busy) {
		leap__rdma_kill(&l->c, -ECANCELED);
		return;
	}
	fail_all(l, -ECANCELED);
	leap__farmem_lane_free(l);
	leap__farmem_leave(r);
}
