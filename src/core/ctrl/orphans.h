/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * orphans.h - commands in a leaf whose connection is gone
 *
 * A host that lost a connection sends its unanswered commands again over
 * another one. The old ones may still be in a leaf: one of a target's groups
 * has them, and any of its groups may get the new ones. New commands of that
 * host that overlap wait until the old ones have left.
 *
 * The same table has claims: blocks that a compare-and-write of one group has
 * for itself (dispatch_fused.c). Commands that write there wait, of whatever
 * host, and so does another claim.
 *
 * The one thing that groups share. While there are neither its cost is one
 * load of a line that nobody writes; when there are, a connection has just
 * been lost or two hosts fight, and a lock is cheap. Lock order: nothing is
 * taken inside.
 */
#ifndef LEAP_CORE_CTRL_ORPHANS_H
#define LEAP_CORE_CTRL_ORPHANS_H

#include <pthread.h>
#include <stdint.h>

#include "util/atomic.h"
#include "util/list.h"

#define LEAP__MAX_GROUPS 64

struct leap__orphan {
	struct leap__list link;
	uint64_t slba;
	uint32_t nr_lbas;	/* 0 = everything in the namespace */
	uint32_t nsid;
	const void *subsystem;	/* an identity */
	const uint8_t *hostid;	/* 16 bytes, outlives the orphan */
};

/* Blocks of a stack, which namespaces of several formats may share. */
struct leap__claim {
	struct leap__list link;
	const void *medium;	/* an identity */
	uint64_t block;
	uint64_t nr_blocks;
};

struct leap__orphans {
	uint32_t nr;		/* and of claims; read without the lock */
	uint32_t nr_claims;
	uint32_t nr_held;	/* commands that wait, of all groups */
	uint64_t total;		/* ever */
	pthread_mutex_t lock;
	struct leap__list list;
	struct leap__list claims;
	/* Who has commands that wait, and how to wake it. */
	uint32_t held[LEAP__MAX_GROUPS];
	void (*wake)(void *group);
	void *group[LEAP__MAX_GROUPS];
};

int leap__orphans_init(struct leap__orphans *o, void (*wake)(void *group));
void leap__orphans_fini(struct leap__orphans *o);

/* Context: any */
void leap__orphans_add(struct leap__orphans *o, struct leap__orphan *orphan);

/* The orphan has left its leaf; wakes the groups that hold commands. Context:
 * any */
void leap__orphans_del(struct leap__orphans *o, struct leap__orphan *orphan);

/*
 * Must a command wait? If so it is counted as held by @group, until
 * leap__orphans_unhold or a later call that answers 0 with @held set.
 * @blocks: what it writes; NULL = nothing
 * @held: it was counted before
 * Context: any
 */
int leap__orphans_overlap(struct leap__orphans *o, uint32_t group,
			  const struct leap__orphan *cmd,
			  const struct leap__claim *blocks, int held);
void leap__orphans_unhold(struct leap__orphans *o, uint32_t group);

/* The same, of one that was not held: and if it need not wait, @claim has its
 * blocks until leap__claim_del, which wakes as leap__orphans_del. @nr_groups:
 * out, how many have to be asked what they have in leaves. Context: any */
int leap__claim_add(struct leap__orphans *o, uint32_t group,
		    const struct leap__orphan *cmd, struct leap__claim *claim,
		    uint32_t *nr_groups);
void leap__claim_del(struct leap__orphans *o, struct leap__claim *claim);

/* A group takes part, from before its first command. Context: any */
void leap__orphans_join(struct leap__orphans *o, uint32_t group, void *g);

int leap__claims_overlap(const struct leap__claim *a,
			 const struct leap__claim *b);

/* leap__orphans_any - the hot path's one load. Context: any */
static inline int leap__orphans_any(const struct leap__orphans *o)
{
	/* Acquire is not needed: who must see an orphan learned of it by a
	 * message, or looks under the lock. */
	return leap__load_relaxed(&o->nr) != 0;
}

#endif
