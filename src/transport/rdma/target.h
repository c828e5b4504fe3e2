/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h - the inside of a controller end: what target.c and target_data.c
 * share, and nobody else sees
 *
 *	slot: a receive, of our own or of shared ones; it is the command's while
 *	its capsule has data there
 *	wait: pull found no buffers, or too many READs are out
 *	done: answers to post
 */
#ifndef LEAP_RDMA_TARGET_H
#define LEAP_RDMA_TARGET_H

#include "transport/rdma/rdma.h"
#include "transport/rdma/srq.h"

#define NO_SLOT		UINT32_MAX
#define READING		1u	/* an RDMA READ is out */

/* What was posted, for end->sent. */
enum {
	SENT_READ = 1,		/* the last READ of a command */
	SENT_ANSWER,
};

/* What the transport keeps in cmd->priv. */
struct tcmd {
	/* What the descriptor means: the host's memory, one-sided, or a part of
	 * the capsule, a message. */
	struct leap_piece data;
	uint32_t slot;		/* of a capsule with data, or NO_SLOT */
	uint32_t lkey;		/* of its buffers */
	uint16_t nr_bufs;	/* of the poll group, in pieces[] */
	uint8_t dir;
	uint8_t flags;
	uint8_t invalidate;	/* the host wants its key invalidated */
};

LEAP_STATIC_ASSERT(sizeof(struct tcmd) <=
		   sizeof(((struct leap_cmd *)0)->priv));

struct queue {
	struct leap_cmd *head, **tail;
};

/* A capsule that waits for a command. */
struct held {
	uint32_t slot;
	uint32_t bytes;
};

struct target {
	struct leap_vqp vqp;		/* first */
	struct leap__rdma_conn c;
	struct leap__rdma_ask ask;
	struct leap__rdma_srq *srq;	/* shared receives, or NULL */
	uint32_t depth;			/* receives, and answers */
	uint32_t nr_slots;		/* that commands have */
	uint32_t inflight;		/* arrived, answer not posted */
	uint32_t reads, max_reads;	/* READs of the host's memory */
	uint32_t nr_bufs;		/* of the poll group, held now */
	uint32_t max_bufs;		/* of the largest command */
	uint32_t inline_bytes;
	uint16_t sqhd;
	uint8_t live;			/* Connect has succeeded */
	uint8_t hold;			/* deliver nothing: Connect is out */
	/* Registered: SQEs, in-capsule data, CQEs; and pieces beside. Receives
	 * that are shared are with srq. */
	uint8_t *mem;
	struct leap_cqe *cqes;		/* by sequence of the send queue */
	uint8_t *sqes, *capsules;
	uint32_t lkey;
	uint32_t capsule_bytes;		/* of one */
	uint32_t sends, nr_cqes;
	struct leap_piece *pieces;	/* (depth + 1) x max_bufs, or NULL */
	uint32_t *free_pieces;		/* stack of lists in pieces */
	uint32_t nr_free_pieces;
	struct held *held;		/* ring of depth */
	uint32_t held_head, nr_held;
	struct queue wait, done;
	struct leap_cmd *out;		/* with a READ out or posted, linked */
};

static inline struct tcmd *priv(struct leap_cmd *cmd)
{
	return (struct tcmd *)cmd->priv;
}

static inline struct target *of_conn(struct leap__rdma_conn *c)
{
	return (struct target *)((char *)c - offsetof(struct target, c));
}

static inline void push(struct queue *q, struct leap_cmd *cmd)
{
	cmd->link[0] = NULL;
	*q->tail = cmd;
	q->tail = &cmd->link[0];
}

static inline struct leap_cmd *pop(struct queue *q)
{
	struct leap_cmd *cmd = q->head;

	q->head = cmd->link[0];
	if (!q->head)
		q->tail = &q->head;
	return cmd;
}

/* All that is posted, so that the end of the queue pair finds it. */
static inline void out_add(struct target *t, struct leap_cmd *cmd)
{
	cmd->link[0] = t->out;
	cmd->link[1] = NULL;
	if (t->out)
		t->out->link[1] = cmd;
	t->out = cmd;
}

static inline void out_del(struct target *t, struct leap_cmd *cmd)
{
	if (cmd->link[1])
		cmd->link[1]->link[0] = cmd->link[0];
	else
		t->out = cmd->link[0];
	if (cmd->link[0])
		cmd->link[0]->link[1] = cmd->link[1];
}

/* target_data.c */

/* A receive is done with. */
void leap__rdma_slot_back(struct target *t, uint32_t slot);

/* All of what a command holds goes back, and the command too. */
void leap__rdma_release(struct target *t, struct leap_cmd *cmd);

/* What its descriptor says; the handler asks for it later or not at all. */
void leap__rdma_describe(struct target *t, struct leap_cmd *cmd,
			 uint32_t slot, uint32_t capsule_data);

/* Buffers or READs may have become free: t->wait, in its order. */
void leap__rdma_retry_waiting(struct target *t);

/* RDMA WRITEs of a command's payload, and its answer; 0 = no room. */
int leap__rdma_post_answer(struct target *t, struct leap_cmd *cmd);

#endif
