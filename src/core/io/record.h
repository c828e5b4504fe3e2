/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slots: the commands of one submission queue that have been fetched and not
 * completed, by our own tag (guest command ids are sparse and may repeat).
 *
 *	             fetch          issue           complete
 *	   FREE ---------> FETCHED -----> ISSUED ------------> FREE
 *	    ^                 |              |    (COMPLETING, CQE visible)
 *	    '-----------------+---- drop ----'
 *
 * Every transition, and every CQE, goes through leap__slot_advance(), whether
 * an in-flight record (<leapio/record.h>) is attached or not; the other calls
 * are its spellings.  What the runtime relies on is its private array; an
 * attached record is written only, in the order that a successor needs, and
 * read by leap__slots_recover() alone.
 *
 * What the order buys, for a kill after any store:
 *  - FETCHED becomes visible after the SQE copy, and a CQE whose SQHD passes
 *    the entry after that: the host cannot have overwritten an SQE that the
 *    record does not hold.  Not yet FETCHED: the successor fetches it again.
 *  - ISSUED becomes visible before the command can have had an effect.  Across
 *    a window that holds for effects that travel the same way (guest memory,
 *    doorbells behind it); a leaf whose medium lies on this side, and which
 *    may not run a command twice, has to keep its own journal.
 *  - COMPLETING, with the CQE's place and contents, becomes visible before the
 *    phase; FREE after it.  COMPLETING and the phase visible: free it, the
 *    host has its answer.  COMPLETING and no phase: post that answer.
 *
 * One thread serves a queue, and all queues that share its CQ.
 */
#ifndef LEAP__CORE_IO_RECORD_H
#define LEAP__CORE_IO_RECORD_H

#include "core/io/ring.h"

#include <leapio/record.h>

struct leap__slot {
	uint64_t seq;			/* its place in the SQ's history */
	uint8_t state;			/* enum leap_record_state */
};

struct leap__slots {
	struct leap_record_slot *shared;	/* NULL: no record attached */
	struct leap__slot *slot;		/* what we believe: [nr] */
	uint16_t *free;				/* stack of free tags */
	uint32_t nr;
	uint32_t nr_free;
	uint16_t sqid;
	bool window;
};

/* What leap__slot_advance() is told, by target state. */
struct leap__slot_step {
	enum leap_record_state to;
	const void *sqe;		/* FETCHED: private copy, 64 bytes */
	uint64_t seq;			/* FETCHED */
	struct leap__cqp *cqp;		/* COMPLETING */
	const struct leap__cqe *cqe;	/* COMPLETING */
};

/*
 * leap__slots_init - @nr slots without a record
 * Owns: its private arrays (leap__slots_fini).  Context: setup
 * Errors: -EINVAL @nr 0 or > 65535, -ENOMEM
 */
int leap__slots_init(struct leap__slots *s, uint32_t nr);
void leap__slots_fini(struct leap__slots *s);

/* What the queue's record must say; the runtime has it from the link. */
struct leap__record_where {
	void *mem;			/* borrowed until fini or detach */
	size_t bytes;
	uint32_t sq_size;
	uint32_t cq_size;
	uint16_t sqid;			/* for the CQEs of repost */
	uint16_t cqid;
	bool window;			/* reached through PCIe */
};

/* What a command found in a record needs. */
enum leap__redo_act {
	LEAP__REDO_RUN,		/* check and run as if just fetched */
	LEAP__REDO_FAIL,	/* complete with an error and do-not-retry */
	LEAP__REDO_POST,	/* it was done: complete with @cqe */
};

struct leap__redo {
	uint8_t sqe[LEAP__SQE_BYTES];	/* private copy; not checked */
	uint64_t seq;
	uint64_t note;
	struct leap__cqe cqe;		/* POST: dw0, dw1, status */
	uint16_t tag;
	uint8_t act;			/* enum leap__redo_act */
};

