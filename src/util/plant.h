/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Planted bugs: switches that put a real bug back, so that the models and the
 * simulator can show that they would have found it.
 *
 *	if (!LEAP_PLANT(LOST_WAKE))
 *		leap__full_fence();
 *
 * LEAP_PLANT(NAME) is the constant 0 in ordinary builds and leaves no trace
 * in the object.  Built with -DLEAP_PLANTED (or -DLEAP_EXPLORE, which implies
 * it) it is true while leap__plant_select(LEAP_PLANT_NAME) holds.  One bug is
 * selected at a time, for the whole test process.  A new bug is one line in
 * LEAP__PLANT_LIST and one LEAP_PLANT() beside the code that it breaks.
 */
#ifndef LEAP__UTIL_PLANT_H
#define LEAP__UTIL_PLANT_H

#include <stddef.h>

#if defined(LEAP_EXPLORE) && !defined(LEAP_PLANTED)
#define LEAP_PLANTED 1
#endif

/*        name                what is broken while it is selected */
#define LEAP__PLANT_LIST(X) \
	/* rings */ \
	X(MISSING_RELEASE_SQ,	"SQ tail published without release") \
	X(MISSING_ACQUIRE_SQ,	"SQ tail observed without acquire") \
	X(MISSING_RELEASE_CQE,	"CQE phase published without release") \
	X(MISSING_ACQUIRE_CQE,	"CQE phase observed without acquire") \
	X(PHASE_OFF_BY_ONE,	"phase flips one entry late on wrap") \
	X(CQ_FULL_IGNORED,	"CQE posted over an unconsumed one") \
	X(EARLY_SLOT_FREE,	"SQ head passed on before the copy") \
	/* sleep and wake */ \
	X(LOST_WAKE,		"sleeper does not fence flag from re-check") \
	X(LOST_KICK,		"producer does not fence publish from flag") \
	X(WAKE_NO_RECHECK,	"sleeper does not look again after arming") \
	X(EVENTIDX_NO_REREAD,	"tail not read again after EventIdx") \
	X(EVENTIDX_NO_FENCE,	"EventIdx not fenced from the re-read") \
	X(DOORBELL_NO_FENCE,	"tail not fenced from reading EventIdx") \
	/* interrupts */ \
	X(IRQ_UNFENCED,		"entries not fenced from who wants to hear") \
	X(IRQ_MODE_UNFENCED,	"who wants to hear not fenced from a look") \
	X(IRQ_NOT_KEPT,		"raised before its eventfd is there: dropped") \
	X(IRQ_END_UNSEEN,	"no look when an eventfd has gone") \
	X(IRQ_MASK_UNFENCED,	"pending not fenced from a look at the mask") \
	X(IRQ_MASKED_UNTOLD,	"masked elsewhere: kept there for ever") \
	/* message queue */ \
	X(MSGQ_MISSING_RELEASE,	"message published without release") \
	/* in-flight record */ \
	X(RECORD_EARLY_FREE,	"slot freed before its CQE is visible") \
	X(RECORD_NO_COMPLETING,	"CQE published without 'completing'") \
	X(RECORD_LATE_STATE,	"slot state visible before its SQE") \
	X(RECORD_REWRITES_CQE,	"recovery rewrites a visible CQE") \
	X(RECORD_REDRIVES_VISIBLE, "a command with a visible CQE runs again") \
	X(RECORD_CQ_BEHIND,	"a shared CQ restored from one record only") \
	X(RECORD_STEPS_OVERTAKE, "a step's stores overtake the one before") \
	X(RECORD_ISSUED_LATE,	"issued visible after the first effect") \
	X(RECORD_LIVE_ONLY,	"heads derived from live slots only") \
	X(MISSING_SIGNAL,	"no interrupt for a published CQE") \
	/* found by tests/fault */ \
	X(LEND_UNFENCED,	"queue pairs of a dead borrower live on") \
	/* data path and others */ \
	X(ACK_BEFORE_FLUSH,	"FLUSH answered before the medium has it") \
	X(STALE_TRANSLATION,	"unmapped range still translates") \
	X(LATE_WRITE_RECONNECT,	"old association's write lands late") \
	X(DOUBLE_FETCH,		"guest memory read again after the check") \
	X(LOST_ABORT,		"aborted command never completes") \
	X(DOUBLE_COMPLETE,	"a command completes twice") \
	X(PIN_LEAK,		"pin not released on the error path") \
	X(FUA_IGNORED,		"FUA write answered from the cache") \
	X(DIGEST_UNCHECKED,	"data digest not compared") \
	X(R2T_OVERLAP,		"R2T window accounting off by one") \
	X(UNREAD_RECONNECT,	"unread write of a dead connection lands") \
	X(ORPHAN_FORGOTTEN,	"orphan that left its leaf stays listed") \
	X(CLAIM_UNASKED,	"compare and write beside writes under way") \
	X(CLAIM_UNSEEN,		"writes begin beside compare and write") \
	X(FSYNC_UNLATCHED,	"failed flush forgotten by the next") \
	X(ZEROES_SHORT,		"Write Zeroes leaves out its last block") \
	X(COMPARE_SHORT,	"Compare leaves out its last byte") \
	X(VERIFY_UNREAD,	"Verify reads nothing") \
	X(LBA_UNSCALED,		"a 4096-byte LBA addressed as a 512-byte one") \
	X(SHM_CHUNK_STUCK,	"later bounce chunks read as the first") \
	X(RESIZE_UNTOLD,	"resize not told to groups and hosts") \
	X(AER_LOST,		"asynchronous event not sent") \
	X(KEEP_ALIVE_NEVER,	"keep alive does not expire") \
	X(BUFFER_LEAK,		"buffers lost with their connection") \
	X(REDRIVE_LOST,		"commands not sent again on reconnection")

