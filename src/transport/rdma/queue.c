/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The queues of a connection: batches go out with one call, completions come in
 * with one, and whoever sleeps is told.
 *
 * Only the last descriptor of a batch is signalled: a completion stands for all
 * that were posted before it. But for READs: a device may say that a SEND is
 * out while the answer to a READ before it is not yet in. So each READ that is
 * signalled, also as the last of a batch, is waited for.
 *
 * Before the poll group sleeps, the queue of receives is armed, and that of
 * what was posted if somebody waits for it; then both are looked at once more.
 * What is found in that look waits for the next poll, because nothing is called
 * back from arm. What nobody waits for is seen when something else wakes us, or
 * when the time of what stalls is over.
 *
 * Knows nothing of how a connection begins and ends.
 */
#include "transport/rdma/srq.h"

#include <errno.h>
#include <string.h>

static int conn_poll(struct leap_poller *p, unsigned int budget);

static struct leap__rdma_conn *of_poller(struct leap_poller *p)
{
	return (struct leap__rdma_conn *)
		((char *)p - offsetof(struct leap__rdma_conn, poller));
}

/* ---- posting ---- */

struct leap__v_wr *leap__rdma_post(struct leap__rdma_conn *c, uint32_t op,
				   uint32_t nr_sge, struct leap__v_sge **sge,
				   uint32_t flags)
{
	struct leap__rdma_sent *sent;
	struct leap__v_wr *wr;

	if (__builtin_expect(c->nr_wr == LEAP__RDMA_BATCH ||
			     c->nr_sge + nr_sge > LEAP__RDMA_SGES, 0))
		leap__rdma_flush(c);
	/* Of one that is not, siw sends the pages themselves, after it has said
	 * that what is behind is out: they would carry what came next. */
	if (op == LEAP__V_WRITE && c->dev->caps.remote_sink)
		flags |= LEAP__V_SIGNALED;
	wr = &c->wr[c->nr_wr++];
	wr->id = c->sq_tail;
	wr->op = (uint8_t)op;
	wr->flags = (uint8_t)flags;
	wr->sge = &c->sge[c->nr_sge];
	wr->nr_sge = (uint16_t)nr_sge;
	*sge = &c->sge[c->nr_sge];
	c->nr_sge += nr_sge;
	sent = &c->ring[c->sq_tail++ & c->ring_mask];
	sent->kind = 0;
	sent->own = op == LEAP__V_READ && (flags & LEAP__V_SIGNALED);
	return wr;
}

void leap__rdma_post_recv(struct leap__rdma_conn *c, uint32_t slot)
{
	if (__builtin_expect(c->nr_recv == LEAP__RDMA_BATCH, 0))
		leap__rdma_flush(c);
	c->recv[c->nr_recv++] = slot;
}

void leap__rdma_recvs_fill(const struct leap__rdma_recvs *at,
			   const uint32_t *slots, uint32_t n,
			   struct leap__v_recv *r, struct leap__v_sge *sge)
{
	uint32_t i, k;

	for (i = 0; i < n; i++) {
		r[i].id = LEAP__RDMA_RECV_ID | slots[i];
		r[i].sge = sge;
		r[i].nr_sge = at->bytes[1] ? 2 : 1;
		for (k = 0; k < r[i].nr_sge; k++, sge++) {
			sge->addr = at->at[k] +
				    (uint64_t)slots[i] * at->bytes[k];
			sge->len = at->bytes[k];
			sge->lkey = at->lkey;
		}
	}
}

static int flush_recvs(struct leap__rdma_conn *c)
{
	struct leap__v_sge sge[2 * LEAP__RDMA_BATCH];
	struct leap__v_recv r[LEAP__RDMA_BATCH];
	uint32_t n = c->nr_recv;

	c->nr_recv = 0;
	if (c->srq)
		return leap__rdma_srq_post(c->srq, c->recv, n);
	leap__rdma_recvs_fill(&c->recvs, c->recv, n, r, sge);
	return c->v->post_recv(c->qp, r, n);
}

/*
 * A peer that posts no receives is waited for, and could so keep what waits to
 * be sent to it, buffers that belong to all, for as long as it likes.
 */