struct leap__recovery {
	/* in */
	const struct leap__cqe_wire *cqes;	/* the CQ's ring, cq_size */
	/*
	 * May an issued command run again?  @sqe is a private copy.  NULL: all
	 * may.  Called for issued commands only.
	 */
	bool (*may_rerun)(const void *sqe, uint64_t note, void *arg);
	void *arg;
	/* out */
	struct leap__redo *redo;	/* array of slots.nr, the caller's */
	uint32_t nr;			/* entries in it, in fetch order */
	uint64_t sq_seq;		/* leap__sqc_restore */
	uint64_t cq_seq;		/* leap__cqp_restore: the largest of
					 * all queues that share the CQ */
	bool signal;			/* signal the CQ's vector once */
};

/*
 * leap__slots_attach - put an empty, freshly formatted record under @s
 * Needs: all slots free.  Context: setup
 * Errors: -EPROTO the header is not what @where says, or slots were used;
 *         -EBUSY slots in use
 */
int leap__slots_attach(struct leap__slots *s,
		       const struct leap__record_where *where);

/*
 * leap__slots_recover - take over what a predecessor left
 * The predecessor must have been fenced.  @s is fresh from leap__slots_init
 * with as many slots as the record has.  Afterwards the commands of @rec->redo
 * hold their slots and every other slot is free; the caller
 *  1. restores its rings from sq_seq and cq_seq,
 *  2. calls leap__slots_repost(),
 *  3. when @rec->signal says so, signals the CQ's vector once, wanted or not:
 *     the predecessor may have died between a CQE and its interrupt,
 *  4. goes on with redo in order, as with commands just fetched,
 *  5. polls the SQ: rung and not fetched is not in the record.
 * Reads every word of the record once.  Context: setup
 * Errors: -EPROTO the record is not what @where says, or no series of steps
 *         can have left it so: @s is as before; reset the controller
 */
int leap__slots_recover(struct leap__slots *s,
			const struct leap__record_where *where,
			struct leap__recovery *rec);

/*
 * leap__slots_repost - post the answers that a predecessor no longer could
 * Call it for every queue of a CQ after leap__sqc_restore() and
 * leap__cqp_restore(), before anything else is posted there: their place in
 * the CQ is in the record, and a successor of ours would take any other CQE
 * there for theirs.  Removes the LEAP__REDO_POST entries from @rec->redo.
 * Returns: how many were posted.  Errors: -EPROTO no room: there was when the
 *          place was taken, so a head doorbell lies
 */
int leap__slots_repost(struct leap__slots *s, struct leap__recovery *rec,
		       const struct leap__sqc *sqc, struct leap__cqp *cqp);

/* leap__slots_detach - stop writing the record; the slots go on. */
void leap__slots_detach(struct leap__slots *s);

/*
 * leap__slot_advance - the only way a slot changes state and a CQE is posted
 * Returns: 0.  For COMPLETING the slot is free again on return.
 * Errors: -EAGAIN COMPLETING and the CQ is full as far as known (the slot is
 *         as before; try again when leap__cqp_space() has found room);
 *         -EINVAL no such transition: our bug
 */
int leap__slot_advance(struct leap__slots *s, uint16_t tag,
		       const struct leap__slot_step *step);

/*
 * leap__slot_fetch - copy the oldest waiting entry of @sqc into a slot
 * @sqe: out, 64 bytes of private memory: check and use this copy
 * Needs: leap__sqc_pending() > 0.
 * Returns: the tag.  Errors: -EAGAIN no slot free: stop fetching
 */
int leap__slot_fetch(struct leap__slots *s, struct leap__sqc *sqc, void *sqe);

/* Before the first effect: the command leaves for a layer that acts on it. */
int leap__slot_issue(struct leap__slots *s, uint16_t tag);

int leap__slot_complete(struct leap__slots *s, uint16_t tag,
			struct leap__cqp *cqp, const struct leap__cqe *cqe);

/* Without a CQE: its queue is being deleted or reset. */
static inline int leap__slot_drop(struct leap__slots *s, uint16_t tag)
{
	const struct leap__slot_step step = { .to = LEAP_RECORD_FREE };

	return leap__slot_advance(s, tag, &step);
}

/*
 * leap__slot_note - leave a word for a successor's may_rerun
 * Visible before anything the caller stores or submits afterwards.
 */
void leap__slot_note(struct leap__slots *s, uint16_t tag, uint64_t note);

#endif
