/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe submission and completion rings over memory that a peer shares.
 *
 *	struct leap__sqp   SQ producer   host end
 *	struct leap__sqc   SQ consumer   controller end
 *	struct leap__cqp   CQ producer   controller end
 *	struct leap__cqc   CQ consumer   host end
 *
 * Each role keeps private copies of every index it relies on; what the peer
 * writes is a hint that is checked before use.  A value that no honest peer
 * can write is -EPROTO (the caller counts it, and may drop the queue); state
 * is then unchanged and no memory outside the ring has been touched.
 *
 * Doorbells come in two forms.  Trapped (opts.doorbell NULL): the value is
 * handed in by *_trap().  Shadow: a 32-bit little-endian word in shared
 * memory that the peer stores and we load, with an optional EventIdx word
 * that we store and the peer loads to decide about a kick.  With a shadow
 * doorbell a trapped value only says "look": it may be older than the word.
 * The upper 16 bits of a doorbell never matter.
 *
 *	host                                   controller
 *	sqp_push(); sqp_push();
 *	if (sqp_ring()) kick();      ------->  n = sqc_poll();
 *	                                       while (n--) sqc_take(req->sqe);
 *	                                       ...
 *	while (cqc_next(&cqe))       <-------  cqp_post(); cqp_post();
 *		sqp_head(cqe.sqhd);            interrupt, once per batch
 *	if (cqc_ring()) kick();      ------->  cqp_space();
 *
 * Context: every ring belongs to one thread; nothing here blocks, allocates
 * or makes a system call.  Init and restore are setup calls.
 * Spec: NVMe Base 2.0 s3.3 (queues), s5.8 (Doorbell Buffer Config).
 */
#ifndef LEAP__CORE_IO_RING_H
#define LEAP__CORE_IO_RING_H

#include "util/atomic.h"
#include "util/endian.h"
#include "util/plant.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAP__SQE_BYTES		64
#define LEAP__CQE_BYTES		16
#define LEAP__RING_MIN		2
#define LEAP__RING_MAX		65536

/*
 * Where a ring lives.  All memory is borrowed until the ring is forgotten.
 * @entries:  size x 64 (SQ) or size x 16 (CQ) bytes, 16-byte aligned
 * @size:     entries, 2..65536
 * @doorbell: shadow doorbell word, or NULL when doorbells are trapped
 * @eventidx: its EventIdx word, or NULL; never without @doorbell
 * @window:   the memory is reached through PCIe (a BAR window), so that
 *            barriers must reach further than the cores of this machine
 */
struct leap__ring_opts {
	void *entries;
	uint32_t size;
	leap_le32 *doorbell;
	leap_le32 *eventidx;
	bool window;
};

/* A completion in the byte order of the CPU; status without the phase bit. */
struct leap__cqe {
	uint32_t dw0;
	uint32_t dw1;
	uint16_t sqhd;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status;	/* DNR<<14 | M<<13 | CRD<<11 | SCT<<8 | SC */
};

/* An entry as it lies in a CQ; last = cid | (status << 1 | phase) << 16. */
struct leap__cqe_wire {
	leap_le64 result;	/* DW0 and DW1 */
	leap_le32 sq;		/* sqhd | sqid << 16 */
	leap_le32 last;		/* what publishes the rest */
};

struct leap__sqp {
	uint8_t *entries;
	leap_le32 *doorbell;
	leap_le32 *eventidx;
	uint32_t size;
	uint16_t tail;		/* next slot to fill */
	uint16_t rung;		/* tail that the controller has been told */
	uint16_t head;		/* from SQHD; slots [head, tail) are taken */
	bool window;
};

struct leap__sqc {
	const uint8_t *entries;
	leap_le32 *doorbell;
	leap_le32 *eventidx;
	uint64_t seq;		/* sequence number of the next entry */
	uint32_t size;
	uint16_t head;		/* next slot to copy: seq % size */
	uint16_t tail;		/* last good tail */
	uint16_t lap;		/* the tail when EventIdx was put behind it */
	bool window;
};

struct leap__cqp {
	struct leap__cqe_wire *entries;
	leap_le32 *doorbell;
	leap_le32 *eventidx;
	uint64_t seq;		/* completions posted so far */
	uint32_t size;
	uint16_t tail;		/* next slot to write: seq % size */
	uint16_t head;		/* last good head */
	uint8_t phase;		/* phase of the entry at tail */
	bool window;
};

struct leap__cqc {
	const struct leap__cqe_wire *entries;
	leap_le32 *doorbell;
	leap_le32 *eventidx;
	uint32_t size;
	uint16_t head;		/* next slot to look at */
	uint16_t rung;		/* head that the controller has been told */
	uint8_t phase;		/* phase that means "new" at head */
	bool window;
};

