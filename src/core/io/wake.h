/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sleeping without losing a wake-up: one sleeper (a poll group), N producers.
 *
 *	sleeper                            producer
 *	S1 flag = 1                        P1 publish the work (release)
 *	S2 full fence                      P2 full fence
 *	S3 look at the source again        P3 read the flag
 *	S4 nothing there: sleep on fd      P4 set: take it off, signal the fd
 *
 * Why nothing is lost: S2 and P2 order each side's store before its load, so
 * of S3 and P3 at least one sees the other's store.  If S3 sees the work there
 * is no sleep; if P3 sees the flag there is a signal, and an eventfd keeps it
 * until S4 reads it.  Both may happen: one needless turn.  The exchange of P4
 * lets one of N producers signal; the others' work was published before they
 * found the flag gone, and the sleeper looks at every source after a wake-up.
 *
 * Two forms of flag:
 *  (a) EventIdx of a shadow doorbell: leap__sqc_arm() and leap__cqp_arm() do
 *      S1 to S3 for one ring, leap__sqp_ring() and leap__cqc_ring() P1 to P3.
 *      Every word has one writer, so that form also works across a window.
 *  (b) a "need wake" word, for shm rings without EventIdx and for message
 *      queues: this file.  The producer writes the word too, so sleeper and
 *      producers must share coherent memory.  In memory shared with a process
 *      that is not trusted it can cost that process its own wake-ups, or us
 *      needless ones, and nothing else: give each peer its own word.
 *
 * Context: arm, disarm, prepare, cancel: owner.  wanted, kick, signal: any.
 */
#ifndef LEAP__CORE_IO_WAKE_H
#define LEAP__CORE_IO_WAKE_H

#include "util/atomic.h"
#include "util/endian.h"

#include <stdbool.h>
#include <stdint.h>

/* What a producer holds: the sleeper's word and the eventfd it sleeps on. */
struct leap__wake {
	leap_le32 *word;	/* 0: awake; any other value: wake me */
	int fd;
};

/* S1 and S2.  The caller looks at its source again before it sleeps. */
void leap__wake_arm(leap_le32 *word);

/* Awake: no signals please.  Needs no order: a late signal is harmless. */
void leap__wake_disarm(leap_le32 *word);

/*
 * leap__wake_wanted - P2 to P4, after the work has been published
 * Returns: true when the caller must signal the sleeper's fd
 */
bool leap__wake_wanted(leap_le32 *word);

/*
 * leap__wake_signal - make @fd (an eventfd) readable
 * Returns: 0; a full counter counts as success, it is readable.
 * Errors: those of write(2)
 */
int leap__wake_signal(int fd);

/* leap__wake_drain - make @fd (a non-blocking eventfd) unreadable again. */
void leap__wake_drain(int fd);

/*
 * leap__wake_kick - wanted, and then signal
 * Returns: 1 signalled, 0 not needed.  Errors: as leap__wake_signal
 */
int leap__wake_kick(const struct leap__wake *wake);

/*
 * A thing that can have work for a sleeper.
 * @arm:    S1 to S3: ask to be woken, then look; returns > 0 when work (or an
 *          error to be reported) waits, 0 when a wake-up is now sure to come
 * @disarm: polling again; may be called when not armed
 */
struct leap__wake_source {
	int (*arm)(struct leap__wake_source *src);
	void (*disarm)(struct leap__wake_source *src);
	struct leap__wake_source *next;
};

/*
 * leap__wake_prepare - arm every source of the list
 * Returns: 0: every source is armed and empty, sleep now; > 0: one has work
 *          and none is armed any more
 */
int leap__wake_prepare(struct leap__wake_source *list);

/* leap__wake_cancel - after a sleep: disarm every source. */
void leap__wake_cancel(struct leap__wake_source *list);

/*
 * leap__wake_arm_check - the arm slot of a source with a need-wake word
 * @pending: looks at the source; > 0 when there is work
 */
int leap__wake_arm_check(leap_le32 *word, int (*pending)(void *arg), void *arg);

#endif
