/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of orphans and claims of a target: commands that are still in a
 * leaf though the connection that brought them is gone, blocks that a
 * compare-and-write has, and the count of commands that wait for either. Used
 * by every I/O group of the target; knows ranges, hosts and who to wake, not
 * commands.
 */
#include "core/ctrl/orphans.h"

#include <string.h>

int leap__orphans_init(struct leap__orphans *o, void (*wake)(void *group))
{
	memset(o, 0, sizeof(*o));
	leap__list_init(&o->list);
	leap__list_init(&o->claims);
	o->wake = wake;
	return -pthread_mutex_init(&o->lock, NULL);
}

void leap__orphans_fini(struct leap__orphans *o)
{
	pthread_mutex_destroy(&o->lock);
}

void leap__orphans_add(struct leap__orphans *o, struct leap__orphan *orphan)
{
	pthread_mutex_lock(&o->lock);
	leap__list_push_back(&o->list, &orphan->link);
	o->total++;
	leap__store_relaxed(&o->nr, o->nr + 1);
	pthread_mutex_unlock(&o->lock);
}

/* With the lock held. */
static void leaves(struct leap__orphans *o, struct leap__list *link)
{
	uint32_t i;

	leap__list_remove(link);
	leap__store_relaxed(&o->nr, o->nr - 1);
	for (i = 0; i < LEAP__MAX_GROUPS; i++)
		if (o->held[i])
			o->wake(o->group[i]);
}

void leap__orphans_del(struct leap__orphans *o, struct leap__orphan *orphan)
{
	pthread_mutex_lock(&o->lock);
	leaves(o, &orphan->link);
	pthread_mutex_unlock(&o->lock);
}

void leap__orphans_join(struct leap__orphans *o, uint32_t group, void *g)
{
	pthread_mutex_lock(&o->lock);
	o->group[group] = g;
	pthread_mutex_unlock(&o->lock);
}

static int overlaps(const struct leap__orphan *a, const struct leap__orphan *b)
{
	if (a->subsystem != b->subsystem || a->nsid != b->nsid ||
	    memcmp(a->hostid, b->hostid, 16))
		return 0;
	if (!a->nr_lbas || !b->nr_lbas)
		return 1;
	/* Both ranges were checked against the namespace: no overflow. */
	return a->slba < b->slba + b->nr_lbas && b->slba < a->slba + a->nr_lbas;
}

int leap__claims_overlap(const struct leap__claim *a,
			 const struct leap__claim *b)
{
	if (a->medium != b->medium)
		return 0;
	/* As above. */
	return a->block < b->block + b->nr_blocks &&
	       b->block < a->block + a->nr_blocks;
}

/* With the lock held. */
static int in_the_way(const struct leap__orphans *o,
		      const struct leap__orphan *cmd,
		      const struct leap__claim *blocks)
{
	const struct leap__list *pos;

	leap__list_for_each(pos, &o->list)
		if (overlaps(leap__list_entry(pos, struct leap__orphan, link),
			     cmd))
			return 1;
	if (!blocks)
		return 0;
	leap__list_for_each(pos, &o->claims)
		if (leap__claims_overlap(leap__list_entry(pos,
					 struct leap__claim, link), blocks))
			return 1;
	return 0;
}

int leap__orphans_overlap(struct leap__orphans *o, uint32_t group,
			  const struct leap__orphan *cmd,
			  const struct leap__claim *blocks, int held)
{
	int found;

	pthread_mutex_lock(&o->lock);
	found = in_the_way(o, cmd, blocks);
	if (found && !held) {
		o->held[group]++;
		o->nr_held++;
	} else if (!found && held) {
		o->held[group]--;
		o->nr_held--;
	}
	pthread_mutex_unlock(&o->lock);
	return found;
}

int leap__claim_add(struct leap__orphans *o, uint32_t group,
		    const struct leap__orphan *cmd, struct leap__claim *claim,
		    uint32_t *nr_groups)
{
	int found;

	pthread_mutex_lock(&o->lock);
	found = in_the_way(o, cmd, claim);
	if (found) {
		o->held[group]++;
		o->nr_held++;
	} else {
		leap__list_push_back(&o->claims, &claim->link);
		o->nr_claims++;
		leap__store_relaxed(&o->nr, o->nr + 1);
	}
	/* Those that join later see the claim. */
	for (*nr_groups = LEAP__MAX_GROUPS; *nr_groups; --*nr_groups)
		if (o->group[*nr_groups - 1])
			break;
	pthread_mutex_unlock(&o->lock);
	return found;
}

void leap__claim_del(struct leap__orphans *o, struct leap__claim *claim)
{
	pthread_mutex_lock(&o->lock);
	o->nr_claims--;
	leaves(o, &claim->link);
	pthread_mutex_unlock(&o->lock);
}

void leap__orphans_unhold(struct leap__orphans *o, uint32_t group)
{
	pthread_mutex_lock(&o->lock);
	o->held[group]--;
	o->nr_held--;
	pthread_mutex_unlock(&o->lock);
}
