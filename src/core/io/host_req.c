/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests on the queues of a host end: what is sent, what waits for room or
 * for a connection, what goes again and what must not, and requests whose
 * memory is wanted back.
 *
 * A caller's request stays with the caller; a copy from a pool as deep as the
 * queue travels. A copy that comes back because the connection was lost waits,
 * with those that arrived meanwhile, and travels again on the next connection.
 * Connections are host.c's.
 */
#include "core/io/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/ocssd.h>

#include "core/io/transport.h"
#include "util/err.h"
#include "util/plant.h"

#define BATCH		32u
#define MAX_LATE	4u

static void wait_append(struct leap__hqueue *q, struct leap__hcmd *c)
{
	c->next = NULL;
	*q->wait_tail = c;
	q->wait_tail = &c->next;
}

static struct leap__hcmd *wait_pop(struct leap__hqueue *q)
{
	struct leap__hcmd *c = q->wait;

	q->wait = c->next;
	if (!q->wait)
		q->wait_tail = &q->wait;
	return c;
}

static void return_cmd(struct leap__hcmd *c)
{
	struct leap__hqueue *q = c->q;
	struct leap_req *user = c->user;

	user->cqe = c->req.cqe;
	user->sys_errno = c->req.sys_errno;
	c->user = NULL;
	c->next = q->free;
	q->free = c;
	user->done(user);
}

static void fail_cmd(struct leap__hcmd *c, leap_status_t status, int err)
{
	memset(&c->req.cqe, 0, sizeof(c->req.cqe));
	c->req.cqe.status = leap_cqe_status_word(status, 0);
	c->req.sys_errno = err;
	return_cmd(c);
}

/* One command, or the two of a pair. */
static int send_waiting(struct leap__hqueue *q, struct leap__hcmd *c)
{
	struct leap_req *req = &c->req;

	if (__builtin_expect(c->second != NULL, 0))
		return leap_qp_submit_fused(q->at->qp, req, &c->second->req);
	if (__builtin_expect(c->lists.nr, 0))
		return leap_qp_submit_lists(q->at->qp, req, &c->lists);
	return leap_qp_submit(q->at->qp, &req, 1);
}

void leap__hqueue_drive(struct leap__hqueue *q)
{
	struct leap__hcmd *c, *second;
	int n;

	while (q->at->up && (c = q->wait) && !q->host->closing) {
		n = send_waiting(q, c);
		if (n == -EOPNOTSUPP)
			n = -EINVAL;
		if (n != 1 && n != -EINVAL)
			return;
		wait_pop(q);
		second = c->second ? wait_pop(q) : NULL;
		if (n == -EINVAL) {
			/* More than this connection carries; the rest of them
			 * need not wait for it. */
			fail_cmd(c, LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR, n);
			if (second)
				fail_cmd(second, LEAP_SC_INVALID_FIELD |
					 LEAP_STATUS_DNR, n);
			continue;
		}
		if (c->again)
			q->host->stats.redriven++;
		q->in_flight += second ? 2 : 1;
	}
}

/* There is room on a connection that other queues use as well: they first. */
static __attribute__((cold, noinline)) void
drive_sharers(struct leap__hqueue *q)
{
	struct leap_host *h = q->host;
	uint32_t n = h->nr_granted + 1, i, at = (uint32_t)(q - h->q);

	for (i = 1; i <= n; i++)
		if (h->q[(at + i) % n].at == q->at)
			leap__hqueue_drive(&h->q[(at + i) % n]);
}

static int may_go_again(const struct leap_host *h)
{
	return !h->closing && h->state != LEAP_HOST_FAILED &&
	       h->opts.loss_ms != UINT32_MAX;
}

/* A command that takes the controller down each time is not sent for ever. */
static int is_hopeless(struct leap__hcmd *c)
{
	if (c->req.sys_errno != -ETIMEDOUT)
		return 0;
	return ++c->late > MAX_LATE;
}

