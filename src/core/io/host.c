/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller that somebody else serves: its connections, and what becomes of
 * them.
 *
 *	CONNECTING --> LIVE --lost--> RECONNECTING --> LIVE ...
 *	     |                             +-- loss_ms over --> FAILED
 *	     +-- the first try fails --> FAILED
 *
 * All connections are closed, and every request is back, before the next try,
 * so nothing of an old connection can reach a new one. What is said to the
 * controller is host_init.c's business, requests are host_req.c's.
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

#define KATO_MS		15000u
#define RECONNECT_MS	1000u
#define LOSS_MS		600000u
#define MAX_QUEUES	1024u
#define MS		1000000ull

static void set_state(struct leap_host *h, enum leap_host_state state)
{
	if (h->state == state && state != LEAP_HOST_LIVE)
		return;
	h->state = state;
	if (h->opts.state)
		h->opts.state(h, state, h->why, h->err, h->opts.arg);
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
	leap__host_fail_waiting(h);
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
		leap__host_fail_waiting(h);
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
		leap__hqueue_drive(&h->q[i]);
	set_state(h, LEAP_HOST_LIVE);
}

/* ---- opening and closing ------------------------------------------------ */

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
		err = leap__hqueue_init(h, i);
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