static void stall_start(struct leap__rdma_conn *c)
{
	c->stalling = 1;
	c->stall_head = c->sq_head;
	leap_timer_start(c->pg, &c->stall,
			 LEAP__RDMA_STALL_MS * UINT64_C(1000000));
}

static void stall_run(struct leap_timer *timer)
{
	struct leap__rdma_conn *c = (struct leap__rdma_conn *)
		((char *)timer - offsetof(struct leap__rdma_conn, stall));

	c->stalling = 0;
	/* It may be done without having told. */
	conn_poll(&c->poller, c->sq_size);
	if (c->sq_tail == c->sq_head || c->stalling ||
	    c->state >= LEAP__RDMA_DEAD)
		return;
	if (c->sq_head != c->stall_head)
		stall_start(c);
	else
		leap__rdma_kill(c, -ETIMEDOUT);
}

/* It says when it is done: that of a READ is awaited. */
static void signal_last(struct leap__rdma_conn *c)
{
	struct leap__v_wr *last = &c->wr[c->nr_wr - 1];

	last->flags |= LEAP__V_SIGNALED;
	c->ring[(c->sq_tail - 1) & c->ring_mask].own =
		last->op == LEAP__V_READ;
}

/* Receives first: the answer may be a message for one of them. */
void leap__rdma_flush(struct leap__rdma_conn *c)
{
	uint32_t n = c->nr_wr;
	int err = 0;

	if (c->state >= LEAP__RDMA_DEAD) {
		/* Shared receives are for others, too. */
		if (c->srq && c->nr_recv)
			flush_recvs(c);
		c->nr_wr = c->nr_sge = c->nr_recv = 0;
		return;
	}
	if (c->nr_recv)
		err = flush_recvs(c);
	if (n && !err) {
		signal_last(c);
		err = c->v->post_send(c->qp, c->wr, n);
		if (!c->stalling)
			stall_start(c);
	}
	c->nr_wr = 0;
	c->nr_sge = 0;
	if (__builtin_expect(err < 0, 0))
		leap__rdma_kill(c, err);
}

void leap__rdma_push(struct leap__rdma_conn *c)
{
	if (c->state >= LEAP__RDMA_DEAD || c->handling)
		return;
	c->end->gather(c);
	leap__rdma_flush(c);
}

/* ---- completions ---- */