static int may_run_twice(const struct leap__hcmd *c)
{
	if (c->q != c->q->host->q)
		return leap__sqe_may_run_twice(&c->req.sqe);
	switch (c->req.sqe.opc) {
	case LEAP_ADM_GET_LOG:
	case LEAP_ADM_IDENTIFY:
	case LEAP_ADM_ABORT:
	case LEAP_ADM_SET_FEATURES:
	case LEAP_ADM_GET_FEATURES:
	case LEAP_ADM_KEEP_ALIVE:
	case LEAP_ADM_FABRICS:
		return 1;
	default:
		return 0;
	}
}

static void cmd_done(struct leap_req *req)
{
	struct leap__hcmd *c = (struct leap__hcmd *)req;
	struct leap__hqueue *q = c->q;

	q->in_flight--;
	/* sys_errno: the connection's word, not the controller's. */
	if (__builtin_expect(req->sys_errno != 0, 0) &&
	    may_go_again(q->host) && !c->let_go && !is_hopeless(c) &&
	    may_run_twice(c) &&
	    !LEAP_PLANT(REDRIVE_LOST)) {
		c->again = 1;
		wait_append(q, c);
		return;
	}
	if (__builtin_expect(q->host->sharing, 0))
		drive_sharers(q);
	else if (__builtin_expect(q->wait != NULL, 0))
		leap__hqueue_drive(q);
	return_cmd(c);
}

static inline struct leap__hcmd *take_cmd(struct leap__hqueue *q,
					  struct leap_req *user)
{
	struct leap__hcmd *c = q->free;

	if (!c)
		return NULL;
	q->free = c->next;
	c->user = user;
	c->again = 0;
	c->late = 0;
	c->let_go = 0;
	c->second = NULL;
	c->lists.nr = 0;
	c->req.sqe = user->sqe;
	c->req.pieces = user->pieces;
	c->req.nr_pieces = user->nr_pieces;
	return c;
}

static void put_cmd(struct leap__hqueue *q, struct leap__hcmd *c)
{
	c->user = NULL;
	c->next = q->free;
	q->free = c;
}

/* Those that the ring did not take wait; or none is sent, if one is bad. */
static __attribute__((cold, noinline)) int
not_all_sent(struct leap__hqueue *q, struct leap_req **batch, unsigned int nr,
	     int sent)
{
	unsigned int i;

	if (sent == -EINVAL) {
		for (i = nr; i--; )
			put_cmd(q, (struct leap__hcmd *)batch[i]);
		return -EINVAL;
	}
	if (sent < 0)
		sent = 0;
	q->in_flight += (uint32_t)sent;
	for (i = (unsigned int)sent; i < nr; i++)
		wait_append(q, (struct leap__hcmd *)batch[i]);
	return (int)nr;
}

/* One, as a relay and a callback have them. */
static inline int submit_one(struct leap__hqueue *q, struct leap_req *user)
{
	struct leap__hcmd *c = take_cmd(q, user);
	struct leap_req *req;
	int sent = 0;

	if (!c)
		return 0;
	req = &c->req;
	if (q->at->up && !q->wait)
		sent = leap_qp_submit(q->at->qp, &req, 1);
	if (__builtin_expect(sent != 1, 0))
		return not_all_sent(q, &req, 1, sent);
	q->in_flight++;
	return 1;
}

/* Up to BATCH at once. */
static inline int submit_batch(struct leap__hqueue *q,
			       struct leap_req *const *reqs, unsigned int n)
{
	struct leap_req *batch[BATCH];
	struct leap__hcmd *c;
	unsigned int nr = 0;
	int sent = 0;

	while (nr < n && (c = take_cmd(q, reqs[nr])))
		batch[nr++] = &c->req;
	if (nr && q->at->up && !q->wait)
		sent = leap_qp_submit(q->at->qp, batch, nr);
	if (__builtin_expect(sent != (int)nr, 0))
		return not_all_sent(q, batch, nr, sent);
	q->in_flight += nr;
	return (int)nr;
}