enum leap_plant {
	LEAP_PLANT_NONE,
#define LEAP__PLANT_ENUM(name, text) LEAP_PLANT_##name,
	LEAP__PLANT_LIST(LEAP__PLANT_ENUM)
#undef LEAP__PLANT_ENUM
	LEAP_PLANT_NR,
};

/*
 * Points between two steps of a command in guest memory, where a kill leaves a
 * successor something else to find. LEAP_POINT(NAME) is nothing in ordinary
 * builds.
 */
#define LEAP__POINT_LIST(X) \
	X(BEFORE_FETCHED,	"SQE in its slot, which is still free") \
	X(AFTER_FETCHED,	"fetched, nothing done") \
	X(AFTER_ISSUED,		"issued, not yet with the handler") \
	X(BEFORE_POSTED,	"the handler is done") \
	X(COMPLETING,		"the answer is in the slot, no CQE") \
	X(CQE_VISIBLE,		"CQE posted, slot still completing") \
	X(AFTER_POSTED,		"slot free") \
	X(BEFORE_SIGNAL,	"no interrupt for what was posted") \
	X(AFTER_SIGNAL,		"interrupt raised")

enum leap_point {
	LEAP_POINT_NONE,
#define LEAP__POINT_ENUM(name, text) LEAP_POINT_##name,
	LEAP__POINT_LIST(LEAP__POINT_ENUM)
#undef LEAP__POINT_ENUM
	LEAP_POINT_NR,
};

#ifdef LEAP_PLANTED
/* Selects one bug, or LEAP_PLANT_NONE.  Context: setup, test programs. */
void leap__plant_select(enum leap_plant plant);
enum leap_plant leap__plant_selected(void);
/* By name ("LOST_WAKE"); returns LEAP_PLANT_NONE for an unknown one. */
enum leap_plant leap__plant_by_name(const char *name);
const char *leap__plant_name(enum leap_plant plant);
const char *leap__plant_text(enum leap_plant plant);

#define LEAP_PLANT(name) (leap__plant_selected() == LEAP_PLANT_##name)

/*
 * A peer that writes to shared memory at the worst moment: called after each
 * copy out of it. NULL = none.
 */
extern void (*leap__plant_copied)(const void *src, size_t n);

/*
 * Called at every point. NULL: what LEAP_KILL_AT=NAME[:COUNT] in the
 * environment says, that is SIGKILL for this process when it gets to the point
 * for the COUNT-th time.
 */
extern void (*leap__plant_point)(enum leap_point point);
void leap__plant_at(enum leap_point point);
enum leap_point leap__plant_point_by_name(const char *name);
const char *leap__plant_point_name(enum leap_point point);

#define LEAP_POINT(name) leap__plant_at(LEAP_POINT_##name)

#define LEAP_YIELD(src, n) do { \
		if (leap__plant_copied) \
			leap__plant_copied((src), (n)); \
	} while (0)
#else
#define LEAP_PLANT(name) 0
#define LEAP_POINT(name) do { } while (0)
#define LEAP_YIELD(src, n) do { } while (0)
#endif

#endif
