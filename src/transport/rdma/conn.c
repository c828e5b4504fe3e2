/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a connection, whichever end it is: how it begins, moves, and
 * ends, and what its connection manager says. queue.c has its queues.
 */
#include "transport/rdma/srq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- events ---- */

static int event_err(const struct leap__v_cm *cm, int otherwise)
{
	return cm->status < 0 && cm->status > -4096 ? cm->status : otherwise;
}

static void on_event(struct leap__rdma_conn *c, const struct leap__v_cm *cm)
{
	switch (cm->type) {
	case LEAP__V_DISCONNECTED:
		leap__rdma_kill(c, c->state == LEAP__RDMA_CLOSING ? 0 :
				-ECONNRESET);
		return;
	case LEAP__V_DEVICE_REMOVAL:
		leap__rdma_dev_gone(c->dev);
		leap__rdma_kill(c, -ENODEV);
		return;
	case LEAP__V_ADDR_CHANGE:
		leap__rdma_kill(c, -EADDRNOTAVAIL);
		return;
	case LEAP__V_ADDR_ERROR:
	case LEAP__V_ROUTE_ERROR:
		leap__rdma_kill(c, event_err(cm, -EHOSTUNREACH));
		return;
	case LEAP__V_UNREACHABLE:
	case LEAP__V_CONNECT_ERROR:
		leap__rdma_kill(c, event_err(cm, -ETIMEDOUT));
		return;
	case LEAP__V_TIMEWAIT_EXIT:
	case LEAP__V_OTHER:
	case LEAP__V_CONNECT_REQUEST:
		return;
	default:
		c->end->event(c, cm);
	}
}

void leap__rdma_events(struct leap__rdma_conn *c)
{
	struct leap__v_cm cm;
	int n;

	while (c->state < LEAP__RDMA_DEAD) {
		n = c->v->chan_get(c->chan, &cm);
		if (n < 0)
			leap__rdma_kill(c, n);
		if (n <= 0)
			return;
		on_event(c, &cm);
	}
}

static void conn_fired(void *arg)
{
	struct leap__rdma_conn *c = arg;

	struct leap__v_cq *told = c->comp ? c->v->comp_next(c->comp) : NULL;

	/* Events of the connection are rare, and asking for them is not free:
	 * they wait for the time when no queue has told, which follows. */
	if (!told)
		leap__rdma_events(c);
	else if (told == c->send_cq)
		c->armed_sends = 0;
	else
		c->armed = 0;
}

/* ---- the life of it ---- */

static void watch_ended(void *arg)
{
	struct leap__rdma_conn *c = arg;

	c->ending = NULL;
	leap__rdma_work(c);
}

static void unhook(struct leap__rdma_conn *c)
{
	leap_timer_stop(c->pg, &c->timer);
	leap_timer_stop(c->pg, &c->stall);
	c->stalling = 0;
	leap__pollgroup_undefer(c->pg, &c->defer);
	if (c->polled)
		leap_pollgroup_del_poller(c->pg, &c->poller);
	c->polled = 0;
	leap__rdma_unwatch(c->watch, NULL);
	c->watch = NULL;
	leap__rdma_disown(c->ending);
	c->ending = NULL;
}

static void queue_fini(struct leap__rdma_conn *c)
{
	const struct leap__verbs *v = c->v;

	unhook(c);
	if (c->linked)
		v->disconnect(c->id);
	if (c->srq && c->cq)
		leap__rdma_unread(c);
	if (c->qp)
		v->qp_destroy(c->id, c->qp);
	if (c->srq)
		leap__rdma_srq_leave(c->srq);
	if (c->mr[0])
		v->mr_destroy(c->mr[0]);
	if (c->mr[1])
		v->mr_destroy(c->mr[1]);
	if (c->send_cq)
		v->cq_destroy(c->send_cq);
	if (c->cq)
		v->cq_destroy(c->cq);
	if (c->comp)
		v->comp_destroy(c->comp);
	free(c->ring);
	c->qp = NULL;
	c->mr[0] = NULL;
	c->mr[1] = NULL;
	c->cq = NULL;
	c->send_cq = NULL;
	c->comp = NULL;
	c->ring = NULL;
	c->srq = NULL;
	c->linked = 0;
}

/* What goes after the queue, and after the end has let go of all of it. */
struct place {
	const struct leap__verbs *v;
	struct leap__rdma_pool *pool;
	struct leap__rdma_dev *dev;
	struct leap__v_id *id;
	struct leap__v_chan *chan;
};

