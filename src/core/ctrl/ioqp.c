/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O queue pairs on the group that serves them: they arrive with their
 * connection, are asked about, and end, and their handlers are here. Those in
 * the memory of a guest arrive in ioguest.c and end here too. What a command
 * means is dispatch_io.c's.
 *
 * A queue pair ends in two steps. Ended: it executes nothing any more, and its
 * writes that are still in a leaf become orphans. Gone: the last of them has
 * come back, and the admin half is told.
 */
#include "core/ctrl/iogroup.h"

#include <errno.h>
#include <string.h>

#include <leapio/ocssd.h>

#include "block/bdev.h"
#include "util/plant.h"

/* ---- the end ---- */

int leap__io_writes(uint8_t opc)
{
	return opc == LEAP_NVM_WRITE || opc == LEAP_NVM_WRITE_ZEROES ||
	       opc == LEAP_NVM_DSM || opc == LEAP_NVM_COPY ||
	       opc == LEAP_NVM_ZONE_APPEND || opc == LEAP_NVM_ZONE_MGMT_SEND ||
	       (opc >= LEAP_OCSSD_RESET && opc <= LEAP_OCSSD_COPY &&
		opc != LEAP_OCSSD_READ);
}

static void make_orphan(struct leap__iogroup *g, struct leap__ioqp *q,
			struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);
	const struct leap__ions *ns = cmd->owner;

	io->orphan |= LEAP__IOC_ORPHAN;
	io->range.nsid = ns->nsid;
	io->range.subsystem = q->ss->subsystem;
	io->range.hostid = q->desc.hostid;
	leap__zns_widen(ns, &io->range);
	leap__orphans_add(g->orphans, &io->range);
}

/* Not answered, because the host will send them again elsewhere. */
static void drop_parked(struct leap__ioqp *q)
{
	struct leap_cmd *cmd = q->parked, *next;

	q->parked = NULL;
	for (; cmd; cmd = next) {
		next = cmd->link[0];
		leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
	}
}

/* Commands in leaves: all of them, or those with memory of the range that has
 * @slot in hand. */
static void let_go(struct leap__ioqp *q, int slot,
		   const struct leap_dmabuf *buf)
{
	struct leap__iogroup *g = q->group;
	const struct leap__ions *told = NULL, *ns;
	uint32_t i, k;

	for (i = 0; i < g->nr_cmds; i++) {
		const struct leap_cmd *cmd = g->inflight[i];

		if (!cmd || cmd->vqp != q->vqp)
			continue;
		for (k = 0; k < cmd->pins.nr; k++)
			if (cmd->pins.range[k] == slot)
				break;
		ns = cmd->owner;
		if ((slot >= 0 && k == cmd->pins.nr) || ns == told)
			continue;
		told = ns;
		leap__chan_let_go(ns->chan, buf);
	}
}

void leap__ioqp_leave(void *arg, uint16_t slot, const struct leap_dmabuf *buf)
{
	let_go(arg, slot, buf);
}

void leap__ioqp_end(struct leap__ioqp *q)
{
	struct leap__iogroup *g = q->group;
	uint32_t i, left = q->nr_in;

	if (q->state == LEAP__IOQP_ENDED)
		return;
	q->state = LEAP__IOQP_ENDED;
	q->vqp->handler = &leap__io_ended_handler;
	for (i = 0; left && i < g->nr_cmds; i++) {
		struct leap_cmd *cmd = g->inflight[i];

		if (!cmd || cmd->vqp != q->vqp)
			continue;
		left--;
		if (leap__io_writes(cmd->sqe.opc))
			make_orphan(g, q, cmd);
	}
	leap__io_abort(g, q->vqp, -1);
	/* A guest that resets waits for its memory, for two seconds. */
	if (q->guest && q->nr_in)
		let_go(q, -1, NULL);
}

static void ended_execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	(void)vqp;
	leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
}

/* Kept until the connection ends: an error would reach the application. */
static void drain_execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	struct leap__ioqp *q = vqp->handler_priv;

	cmd->link[0] = q->parked;
	q->parked = cmd;
}

static void io_lost(struct leap_vqp *vqp, int err)
{
	struct leap__ioqp *q = vqp->handler_priv;

	(void)err;
	leap__ioqp_end(q);
	drop_parked(q);
}

void leap__ioqp_tell_gone(struct leap__ioqp *q)
{
	struct leap__iogroup *g = q->group;

	q->stats.ctrl = q->ctrl;
	q->stats.link.u.stats = q->count;
	leap__link_tell(g, &q->stats);
	q->gone.ctrl = q->ctrl;
	q->gone.link.flags = LEAP_LINK_REPLY;
	leap__link_tell(g, &q->gone);
}

static void io_gone(struct leap_vqp *vqp)
{
	struct leap__ioqp *q = vqp->handler_priv;
	struct leap__iocq *cq = q->iocq;

	q->vqp = NULL;
	leap__list_remove(&q->link);
	leap__ioqp_tell_gone(q);
	/* @q is the admin half's again. */
	if (cq)
		leap__ioguest_gone(cq);
}

const struct leap_vqp_handler leap__io_handler = {
	.size = sizeof(leap__io_handler),
	.execute = leap__io_execute,
	.lost = io_lost,
	.gone = io_gone,
};

