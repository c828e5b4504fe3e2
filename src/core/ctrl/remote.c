/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The I/O half of an agent's controllers: a group whose other end is a runtime,
 * or for the time being nobody. Owns the questions of the admin half until
 * they are answered. Which controllers there are is agent_lents.c's.
 *
 * A question goes to the runtime if that knows the controller. Without one it
 * is answered here: what is added is only remembered by who asks, and told to
 * the next runtime (leap__vdev_replay); what is taken away is gone, because the
 * last runtime was fenced. While it is being fenced, such questions wait.
 *
 * Replies are the runtime's, so not trusted: one that fits no question ends the
 * link, and none carries an address.
 */
#include "core/ctrl/agent_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/wake.h"

/* ---- queue pairs ---- */

/*
 * As a local group does when the last command has left; once. A successor may
 * have been told of the queue and not have answered, and what it says then is
 * about nothing: the queue is the admin half's to free.
 */
static void qp_gone(struct leap_agent *a, struct leap__ioqp *q)
{
	struct leap__lmsg *m;

	if (q->state == LEAP__IOQP_ENDED)
		return;
	q->state = LEAP__IOQP_ENDED;
	for (m = a->pending.head; m; m = m->next)
		if (m->link.type == LEAP_LINK_QP_ADD && m->subject == q)
			m->subject = NULL;
	leap__list_remove(&q->link);
	leap__list_init(&q->link);
	leap__ioqp_tell_gone(q);
}

/* ---- counters ---- */

static struct leap__tally *tally_of(struct leap_agent *a, const void *ss)
{
	struct leap__list *pos;
	struct leap__tally *t;

	leap__list_for_each(pos, &a->tallies) {
		t = leap__list_entry(pos, struct leap__tally, link);
		if (t->ss == ss)
			return t;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->ss = ss;
	leap__list_push_back(&a->tallies, &t->link);
	return t;
}

static void stats_known(struct leap_agent *a, struct leap__lmsg *m)
{
	struct leap__tally *t = tally_of(a, m->ctrl);

	memset(&m->link.u.stats, 0, sizeof(m->link.u.stats));
	if (!t)
		return;
	leap__counters_add(&m->link.u.stats, &t->base);
	leap__counters_add(&m->link.u.stats, &t->last);
}

/* ---- answers without a runtime ---- */

static void write_cache(struct leap_agent *a, const struct leap__lmsg *m)
{
	struct leap__list *pos;

	if (m->link.u.feature.fid != LEAP_FID_WRITE_CACHE)
		return;
	leap__list_for_each(pos, &a->group.qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);

		if (q->ctrl == m->ctrl)
			q->write_through = !m->link.u.feature.value;
	}
}

/* Flushes of a controller that goes find nobody any more. */
static void drop_flushes(struct leap_agent *a, const void *ctrl)
{
	struct leap__asks keep;
	struct leap__lmsg *m;

	leap__asks_init(&keep);
	while ((m = leap__asks_pop(&a->flushes))) {
		if (m->ctrl == ctrl)
			leap__link_answer(m, -ENOTCONN);
		else
			leap__asks_push(&keep, m);
	}
	while ((m = leap__asks_pop(&keep)))
		leap__asks_push(&a->flushes, m);
}

static void ctrl_gone(struct leap_agent *a, struct leap__lmsg *m)
{
	struct leap__lent *l = leap__agent_lent(a, m->ctrl);

	drop_flushes(a, m->ctrl);
	if (l)
		leap__agent_forget(l);
}

static void end_qp(struct leap_agent *a, struct leap__lmsg *m, int err)
{
	struct leap__ioqp *q = m->subject;

	leap__link_answer(m, err);
	if (!err)
		qp_gone(a, q);
}

