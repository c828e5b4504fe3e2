/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The I/O half of all controllers on one poll group: takes link messages,
 * owns I/O queue pairs and the namespaces' channels, and sees both through
 * their ends. What a command means is dispatch_io.c's; features, identify and
 * properties are the admin half's and never looked at here.
 *
 * An I/O queue pair ends in two steps. Ended: it executes nothing any more,
 * and its writes that are still in a leaf become orphans. Gone: the last of
 * them has come back, and the admin half is told.
 */
#include "core/ctrl/iogroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/ocssd.h>

#include "block/bdev.h"
#include "core/io/dispatch.h"
#include "util/plant.h"

/* ---- messages ---- */

static void group_message(struct leap_msg *msg);

void leap__link_ask(struct leap__iogroup *g, struct leap__lmsg *m)
{
	m->group = g;
	m->link.flags &= (uint16_t)~LEAP_LINK_REPLY;
	if (g->remote) {
		g->remote->ask(g, m);
		return;
	}
	m->msg.run = group_message;
	leap_pollgroup_send(g->pg, &m->msg);
}

static void home_message(struct leap_msg *msg)
{
	struct leap__lmsg *m = (struct leap__lmsg *)msg;

	m->arrived(m);
}

void leap__link_tell(struct leap__iogroup *g, struct leap__lmsg *m)
{
	m->group = g;
	m->msg.run = home_message;
	leap_pollgroup_send(g->home, &m->msg);
}

void leap__link_answer(struct leap__lmsg *m, int err)
{
	m->link.flags |= LEAP_LINK_REPLY;
	m->link.err = err;
	leap__link_tell(m->group, m);
}

/* ---- the end of a queue pair ---- */

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

/* ---- queue pairs ---- */

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

void leap__iogroup_add_qp(struct leap__iogroup *g, struct leap__ioqp *q)
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

static void qp_del(struct leap__iogroup *g, struct leap__lmsg *m)
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
	(void)g;
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
			sum->host_reads += q->count.host_reads;
			sum->host_writes += q->count.host_writes;
			sum->blocks_512_read += q->count.blocks_512_read;
			sum->blocks_512_written += q->count.blocks_512_written;
			sum->media_errors += q->count.media_errors;
			sum->busy_ns += q->count.busy_ns;
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

/* ---- namespaces ---- */

void leap__ions_put(struct leap__iogroup *g, struct leap__ions *ns)
{
	struct leap__lmsg *m = ns->closing;
	int err;

	(void)g;
	if (ns->busy || !m)
		return;
	ns->closing = NULL;
	err = leap_chan_close(ns->chan);
	ns->chan = NULL;
	leap__link_answer(m, err);
}

static void ns_add(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__ions *ns = m->subject;
	int err;

	if ((ns->caps & LEAP_BDEV_VECTOR) && leap__ocssd_prepare(g)) {
		leap__link_answer(m, -ENOMEM);
		return;
	}
	/* One bio a command, and one for each controller that shuts down. */
	err = leap_chan_open(ns->bdev, g->pg, g->nr_cmds + 8, &ns->chan);
	if (!err)
		ns->ss->ns[ns->nsid] = ns;
	leap__link_answer(m, err);
}

static void ns_del(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__ions *ns = m->subject;

	leap__zns_closing(g, ns);
	ns->ss->ns[ns->nsid] = NULL;
	ns->closing = m;
	leap__ions_put(g, ns);
}

static void ns_changed(struct leap__lmsg *m)
{
	struct leap__ions *ns = m->subject;

	ns->nr_lbas = m->link.u.ns.nr_blocks;
	leap__link_answer(m, 0);
}

/* FLUSH: all namespaces of a subsystem, one after the other. */
static void flush_next(struct leap__iogroup *g, struct leap__lmsg *m);

static void flush_done(struct leap_bio *bio, leap_status_t status)
{
	struct leap__lmsg *m = bio->arg;
	struct leap__ions *ns = m->at;
	struct leap__iogroup *g = m->group;

	leap_bio_put(ns->chan, bio);
	if (status)
		m->link.u.feature.value = status;
	flush_next(g, m);
	ns->busy--;
	leap__ions_put(g, ns);
}

static void flush_next(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__ioss *ss = m->subject;
	struct leap_bio *bio;
	uint32_t nsid;

	while ((nsid = ++m->link.u.feature.nsid) <= ss->max_nsid) {
		struct leap__ions *ns = ss->ns[nsid];

		if (!ns || !(ns->caps & LEAP_BDEV_FLUSH))
			continue;
		bio = leap_bio_get(ns->chan);
		if (!bio) {
			m->link.u.feature.value = LEAP_SC_NS_NOT_READY;
			continue;
		}
		bio->op = LEAP_BIO_FLUSH;
		bio->flags = 0;
		bio->nr_pieces = 0;
		bio->nr_blocks = 0;
		bio->block = 0;
		bio->pieces = NULL;
		bio->done = flush_done;
		bio->arg = m;
		m->at = ns;
		ns->busy++;
		leap_bio_submit(ns->chan, bio);
		return;
	}
	leap__link_answer(m, m->link.u.feature.value ? -EIO : 0);
}

