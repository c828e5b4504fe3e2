/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receives that the I/O queues of a device share: who makes and ends them, and
 * who makes up for those that a broken queue pair took along. Between target.c,
 * which uses what has come into them, and the device. Knows nothing of
 * commands.
 */
#include "transport/rdma/srq.h"

#include <leapio/nvme.h>

#include <errno.h>
#include <stdlib.h>

#define TURNS	4u	/* of the queue, after which a receive is missing */

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + 4095) & ~UINT64_C(4095);
}

static void put(struct leap__rdma_srq *s)
{
	if (leap__fetch_add(&s->refs, (uint32_t)-1) != 1)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s->mem);
	free(s);
}

int leap__rdma_srq_post(struct leap__rdma_srq *s, const uint32_t *slots,
			uint32_t n)
{
	struct leap__v_sge sge[2 * LEAP__RDMA_BATCH];
	struct leap__v_recv r[LEAP__RDMA_BATCH];
	uint64_t seq = leap__fetch_add(&s->posted, (uint64_t)n);
	uint32_t i;
	int err;

	for (i = 0; i < n; i++) {
		leap__store_relaxed(&s->slots[slots[i]].owner, NULL);
		leap__store_relaxed(&s->slots[slots[i]].seq, ++seq);
	}
	leap__rdma_recvs_fill(&s->recvs, slots, n, r, sge);
	err = s->v->srq_post(s->srq, r, n);
	if (__builtin_expect(!err, 1))
		return 0;
	for (i = 0; i < n; i++)
		leap__store_relaxed(&s->slots[slots[i]].seq,
				    LEAP__RDMA_SRQ_MISSING);
	leap__fetch_add(&s->missing, n);
	return err;
}

/* Post the next @n of those that were never used. */
static int post_new(struct leap__rdma_srq *s, uint32_t first, uint32_t n)
{
	uint32_t slots[LEAP__RDMA_BATCH], i, k;
	int err = 0;

	for (i = 0; i < n && !err; i += k) {
		for (k = 0; k < LEAP__RDMA_BATCH && i + k < n; k++)
			slots[k] = first + i + k;
		err = leap__rdma_srq_post(s, slots, k);
	}
	return err;
}

/* The device's lock is held. */
static void refill(struct leap__rdma_srq *s)
{
	uint64_t posted = leap__load_relaxed(&s->posted), seq;
	uint32_t i, missing;

	for (i = 0; i < s->total; i++) {
		seq = leap__load_relaxed(&s->slots[i].seq);
		if (!seq || seq == LEAP__RDMA_SRQ_MISSING ||
		    (int64_t)(posted - seq) <= (int64_t)TURNS * s->nr)
			continue;
		/* It may be coming back just now. */
		if (leap__compare_exchange(&s->slots[i].seq, &seq,
					   LEAP__RDMA_SRQ_MISSING))
			leap__fetch_add(&s->missing, 1u);
	}
	missing = leap__load_relaxed(&s->missing);
	if (missing > s->total - s->nr)
		missing = s->total - s->nr;
	if (missing > s->spares_used) {
		post_new(s, s->nr + s->spares_used, missing - s->spares_used);
		s->spares_used = missing;
	}
}

static int make_memory(struct leap__rdma_srq *s)
{
	uint64_t sqes = round_up((uint64_t)s->total * LEAP_SQE_SIZE);
	uint64_t bytes = sqes + (uint64_t)s->total * s->capsule_bytes;
	struct leap__v_keys keys;
	int err;

	s->mem = aligned_alloc(4096, bytes);
	if (!s->mem)
		return -ENOMEM;
	err = s->v->mr_create(s->dev->pd, s->mem, bytes, 0, &keys, &s->mr);
	if (err)
		return err;
	s->recvs.at[0] = (uintptr_t)s->mem;
	s->recvs.bytes[0] = LEAP_SQE_SIZE;
	s->recvs.at[1] = (uintptr_t)s->mem + sqes;
	s->recvs.bytes[1] = s->capsule_bytes;
	s->recvs.lkey = keys.lkey;
	return 0;
}

