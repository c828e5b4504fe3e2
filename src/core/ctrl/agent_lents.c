/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controllers of an agent as runtimes know them: by a number of the link,
 * and with their state memory, in which their records are. What is asked about
 * them is remote.c's.
 */
#include "core/ctrl/agent_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct leap__lent *leap__agent_lent(struct leap_agent *a, const void *ctrl)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &a->lents) {
		struct leap__lent *l =
			leap__list_entry(pos, struct leap__lent, link);

		if (l->ctrl == ctrl)
			return l;
	}
	return NULL;
}

struct leap__lent *leap__agent_lent_by_id(struct leap_agent *a, uint16_t id)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &a->lents) {
		struct leap__lent *l =
			leap__list_entry(pos, struct leap__lent, link);

		if (l->id == id)
			return l->told ? l : NULL;
	}
	return NULL;
}

struct leap_vdev *leap__agent_vdev(struct leap_agent *a, const void *ctrl)
{
	struct leap_vdev *v = NULL;

	while (a->target && (v = leap__vdev_next(a->target, v)))
		if (leap__vdev_ctrl(v) == ctrl)
			return v;
	return NULL;
}

/* Not one that was used lately: a late message must not meet a new one. */
static uint16_t pick_id(struct leap_agent *a)
{
	for (;;) {
		struct leap__list *pos;
		int used = !++a->last_lent;

		leap__list_for_each(pos, &a->lents)
			used |= leap__list_entry(pos, struct leap__lent,
						 link)->id == a->last_lent;
		if (!used)
			return a->last_lent;
	}
}

struct leap__lent *leap__agent_lend(struct leap_agent *a,
				    const struct leap__lmsg *m)
{
	struct leap__lent *l = calloc(1, sizeof(*l));
	void *p;

	if (!l)
		return NULL;
	l->ctrl = m->ctrl;
	l->id = pick_id(a);
	p = mmap(NULL, m->link.u.ctrl.state_bytes, PROT_READ, MAP_SHARED,
		 m->fd, 0);
	if (p != MAP_FAILED) {
		l->state = p;
		l->state_bytes = m->link.u.ctrl.state_bytes;
	}
	leap__list_push_back(&a->lents, &l->link);
	return l;
}

void leap__agent_forget(struct leap__lent *l)
{
	if (l->state)
		munmap((void *)(uintptr_t)l->state, l->state_bytes);
	leap__list_remove(&l->link);
	free(l);
}

static void count_record(struct leap_agent *a, const struct leap__lent *l,
			 const struct leap_qp_desc *d)
{
	const struct leap_record_header *h;
	const struct leap_record_slot *slot;
	uint64_t room;
	uint32_t i, nr;

	if (!l->state || d->record > l->state_bytes ||
	    l->state_bytes - d->record < sizeof(*h))
		return;
	h = (const void *)(l->state + d->record);
	room = l->state_bytes - d->record - sizeof(*h);
	nr = leap_from_le32(h->nr_slots);
	slot = (const void *)(h + 1);
	for (i = 0; i < nr && i < room / sizeof(*slot); i++)
		a->info.slots[leap_from_le64(slot[i].control) & 3]++;
}

void leap__agent_count_slots(struct leap_agent *a)
{
	struct leap__list *pos;

	memset(a->info.slots, 0, sizeof(a->info.slots));
	leap__list_for_each(pos, &a->group.qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);
		struct leap__lent *l = leap__agent_lent(a, q->ctrl);

		if (l)
			count_record(a, l, &q->desc);
	}
}