/* Nobody serves the controller: the truth as it is then. */
static void answer_here(struct leap_agent *a, struct leap__lmsg *m)
{
	switch (m->link.type) {
	case LEAP_LINK_QP_DEL:
		end_qp(a, m, 0);
		return;
	case LEAP_LINK_CTRL_DEL:
		ctrl_gone(a, m);
		break;
	case LEAP_LINK_STATS:
		stats_known(a, m);
		break;
	case LEAP_LINK_ABORT:
		m->link.u.abort.found = 0;
		break;
	case LEAP_LINK_KEEPALIVE:
		/* A guest cannot lose its connection. */
		m->link.u.abort.found = 1;
		break;
	case LEAP_LINK_FLUSH:
		leap__asks_push(&a->flushes, m);
		return;
	}
	leap__link_answer(m, 0);
}

/* ---- to the runtime ---- */

uint32_t leap__agent_next_id(struct leap_agent *a)
{
	if (!++a->last_id)
		a->last_id = 1;
	return a->last_id;
}

/* What goes over the link: nothing of our own numbers and pointers. */
static void on_the_wire(const struct leap__lmsg *m, const struct leap__lent *l,
			struct leap_link_msg *out)
{
	const struct leap_subsystem *ss = m->ctrl;
	const struct leap__ioqp *q = m->subject;

	*out = m->link;
	out->flags = 0;
	out->err = 0;
	out->reserved = 0;
	out->cntlid = l ? l->id : 0;
	switch (out->type) {
	case LEAP_LINK_CTRL_ADD:
		out->u.ctrl.max_data_bytes =
			leap__agent_of(m->group)->target->opts.mdts_bytes;
		break;
	case LEAP_LINK_QP_ADD:
		out->u.qp.cntlid = out->cntlid;
		if (q->write_through)
			out->u.qp.flags |= LEAP_QPD_WRITE_THROUGH;
		break;
	case LEAP_LINK_QP_DEL:
		memset(&out->u.qp, 0, sizeof(out->u.qp));
		out->u.qp.qid = q->desc.qid;
		out->u.qp.cntlid = out->cntlid;
		if (m->link.u.feature.value & LEAP__QPDEL_DRAIN)
			out->u.qp.flags = LEAP_QPD_DRAIN;
		break;
	case LEAP_LINK_CQ_ADD:
	case LEAP_LINK_CQ_DEL:
		out->u.cq.cntlid = out->cntlid;
		break;
	case LEAP_LINK_STATS:
		memset(&out->u.stats_of, 0, sizeof(out->u.stats_of));
		memcpy(out->u.stats_of.nqn, ss->nqn, sizeof(ss->nqn));
		break;
	}
}

static void send_out(struct leap_agent *a, struct leap__lmsg *m,
		     const struct leap__lent *l)
{
	struct leap_link_msg out;
	int fd = -1;

	if (m->link.type == LEAP_LINK_CTRL_ADD ||
	    m->link.type == LEAP_LINK_MEM_ADD ||
	    m->link.type == LEAP_LINK_IRQ)
		fd = m->fd;
	m->link.id = leap__agent_next_id(a);
	on_the_wire(m, l, &out);
	leap__asks_push(&a->pending, m);
	leap__lchan_send(&a->active->chan, &out, fd);
	leap__agent_hurry(a);
}

void leap__agent_send_kept(struct leap_agent *a)
{
	struct leap__asks kept = a->flushes;
	struct leap__lmsg *m;

	if (!kept.head)
		return;
	leap__asks_init(&a->flushes);
	while ((m = leap__asks_pop(&kept)))
		leap__link_ask(&a->group, m);
}

/* ---- from the admin half ---- */

static int takes_away(uint16_t type)
{
	return type == LEAP_LINK_QP_DEL || type == LEAP_LINK_CQ_DEL ||
	       type == LEAP_LINK_MEM_DEL || type == LEAP_LINK_CTRL_DEL;
}

/* Also of those that a handoff leaves to the successor. */
static int goes_out(const struct leap_agent *a, const struct leap__lent *l,
		    uint16_t type)
{
	if (!a->serving || a->active->chan.chan.dead)
		return 0;
	if (type == LEAP_LINK_STATS)
		return 1;
	if (!l || !l->told)
		return 0;
	return a->state != LEAP_AGENT_HANDOFF || takes_away(type) ||
	       type == LEAP_LINK_ABORT;
}