const struct leap_vqp_handler leap__io_fused_handler = {
	.size = sizeof(leap__io_fused_handler),
	.execute = leap__fused_next,
	.lost = io_lost,
	.gone = io_gone,
};

const struct leap_vqp_handler leap__io_drain_handler = {
	.size = sizeof(leap__io_drain_handler),
	.execute = drain_execute,
	.lost = io_lost,
	.gone = io_gone,
};

const struct leap_vqp_handler leap__io_ended_handler = {
	.size = sizeof(leap__io_ended_handler),
	.execute = ended_execute,
	.lost = io_lost,
	.gone = io_gone,
};

/* ---- messages ---- */

/* The first thing that happens here to a queue pair: QP_ADD. */
static void qp_arrived(struct leap__vqp_move *move, int err)
{
	struct leap__ioqp *q = move->arg;
	struct leap_cmd *cmd = q->connect;

	leap__list_push_back(&q->group->qps, &q->link);
	q->connect = NULL;
	leap__link_answer(&q->add, err);
	/* A transport that could not attach has told lost already. */
	leap_cmd_complete(cmd, err ? LEAP_SC_ABORT_SQ_DELETED : 0);
}

void leap__ioqp_add(struct leap__iogroup *g, struct leap__ioqp *q)
{
	q->group = g;
	q->add.group = g;
	q->add.link.u.qp = q->desc;
	leap__list_init(&q->link);
	leap__fused_init(q);
	q->vqp->handler = &leap__io_handler;
	q->vqp->handler_priv = q;
	q->move.vqp = q->vqp;
	q->move.to = g->pg;
	q->move.moved = qp_arrived;
	q->move.arg = q;
	leap__vqp_move(&q->move);
}

static void qp_del(struct leap__lmsg *m)
{
	struct leap__ioqp *q = m->subject;

	if (q->vqp && q->state != LEAP__IOQP_ENDED) {
		if (!(m->link.u.feature.value & LEAP__QPDEL_DRAIN)) {
			/* In this order: then nothing more is answered. */
			leap_vqp_close(q->vqp);
			leap__ioqp_end(q);
		} else if (q->guest) {
			leap__fused_drain(q);
			leap__guest_vqp_drain(q->vqp);
		} else if (!q->nr_in) {
			leap_vqp_close(q->vqp);
		} else {
			q->state = LEAP__IOQP_DRAINING;
			leap__fused_drain(q);
			q->vqp->handler = &leap__io_drain_handler;
		}
	}
	leap__link_answer(m, 0);
}

/*
 * A host has connected anew: what it sent over connections that it has closed
 * since, and we have not read yet, must not be executed any more.
 */
static void quiesce_host(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &g->qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);
		const struct leap_transport_ops *ops = q->vqp->ops;

		if (memcmp(q->desc.hostid, m->link.u.qp.hostid, 16) ||
		    q->state == LEAP__IOQP_ENDED || !ops->vqp_peer_closed ||
		    !ops->vqp_peer_closed(q->vqp) ||
		    LEAP_PLANT(UNREAD_RECONNECT))
			continue;
		leap_vqp_close(q->vqp);
		leap__ioqp_end(q);
	}
	leap__link_answer(m, 0);
}

static void abort_one(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__list *pos;

	m->link.u.abort.found = 0;
	leap__list_for_each(pos, &g->qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);

		if (q->ctrl != m->ctrl || q->desc.qid != m->link.u.abort.qid)
			continue;
		m->link.u.abort.found =
			leap__io_abort(g, q->vqp, m->link.u.abort.cid);
		break;
	}
	leap__link_answer(m, 0);
}

/* KEEPALIVE and FEATURE look at all queue pairs of a controller, STATS at
 * those of a subsystem. */
static void each_qp(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap_io_counters *sum = &m->link.u.stats;
	int stats = m->link.type == LEAP_LINK_STATS;
	struct leap__list *pos;
	uint32_t found = 0;

	if (stats)
		memset(sum, 0, sizeof(*sum));
	leap__list_for_each(pos, &g->qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);

		if ((stats ? q->ss->subsystem : q->ctrl) != m->ctrl)
			continue;
		switch (m->link.type) {
		case LEAP_LINK_STATS:
			leap__counters_add(sum, &q->count);
			break;
		case LEAP_LINK_KEEPALIVE:
			found |= q->nr_seen != q->nr_seen_told;
			q->nr_seen_told = q->nr_seen;
			break;
		case LEAP_LINK_FEATURE:
			q->write_through = !m->link.u.feature.value;
			break;
		}
	}
	if (m->link.type == LEAP_LINK_KEEPALIVE)
		m->link.u.abort.found = found;
	leap__link_answer(m, 0);
}

int leap__ioqp_message(struct leap__iogroup *g, struct leap__lmsg *m)
{
	static const uint8_t nobody[16];

	switch (m->link.type) {
	case LEAP_LINK_QP_DEL:
		qp_del(m);
		return 1;
	case LEAP_LINK_QUIESCE:
		if (!memcmp(m->link.u.qp.hostid, nobody, 16))
			return 0;
		quiesce_host(g, m);
		return 1;
	case LEAP_LINK_ABORT:
		abort_one(g, m);
		return 1;
	case LEAP_LINK_STATS:
	case LEAP_LINK_KEEPALIVE:
	case LEAP_LINK_FEATURE:
		each_qp(g, m);
		return 1;
	default:
		return 0;
	}
}