static int wc_errno(uint32_t status)
{
	switch (status) {
	case LEAP__V_FLUSHED:
		return -ECONNRESET;
	case LEAP__V_LOCAL:
		return -EMSGSIZE;
	case LEAP__V_ACCESS:
		return -EACCES;
	case LEAP__V_REMOTE:
		return -EREMOTEIO;
	case LEAP__V_RETRY:
	case LEAP__V_RNR:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

__attribute__((cold))
static void wc_failed(struct leap__rdma_conn *c, const struct leap__v_wc *wc)
{
	int err = wc_errno(wc->status);

	/* What was in flight when the peer left is flushed: not worth a word */
	if (wc->status != LEAP__V_FLUSHED)
		leap__pg_log_limited(c->pg, &c->pg->peer_limit, LEAP_LOG_WARN,
				     "rdma: a %s failed: %s",
				     wc->id & LEAP__RDMA_RECV_ID ?
				     "receive" : "transfer",
				     strerror(-err));
	leap__rdma_kill(c, err);
}

static void retire(struct leap__rdma_conn *c, uint32_t id)
{
	struct leap__rdma_sent *it = &c->ring[id & c->ring_mask];

	if (it->own)
		c->heard = 1;
	it->own = 0;
	/* Of a batch, a READ in the middle has said so before. */
	if ((int32_t)(id + 1 - c->sq_done) > 0)
		c->sq_done = id + 1;
	while (c->sq_head != c->sq_done) {
		struct leap__rdma_sent s = c->ring[c->sq_head & c->ring_mask];

		if (s.own)
			return;
		c->sq_head++;
		if (s.kind)
			c->end->sent(c, s.kind, s.ptr);
		if (c->state >= LEAP__RDMA_DEAD)
			return;
	}
}

static void give_back(struct leap__rdma_conn *c, uint32_t i, uint32_t n)
{
	for (; i < n; i++) {
		if (!(c->wc[i].id & LEAP__RDMA_RECV_ID))
			continue;
		leap__rdma_srq_take(c->srq, (uint32_t)c->wc[i].id, c);
		leap__rdma_post_recv(c, (uint32_t)c->wc[i].id);
	}
}

void leap__rdma_unread(struct leap__rdma_conn *c)
{
	int n = (int)c->nr_wc;

	c->nr_wc = 0;
	do {
		give_back(c, 0, (uint32_t)n);
		n = c->v->cq_poll(c->cq, c->wc, LEAP__RDMA_WCS);
	} while (n > 0);
	leap__rdma_flush(c);
}

static void received(struct leap__rdma_conn *c, const struct leap__v_wc *wc)
{
	c->heard = 1;
	if (c->srq)
		leap__rdma_srq_take(c->srq, (uint32_t)wc->id, c);
	c->end->recv(c, (uint32_t)wc->id, wc->bytes, wc->flags);
}

static int handle(struct leap__rdma_conn *c, uint32_t n)
{
	uint32_t i;

	c->handling = 1;
	for (i = 0; i < n && c->state < LEAP__RDMA_DEAD; i++) {
		const struct leap__v_wc *wc = &c->wc[i];

		if (__builtin_expect(wc->status != LEAP__V_OK, 0)) {
			wc_failed(c, wc);
			break;
		}
		if (wc->id & LEAP__RDMA_RECV_ID)
			received(c, wc);
		else
			retire(c, (uint32_t)wc->id);
	}
	if (__builtin_expect(i < n && c->srq, 0))
		give_back(c, i, n);
	c->handling = 0;
	leap__rdma_work(c);
	return (int)n;
}

/* Up to LEAP__RDMA_WCS completions, or negative errno. What is posted first: it
 * makes room. */
static int look(struct leap__rdma_conn *c)
{
	int n = 0, recvs;

	if (c->send_cq)
		n = c->v->cq_poll(c->send_cq, c->wc, LEAP__RDMA_WCS);
	if (n < 0 || n == (int)LEAP__RDMA_WCS)
		return n;
	recvs = c->v->cq_poll(c->cq, c->wc + n, (int)LEAP__RDMA_WCS - n);
	return recvs < 0 ? recvs : n + recvs;
}

static int conn_poll(struct leap_poller *p, unsigned int budget)
{
	struct leap__rdma_conn *c = of_poller(p);
	unsigned int done = 0;
	int n;

	if (c->state >= LEAP__RDMA_DEAD)
		return 0;
	if (c->nr_wc) {
		n = (int)c->nr_wc;
		c->nr_wc = 0;
		done += (unsigned int)handle(c, (uint32_t)n);
	}
	while (done < budget && c->state < LEAP__RDMA_DEAD) {
		n = look(c);
		if (__builtin_expect(n < 0, 0))
			leap__rdma_kill(c, n);
		if (n <= 0)
			break;
		done += (unsigned int)handle(c, (uint32_t)n);
		if ((uint32_t)n < LEAP__RDMA_WCS)
			break;
	}
	return (int)done;
}

/* 0 = it will tell of what is not there now */
static int arm_cq(struct leap__rdma_conn *c, struct leap__v_cq *cq,
		  uint8_t *armed)
{
	if (*armed)
		return 0;
	if (c->v->cq_arm(cq))
		return 1;	/* it will say so when polled */
	*armed = 1;
	return 0;
}

static int waiting(struct leap__rdma_conn *c)
{
	return c->send_cq && c->sq_tail != c->sq_head &&
	       (c->state == LEAP__RDMA_CLOSING || c->end->waiting(c));
}

static int conn_arm(struct leap_poller *p)
{
	struct leap__rdma_conn *c = of_poller(p);
	int n;

	if (c->state >= LEAP__RDMA_DEAD)
		return 0;
	if (c->nr_wc)
		return 1;
	if (arm_cq(c, c->cq, &c->armed) ||
	    (waiting(c) && arm_cq(c, c->send_cq, &c->armed_sends)))
		return 1;
	/* The second look: what came before it was armed tells nobody. */
	n = look(c);
	if (n > 0)
		c->nr_wc = (uint32_t)n;
	return n != 0;
}

void leap__rdma_queue_init(struct leap__rdma_conn *c)
{
	c->poller.poll = conn_poll;
	c->poller.arm = conn_arm;
	c->stall.run = stall_run;
}
