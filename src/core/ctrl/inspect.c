/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * State memory as it looks from outside: doorbells and in-flight records of
 * queues that another process may serve, and write meanwhile, or one that went
 * mad before it was killed. Each word is read atomically, and bounded by what
 * was agreed when the queue was made; nothing is ever written. Knows nothing of
 * who asks.
 */
#include "core/ctrl/inspect.h"

#include <errno.h>
#include <string.h>

#include <leapio/nvme.h>

#include "util/atomic.h"

#define READ_TRIES 4

/* ---- the in-flight record ---- */

static uint64_t load64(const leap_le64 *p)
{
	return leap_from_le64(leap__load_relaxed(p));
}

/*
 * One slot as it was at one moment. Its entry changes only while it is free, so
 * that the same control word before and after says that it did not. 0, or
 * -EAGAIN it never stood still: commands come and go.
 */
static int read_slot(const struct leap_record_slot *slot, uint64_t *control,
		     uint64_t *sqe, struct leap_vdev_slot_info *out)
{
	const leap_le64 *words = (const void *)slot->sqe;
	uint32_t i, tries;

	for (tries = 0; tries < READ_TRIES; tries++) {
		*control = leap_from_le64(leap__load_acquire(&slot->control));
		for (i = 0; i < LEAP__SQE_BYTES / 8; i++)
			sqe[i] = leap__load_acquire(&words[i]);
		out->status = leap_from_le32(leap__load_acquire(&slot->status));
		out->note = leap_from_le64(leap__load_acquire(&slot->note));
		/* After all of them: each was an acquire. */
		if (load64(&slot->control) == *control)
			return 0;
	}
	return -EAGAIN;
}

static void fill_slot(const uint64_t *words, uint64_t control,
		      struct leap_vdev_slot_info *s)
{
	struct leap_sqe sqe;

	memcpy(&sqe, words, sizeof(sqe));
	s->state = control & LEAP_RECORD_STATE_MASK;
	s->seq = (control >> LEAP_RECORD_STATE_BITS) - 1;
	s->opcode = sqe.opc;
	s->cid = leap_from_le16(sqe.cid);
	s->nsid = leap_from_le32(sqe.nsid);
	s->slba = leap_from_le32(sqe.cdw10) |
		  (uint64_t)leap_from_le32(sqe.cdw11) << 32;
	if (s->state != LEAP_RECORD_COMPLETING)
		s->status = 0;
}

/* The slots, if there is a record where one has to be. */
static const struct leap_record_slot *
find_slots(const struct leap__inspect_record *r, uint32_t *nr)
{
	const struct leap_record_header *h = r->head;

	*nr = h ? leap_from_le32(leap__load_relaxed(&h->nr_slots)) : 0;
	if (!h || *nr > r->max_slots ||
	    leap_from_le32(leap__load_relaxed(&h->magic)) != LEAP_RECORD_MAGIC)
		*nr = 0;
	return *nr ? (const void *)(h + 1) : NULL;
}

static int is_bad(uint64_t control)
{
	uint64_t seq1 = control >> LEAP_RECORD_STATE_BITS;
	uint32_t state = control & LEAP_RECORD_STATE_MASK;

	return state > LEAP_RECORD_COMPLETING ||
	       seq1 > LEAP_RECORD_SEQ_MAX + 1 || (!seq1 && state);
}

void leap__inspect_record(const struct leap__inspect_record *r,
			  struct leap_vdev_sq_info *q)
{
	const struct leap_record_slot *slot = find_slots(r, &q->nr_slots);
	uint64_t control;
	uint32_t i;

	for (i = 0; i < q->nr_slots; i++) {
		control = load64(&slot[i].control);
		if (is_bad(control)) {
			q->bad_slots++;
			continue;
		}
		q->slots[control & LEAP_RECORD_STATE_MASK]++;
		if (control >> LEAP_RECORD_STATE_BITS > q->fetched)
			q->fetched = control >> LEAP_RECORD_STATE_BITS;
	}
	if (q->depth)
		q->head = (uint32_t)(q->fetched % q->depth);
}

void leap__inspect_slots(const struct leap__inspect_record *r, uint16_t sqid,
			 const struct leap_vdev_inspect_ops *ops, void *arg)
{
	struct leap_vdev_slot_info s;
	const struct leap_record_slot *slot;
	uint64_t control, sqe[LEAP__SQE_BYTES / 8];
	uint32_t i, nr;

	slot = ops->slot ? find_slots(r, &nr) : NULL;
	for (i = 0; slot && i < nr; i++) {
		memset(&s, 0, sizeof(s));
		s.sqid = sqid;
		s.tag = (uint16_t)i;
		if (read_slot(&slot[i], &control, sqe, &s) ||
		    !(control & LEAP_RECORD_STATE_MASK) || is_bad(control))
			continue;
		fill_slot(sqe, control, &s);
		ops->slot(arg, &s);
	}
}

/* ---- queues ---- */

void leap__inspect_db(const struct leap_doorbell *db,
		      struct leap_vdev_db_info *o)
{
	o->value = leap_from_le32(leap__load_relaxed(&db->value));
	o->wake = leap_from_le32(leap__load_relaxed(&db->wake));
	o->posted = leap_from_le32(leap__load_relaxed(&db->posted));
}

void leap__inspect_served(const struct leap__inspect_queue *here,
			  struct leap_vdev_sq_info *q)
{
	if (!here->has_sq)
		return;
	q->served = 1;
	q->armed = here->sq.armed;
	q->stopped = here->sq.stopped;
	q->no_memory = here->sq.no_memory;
	q->interrupts = here->sq.interrupts;
	q->kicks = here->sq.kicks;
	q->bad_doorbells = here->sq.bad_doorbells;
}
