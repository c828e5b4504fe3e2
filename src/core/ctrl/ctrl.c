/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a controller: created by an admin Connect (or by whoever owns
 * registers in memory), ended by losing it, by the operator or by a silent
 * host; its I/O queues and its keep-alive timer. What it answers is admin.c's,
 * its state machine property.c's.
 *
 * A controller stays in memory until everything that names it has come back:
 * its admin connection, its I/O queue pairs (their orphans included) and its
 * messages. Each is one reference.
 */
#include "core/ctrl/ctrl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/plant.h"

#define KATO_LOOK_NS	10000000u	/* to the second look */

/* ---- references ---- */

static void free_ctrl(struct leap__ctrl *c)
{
	leap__round_fini(&c->kato_round);
	leap__round_fini(&c->feat_round);
	leap__round_fini(&c->stats);
	free(c->ioq);
	free(c);
}

void leap__ctrl_put(struct leap__ctrl *c)
{
	struct leap_subsystem *ss = c->ss;

	if (--c->refs)
		return;
	leap__list_remove(&c->link);
	ss->nr_ctrls--;
	free_ctrl(c);
	leap__subsystem_settle(ss);
}

/* The next free one after the last given, so that a late packet for an old
 * controller does not meet a new one. */
static uint16_t pick_cntlid(struct leap_subsystem *ss)
{
	uint32_t i, id = ss->last_cntlid;

	for (i = 0; i < ss->max_ctrls; i++) {
		struct leap__list *pos;
		int used = 0;

		id = id >= ss->max_ctrls ? 1 : id + 1;
		leap__list_for_each(pos, &ss->ctrls)
			used |= leap__list_entry(pos, struct leap__ctrl,
						 link)->cntlid == id;
		if (!used)
			return (uint16_t)id;
	}
	return 0;
}

static void kato_tick(struct leap_timer *timer);
static void kato_answered(struct leap__round *r);

int leap__ctrl_create(struct leap_subsystem *ss, struct leap__ctrl **out)
{
	struct leap_target *t = ss->target;
	struct leap__ctrl *c;
	uint16_t id;

	id = ss->dying ? 0 : pick_cntlid(ss);
	if (!id)
		return -EBUSY;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->ioq = calloc(t->opts.max_io_queues + 1, sizeof(struct leap__ioqp *));
	if (!c->ioq) {
		free(c);
		return -ENOMEM;
	}
	ss->last_cntlid = id;
	c->ss = ss;
	c->target = t;
	c->cntlid = id;
	c->refs = 1;
	c->created_ns = leap_pollgroup_now_ns(t->home);
	c->kato_timer.run = kato_tick;
	c->kato_round.done = kato_answered;
	c->kato_round.arg = c;
	leap__ctrl_init_props(c);
	leap__features_reset(c);
	leap__list_push_back(&ss->ctrls, &c->link);
	ss->nr_ctrls++;
	*out = c;
	return 0;
}

void leap__ctrl_end(struct leap__ctrl *c)
{
	if (c->dead)
		return;
	c->dead = 1;
	leap_timer_stop(c->target->home, &c->kato_timer);
	leap__ctrl_stop_front(c);
	leap__aer_forget(c, LEAP_SC_ABORT_SQ_DELETED);
	leap__ctrl_delete_ioqs(c, 0);
	if (c->front)
		c->front->ended(c, c->front_arg);
	if (c->conn && c->conn->vqp)
		leap_vqp_close(c->conn->vqp);
	leap__ctrl_put(c);
}

/* ---- I/O queues ---- */

enum { DEL_SENT = 1, DEL_BACK = 2, GONE = 4, MOVING = 8 };

static void ioq_settle(struct leap__ioqp *q)
{
	struct leap__ctrl *c = q->owner;

	if (q->owner_state != GONE && q->owner_state != (GONE | DEL_BACK))
		return;
	free(q);
	leap__ctrl_put(c);
}

static void del_answered(struct leap__lmsg *m)
{
	struct leap__ioqp *q = m->subject;

	q->owner_state &= ~DEL_SENT;
	q->owner_state |= DEL_BACK;
	/* Asked to drain first, and to end at once meanwhile. */
	if (q->del_again && !(q->owner_state & GONE)) {
		q->del_again = 0;
		q->owner_state = DEL_SENT;
		m->link.u.feature.value = 0;
		leap__link_ask(q->group, m);
		return;
	}
	ioq_settle(q);
}

static void delete_ioq(struct leap__ioqp *q, uint32_t flags)
{
	if (q->owner_state & GONE)
		return;
	if (q->owner_state & MOVING) {
		/* Not the group's yet: once it is. */
		q->del_again = 1;
		return;
	}
	if (q->owner_state & DEL_SENT) {
		q->del_again |= !flags;
		return;
	}
	leap__link_init(&q->del, LEAP_LINK_QP_DEL, del_answered, q->owner);
	q->del.ctrl = q->ctrl;
	q->del.subject = q;
	q->del.link.cntlid = q->desc.cntlid;
	q->del.link.u.feature.value = flags;
	q->owner_state = DEL_SENT;
	leap__link_ask(q->group, &q->del);
}

void leap__ctrl_delete_ioqs(struct leap__ctrl *c, uint32_t flags)
{
	uint32_t i;

	for (i = 1; i <= c->target->opts.max_io_queues; i++)
		if (c->ioq[i])
			delete_ioq(c->ioq[i], flags);
}

void leap__ctrl_delete_ioq(struct leap__ioqp *q)
{
	delete_ioq(q, 0);
}