/* Index arithmetic of one ring; a and b are < size. */
static inline uint16_t leap__ring_next(uint16_t i, uint32_t size)
{
	return (uint32_t)i + 1 == size ? 0 : (uint16_t)(i + 1);
}

/* Steps from a forward to b. */
static inline uint32_t leap__ring_dist(uint16_t a, uint16_t b, uint32_t size)
{
	return b >= a ? (uint32_t)(b - a) : size - a + b;
}

/*
 * The kick test of shadow doorbells: did the index pass EventIdx on its way
 * from before to after?  16-bit arithmetic, as hosts do it.
 */
static inline bool leap__eventidx_passed(uint16_t ei, uint16_t before,
					 uint16_t after)
{
	return (uint16_t)(after - ei - 1) < (uint16_t)(after - before);
}

/* ---- SQ producer ------------------------------------------------------ */

/*
 * leap__sqp_init - an empty ring at slot 0
 * Does not touch the entries or the words.
 * Errors: -EINVAL size, alignment, or eventidx without doorbell
 */
int leap__sqp_init(struct leap__sqp *sqp, const struct leap__ring_opts *opts);

/* Free slots: 0 .. size - 1. */
static inline uint32_t leap__sqp_room(const struct leap__sqp *sqp)
{
	return sqp->size - 1 - leap__ring_dist(sqp->head, sqp->tail, sqp->size);
}

/*
 * leap__sqp_push - put one 64-byte entry into the ring, not yet told
 * Returns: 0, or -EAGAIN when the ring is full (complete something first)
 */
static inline int leap__sqp_push(struct leap__sqp *sqp, const void *sqe)
{
	uint16_t next = leap__ring_next(sqp->tail, sqp->size);

	if (__builtin_expect(next == sqp->head, 0))
		return -EAGAIN;
	leap__copy_to_shared(sqp->entries + (size_t)sqp->tail * LEAP__SQE_BYTES,
			     sqe, LEAP__SQE_BYTES);
	sqp->tail = next;
	return 0;
}

/* Takes back the entries pushed since the last ring: they never existed. */
static inline void leap__sqp_unpush(struct leap__sqp *sqp)
{
	sqp->tail = sqp->rung;
}

/*
 * leap__sqp_ring - publish everything pushed since the last ring
 * Returns: 1 when the controller must be kicked: write sqp->tail to the
 *          trapped doorbell, or, with a shadow doorbell and no EventIdx, ask
 *          leap__wake_wanted().  0: nothing new, or it looks by itself.
 */
int leap__sqp_ring(struct leap__sqp *sqp);

/*
 * leap__sqp_head - free the slots that a completion's SQHD has passed
 * Errors: -EPROTO when @sqhd lies outside what has been rung
 */
static inline int leap__sqp_head(struct leap__sqp *sqp, uint16_t sqhd)
{
	if (__builtin_expect(sqhd >= sqp->size ||
			     leap__ring_dist(sqp->head, sqhd, sqp->size) >
			     leap__ring_dist(sqp->head, sqp->rung, sqp->size),
			     0))
		return -EPROTO;
	sqp->head = sqhd;
	return 0;
}

/* ---- SQ consumer ------------------------------------------------------ */

int leap__sqc_init(struct leap__sqc *sqc, const struct leap__ring_opts *opts);

/*
 * leap__sqc_restore - continue where a predecessor stopped
 * @seq: sequence number of the next entry to fetch; the head follows from it
 */
void leap__sqc_restore(struct leap__sqc *sqc, uint64_t seq);

/* In reserved bits of a shadow doorbell: no host stores that. */
#define LEAP__RING_UNRUNG	0x10000u

/*
 * leap__sqc_shadow - go over from trapped to shadow doorbells, or back (NULL)
 * The controller's duty on Doorbell Buffer Config: both words are set to the
 * tail known now before the host starts to use them. Until it stores there the
 * doorbell bears LEAP__RING_UNRUNG, of which no consumer takes notice.
 * Errors: -EINVAL alignment, or @eventidx without @doorbell
 */
int leap__sqc_shadow(struct leap__sqc *sqc, leap_le32 *doorbell,
		     leap_le32 *eventidx);

/*
 * leap__sqc_trap - a doorbell write arrived as a call or message
 * Returns: entries waiting.  Errors: -EPROTO value >= size; or, without a
 *          shadow doorbell, one that takes back entries already announced
 */
int leap__sqc_trap(struct leap__sqc *sqc, uint32_t value);