static void note(struct leap_agent *a, struct leap__lmsg *m)
{
	struct leap__ioqp *q = m->subject;

	switch (m->link.type) {
	case LEAP_LINK_QP_ADD:
		q->state = LEAP__IOQP_LIVE;
		leap__list_remove(&q->link);
		leap__list_push_back(&a->group.qps, &q->link);
		break;
	case LEAP_LINK_FEATURE:
		write_cache(a, m);
		break;
	}
}

/* The last message of a target is the local group's as well. */
static void quiesce(struct leap_agent *a, struct leap__lmsg *m)
{
	static const uint8_t nobody[16];

	if (memcmp(m->link.u.qp.hostid, nobody, 16)) {
		leap__link_answer(m, 0);
		return;
	}
	leap__agent_orphaned(a);
	leap__link_ask(a->local, m);
}

static void remote_ask(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap_agent *a = leap__agent_of(g);
	struct leap__lent *l = leap__agent_lent(a, m->ctrl);
	uint16_t type = m->link.type;

	switch (type) {
	case LEAP_LINK_QUIESCE:
		quiesce(a, m);
		return;
	case LEAP_LINK_HELLO:
	case LEAP_LINK_NS_ADD:	/* ours: known here, served there */
	case LEAP_LINK_NS_DEL:
	case LEAP_LINK_NS_CHANGED:
	case LEAP_LINK_ERROR:	/* never: those are not ours */
		leap__link_answer(m, 0);
		return;
	case LEAP_LINK_KEEPALIVE:
		answer_here(a, m);
		return;
	case LEAP_LINK_CTRL_ADD:
		if (!l)
			l = leap__agent_lend(a, m);
		if (!l) {
			leap__link_answer(m, -ENOMEM);
			return;
		}
		l->told = a->serving && a->state != LEAP_AGENT_HANDOFF;
		break;
	}
	note(a, m);
	if (goes_out(a, l, type))
		send_out(a, m, l);
	else if (takes_away(type) && l && l->told && a->active)
		leap__asks_push(&a->fenced, m);
	else
		answer_here(a, m);
}

/* ---- replies ---- */

static struct leap__lmsg *take_pending(struct leap_agent *a,
				       const struct leap_link_msg *msg)
{
	struct leap__lmsg **at = &a->pending.head, *m;

	for (; (m = *at); at = &m->next) {
		if (m->link.id != msg->id)
			continue;
		if (m->link.type != msg->type)
			return NULL;
		*at = m->next;
		if (!*at)
			a->pending.tail = at;
		return m;
	}
	return NULL;
}

/* An eventfd that wakes group @i of the runtime; its queues share it. */
static int add_kick(struct leap_agent *a, uint32_t i, int *fd)
{
	if (i >= LEAP__MAX_GROUPS || !leap__is_eventfd(*fd) ||
	    fcntl(*fd, F_SETFL, O_NONBLOCK))
		return -EPROTO;
	while (a->nr_kicks <= i)
		a->kick_fd[a->nr_kicks++] = -1;
	if (a->kick_fd[i] >= 0)
		return 0;
	a->kick_fd[i] = *fd;
	*fd = -1;
	/* It may serve, and sleep, since before we had this: what was rung
	 * meanwhile had nobody to be told to. */
	leap__wake_signal(a->kick_fd[i]);
	return 0;
}

static void take_stats(struct leap_agent *a, struct leap__lmsg *m,
		       const struct leap_link_msg *msg)
{
	struct leap__tally *t = tally_of(a, m->ctrl);

	if (t && !msg->err)
		t->last = msg->u.stats_of.count;
	stats_known(a, m);
	leap__link_answer(m, 0);
}