static struct place place_take(struct leap__rdma_conn *c)
{
	struct place p = { c->v, c->pool, c->dev, c->id, c->chan };

	c->pool = NULL;
	c->dev = NULL;
	c->id = NULL;
	c->chan = NULL;
	return p;
}

/* The id last: the library closes a device that is no more with its last id,
 * and what was made on it may not be touched after that. */
static void place_fini(struct leap_pollgroup *pg, const struct place *p)
{
	int kept = leap__rdma_dev_leave(p->dev, p->pool, p->id, p->chan);

	leap__rdma_pool_put(pg, p->pool);
	if (kept)
		return;
	if (p->id)
		p->v->id_destroy(p->id);
	if (p->chan)
		p->v->chan_destroy(p->chan);
}

void leap__rdma_conn_fini(struct leap__rdma_conn *c)
{
	struct place p;

	c->state = LEAP__RDMA_DEAD;
	queue_fini(c);
	p = place_take(c);
	place_fini(c->pg, &p);
}

/* The end may free the connection, and has registrations in the pool. */
static void conn_gone(struct leap__rdma_conn *c)
{
	struct leap_pollgroup *pg = c->pg;
	struct place p;

	leap__pollgroup_hold(pg);
	queue_fini(c);
	p = place_take(c);
	c->state = LEAP__RDMA_GONE;
	c->end->gone(c);
	place_fini(pg, &p);
	leap__pollgroup_release(pg);
}

/*
 * What a queue pair took of shared receives is the others' again only when it
 * has completed: in error, it says so itself. One that was never linked took
 * none, and of a device that is gone nothing is expected.
 */
static int drained(struct leap__rdma_conn *c)
{
	int last;

	if (!c->srq || !c->qp || (!c->linked && !c->drains) ||
	    leap__load_relaxed(&c->dev->gone))
		return 1;
	if (!c->drains) {
		c->drains = 1;
		c->v->disconnect(c->id);
		c->linked = 0;
	}
	c->v->dev_events(c->dev->dev);
	last = leap__load_acquire(&c->last_recv) != 0;
	/* In this order: what completed before it said so is there. */
	leap__rdma_unread(c);
	if (last || c->drains > LEAP__RDMA_DRAINS)
		return 1;
	leap__rdma_timer(c, 1);
	return 0;
}

static void conn_run(struct leap__defer *defer)
{
	struct leap__rdma_conn *c = (struct leap__rdma_conn *)
		((char *)defer - offsetof(struct leap__rdma_conn, defer));

	if (c->state < LEAP__RDMA_DEAD) {
		c->end->gather(c);
		leap__rdma_flush(c);
		if (c->state == LEAP__RDMA_CLOSING && c->sq_tail == c->sq_head)
			leap__rdma_kill(c, 0);
	}
	/* Whoever called kill is off the stack. */
	if (c->state == LEAP__RDMA_DEAD && c->watch) {
		c->ending = c->watch;
		c->watch = NULL;
		leap__rdma_unwatch(c->ending, watch_ended);
	}
	if (c->state == LEAP__RDMA_DEAD && !c->ending && drained(c))
		conn_gone(c);
}

static void nudge_later(struct leap__rdma_conn *c)
{
	if (c->nudges < LEAP__RDMA_NUDGES)
		leap__rdma_timer(c, LEAP__RDMA_NUDGE_MS << c->nudges);
}

void leap__rdma_touch(struct leap__rdma_conn *c)
{
	struct leap__v_sge *none;
	struct leap__v_wr *wr;

	wr = leap__rdma_post(c, LEAP__V_WRITE, 0, &none, 0);
	wr->remote = 0;
	/* Of no bytes none is looked at, but 0 is often special. */
	wr->key = 1;
	leap__rdma_flush(c);
}

/*
 * While siw accepts, it does not look at what comes, and later only when more
 * comes: our first message could wait there for ever. So a peer of iWARP that
 * has not answered is sent more, a WRITE of no bytes.
 */
static void nudge(struct leap__rdma_conn *c)
{
	if (c->heard)
		return;
	if (leap__rdma_room(c)) {
		leap__pg_log(c->pg, LEAP_LOG_DEBUG,
			     "rdma: no answer yet: a WRITE of no bytes");
		leap__rdma_touch(c);
		c->nudges++;
	}
	nudge_later(c);
}