static __attribute__((noinline)) int submit_many(struct leap__hqueue *q,
						 struct leap_req *const *reqs,
						 unsigned int n)
{
	unsigned int done = 0, want;
	int took;

	while (done < n) {
		want = n - done < BATCH ? n - done : BATCH;
		took = submit_batch(q, reqs + done, want);
		if (took < 0)
			return done ? (int)done : took;
		done += (unsigned int)took;
		if ((unsigned int)took < want)
			break;
	}
	return (int)done;
}

int leap_host_submit(struct leap_host *h, uint32_t queue,
		     struct leap_req *const *reqs, unsigned int n)
{
	if (!h->was_live || h->closing || h->state == LEAP_HOST_FAILED)
		return -ENOTCONN;
	if (queue > h->nr_granted)
		return leap__err(-EINVAL,
				 "leap_host_submit: queue %u exceeds %u", queue,
				 h->nr_granted);
	return n == 1 ? submit_one(&h->q[queue], reqs[0]) :
			submit_many(&h->q[queue], reqs, n);
}

static int submit_pair(struct leap__hqueue *q, struct leap__hcmd *first,
		       struct leap__hcmd *second)
{
	int sent = 0;

	if (q->at->up && !q->wait)
		sent = leap_qp_submit_fused(q->at->qp, &first->req,
					    &second->req);
	if (sent == -EINVAL) {
		put_cmd(q, second);
		put_cmd(q, first);
		return sent;
	}
	if (sent == 1) {
		q->in_flight += 2;
		return 1;
	}
	first->second = second;
	wait_append(q, first);
	wait_append(q, second);
	return 1;
}

int leap_host_submit_fused(struct leap_host *h, uint32_t queue,
			   struct leap_req *first, struct leap_req *second)
{
	struct leap__hcmd *a, *b;

	if (!h->was_live || h->closing || h->state == LEAP_HOST_FAILED)
		return -ENOTCONN;
	if (!queue || queue > h->nr_granted)
		return leap__err(-EINVAL, "leap_host_submit_fused: queue %u is "
				 "not 1 to %u", queue, h->nr_granted);
	a = take_cmd(&h->q[queue], first);
	if (!a)
		return 0;
	b = take_cmd(&h->q[queue], second);
	if (!b) {
		put_cmd(&h->q[queue], a);
		return 0;
	}
	/* So that neither travels again. */
	a->req.sqe.flags = LEAP_SQE_FUSE_FIRST;
	b->req.sqe.flags = LEAP_SQE_FUSE_SECOND;
	return submit_pair(&h->q[queue], a, b);
}

int leap_host_submit_lists(struct leap_host *h, uint32_t queue,
			   struct leap_req *req,
			   const struct leap_req_lists *lists)
{
	struct leap__hqueue *q;
	struct leap__hcmd *c;
	int sent = 0;

	if (!h->was_live || h->closing || h->state == LEAP_HOST_FAILED)
		return -ENOTCONN;
	if (!queue || queue > h->nr_granted)
		return leap__err(-EINVAL, "leap_host_submit_lists: queue %u is "
				 "not 1 to %u", queue, h->nr_granted);
	/* Here: without a count it would wait, and go, as any other. */
	if (!lists->nr || lists->nr > LEAP_OCSSD_MAX_ADDRS)
		return leap__err(-EINVAL,
				 "leap_host_submit_lists: nr %u is not 1 to %u",
				 lists->nr, LEAP_OCSSD_MAX_ADDRS);
	q = &h->q[queue];
	c = take_cmd(q, req);
	if (!c)
		return 0;
	if (q->at->up && !q->wait)
		sent = leap_qp_submit_lists(q->at->qp, &c->req, lists);
	if (sent == -EINVAL || sent == -EOPNOTSUPP) {
		put_cmd(q, c);
		return sent;
	}
	if (sent == 1) {
		q->in_flight++;
		return 1;
	}
	c->lists = *lists;
	wait_append(q, c);
	return 1;
}