int leap__ctrl_ioq_is_ending(const struct leap__ioqp *q)
{
	return !!(q->owner_state & (DEL_SENT | DEL_BACK));
}

void leap__ctrl_queues_left(struct leap__ctrl *c)
{
	if (c->resetting && !c->dead && !c->nr_ioqs && !c->nr_iocqs)
		leap__ctrl_reset_done(c);
}

static void ioq_stats(struct leap__lmsg *m)
{
	struct leap__ctrl *c = m->arg;

	leap__counters_add(&c->ss->count, &m->link.u.stats);
}

/* It is the group's now. An error there ends the queue pair by itself. */
static void ioq_added(struct leap__lmsg *m)
{
	struct leap__ioqp *q = m->subject;

	struct leap__ctrl *c = q->owner;

	q->owner_state &= ~(uint32_t)MOVING;
	if (c->front && c->front->ioq_added)
		c->front->ioq_added(c, c->front_arg, q, m->link.err);
	if (q->del_again) {
		q->del_again = 0;
		delete_ioq(q, 0);
	}
}

static void ioq_gone(struct leap__lmsg *m)
{
	struct leap__ioqp *q = m->subject;
	struct leap__ctrl *c = q->owner;
	struct leap_target *t = c->target;

	c->ioq[q->desc.qid] = NULL;
	c->nr_ioqs--;
	t->connections--;
	q->owner_state |= GONE;
	if (c->front && c->front->ioq_gone)
		c->front->ioq_gone(c, c->front_arg, q);
	if (c->resetting)
		leap__ctrl_queues_left(c);
	else if (!c->nr_ioqs && !c->dead && t->draining)
		leap__ctrl_end(c);
	ioq_settle(q);
	leap__target_settle(t);
}

void leap__ctrl_add_ioq(struct leap__ctrl *c, struct leap__ioqp *q)
{
	q->owner = c;
	q->owner_state = MOVING;
	c->refs++;
	c->nr_ioqs++;
	c->ioq[q->desc.qid] = q;
	leap__link_init(&q->add, LEAP_LINK_QP_ADD, ioq_added, c);
	q->add.subject = q;
	leap__link_init(&q->stats, LEAP_LINK_STATS, ioq_stats, c);
	leap__link_init(&q->gone, LEAP_LINK_QP_DEL, ioq_gone, c);
	q->gone.subject = q;
}

/* ---- keep alive ---- */

/*
 * Every half KATO: was there a command? Of the I/O queues the groups are asked
 * (traffic based keep alive, CTRATT.TBKAS). A host that was silent for the
 * whole of KATO, and a granule for its clock, is gone.
 */
static void kato_start(struct leap__ctrl *c)
{
	c->kato_late = 0;
	leap_timer_start(c->target->home, &c->kato_timer,
			 (uint64_t)c->kato_ms * 1000000 / 2);
}

static void kato_expired(struct leap__ctrl *c)
{
	c->target->keep_alive_expired++;
	c->csts |= LEAP_CSTS_CFS;
	leap__pg_log(c->target->home, LEAP_LOG_WARN,
		     "controller %u of %s: keep alive expired after %u ms",
		     c->cntlid, c->hostnqn, c->kato_ms);
	/* Registers stay, for the reset that takes CFS off. */
	if (!c->front)
		leap__ctrl_end(c);
}

static void kato_check(struct leap__ctrl *c)
{
	uint64_t silent = leap_pollgroup_now_ns(c->target->home) - c->seen_ns;

	if (silent < ((uint64_t)c->kato_ms + LEAP__KAS_MS) * 1000000 ||
	    LEAP_PLANT(KEEP_ALIVE_NEVER)) {
		kato_start(c);
		return;
	}
	if (c->kato_late) {
		kato_expired(c);
		return;
	}
	/* Timers come first: after a time in which this process stood still,
	 * what the host has sent meanwhile is read before the second look. */
	c->kato_late = 1;
	leap_timer_start(c->target->home, &c->kato_timer, KATO_LOOK_NS);
}

static void kato_answered(struct leap__round *r)
{
	struct leap__ctrl *c = r->arg;

	if (!c->dead && c->kato_ms) {
		if (r->found)
			leap__ctrl_seen(c);
		kato_check(c);
	}
	leap__ctrl_put(c);
}

static void kato_tick(struct leap_timer *timer)
{
	struct leap__ctrl *c =
		leap__list_entry(timer, struct leap__ctrl, kato_timer);

	if (c->kato_round.pending)
		return;
	if (c->nr_ioqs && !leap__round_start(c->target, &c->kato_round,
					     LEAP_LINK_KEEPALIVE, c))
		c->refs++;
	else
		kato_check(c);
}

void leap__ctrl_seen(struct leap__ctrl *c)
{
	c->seen_ns = leap_pollgroup_now_ns(c->target->home);
}

void leap__ctrl_set_kato(struct leap__ctrl *c, uint32_t ms)
{
	/* Up to the granularity; one near 2^32 stays what it is. */
	if (ms % LEAP__KAS_MS && ms < UINT32_MAX - LEAP__KAS_MS)
		ms += LEAP__KAS_MS - ms % LEAP__KAS_MS;
	c->kato_ms = ms;
	leap__ctrl_seen(c);
	/* Not at the first tick, which falls into the midst of I/O; without
	 * memory that tick tries again. */
	if (ms && !c->kato_round.m)
		leap__round_prepare(c->target, &c->kato_round,
				    LEAP_LINK_KEEPALIVE);
	if (ms)
		kato_start(c);
	else
		leap_timer_stop(c->target->home, &c->kato_timer);
}