void leap__rdma_up(struct leap__rdma_conn *c)
{
	c->state = LEAP__RDMA_READY;
	leap_timer_stop(c->pg, &c->timer);
	c->nudging = c->dev->caps.remote_sink;
	if (c->nudging)
		nudge_later(c);
}

static void conn_timer(struct leap_timer *timer)
{
	struct leap__rdma_conn *c = (struct leap__rdma_conn *)
		((char *)timer - offsetof(struct leap__rdma_conn, timer));

	if (c->state == LEAP__RDMA_DEAD) {
		c->drains++;
		leap__rdma_work(c);
	} else if (c->state == LEAP__RDMA_CLOSING) {
		leap__rdma_kill(c, 0);
	} else if (c->nudging) {
		nudge(c);
	} else {
		leap__rdma_kill(c, -ETIMEDOUT);
	}
}

void leap__rdma_timer(struct leap__rdma_conn *c, uint32_t ms)
{
	leap_timer_start(c->pg, &c->timer, (uint64_t)ms * 1000000u);
}

static int watch(struct leap__rdma_conn *c)
{
	int fds[2] = { c->v->chan_fd(c->chan), -1 };

	if (c->comp)
		fds[1] = c->v->comp_fd(c->comp);
	return leap__rdma_watch(c->pg, fds, conn_fired, c, &c->watch);
}

int leap__rdma_conn_init(struct leap__rdma_conn *c,
			 const struct leap__rdma_end *end,
			 struct leap_pollgroup *pg, struct leap__v_id *id)
{
	int err;

	c->end = end;
	c->pg = pg;
	c->v = leap__rdma_verbs(pg, "rdma");
	c->state = LEAP__RDMA_SETUP;
	c->defer.run = conn_run;
	c->timer.run = conn_timer;
	leap__rdma_queue_init(c);
	if (!c->v)
		return -EPROTONOSUPPORT;
	err = c->v->chan_create(c->v, &c->chan);
	if (!err)
		err = id ? c->v->id_move(id, c->chan, c) :
		      c->v->id_create(c->chan, c, &c->id);
	/* On failure @id stays the caller's. */
	if (!err && id)
		c->id = id;
	if (!err)
		err = watch(c);
	return err;
}

static int make_ring(struct leap__rdma_conn *c)
{
	uint32_t n = 1;

	while (n < c->sq_size)
		n *= 2;
	c->ring = calloc(n, sizeof(*c->ring));
	c->ring_mask = n - 1;
	return c->ring ? 0 : -ENOMEM;
}

int leap__rdma_conn_dev(struct leap__rdma_conn *c)
{
	int err;

	if (c->pool)
		return 0;
	err = leap__rdma_pool_get(c->pg, c->v->id_dev(c->id), c->dev,
				  c->realm, &c->pool);
	if (!err && !c->dev) {
		c->dev = c->pool->dev;
		leap__rdma_dev_join(c->dev);
	}
	return err;
}

/* @recvs: that may complete; of shared ones, all. */
static int qp_caps(struct leap__rdma_conn *c, uint32_t sends, uint32_t recvs,
		   uint32_t max_inline, struct leap__v_qp_caps *caps)
{
	const struct leap__v_caps *dev = &c->dev->caps;

	memset(caps, 0, sizeof(*caps));
	if (recvs >= dev->max_cqe)
		return -ENOSPC;
	/* Each has to have room for its completion. */
	if (sends > dev->max_cqe - recvs)
		sends = dev->max_cqe - recvs;
	caps->max_send = sends < dev->max_wr ? sends : dev->max_wr;
	caps->max_sge = dev->max_sge < LEAP__RDMA_MAX_SGE ? dev->max_sge :
			LEAP__RDMA_MAX_SGE;
	/* siw breaks a queue pair whose SEND carries its
	 * data and invalidates. */
	caps->max_inline = dev->remote_sink ? 0 : max_inline;
	if (c->srq) {
		caps->srq = c->srq->srq;
		caps->last_recv = &c->last_recv;
	} else {
		caps->max_recv = recvs;
	}
	return caps->max_recv > dev->max_wr || caps->max_sge < 2 ? -ENOSPC : 0;
}

/*
 * Where nobody waits until what is posted is done, that has a queue which does
 * not wake: half of the wake-ups of an end with one command at a time. Not with
 * shared receives, of which none would say that the queue pair is broken.
 */
