/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmds.h - commands that wait, in the order in which they came
 *
 * By leap_cmd.link[0], which nobody else uses of a command that waits.
 */
#ifndef LEAP_CORE_CTRL_CMDS_H
#define LEAP_CORE_CTRL_CMDS_H

#include <leapio/plugin/transport_ops.h>

struct leap__cmds {
	struct leap_cmd *head, **tail;
};

static inline void leap__cmds_init(struct leap__cmds *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static inline void leap__cmds_push(struct leap__cmds *l, struct leap_cmd *cmd)
{
	cmd->link[0] = NULL;
	*l->tail = cmd;
	l->tail = &cmd->link[0];
}

/* The one at @at, which is &l->head or &link[0] of the one before it. */
static inline struct leap_cmd *leap__cmds_take_at(struct leap__cmds *l,
						  struct leap_cmd **at)
{
	struct leap_cmd *cmd = *at;

	*at = cmd->link[0];
	if (!*at)
		l->tail = at;
	return cmd;
}

/* The first, or NULL. */
static inline struct leap_cmd *leap__cmds_pop(struct leap__cmds *l)
{
	return l->head ? leap__cmds_take_at(l, &l->head) : NULL;
}

/* The first of @vqp, and of those with @cid unless that is < 0; or NULL. */
static inline struct leap_cmd *leap__cmds_take(struct leap__cmds *l,
					       const struct leap_vqp *vqp,
					       int32_t cid)
{
	struct leap_cmd **at;

	for (at = &l->head; *at; at = &(*at)->link[0])
		if ((*at)->vqp == vqp &&
		    (cid < 0 || leap_from_le16((*at)->sqe.cid) == cid))
			return leap__cmds_take_at(l, at);
	return NULL;
}

/* What they end with: Abort named one, or the queue is going. */
static inline leap_status_t leap__abort_status(int32_t cid)
{
	return cid >= 0 ? LEAP_SC_ABORT_REQUESTED : LEAP_SC_ABORT_SQ_DELETED;
}

/* All that leap__cmds_take finds end; how many. */
static inline uint32_t leap__cmds_abort(struct leap__cmds *l,
					const struct leap_vqp *vqp, int32_t cid)
{
	struct leap_cmd *cmd;
	uint32_t found = 0;

	for (; (cmd = leap__cmds_take(l, vqp, cid)); found++)
		leap_cmd_complete(cmd, leap__abort_status(cid));
	return found;
}

#endif