/* Entries known to wait, without looking at the doorbell: 0 .. size - 1. */
static inline uint32_t leap__sqc_pending(const struct leap__sqc *sqc)
{
	return leap__ring_dist(sqc->head, sqc->tail, sqc->size);
}

/* Checks a tail and takes it over; see leap__sqc_poll. */
static inline int leap__sqc_accept(struct leap__sqc *sqc, uint16_t tail)
{
	uint32_t n;

	if (__builtin_expect(tail >= sqc->size, 0))
		return -EPROTO;
	n = leap__ring_dist(sqc->head, tail, sqc->size);
	if (__builtin_expect(n < leap__sqc_pending(sqc), 0))
		return -EPROTO;		/* moved backwards */
	sqc->tail = tail;
	return (int)n;
}

/*
 * leap__sqc_disarm - polling again: no kicks please
 * A ring has no index that is never passed, and each wrap would pass one that
 * is out of it. So EventIdx is put just behind the tail, where only a whole lap
 * comes by again, and leap__sqc_poll() takes it along every half of a lap.
 */
void leap__sqc_disarm(struct leap__sqc *sqc);

/*
 * leap__sqc_poll - look for new entries
 * Returns: entries that leap__sqc_take() may copy now, 0 .. size - 1
 * Errors:  -EPROTO tail >= size, or moved backwards over waiting entries
 * Partner: the release store (or fence) in leap__sqp_ring().
 */
static inline int leap__sqc_poll(struct leap__sqc *sqc)
{
	uint32_t tail;
	int n;

	if (!sqc->doorbell)
		return (int)leap__sqc_pending(sqc);
	tail = LEAP_PLANT(MISSING_ACQUIRE_SQ) ?
		leap__load_relaxed(sqc->doorbell) :
		leap__load_acquire(sqc->doorbell);
	if (sqc->window)
		leap__dma_observe();
	n = leap__sqc_accept(sqc, (uint16_t)leap__le32_to_cpu(tail));
	if (n > 0 && leap__ring_dist(sqc->lap, sqc->tail, sqc->size) >=
		     sqc->size / 2)
		leap__sqc_disarm(sqc);
	return n;
}

/*
 * leap__sqc_take - copy the oldest waiting entry out, once
 * @sqe: out, 64 bytes of private memory
 * Needs: leap__sqc_pending() > 0.
 * Returns: its sequence number; the slot is seq % size
 */
static inline uint64_t leap__sqc_take(struct leap__sqc *sqc, void *sqe)
{
	leap__copy_from_shared(sqe, sqc->entries +
			       (size_t)sqc->head * LEAP__SQE_BYTES,
			       LEAP__SQE_BYTES);
	sqc->head = leap__ring_next(sqc->head, sqc->size);
	return sqc->seq++;
}

/*
 * SQHD for a completion: every entry before it has been copied, so the host
 * may reuse the slots.
 */
static inline uint16_t leap__sqc_sqhd(const struct leap__sqc *sqc)
{
	return LEAP_PLANT(EARLY_SLOT_FREE) ? sqc->tail : sqc->head;
}

/*
 * leap__sqc_arm - ask for a kick at the next ring, then look once more
 * Returns: 0: nothing came, a kick will tell (may sleep); > 0: entries wait
 *          (do not sleep; call leap__sqc_disarm() when polling again).
 * Errors:  -EPROTO as leap__sqc_poll.  Needs nothing of trapped doorbells.
 */
int leap__sqc_arm(struct leap__sqc *sqc);

/* ---- CQ producer ------------------------------------------------------ */

/*
 * leap__cqp_init - an empty ring at slot 0, phase 1
 * The entries must be zero (the host's duty; never touched here).
 */
int leap__cqp_init(struct leap__cqp *cqp, const struct leap__ring_opts *opts);

/*
 * leap__cqp_restore - continue where a predecessor stopped
 * @seq:  of the next entry to write; its slot and phase follow from it
 * @head: last value of the head doorbell
 * Errors: -EPROTO @head >= size
 */
int leap__cqp_restore(struct leap__cqp *cqp, uint64_t seq, uint32_t head);

/* As leap__sqc_shadow, with the head. */
int leap__cqp_shadow(struct leap__cqp *cqp, leap_le32 *doorbell,
		     leap_le32 *eventidx);

/* As leap__sqc_trap, for the CQ head doorbell.  Returns: room. */
int leap__cqp_trap(struct leap__cqp *cqp, uint32_t value);

/* Entries that may be posted, as far as known: 0 .. size - 1. */
static inline uint32_t leap__cqp_room(const struct leap__cqp *cqp)
{
	if (LEAP_PLANT(CQ_FULL_IGNORED))
		return cqp->size - 1;
	return cqp->size - 1 - leap__ring_dist(cqp->head, cqp->tail, cqp->size);
}