void leap_host_kick(struct leap_host *h, uint32_t queue)
{
	if (queue <= h->nr_granted && h->q[queue].at->up)
		leap_qp_kick(h->q[queue].at->qp);
}

void leap__host_fail_waiting(struct leap_host *h)
{
	leap_status_t status = h->closing ? LEAP_SC_PATH_HOST_ABORTED :
					    LEAP_SC_PATH_HOST;
	int err = h->closing ? -ECANCELED : h->err ? h->err : -EIO;
	uint32_t i;

	for (i = 0; i <= h->nr_q; i++)
		while (h->q[i].wait)
			fail_cmd(wait_pop(&h->q[i]), status, err);
}

/* Those of one queue; 1 = some are out, or the connection has them. */
static int let_go_queue(struct leap__hqueue *q,
			bool (*is)(struct leap_req *user, void *arg),
			void *arg)
{
	struct leap__hcmd *c, *list = q->wait, *gone = NULL, **end = &gone;
	uint32_t i;
	int out = 0;

	for (i = 0; i < q->depth - 1; i++)
		if (q->cmds[i].user && !q->cmds[i].let_go)
			q->cmds[i].let_go = is(q->cmds[i].user, arg);
	for (c = list; c; c = c->next)
		if (c->second)
			c->let_go = c->second->let_go |= c->let_go;
	q->wait = NULL;
	q->wait_tail = &q->wait;
	while ((c = list)) {
		list = c->next;
		if (!c->let_go) {
			wait_append(q, c);
			continue;
		}
		c->let_go = 2;
		c->next = NULL;
		*end = c;
		end = &c->next;
	}
	for (i = 0; i < q->depth - 1; i++)
		out |= q->cmds[i].user && q->cmds[i].let_go == 1;
	/* Last, because whoever gets one may send others. */
	while ((c = gone)) {
		gone = c->next;
		fail_cmd(c, LEAP_SC_PATH_HOST_ABORTED, -ECANCELED);
	}
	return out;
}

void leap__host_let_go(struct leap_host *h,
		       bool (*is)(struct leap_req *user, void *arg),
		       void *arg)
{
	uint32_t i;
	int out = 0;

	for (i = 1; i <= h->nr_q; i++)
		out |= let_go_queue(&h->q[i], is, arg);
	if (out)
		leap__host_fail(h, LEAP_SC_PATH_HOST_ABORTED, -ETIMEDOUT);
}

int leap__hqueue_init(struct leap_host *h, uint32_t i)
{
	struct leap__hqueue *q = &h->q[i];
	/* Some admin entries are ours: events, keep alive, steps. */
	uint32_t n = i ? h->opts.depth - 1 :
			 LEAP__HOST_ADMIN_DEPTH - LEAP__HOST_AERS - 4;
	uint32_t k;

	q->host = h;
	q->at = q;
	q->depth = i ? h->opts.depth : LEAP__HOST_ADMIN_DEPTH;
	q->wait_tail = &q->wait;
	q->cmds = calloc(n, sizeof(*q->cmds));
	if (!q->cmds)
		return -ENOMEM;
	for (k = n; k--; ) {
		q->cmds[k].q = q;
		q->cmds[k].req.done = cmd_done;
		q->cmds[k].next = q->free;
		q->free = &q->cmds[k];
	}
	return 0;
}

static void sync_done(struct leap_req *req)
{
	*(int *)(uintptr_t)req->lib[0] = 1;
}

int leap_host_sync(struct leap_host *h, struct leap_pollgroup *pg,
		   uint32_t queue, struct leap_req *req)
{
	void (*done)(struct leap_req *r) = req->done;
	int took, is_done = 0;

	req->done = sync_done;
	req->lib[0] = (uintptr_t)&is_done;
	while (!(took = leap_host_submit(h, queue, &req, 1)))
		leap_pollgroup_wait(pg, -1);
	if (took > 0) {
		leap_host_kick(h, queue);
		while (!is_done)
			leap_pollgroup_wait(pg, -1);
	}
	req->done = done;
	return took < 0 ? took : 0;
}
