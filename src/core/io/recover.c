/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reading side of the in-flight record: formatting it (agent) and taking
 * over what a dead runtime left (successor).  Everything read here was
 * written by a process that is not trusted: each word is loaded once, checked
 * as a whole before anything is changed, and never used as an index unchecked.
 */
#include "core/io/record.h"

#include <stdlib.h>

_Static_assert(sizeof(struct leap_record_header) == LEAP_RECORD_HEADER_BYTES,
	       "record header is 128 bytes");
_Static_assert(sizeof(struct leap_record_slot) == LEAP_RECORD_SLOT_BYTES,
	       "record slot is 128 bytes");
_Static_assert(offsetof(struct leap_record_slot, control) == 64, "control");
_Static_assert(offsetof(struct leap_record_slot, cq) == 72, "cq");
_Static_assert(offsetof(struct leap_record_slot, status) == 88, "status");
_Static_assert(offsetof(struct leap_record_slot, note) == 96, "note");

size_t leap_record_bytes(uint32_t nr_slots)
{
	if (!nr_slots || nr_slots > LEAP_RECORD_SLOTS_MAX)
		return 0;
	return LEAP_RECORD_HEADER_BYTES +
	       (size_t)nr_slots * LEAP_RECORD_SLOT_BYTES;
}

static bool ring_size_is_good(uint32_t size)
{
	return size >= LEAP__RING_MIN && size <= LEAP__RING_MAX;
}

/* Copies options of any older size; newer ones must be zero where unknown. */
static int copy_opts(struct leap_record_opts *out,
		     const struct leap_record_opts *opts)
{
	const uint8_t *p = (const uint8_t *)opts;
	size_t n = opts->size;

	if (n < sizeof(n))
		return -EINVAL;
	for (; n > sizeof(*out); n--)
		if (p[n - 1])
			return -E2BIG;
	*out = (struct leap_record_opts) { .size = 0 };
	memcpy(out, opts, n);
	return 0;
}

int leap_record_format(void *mem, size_t bytes,
		       const struct leap_record_opts *opts)
{
	struct leap_record_opts o;
	struct leap_record_header *h = mem;
	size_t need;
	int rc;

	rc = copy_opts(&o, opts);
	if (rc < 0)
		return rc;
	need = leap_record_bytes(o.nr_slots);
	if (!need || !mem || (uintptr_t)mem % 64)
		return -EINVAL;
	if (!ring_size_is_good(o.sq_size) || !ring_size_is_good(o.cq_size))
		return -EINVAL;
	if (bytes < need)
		return -ENOSPC;
	memset(mem, 0, need);
	h->version = leap__cpu_to_le16(LEAP_RECORD_VERSION);
	h->header_bytes = leap__cpu_to_le16(LEAP_RECORD_HEADER_BYTES);
	h->slot_bytes = leap__cpu_to_le32(LEAP_RECORD_SLOT_BYTES);
	h->nr_slots = leap__cpu_to_le32(o.nr_slots);
	h->sq_size = leap__cpu_to_le32(o.sq_size);
	h->cq_size = leap__cpu_to_le32(o.cq_size);
	h->sqid = leap__cpu_to_le16(o.sqid);
	h->cqid = leap__cpu_to_le16(o.cqid);
	leap__store_release(&h->magic, leap__cpu_to_le32(LEAP_RECORD_MAGIC));
	return 0;
}

/* Is this the record we were told about?  Returns its slots, or NULL. */
static struct leap_record_slot *
check_header(uint32_t nr, const struct leap__record_where *where)
{
	struct leap_record_header h;

	if (!where->mem || (uintptr_t)where->mem % 64 ||
	    where->bytes < leap_record_bytes(nr))
		return NULL;
	leap__copy_from_shared(&h, where->mem, sizeof(h));
	if (leap__le32_to_cpu(h.magic) != LEAP_RECORD_MAGIC ||
	    leap__le16_to_cpu(h.version) != LEAP_RECORD_VERSION ||
	    leap__le16_to_cpu(h.header_bytes) != LEAP_RECORD_HEADER_BYTES ||
	    leap__le32_to_cpu(h.slot_bytes) != LEAP_RECORD_SLOT_BYTES ||
	    leap__le32_to_cpu(h.nr_slots) != nr ||
	    leap__le32_to_cpu(h.sq_size) != where->sq_size ||
	    leap__le32_to_cpu(h.cq_size) != where->cq_size ||
	    leap__le16_to_cpu(h.sqid) != where->sqid ||
	    leap__le16_to_cpu(h.cqid) != where->cqid)
		return NULL;
	if (!ring_size_is_good(where->sq_size) ||
	    !ring_size_is_good(where->cq_size))
		return NULL;
	return (struct leap_record_slot *)((uint8_t *)where->mem +
					   LEAP_RECORD_HEADER_BYTES);
}

