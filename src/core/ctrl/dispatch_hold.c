/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that wait before they begin: for orphans of the same host that
 * overlap, and for compare-and-writes that have their blocks. They are looked
 * at again when one of those is over, first come first served. And what becomes
 * of commands that wait for anything when Abort names them or their queue goes.
 */
#include "core/ctrl/iogroup.h"

#include "util/plant.h"

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

static int must_wait(struct leap__ioqp *q, struct leap_cmd *cmd, int held)
{
	struct leap__orphan range = leap__iocmd(cmd)->range;
	struct leap__claim blocks, *writes = NULL;
	const struct leap__ions *ns;

	range.nsid = leap_from_le32(cmd->sqe.nsid);
	range.subsystem = q->ss->subsystem;
	range.hostid = q->desc.hostid;
	ns = leap__io_ns(q, range.nsid);
	/* Those that will claim their blocks stand in line for that. */
	if (ns && leap__io_writes(cmd->sqe.opc) && !leap__io_claims(ns, cmd) &&
	    !LEAP_PLANT(CLAIM_UNSEEN)) {
		leap__io_blocks(ns, leap__iocmd(cmd), &blocks);
		writes = &blocks;
	}
	if (ns)
		leap__zns_widen(ns, &range);
	return leap__orphans_overlap(q->group->orphans, q->group->index,
				     &range, writes, held);
}

void leap__io_hold(struct leap__iogroup *g, struct leap_cmd *cmd)
{
	leap__cmds_push(&g->held, cmd);
}

int leap__io_held(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	if (!must_wait(q, cmd, 0))
		return 0;
	leap__io_hold(q->group, cmd);
	return 1;
}

void leap__io_recheck(struct leap__iogroup *g)
{
	struct leap_cmd *cmd = g->held.head, *next;

	leap__cmds_init(&g->held);
	for (; cmd; cmd = next) {
		struct leap__ioqp *q = cmd->vqp->handler_priv;
		struct leap__ions *ns;

		next = cmd->link[0];
		if (must_wait(q, cmd, 1)) {
			leap__io_hold(g, cmd);
			continue;
		}
		ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
		if (ns)
			leap__io_begin(q, ns, cmd);
		else if (leap__iocmd(cmd)->kind == LEAP__IOC_FUSED)
			leap__fused_dropped(q, DNR(LEAP_SC_INVALID_NS));
		else
			leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
	}
}

uint32_t leap__io_abort(struct leap__iogroup *g, struct leap_vqp *vqp,
			int32_t cid)
{
	leap_status_t status = leap__abort_status(cid);
	struct leap_cmd *cmd;
	/* First: they must not begin when one that is held lets go. */
	uint32_t found = leap__zns_abort(g, vqp, cid) +
			 leap__fused_abort(vqp->handler_priv, cid);

	for (; (cmd = leap__cmds_take(&g->held, vqp, cid)); found++) {
		leap__orphans_unhold(g->orphans, g->index);
		if (cid >= 0 && LEAP_PLANT(LOST_ABORT))
			return 1;
		leap__zns_dropped(g, cmd);
		if (leap__iocmd(cmd)->kind == LEAP__IOC_FUSED)
			leap__fused_dropped(vqp->handler_priv, status);
		else
			leap_cmd_complete(cmd, status);
	}
	return found + leap__cmds_abort(&g->compares, vqp, cid);
}
