/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of orphans of a target: commands that are still in a leaf though
 * the connection that brought them is gone, and the count of commands that
 * wait for them. Used by every I/O group of the target; knows ranges, hosts
 * and who to wake, not commands.
 */
#include "core/ctrl/orphans.h"

#include <string.h>

int leap__orphans_init(struct leap__orphans *o, void (*wake)(void *group))
{
	memset(o, 0, sizeof(*o));
	leap__list_init(&o->list);
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

void leap__orphans_del(struct leap__orphans *o, struct leap__orphan *orphan)
{
	uint32_t i;

	pthread_mutex_lock(&o->lock);
	leap__list_remove(&orphan->link);
	leap__store_relaxed(&o->nr, o->nr - 1);
	for (i = 0; i < LEAP__MAX_GROUPS; i++)
		if (o->held[i])
			o->wake(o->group[i]);
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

int leap__orphans_overlap(struct leap__orphans *o, uint32_t group,
			  const struct leap__orphan *cmd, int held)
{
	const struct leap__list *pos;
	int found = 0;

	pthread_mutex_lock(&o->lock);
	leap__list_for_each(pos, &o->list) {
		const struct leap__orphan *x =
			leap__list_entry(pos, struct leap__orphan, link);

		if (overlaps(x, cmd)) {
			found = 1;
			break;
		}
	}
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

void leap__orphans_unhold(struct leap__orphans *o, uint32_t group)
{
	pthread_mutex_lock(&o->lock);
	o->held[group]--;
	o->nr_held--;
	pthread_mutex_unlock(&o->lock);
}
