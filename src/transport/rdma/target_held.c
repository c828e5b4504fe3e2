/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capsules at the controller end while they wait, and the way back of what
 * they came in.
 *
 * Shared receives are for others, too, on other threads: a queue that has more
 * of them than its share and has to wait, for a command or for buffers, puts
 * the capsule aside, in memory of its own that is made when it is first needed.
 * So nothing that one poll group is out of keeps the hosts of another waiting.
 * Between target.c and target_data.c; knows nothing of commands.
 */
#include "transport/rdma/target.h"

#include <stdlib.h>
#include <string.h>

static size_t aside_sqes(const struct target *t)
{
	return ((size_t)t->depth * LEAP_SQE_SIZE + 4095) & ~(size_t)4095;
}

uint8_t *leap__rdma_aside_sqe(const struct target *t, uint32_t slot)
{
	return t->aside + (size_t)(slot - t->nr_recvs) * LEAP_SQE_SIZE;
}

uint8_t *leap__rdma_aside_data(const struct target *t, uint32_t slot)
{
	return t->aside + aside_sqes(t) +
	       (size_t)(slot - t->nr_recvs) * t->capsule_bytes;
}

void leap__rdma_slot_back(struct target *t, uint32_t slot)
{
	if (is_aside(t, slot)) {
		t->free_aside[t->nr_free_aside++] = slot;
		return;
	}
	t->nr_kept--;
	if (t->c.state < LEAP__RDMA_GONE) {
		leap__rdma_post_recv(&t->c, slot);
		leap__rdma_work(&t->c);
	} else if (t->srq) {
		leap__rdma_srq_give(t->srq, slot);
	}
}

/* ---- aside ---- */

int leap__rdma_is_greedy(const struct target *t)
{
	return t->srq && t->nr_kept > leap__rdma_srq_share(t->srq);
}

/* As many as commands may be out: there is always one. */
static int make_aside(struct target *t)
{
	uint32_t i;

	t->aside = aligned_alloc(4096, aside_sqes(t) +
				 (size_t)t->depth * t->capsule_bytes);
	t->free_aside = calloc(t->depth, sizeof(*t->free_aside));
	if (!t->aside || !t->free_aside) {
		leap__rdma_aside_free(t);
		return 0;
	}
	for (i = 0; i < t->depth; i++)
		t->free_aside[i] = t->nr_recvs + i;
	t->nr_free_aside = t->depth;
	return 1;
}

void leap__rdma_aside_free(struct target *t)
{
	free(t->aside);
	free(t->free_aside);
	t->aside = NULL;
	t->free_aside = NULL;
}

void leap__rdma_put_aside(struct target *t, uint32_t *slot, uint32_t at,
			  uint32_t len)
{
	uint32_t from = *slot;

	if (!t->aside && !make_aside(t))
		return;
	*slot = t->free_aside[--t->nr_free_aside];
	memcpy(slot_sqe(t, *slot), slot_sqe(t, from), LEAP_SQE_SIZE);
	memcpy(slot_data(t, *slot) + at, slot_data(t, from) + at, len);
	leap__rdma_slot_back(t, from);
}

/* ---- the ring ---- */

void leap__rdma_hold(struct target *t, uint32_t slot, uint32_t bytes)
{
	uint32_t i = t->held_head + t->nr_held++;

	if (i >= t->depth)
		i -= t->depth;
	t->held[i].slot = slot;
	t->held[i].bytes = bytes;
}

void leap__rdma_hold_aside(struct target *t)
{
	uint32_t i = t->held_head + t->nr_held - 1;

	if (!t->nr_held || !leap__rdma_is_greedy(t))
		return;
	if (i >= t->depth)
		i -= t->depth;
	leap__rdma_put_aside(t, &t->held[i].slot, 0,
			     t->held[i].bytes - LEAP_SQE_SIZE);
}

uint32_t leap__rdma_unhold(struct target *t)
{
	uint32_t at = t->held_head;

	t->nr_held--;
	t->held_head = at + 1 == t->depth ? 0 : at + 1;
	return t->held[at].slot;
}
