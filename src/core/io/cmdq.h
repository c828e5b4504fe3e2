/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmdq.h - commands of a controller end in a row, by their first link: those
 * that wait for room, those that are to be answered
 */
#ifndef LEAP_CORE_IO_CMDQ_H
#define LEAP_CORE_IO_CMDQ_H

#include <leapio/plugin/transport_ops.h>

struct leap__cmdq {
	struct leap_cmd *head, **tail;
};

static inline void leap__cmdq_init(struct leap__cmdq *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static inline void leap__cmdq_push(struct leap__cmdq *q, struct leap_cmd *cmd)
{
	cmd->link[0] = NULL;
	*q->tail = cmd;
	q->tail = &cmd->link[0];
}

/* Not of an empty one. */
static inline struct leap_cmd *leap__cmdq_pop(struct leap__cmdq *q)
{
	struct leap_cmd *cmd = q->head;

	q->head = cmd->link[0];
	if (!q->head)
		q->tail = &q->head;
	return cmd;
}

/*
 * leap__cmdq_retry - @start each, in their order, until one answers 0: not now
 *
 * What @start pushes meanwhile queues up behind.
 */
static inline void leap__cmdq_retry(struct leap__cmdq *q,
				    int (*start)(struct leap_cmd *cmd))
{
	struct leap__cmdq old = *q;

	leap__cmdq_init(q);
	while (old.head) {
		struct leap_cmd *next = old.head->link[0];

		if (!start(old.head))
			break;
		old.head = next;
	}
	if (!old.head)
		return;
	*old.tail = q->head;
	if (q->head)
		old.tail = q->tail;
	*q = old;
}

#endif