/* As many as there can be: each queue pair has room for all of their
 * completions, so that no host can overrun it. */
static uint32_t most(const struct leap__v_caps *caps)
{
	return caps->max_srq < caps->max_cqe / 2 ? caps->max_srq :
	       caps->max_cqe / 2;
}

static void end_device(struct leap__rdma_srq *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->srq)
		s->v->srq_destroy(s->srq);
	s->srq = NULL;
	pthread_mutex_unlock(&s->lock);
	if (s->mr)
		s->v->mr_destroy(s->mr);
	s->mr = NULL;
}

static int create(struct leap__rdma_dev *d, uint32_t asked,
		  uint32_t capsule_bytes, struct leap__rdma_srq **out)
{
	uint32_t max = most(&d->caps), nr = asked < max ? asked : max;
	uint32_t total = nr + nr / 8 + 8 < max ? nr + nr / 8 + 8 : max;
	struct leap__rdma_srq *s;
	int err;

	if (!nr)
		return -EOPNOTSUPP;
	s = calloc(1, sizeof(*s) + total * sizeof(s->slots[0]));
	if (!s)
		return -ENOMEM;
	s->dev = d;
	s->v = d->v;
	s->asked = asked;
	s->nr = nr;
	s->total = total;
	s->capsule_bytes = capsule_bytes;
	s->refs = 1;
	pthread_mutex_init(&s->lock, NULL);
	err = make_memory(s);
	if (!err)
		err = s->v->srq_create(d->pd, total, &s->srq);
	if (!err)
		err = post_new(s, 0, nr);
	if (err) {
		end_device(s);
		put(s);
		return err;
	}
	*out = s;
	return 0;
}

int leap__rdma_srq_join(struct leap__rdma_dev *d, uint32_t nr,
			uint32_t capsule_bytes, struct leap__rdma_srq **out)
{
	struct leap__rdma_srq *s;
	int err = 0;

	pthread_mutex_lock(&d->lock);
	for (s = d->srqs; s; s = s->next)
		if (s->asked == nr && s->capsule_bytes == capsule_bytes)
			break;
	if (s) {
		leap__fetch_add(&s->refs, 1u);
		refill(s);
	} else {
		err = create(d, nr, capsule_bytes, &s);
		if (!err) {
			s->next = d->srqs;
			d->srqs = s;
		}
	}
	if (!err) {
		leap__store_relaxed(&s->conns, s->conns + 1);
		*out = s;
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

void leap__rdma_srq_leave(struct leap__rdma_srq *s)
{
	struct leap__rdma_dev *d = s->dev;
	struct leap__rdma_srq **at = &d->srqs;

	pthread_mutex_lock(&d->lock);
	leap__store_relaxed(&s->conns, s->conns - 1);
	if (!s->conns) {
		/* Nothing may be left of a device that has no connection. */
		while (*at != s)
			at = &(*at)->next;
		*at = s->next;
		end_device(s);
	} else {
		refill(s);
	}
	pthread_mutex_unlock(&d->lock);
}

void leap__rdma_srq_give(struct leap__rdma_srq *s, uint32_t slot)
{
	pthread_mutex_lock(&s->lock);
	leap__store_relaxed(&s->slots[slot].owner, NULL);
	if (s->srq)
		leap__rdma_srq_post(s, &slot, 1);
	pthread_mutex_unlock(&s->lock);
}

void leap__rdma_srq_put(struct leap__rdma_srq *s, const void *owner)
{
	uint32_t i;

	if (!s)
		return;
	for (i = 0; i < s->total; i++)
		if (leap__load_relaxed(&s->slots[i].owner) == owner)
			leap__rdma_srq_give(s, i);
	put(s);
}