static int make_cqs(struct leap__rdma_conn *c, struct leap__v_dev *dev,
		    uint32_t sends, uint32_t recvs)
{
	int own = c->end->waiting && !c->srq;
	int err = c->v->comp_create(dev, &c->comp);

	if (!err)
		err = c->v->cq_create(dev, own ? recvs : sends + recvs, c->comp,
				      &c->cq);
	if (!err && own)
		err = c->v->cq_create(dev, sends, c->comp, &c->send_cq);
	return err;
}

int leap__rdma_conn_qp(struct leap__rdma_conn *c, uint32_t sends,
		       uint32_t recvs, uint32_t max_inline)
{
	struct leap__v_dev *dev = c->v->id_dev(c->id);
	struct leap__v_qp_caps caps;
	int err;

	err = leap__rdma_conn_dev(c);
	if (c->srq)
		recvs = c->srq->total;
	if (!err)
		err = qp_caps(c, sends, recvs, max_inline, &caps);
	if (err)
		return err;
	sends = caps.max_send;
	err = make_cqs(c, dev, sends, recvs);
	caps.send_cq = c->send_cq;
	if (!err)
		err = c->v->qp_create(c->id, c->dev->pd, c->cq, &caps, &c->qp);
	if (err)
		return err;
	c->sq_size = sends;
	c->max_sge = caps.max_sge;
	c->inline_ok = caps.max_inline;
	err = make_ring(c);
	if (!err) {
		leap__rdma_unwatch(c->watch, NULL);
		c->watch = NULL;
		err = watch(c);
	}
	if (!err) {
		leap_pollgroup_add_poller(c->pg, &c->poller);
		c->polled = 1;
	}
	return err;
}

__attribute__((cold))
void leap__rdma_fatal(struct leap__rdma_conn *c, const char *what)
{
	if (c->state >= LEAP__RDMA_DEAD)
		return;
	leap__pg_log_limited(c->pg, &c->pg->peer_limit, LEAP_LOG_WARN,
			     "rdma: protocol error of the peer: %s", what);
	leap__rdma_kill(c, -EPROTO);
}

void leap__rdma_no_recv(struct leap__rdma_conn *c, uint32_t slot,
			uint32_t bytes, uint32_t flags)
{
	(void)slot;
	(void)bytes;
	(void)flags;
	leap__rdma_fatal(c, "a message where none is expected");
}

void leap__rdma_close(struct leap__rdma_conn *c)
{
	if (c->state >= LEAP__RDMA_CLOSING)
		return;
	if (c->state == LEAP__RDMA_SETUP) {
		leap__rdma_kill(c, 0);
		return;
	}
	c->state = LEAP__RDMA_CLOSING;
	leap__rdma_timer(c, LEAP__RDMA_LINGER_MS);
	leap__rdma_work(c);
}

void leap__rdma_kill(struct leap__rdma_conn *c, int err)
{
	if (c->state >= LEAP__RDMA_DEAD)
		return;
	leap__pg_log(c->pg, LEAP_LOG_DEBUG, "rdma: a connection ends: %s",
		     err ? strerror(-err) : "in order");
	c->state = LEAP__RDMA_DEAD;
	c->err = err;
	leap_timer_stop(c->pg, &c->timer);
	leap__rdma_work(c);
}

void leap__rdma_conn_detach(struct leap__rdma_conn *c)
{
	unhook(c);
	leap__rdma_pool_put(c->pg, c->pool);
	c->pool = NULL;
	c->armed = 0;
	c->armed_sends = 0;
}

int leap__rdma_conn_attach(struct leap__rdma_conn *c,
			   struct leap_pollgroup *pg)
{
	int err;

	c->pg = pg;
	if (c->state == LEAP__RDMA_DEAD) {
		leap__rdma_work(c);
		return 0;
	}
	err = leap__rdma_pool_get(pg, c->dev->dev, c->dev, c->realm, &c->pool);
	if (!err)
		err = leap__rdma_pool_bufs(pg, c->pool);
	if (!err)
		err = watch(c);
	if (err) {
		leap__rdma_conn_fini(c);
		c->state = LEAP__RDMA_GONE;
		return err;
	}
	leap_pollgroup_add_poller(pg, &c->poller);
	c->polled = 1;
	leap__rdma_work(c);
	return 0;
}
