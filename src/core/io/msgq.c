/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mpsc message queue between poll groups: a list that producers push onto
 * and the consumer takes off whole.  Sits beside wake.c, whose protocol it
 * uses; knows nothing of what messages mean.
 */
#include "core/io/msgq.h"
#include "util/plant.h"

#include <stddef.h>

static void push(struct leap__msgq *q, struct leap__msg *msg)
{
	struct leap__msg *top = leap__load_relaxed(&q->top);
	int done;

	/*
	 * Release: msg->next and what the message carries are visible to the
	 * exchange in leap__msgq_take().  Later pushes keep that promise for
	 * earlier messages, as each is a read-modify-write of the same word.
	 */
	do {
		leap__store_relaxed(&msg->next, top);
		if (LEAP_PLANT(MSGQ_MISSING_RELEASE))
			done = leap__compare_exchange_relaxed(&q->top, &top,
							      msg);
		else
			done = leap__compare_exchange(&q->top, &top, msg);
	} while (!done);
}

bool leap__msgq_send(struct leap__msgq *q, struct leap__msg *msg,
		     leap_le32 *need)
{
	push(q, msg);
	return leap__wake_wanted(need);
}

struct leap__msg *leap__msgq_take(struct leap__msgq *q)
{
	struct leap__msg *msg, *older, *list = NULL;

	if (!leap__load_relaxed(&q->top))
		return NULL;
	msg = leap__exchange(&q->top, NULL);
	/* Newest first until here; turn it round. */
	for (; msg; msg = older) {
		older = leap__load_relaxed(&msg->next);
		msg->next = list;
		list = msg;
	}
	return list;
}

int leap__msgq_arm(struct leap__msgq *q, leap_le32 *need)
{
	leap__wake_arm(need);
	if (LEAP_PLANT(WAKE_NO_RECHECK))
		return 0;
	return !leap__msgq_empty(q);
}
