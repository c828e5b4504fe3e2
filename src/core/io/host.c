/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller that somebody else serves: its queue pairs, the requests on
 * them, and what becomes of both when a connection goes.
 *
 * A caller's request stays with the caller; a copy from a pool as deep as the
 * queue travels. A copy that comes back because the connection was lost waits,
 * with those that arrived meanwhile, and travels again on the next connection.
 *
 *	CONNECTING --> LIVE --lost--> RECONNECTING --> LIVE ...
 *	     |                             +-- loss_ms over --> FAILED
 *	     +-- the first try fails --> FAILED
 *
 * All connections are closed, and every copy is back, before the next try, so
 * nothing of an old connection can reach a new one. What is said to the
 * controller is host_init.c's business.
 */
#include "core/io/host.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/info.h"
#include "core/io/pollgroup.h"
#include "core/io/transport.h"
#include "util/err.h"
#include "util/opts.h"
#include "util/plant.h"

#define KATO_MS		15000u
#define RECONNECT_MS	1000u
#define LOSS_MS		600000u
#define MAX_QUEUES	1024u
#define BATCH		32u
#define MAX_LATE	4u
#define MS		1000000ull

static void set_state(struct leap_host *h, enum leap_host_state state)
{
	if (h->state == state && state != LEAP_HOST_LIVE)
		return;
	h->state = state;
	if (h->opts.state)
		h->opts.state(h, state, h->why, h->err, h->opts.arg);
}

/* ---- requests ----------------------------------------------------------- */

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