/*
 * leap__cqp_space - look at the head doorbell
 * Returns: room.  Errors: -EPROTO head >= size or not between the last head
 * and our tail.  Partner: the release store in leap__cqc_ring().
 */
int leap__cqp_space(struct leap__cqp *cqp);

/* The phase of the entry with sequence number @seq: 1 in the first lap. */
static inline uint8_t leap__cq_phase(uint64_t seq, uint32_t size)
{
	return !(seq / size & 1);
}

/*
 * leap__cqp_post - write one completion and publish it
 * The dword with the phase goes last, in one release store.  The peer may act
 * on it at once.
 * Needs: leap__cqp_room() > 0.
 * Partner: the acquire load in leap__cqc_next().
 */
static inline void leap__cqp_post(struct leap__cqp *cqp,
				  const struct leap__cqe *cqe)
{
	struct leap__cqe_wire *e = &cqp->entries[cqp->tail];
	uint32_t st = (uint32_t)cqe->status << 1 | cqp->phase;
	leap_le32 last = leap__cpu_to_le32(cqe->cid | st << 16);

	leap__store_relaxed(&e->result, leap__cpu_to_le64(cqe->dw0 |
				(uint64_t)cqe->dw1 << 32));
	leap__store_relaxed(&e->sq, leap__cpu_to_le32(cqe->sqhd |
				(uint32_t)cqe->sqid << 16));
	if (cqp->window)
		leap__dma_publish();
	if (LEAP_PLANT(MISSING_RELEASE_CQE))
		leap__store_relaxed(&e->last, last);
	else
		leap__store_release(&e->last, last);
	cqp->seq++;
	cqp->tail = leap__ring_next(cqp->tail, cqp->size);
	if (cqp->tail == (LEAP_PLANT(PHASE_OFF_BY_ONE) ? 1 : 0))
		cqp->phase ^= 1;
}

/*
 * leap__cqp_arm - the ring is full and completions wait: ask for a kick when
 * the host moves its head, then look once more
 * Returns: room (0: may sleep).  Errors: -EPROTO
 */
int leap__cqp_arm(struct leap__cqp *cqp);

/*
 * leap__cqp_disarm - not blocked: head updates need no kick
 * Good for a lap, as leap__sqc_disarm(). A producer looks at the head when it
 * seems to be out of room, which is once in a lap at least: the time to say it
 * again.
 */
void leap__cqp_disarm(struct leap__cqp *cqp);

/* ---- CQ consumer ------------------------------------------------------ */

/* The ring must be zeroed before the controller learns of it. */
int leap__cqc_init(struct leap__cqc *cqc, const struct leap__ring_opts *opts);

/* Is a completion there?  A hint: no order, no state. */
static inline bool leap__cqc_ready(const struct leap__cqc *cqc)
{
	leap_le32 last = leap__load_relaxed(&cqc->entries[cqc->head].last);

	return (leap__le32_to_cpu(last) >> 16 & 1) == cqc->phase;
}

/*
 * leap__cqc_next - take one completion
 * Returns: true and *@cqe, or false when there is none
 * Partner: the release store in leap__cqp_post().
 */
static inline bool leap__cqc_next(struct leap__cqc *cqc, struct leap__cqe *cqe)
{
	const struct leap__cqe_wire *e = &cqc->entries[cqc->head];
	uint32_t last, sq;
	uint64_t result;

	last = leap__le32_to_cpu(LEAP_PLANT(MISSING_ACQUIRE_CQE) ?
				 leap__load_relaxed(&e->last) :
				 leap__load_acquire(&e->last));
	if ((last >> 16 & 1) != cqc->phase)
		return false;
	if (cqc->window)
		leap__dma_observe();
	result = leap__le64_to_cpu(leap__load_relaxed(&e->result));
	sq = leap__le32_to_cpu(leap__load_relaxed(&e->sq));
	cqe->dw0 = (uint32_t)result;
	cqe->dw1 = (uint32_t)(result >> 32);
	cqe->sqhd = (uint16_t)sq;
	cqe->sqid = (uint16_t)(sq >> 16);
	cqe->cid = (uint16_t)last;
	cqe->status = (uint16_t)(last >> 17);
	cqc->head = leap__ring_next(cqc->head, cqc->size);
	if (!cqc->head)
		cqc->phase ^= 1;
	return true;
}

/*
 * leap__cqc_ring - give the consumed slots back
 * Returns: as leap__sqp_ring, with cqc->head as the trapped value
 */
int leap__cqc_ring(struct leap__cqc *cqc);

#endif