/* ---- the group ---- */

static void error_is_back(struct leap__iogroup *g, struct leap__lmsg *m)
{
	m->next = g->free_errors;
	g->free_errors = m;
}

static void quiesce(struct leap__iogroup *g, struct leap__lmsg *m)
{
	static const uint8_t nobody[16];

	if (memcmp(m->link.u.qp.hostid, nobody, 16)) {
		quiesce_host(g, m);
		return;
	}
	/* The last message: queue pairs and namespaces have gone before. */
	leap__pollgroup_release(g->pg);
	leap__link_answer(m, 0);
}

static void group_message(struct leap_msg *msg)
{
	struct leap__lmsg *m = (struct leap__lmsg *)msg;
	struct leap__iogroup *g = m->group;

	if (leap__ioguest_message(g, m))
		return;
	switch (m->link.type) {
	case LEAP_LINK_HELLO:
		leap__pollgroup_hold(g->pg);
		leap__link_answer(m, 0);
		break;
	case LEAP_LINK_QP_DEL:
		qp_del(g, m);
		break;
	case LEAP_LINK_NS_ADD:
		ns_add(g, m);
		break;
	case LEAP_LINK_NS_DEL:
		ns_del(g, m);
		break;
	case LEAP_LINK_NS_CHANGED:
		ns_changed(m);
		break;
	case LEAP_LINK_QUIESCE:
		quiesce(g, m);
		break;
	case LEAP_LINK_ABORT:
		abort_one(g, m);
		break;
	case LEAP_LINK_ERROR:
		error_is_back(g, m);
		break;
	case LEAP_LINK_STATS:
	case LEAP_LINK_KEEPALIVE:
	case LEAP_LINK_FEATURE:
		each_qp(g, m);
		break;
	case LEAP_LINK_FLUSH:
		m->link.u.feature.nsid = 0;
		m->link.u.feature.value = 0;
		flush_next(g, m);
		break;
	default:
		leap__link_answer(m, -EOPNOTSUPP);
	}
}

static void recheck(struct leap_msg *msg)
{
	struct leap__iogroup *g = (struct leap__iogroup *)(void *)
		((char *)msg - offsetof(struct leap__iogroup, recheck));

	/* Before the look, so that an orphan that leaves after it sends
	 * again: pairs with the exchange in leap__orphans_wake. */
	leap__exchange(&g->recheck_sent, 0u);
	leap__io_recheck(g);
}

void leap__orphans_wake(void *group)
{
	struct leap__iogroup *g = group;

	if (!leap__exchange(&g->recheck_sent, 1u))
		leap_pollgroup_send(g->pg, &g->recheck);
}

int leap__iogroup_create(struct leap_pollgroup *pg, struct leap_pollgroup *home,
			 struct leap__orphans *orphans, uint32_t index,
			 struct leap__iogroup **out)
{
	struct leap__iogroup *g = calloc(1, sizeof(*g));
	uint32_t i;

	if (!g)
		return -ENOMEM;
	g->pg = pg;
	g->home = home;
	g->orphans = orphans;
	g->index = index;
	g->nr_cmds = leap__dispatch(pg)->nr_slots;
	leap__cmds_init(&g->held);
	leap__cmds_init(&g->compares);
	leap__cmds_init(&g->zone_wait);
	g->recheck.run = recheck;
	leap__list_init(&g->qps);
	leap__list_init(&g->cqs);
	leap__list_init(&g->memos);
	leap__list_init(&g->claim_wait);
	leap__list_init(&g->asked);
	g->inflight = calloc(g->nr_cmds, sizeof(*g->inflight));
	g->scratch = aligned_alloc(4096, LEAP__IOC_SCRATCH_BYTES +
				   LEAP__CLAIM_BYTES);
	if (!g->inflight || !g->scratch) {
		leap__iogroup_destroy(g);
		return -ENOMEM;
	}
	for (i = 0; i < LEAP__IOC_NR_ERRORS; i++) {
		g->errors[i].link.type = LEAP_LINK_ERROR;
		error_is_back(g, &g->errors[i]);
	}
	g->claim_block = g->scratch + LEAP__IOC_SCRATCH_BYTES;
	leap__orphans_join(orphans, index, g);
	*out = g;
	return 0;
}

void leap__iogroup_destroy(struct leap__iogroup *g)
{
	if (!g)
		return;
	leap__ioguest_fini(g);
	free(g->inflight);
	free(g->scratch);
	free(g->vectors);
	free(g);
}
