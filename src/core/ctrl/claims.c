/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * claims.c - blocks that a compare-and-write has for itself, over all groups
 *
 * The claim is put into the table that commands look at when they start
 * (orphans.h), so that later writes wait. Those that have started are in
 * leaves, which only their group can see: each group is asked, and answers when
 * the last of them that overlaps is back. A command that a group started before
 * it was asked is found by its look; one that it starts afterwards finds the
 * claim, as the question is a message that comes after it. Reads are let be: a
 * block is read as it was or as it will be.
 *
 * One claim at a time for each group. Knows nothing of what is done with it.
 */
#include "core/ctrl/iogroup.h"
#include "util/plant.h"

void leap__io_blocks(const struct leap__ions *ns, const struct leap__iocmd *io,
		     struct leap__claim *blocks)
{
	blocks->medium = ns->bdev;
	blocks->block = io->range.slba << ns->stack_shift;
	blocks->nr_blocks = (uint64_t)io->range.nr_lbas << ns->stack_shift;
	if (!io->range.nr_lbas) {
		blocks->block = 0;
		blocks->nr_blocks = UINT64_MAX;
	}
}

/* ---- answers ---- */

static void granted(struct leap__iogroup *g)
{
	struct leap__ioqp *q = g->claimer;

	g->claim_granted = 1;
	leap__io_next(q, g->claim_ns, q->fused.second, 0);
}

static void answered(struct leap__iogroup *g)
{
	if (!--g->asks_left)
		granted(g);
}

static void answer_arrived(struct leap_msg *msg)
{
	answered(((struct leap__ask *)msg)->from);
}

/* Has this group anything in a leaf that the claim has to wait for? */
static int in_leaf(struct leap__iogroup *g, const struct leap__claim *claim)
{
	struct leap__claim blocks;
	uint32_t i;
	int found = 0;

	for (i = 0; i < g->nr_cmds; i++) {
		struct leap_cmd *cmd = g->inflight[i];

		if (!cmd || !leap__io_writes(cmd->sqe.opc))
			continue;
		leap__io_blocks(cmd->owner, leap__iocmd(cmd), &blocks);
		if (!leap__claims_overlap(&blocks, claim))
			continue;
		leap__iocmd(cmd)->orphan |= LEAP__IOC_AWAITED;
		found = 1;
	}
	return found;
}

void leap__claims_look(struct leap__iogroup *g)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &g->asked) {
		struct leap__ask *ask =
			leap__list_entry(pos, struct leap__ask, link);

		if (in_leaf(g, &ask->from->claim))
			continue;
		leap__list_remove(&ask->link);
		ask->msg.run = answer_arrived;
		leap_pollgroup_send(ask->from->pg, &ask->msg);
	}
}

static void ask_arrived(struct leap_msg *msg)
{
	struct leap__ask *ask = (struct leap__ask *)msg;

	leap__list_push_back(&ask->to->asked, &ask->link);
	leap__claims_look(ask->to);
}

/* ---- questions ---- */

/* True: nothing was to be waited for. */
static bool ask_all(struct leap__iogroup *g, uint32_t nr)
{
	struct leap__iogroup *to;
	uint32_t i;

	if (LEAP_PLANT(CLAIM_UNASKED))
		nr = 0;
	/* This one has its look here, and the others theirs meanwhile. */
	g->asks_left = 1;
	for (i = 0; i < nr; i++) {
		struct leap__ask *ask = &g->asks[i];

		to = g->orphans->group[i];
		if (!to || (to == g && !in_leaf(g, &g->claim)))
			continue;
		ask->from = g;
		ask->to = to;
		leap__list_init(&ask->link);
		g->asks_left++;
		if (to == g) {
			leap__list_push_back(&g->asked, &ask->link);
			continue;
		}
		ask->msg.run = ask_arrived;
		leap_pollgroup_send(to->pg, &ask->msg);
	}
	return !--g->asks_left;
}

bool leap__claim_begin(struct leap__ioqp *q, struct leap__ions *ns)
{
	struct leap__iogroup *g = q->group;
	struct leap_cmd *cmd = q->fused.second;
	struct leap__orphan range;
	uint32_t nr;

	if (g->claimer == q && g->claim_granted)
		return true;
	if (g->claimer && g->claimer != q) {
		leap__list_push_back(&g->claim_wait, &q->fused.link);
		return false;
	}
	g->claimer = q;
	range = leap__iocmd(cmd)->range;
	range.nsid = ns->nsid;
	range.subsystem = q->ss->subsystem;
	range.hostid = q->desc.hostid;
	leap__io_blocks(ns, leap__iocmd(cmd), &g->claim);
	if (leap__claim_add(g->orphans, g->index, &range, &g->claim, &nr)) {
		leap__io_hold(g, cmd);
		return false;
	}
	ns->busy++;
	g->claim_ns = ns;
	g->claim_granted = ask_all(g, nr);
	return g->claim_granted;
}

bool leap__claim_waits(const struct leap__ioqp *q)
{
	return !leap__list_empty(&q->fused.link);
}

/* ---- the end ---- */

/* Whoever is next. One that ends before this returns leaves it to the loop. */
static void next_claimer(struct leap__iogroup *g)
{
	struct leap__list *at;

	if (g->claim_passing)
		return;
	g->claim_passing = 1;
	while (!g->claimer && (at = leap__list_pop(&g->claim_wait))) {
		struct leap__ioqp *q =
			leap__list_entry(at, struct leap__ioqp, fused.link);
		struct leap__ions *ns = leap__io_ns(q,
			leap_from_le32(q->fused.second->sqe.nsid));

		if (ns)
			leap__io_next(q, ns, q->fused.second, 0);
		else
			leap__fused_dropped(q, LEAP_SC_INVALID_NS |
					    LEAP_STATUS_DNR);
	}
	g->claim_passing = 0;
}

void leap__claim_end(struct leap__ioqp *q)
{
	struct leap__iogroup *g = q->group;
	struct leap__ions *ns = g->claim_ns;

	leap__list_remove(&q->fused.link);
	if (g->claimer != q)
		return;
	g->claimer = NULL;
	g->claim_granted = 0;
	g->claim_ns = NULL;
	if (ns) {
		leap__claim_del(g->orphans, &g->claim);
		ns->busy--;
		leap__ions_put(ns);
	}
	next_claimer(g);
}