static void adopt(struct leap__slots *s, struct leap_record_slot *shared,
		  const struct leap__record_where *where)
{
	s->shared = shared;
	s->sqid = where->sqid;
	s->window = where->window;
}

int leap__slots_attach(struct leap__slots *s,
		       const struct leap__record_where *where)
{
	struct leap_record_slot *shared;
	uint32_t i;

	if (s->nr_free != s->nr)
		return -EBUSY;
	shared = check_header(s->nr, where);
	if (!shared)
		return -EPROTO;
	for (i = 0; i < s->nr; i++)
		if (leap__load_relaxed(&shared[i].control))
			return -EPROTO;
	adopt(s, shared, where);
	return 0;
}

/* What the record says as a whole. */
struct scan {
	uint64_t sq_next;	/* one past the largest sequence number */
	uint64_t cq_last;	/* largest completion sequence number + 1 */
	uint32_t nr;		/* live slots, in redo */
	uint32_t nr_completing;
};

/* The phase at the place of completion cq - 1: has the host an answer? */
static bool cqe_is_visible(const struct leap__recovery *rec, uint64_t cq,
			   uint32_t cq_size)
{
	const struct leap__cqe_wire *e;
	uint32_t last;

	if (!cq)
		return false;
	e = &rec->cqes[(cq - 1) % cq_size];
	last = leap__le32_to_cpu(leap__load_acquire(&e->last));
	return (last >> 16 & 1) == leap__cq_phase(cq - 1, cq_size);
}

/*
 * One slot.  Acquire: control first, then what it vouches for.  A live slot
 * becomes a redo entry, whose act holds the state until judge().
 */
static int scan_slot(struct leap_record_slot *slot, uint16_t tag,
		     struct leap__recovery *rec, struct scan *scan)
{
	uint64_t control, seq1, cq, result;
	struct leap__redo *r;
	uint32_t status;

	control = leap__le64_to_cpu(leap__load_acquire(&slot->control));
	cq = leap__le64_to_cpu(leap__load_relaxed(&slot->cq));
	seq1 = control >> LEAP_RECORD_STATE_BITS;
	control &= LEAP_RECORD_STATE_MASK;
	if (control > LEAP_RECORD_COMPLETING || (control && !seq1) ||
	    seq1 > LEAP_RECORD_SEQ_MAX || cq > LEAP_RECORD_SEQ_MAX)
		return -EPROTO;
	if (LEAP_PLANT(RECORD_LIVE_ONLY) && !control)
		return 0;
	if (seq1 > scan->sq_next)
		scan->sq_next = seq1;
	if (cq > scan->cq_last)
		scan->cq_last = cq;
	if (control == LEAP_RECORD_FREE)
		return 0;
	r = &rec->redo[scan->nr++];
	leap__copy_from_shared(r->sqe, slot->sqe, LEAP__SQE_BYTES);
	r->seq = seq1 - 1;
	r->tag = tag;
	r->act = (uint8_t)control;
	r->note = leap__le64_to_cpu(leap__load_relaxed(&slot->note));
	r->cqe = (struct leap__cqe) { .dw0 = 0 };
	if (control != LEAP_RECORD_COMPLETING)
		return 0;
	result = leap__le64_to_cpu(leap__load_relaxed(&slot->result));
	status = leap__le32_to_cpu(leap__load_relaxed(&slot->status));
	/* Its CID comes from the SQE, bytes 2 and 3. */
	if (status > 0x7fff || !cq)
		return -EPROTO;
	r->cqe.dw0 = (uint32_t)result;
	r->cqe.dw1 = (uint32_t)(result >> 32);
	r->cqe.cid = leap__get_le16(r->sqe + 2);
	r->cqe.status = (uint16_t)status;
	r->note = cq;		/* judge() compares it and puts 0 */
	scan->nr_completing++;
	return 0;
}