int leap__agent_reply(struct leap_agent *a, const struct leap_link_msg *msg,
		      int *fd)
{
	struct leap__lmsg *m = take_pending(a, msg);
	int err = msg->err;

	if (!m)
		return -EPROTO;
	switch (msg->type) {
	case LEAP_LINK_QP_ADD:
		if (*fd >= 0 && !err &&
		    add_kick(a, msg->u.qp.reserved, fd)) {
			leap__asks_push(&a->pending, m);
			return -EPROTO;
		}
		leap__link_answer(m, err);
		if (m->subject && err && err != -ECONNRESET)
			qp_gone(a, m->subject);
		return 0;
	case LEAP_LINK_QP_DEL:
		/* Unknown there is gone as well. */
		end_qp(a, m, 0);
		return 0;
	case LEAP_LINK_CQ_DEL:
		m->link.u.cq.seq = msg->u.cq.seq;
		err = 0;
		break;
	case LEAP_LINK_CTRL_DEL:
		ctrl_gone(a, m);
		err = 0;
		break;
	case LEAP_LINK_STATS:
		take_stats(a, m, msg);
		return 0;
	case LEAP_LINK_ABORT:
		m->link.u.abort.found = msg->u.abort.found && !err;
		err = 0;
		break;
	}
	leap__link_answer(m, err);
	return 0;
}

/* ---- a runtime less ---- */

static int lost_answer(uint16_t type)
{
	switch (type) {
	case LEAP_LINK_CTRL_ADD:
	case LEAP_LINK_MEM_ADD:
	case LEAP_LINK_CQ_ADD:
	case LEAP_LINK_QP_ADD:
	case LEAP_LINK_RESUME:
		return -ECONNRESET;	/* the replay tells the next one */
	}
	return 0;
}

void leap__agent_answer_lost(struct leap_agent *a)
{
	struct leap__asks out = a->pending;
	struct leap__lmsg *m;

	if (!out.head)
		return;
	leap__asks_init(&a->pending);
	while ((m = leap__asks_pop(&out))) {
		if (takes_away(m->link.type))
			leap__asks_push(&a->fenced, m);
		else if (lost_answer(m->link.type))
			leap__link_answer(m, lost_answer(m->link.type));
		else
			answer_here(a, m);
	}
}

void leap__agent_answer_fenced(struct leap_agent *a)
{
	struct leap__asks out = a->fenced;
	struct leap__list *pos;
	struct leap__lmsg *m;

	leap__list_for_each(pos, &a->lents)
		leap__list_entry(pos, struct leap__lent, link)->told = 0;
	leap__list_for_each(pos, &a->tallies) {
		struct leap__tally *t =
			leap__list_entry(pos, struct leap__tally, link);

		leap__counters_add(&t->base, &t->last);
		memset(&t->last, 0, sizeof(t->last));
	}
	while (a->nr_kicks)
		if (a->kick_fd[--a->nr_kicks] >= 0)
			close(a->kick_fd[a->nr_kicks]);
	if (!out.head)
		return;
	leap__asks_init(&a->fenced);
	while ((m = leap__asks_pop(&out)))
		answer_here(a, m);
}

void leap__agent_cfs(struct leap_agent *a, int all)
{
	struct leap_vdev *v = NULL;
	struct leap__lmsg *m;

	while (a->target && (v = leap__vdev_next(a->target, v))) {
		const void *ctrl = leap__vdev_ctrl(v);
		int waits = all;

		for (m = a->fenced.head; m && !waits; m = m->next)
			waits = m->ctrl == ctrl;
		if (ctrl && waits)
			leap__vdev_fatal(v, 0, -ETIMEDOUT);
	}
}

/* ---- doorbells ---- */

/* Who serves the queue is one of few groups, and the others find nothing. */
static void remote_kick(struct leap__iogroup *g, struct leap_doorbell *db)
{
	struct leap_agent *a = leap__agent_of(g);
	uint32_t i;

	if (!a->nr_kicks || !leap__wake_wanted(&db->wake))
		return;
	for (i = 0; i < a->nr_kicks; i++)
		if (a->kick_fd[i] >= 0)
			leap__wake_signal(a->kick_fd[i]);
}

const struct leap__remote_ops leap__agent_remote = {
	.ask = remote_ask,
	.kick = remote_kick,
};
