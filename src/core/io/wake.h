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
 * Context: arm, disarm: owner.  wanted, signal: any.
 */
#ifndef LEAP__CORE_IO_WAKE_H
#define LEAP__CORE_IO_WAKE_H

#include "util/atomic.h"
#include "util/endian.h"

#include <stdbool.h>

/* S1 and S2: the word is not 0.  The caller looks at its source again before it
 * sleeps. */
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

#endif