static int by_seq(const void *a, const void *b)
{
	const struct leap__redo *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Completions are posted one by one, so at most one is half way, the last. */
static int check_scan(const struct leap__recovery *rec,
		      const struct scan *scan)
{
	uint32_t i;

	if (scan->nr_completing > 1)
		return -EPROTO;
	for (i = 0; i < scan->nr; i++) {
		const struct leap__redo *r = &rec->redo[i];

		if (i && r->seq == r[-1].seq)
			return -EPROTO;
		if (r->act == LEAP_RECORD_COMPLETING &&
		    r->note != scan->cq_last)
			return -EPROTO;
	}
	return 0;
}

/* Turns a live slot's state into what to do; false: the host has its answer. */
static bool judge(struct leap__recovery *rec, struct leap__redo *r,
		  bool visible)
{
	switch (r->act) {
	case LEAP_RECORD_COMPLETING:
		if (visible && LEAP_PLANT(RECORD_REDRIVES_VISIBLE)) {
			r->act = LEAP__REDO_RUN;
			return true;
		}
		r->act = LEAP__REDO_POST;
		r->note = 0;
		return !visible || LEAP_PLANT(RECORD_REWRITES_CQE);
	case LEAP_RECORD_ISSUED:
		r->act = LEAP__REDO_RUN;
		if (rec->may_rerun &&
		    !rec->may_rerun(r->sqe, r->note, rec->arg))
			r->act = LEAP__REDO_FAIL;
		return true;
	default:
		r->act = LEAP__REDO_RUN;
		return true;
	}
}

/* The private array: redo's slots are taken, every other one is free. */
static void rebuild(struct leap__slots *s, const struct leap__recovery *rec)
{
	uint32_t i;

	for (i = 0; i < rec->nr; i++) {
		const struct leap__redo *r = &rec->redo[i];

		/* Not ISSUED: it will be issued again, or failed. */
		s->slot[r->tag].state = r->act == LEAP__REDO_POST ?
			LEAP_RECORD_COMPLETING : LEAP_RECORD_FETCHED;
		s->slot[r->tag].seq = r->seq;
	}
	s->nr_free = 0;
	for (i = s->nr; i--; )
		if (s->slot[i].state == LEAP_RECORD_FREE)
			s->free[s->nr_free++] = (uint16_t)i;
}

int leap__slots_recover(struct leap__slots *s,
			const struct leap__record_where *where,
			struct leap__recovery *rec)
{
	struct leap_record_slot *shared;
	struct scan scan = { .nr = 0 };
	bool visible;
	uint32_t i;
	int rc;

	if (s->nr_free != s->nr)
		return -EBUSY;
	shared = check_header(s->nr, where);
	if (!shared)
		return -EPROTO;
	for (i = 0; i < s->nr; i++) {
		rc = scan_slot(&shared[i], (uint16_t)i, rec, &scan);
		if (rc < 0)
			return rc;
	}
	qsort(rec->redo, scan.nr, sizeof(*rec->redo), by_seq);
	rc = check_scan(rec, &scan);
	if (rc < 0)
		return rc;

	adopt(s, shared, where);
	visible = cqe_is_visible(rec, scan.cq_last, where->cq_size);
	rec->sq_seq = scan.sq_next;
	rec->cq_seq = visible || !scan.cq_last ? scan.cq_last :
						 scan.cq_last - 1;
	rec->signal = !LEAP_PLANT(MISSING_SIGNAL);
	rec->nr = 0;
	s->nr_free = 0;
	for (i = 0; i < scan.nr; i++) {
		struct leap__redo r = rec->redo[i];

		if (judge(rec, &r, visible)) {
			rec->redo[rec->nr++] = r;
			continue;
		}
		/* Through the one function: taken, then freed. */
		s->slot[r.tag] = (struct leap__slot) {
			.seq = r.seq, .state = LEAP_RECORD_COMPLETING,
		};
		leap__slot_drop(s, r.tag);
	}
	rebuild(s, rec);
	return 0;
}

int leap__slots_repost(struct leap__slots *s, struct leap__recovery *rec,
		       const struct leap__sqc *sqc, struct leap__cqp *cqp)
{
	uint32_t i, kept = 0;
	int posted = 0;

	for (i = 0; i < rec->nr; i++) {
		struct leap__redo *r = &rec->redo[i];

		if (r->act != LEAP__REDO_POST) {
			rec->redo[kept++] = *r;
			continue;
		}
		r->cqe.sqhd = leap__sqc_sqhd(sqc);
		r->cqe.sqid = s->sqid;
		if (leap__slot_complete(s, r->tag, cqp, &r->cqe) < 0)
			return -EPROTO;
		posted++;
	}
	rec->nr = kept;
	return posted;
}