/* Send what waits, as far as there is room. Only from poll. */
static void drive(struct leap__hqueue *q)
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
static __attribute__((cold, noinline)) void drive_sharers(struct leap__hqueue *q)
{
	struct leap_host *h = q->host;
	uint32_t n = h->nr_granted + 1, i, at = (uint32_t)(q - h->q);

	for (i = 1; i <= n; i++)
		if (h->q[(at + i) % n].at == q->at)
			drive(&h->q[(at + i) % n]);
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
		drive(q);
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

int leap_host_submit(struct leap_host *h, uint32_t queue,
		     struct leap_req *const *reqs, unsigned int n)
{
	unsigned int done = 0, want;
	int took;

	if (!h->was_live || h->closing || h->state == LEAP_HOST_FAILED)
		return -ENOTCONN;
	if (queue > h->nr_granted)
		return leap__err(-EINVAL,
				 "leap_host_submit: queue %u exceeds %u", queue,
				 h->nr_granted);
	while (done < n) {
		want = n - done < BATCH ? n - done : BATCH;
		took = submit_batch(&h->q[queue], reqs + done, want);
		if (took < 0)
			return done ? (int)done : took;
		done += (unsigned int)took;
		if ((unsigned int)took < want)
			break;
	}
	return (int)done;
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

/* Nobody will take them any more. Only from poll. */
static void fail_waiting(struct leap_host *h)
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

/* ---- connections -------------------------------------------------------- */

static void free_host(struct leap_host *h)
{
	uint32_t i;

	leap__host_init_free(h);
	for (i = 0; i <= h->nr_q; i++)
		free(h->q[i].cmds);
	if (h->holding)
		leap__pollgroup_release(h->pg);
	free(h->url);
	free(h->hostnqn);
	free(h);
}

static void give_up(struct leap_host *h)
{
	set_state(h, LEAP_HOST_FAILED);
	fail_waiting(h);
}

static void reconnect(struct leap_timer *timer)
{
	struct leap_host *h = (struct leap_host *)
		((char *)timer - offsetof(struct leap_host, timer));

	leap__host_connect_queue(h, 0);
}

/* No connection is left: what now? */
static void torn_down(struct leap_host *h)
{
	void (*closed)(void *arg) = h->closed;
	void *arg = h->closed_arg;
	uint64_t now = leap_pollgroup_now_ns(h->pg);

	h->tearing = 0;
	h->nr_up = 0;
	h->nr_events = 0;
	h->in_event = 0;
	if (h->closing) {
		fail_waiting(h);
		free_host(h);
		if (closed)
			closed(arg);
	} else if (!h->was_live || h->opts.loss_ms == UINT32_MAX ||
		   now - h->lost_ns >= h->opts.loss_ms * MS) {
		give_up(h);
	} else {
		h->timer.run = reconnect;
		leap_timer_start(h->pg, &h->timer, h->opts.reconnect_ms * MS);
	}
}

static void queue_closed(void *arg)
{
	struct leap__hqueue *q = arg;
	struct leap_host *h = q->host;

	q->qp = NULL;
	assert(!q->in_flight);
	if (!--h->nr_closing)
		torn_down(h);
}

static void do_work(struct leap_msg *msg)
{
	struct leap_host *h = (struct leap_host *)
		((char *)msg - offsetof(struct leap_host, work));
	uint32_t i;

	h->work_queued = 0;
	if (!h->tear_asked || h->tearing)
		return;
	h->tear_asked = 0;
	h->tearing = 1;
	leap_timer_stop(h->pg, &h->timer);
	leap__host_stop_upkeep(h);
	h->nr_closing = 1;
	for (i = 0; i <= h->nr_q; i++) {
		h->q[i].up = 0;
		if (!h->q[i].qp)
			continue;
		h->nr_closing++;
		leap_qp_close(h->q[i].qp, queue_closed, &h->q[i]);
	}
	if (!--h->nr_closing)
		torn_down(h);
}

/* By message: a queue pair may not be closed from its own callbacks. */
void leap__host_tear_down(struct leap_host *h)
{
	h->tear_asked = 1;
	if (h->work_queued)
		return;
	h->work_queued = 1;
	h->work.run = do_work;
	leap_pollgroup_send(h->pg, &h->work);
}

void leap__host_fail(struct leap_host *h, leap_status_t status, int err)
{
	uint32_t i;

	if (h->tearing || h->tear_asked || h->state == LEAP_HOST_FAILED)
		return;
	for (i = 0; i <= h->nr_q; i++)
		h->q[i].up = 0;
	leap__host_tear_down(h);
	if (h->closing)
		return;
	h->err = err;
	h->why = status;
	if (!h->lost_ns)
		h->lost_ns = leap_pollgroup_now_ns(h->pg);
	if (h->was_live && h->opts.loss_ms != UINT32_MAX)
		set_state(h, LEAP_HOST_RECONNECTING);
}

static void queue_lost(struct leap_qp *qp, int err, void *arg)
{
	struct leap__hqueue *q = arg;

	q->up = 0;
	leap__host_fail(q->host, LEAP_SC_PATH_HOST, err ? err : -ECONNRESET);
}

static void queue_connected(struct leap_qp *qp, leap_status_t status, int err,
			    void *arg)
{
	struct leap__hqueue *q = arg;
	struct leap_host *h = q->host;

	if (status) {
		leap__host_fail(h, status, err);
		return;
	}
	if (q == h->q)
		h->cntlid = qp->cntlid;
	leap__host_queue_up(h, (uint32_t)(q - h->q));
}

static int connect_queue(struct leap_host *h, uint32_t i)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	uint32_t ioccsz = leap_from_le32(h->id->ioccsz);
	uint32_t most = (uint32_t)LEAP_GET(h->cap, LEAP_CAP_MQES) + 1;
	int err;

	opts.url = h->url;
	opts.hostnqn = h->hostnqn;
	memcpy(opts.hostid, h->opts.hostid, sizeof(opts.hostid));
	opts.qid = (uint16_t)i;
	opts.flags = h->opts.flags;
	opts.target = h->opts.target;
	opts.vdev = h->opts.vdev;
	opts.lender = h->opts.lender;
	opts.timeout_ms = h->opts.timeout_ms;
	opts.connected = queue_connected;
	opts.lost = queue_lost;
	opts.arg = &h->q[i];
	if (i) {
		opts.cntlid = h->cntlid;
		opts.depth = h->q[i].depth < most ? h->q[i].depth : most;
		if (ioccsz > 4 && ioccsz < 1u << 20)
			opts.inline_bytes = ioccsz * 16 - 64;
	} else {
		opts.depth = LEAP__HOST_ADMIN_DEPTH;
		opts.kato_ms = h->opts.kato_ms;
	}
	err = leap_qp_connect(h->pg, &opts, &h->q[i].qp);
	if (!err)
		h->q[i].qp->bounced_all = h->bounced;
	return err;
}

void leap__host_connect_queue(struct leap_host *h, uint32_t i)
{
	int err = connect_queue(h, i);

	if (err)
		leap__host_fail(h, LEAP_SC_PATH_HOST, err);
}

void leap__host_live(struct leap_host *h)
{
	uint32_t i;

	if (h->was_live)
		h->stats.reconnects++;
	h->was_live = 1;
	h->lost_ns = 0;
	h->err = 0;
	h->why = 0;
	h->sharing = h->nr_up < h->nr_granted && !h->no_io;
	for (i = 0; i <= h->nr_granted; i++) {
		h->q[i].up = i <= h->nr_up;
		h->q[i].at = &h->q[i <= h->nr_up || h->no_io ? i :
				   1 + (i - 1) % h->nr_up];
	}
	leap__host_start_upkeep(h);
	for (i = 0; i <= h->nr_granted; i++)
		drive(&h->q[i]);
	set_state(h, LEAP_HOST_LIVE);
}

/* ---- opening and closing ------------------------------------------------ */

static int queue_init(struct leap_host *h, uint32_t i)
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

static int host_opts(struct leap_host_opts *o, int *discovery)
{
	const struct leap_transport_ops *ops;
	const char *address, *nqn;
	char buf[512];
	int err;

	err = leap__url_split("leap_host_connect", o->url, 1, buf, sizeof(buf),
			      &ops, &address, &nqn);
	if (err)
		return err;
	*discovery = !strcmp(nqn, LEAP_NQN_DISCOVERY);
	if (!o->nr_io_queues && !*discovery)
		o->nr_io_queues = 1;
	if (!o->depth)
		o->depth = 128;
	if (!o->kato_ms)
		o->kato_ms = KATO_MS;
	else if (o->kato_ms == UINT32_MAX)
		o->kato_ms = 0;
	if (!o->reconnect_ms)
		o->reconnect_ms = RECONNECT_MS;
	if (!o->loss_ms)
		o->loss_ms = LOSS_MS;
	if (o->nr_io_queues > MAX_QUEUES)
		return leap__err(-EINVAL,
			"leap_host_connect: nr_io_queues %u exceeds %u",
			o->nr_io_queues, MAX_QUEUES);
	if (o->depth < 2 || o->depth > LEAP_IOQ_MAX_ENTRIES)
		return leap__err(-EINVAL,
			"leap_host_connect: depth %u is not in 2..%u", o->depth,
			LEAP_IOQ_MAX_ENTRIES);
	return 0;
}

static int host_alloc(struct leap_pollgroup *pg,
		      const struct leap_host_opts *opts, struct leap_host **out)
{
	uint32_t i, n = opts->nr_io_queues + 1;
	struct leap_host *h = calloc(1, sizeof(*h) + n * sizeof(h->q[0]));
	int err = -ENOMEM;

	if (!h)
		return leap__err(-ENOMEM, "leap_host_connect: out of memory");
	h->pg = pg;
	h->opts = *opts;
	h->nr_q = opts->nr_io_queues;
	h->url = strdup(opts->url);
	h->opts.url = h->url;
	if (opts->hostnqn)
		h->hostnqn = strdup(opts->hostnqn);
	h->opts.hostnqn = h->hostnqn;
	if (h->url && (h->hostnqn || !opts->hostnqn))
		err = leap__host_init_alloc(h);
	for (i = 0; !err && i < n; i++)
		err = queue_init(h, i);
	if (err) {
		free_host(h);
		return leap__err(err, "leap_host_connect: out of memory");
	}
	*out = h;
	return 0;
}

int leap_host_connect(struct leap_pollgroup *pg,
		      const struct leap_host_opts *from, struct leap_host **out)
{
	struct leap_host_opts opts;
	struct leap_host *h = NULL;
	int err, discovery = 0;

	err = leap__opts_copy(&opts, sizeof(opts), from);
	if (!err)
		err = host_opts(&opts, &discovery);
	if (!err)
		err = host_alloc(pg, &opts, &h);
	if (err)
		return err;
	h->discovery = (uint8_t)discovery;
	err = connect_queue(h, 0);
	if (err) {
		free_host(h);
		return err;
	}
	leap__pollgroup_hold(pg);
	h->holding = 1;
	*out = h;
	return 0;
}

void leap_host_close(struct leap_host *h, void (*closed)(void *arg), void *arg)
{
	if (!h)
		return;
	assert(!h->closing);
	h->closing = 1;
	h->closed = closed;
	h->closed_arg = arg;
	if (h->state == LEAP_HOST_LIVE && !h->tear_asked && !h->tearing)
		leap__host_shut_down(h);
	else if (!h->tearing)
		leap__host_tear_down(h);
}

/* ---- questions ---------------------------------------------------------- */

enum leap_host_state leap_host_state(const struct leap_host *h)
{
	return h->state;
}

uint32_t leap_host_nr_queues(const struct leap_host *h)
{
	return h->nr_granted;
}

int leap_host_ns_next(const struct leap_host *h, uint32_t after,
		      struct leap_host_ns *ns)
{
	uint32_t i;

	for (i = 0; i < h->nr_ns; i++)
		if (h->ns[i].nsid > after)
			return leap__info_copy("leap_host_ns_next", ns,
					       &h->ns[i], sizeof(h->ns[i]));
	return -ENOENT;
}

const struct leap_id_ctrl *leap_host_identify(const struct leap_host *h)
{
	return h->id;
}

const struct leap_id_ctrl_nvm *leap_host_identify_nvm(const struct leap_host *h)
{
	return h->id_nvm;
}

int leap_host_stats(const struct leap_host *h, struct leap_host_stats *stats)
{
	return leap__info_copy("leap_host_stats", stats, &h->stats,
			       sizeof(h->stats));
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
