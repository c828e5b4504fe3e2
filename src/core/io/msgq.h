/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages between poll groups of one process: an intrusive queue with many
 * producers and one consumer (mpsc).
 *
 * Producers push onto a list by compare-and-exchange; the consumer takes the
 * whole list with one exchange and turns it round, so messages arrive in the
 * order in which the pushes took effect, and in order from each producer.
 * Push is lock-free, take is wait-free; an idle look is one relaxed load; no
 * ABA, as nothing but a whole list is ever taken off.
 *
 * The queue borrows a message from push until take returns it; then the
 * consumer owns it and may push it again, anywhere.
 */
#ifndef LEAP__CORE_IO_MSGQ_H
#define LEAP__CORE_IO_MSGQ_H

#include "core/io/wake.h"
#include "util/atomic.h"

#include <stdbool.h>

/* Embedded in the caller's message. */
struct leap__msg {
	struct leap__msg *next;
};

/* Empty when zeroed. */
struct leap__msgq {
	struct leap__msg *top;		/* newest first; shared */
};

/*
 * leap__msgq_send - append: P1 to P4 of wake.h, but for the signal
 * @need: the consumer's need-wake word
 * Returns: true when the caller must wake the consumer.  Context: any
 */
bool leap__msgq_send(struct leap__msgq *q, struct leap__msg *msg,
		     leap_le32 *need);

/* leap__msgq_empty - nothing there (a hint).  Context: owner. */
static inline bool leap__msgq_empty(struct leap__msgq *q)
{
	return !leap__load_relaxed(&q->top);
}

/*
 * leap__msgq_take - everything there, oldest first, linked by ->next
 * Returns: NULL when empty.  The caller reads ->next before it gives a
 *          message away.  Context: owner
 */
struct leap__msg *leap__msgq_take(struct leap__msgq *q);

/*
 * leap__msgq_arm - S1 to S3 of wake.h for this queue
 * Returns: 1 when a message waits, 0 when the next send will signal.
 * Context: owner
 */
int leap__msgq_arm(struct leap__msgq *q, leap_le32 *need);

#endif
