/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h - the inside of a controller end: what target.c, target_data.c and
 * target_held.c share, and nobody else sees
 *
 *	slot: a receive, of our own or of shared ones, or behind those a place
 *	aside; it is the command's while its capsule has data there
 *	wait: pull found no buffers, or too many READs are out
 *	done: answers to post
 */
#ifndef LEAP_RDMA_TARGET_H
#define LEAP_RDMA_TARGET_H

#include "core/io/cmdq.h"
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
	uint32_t nr_recvs;		/* slots that are receives */
	uint32_t nr_kept;		/* of those, not posted again */
	uint32_t inflight;		/* arrived, answer not posted */
	uint32_t reads, max_reads;	/* READs of the host's memory */
	uint32_t nr_bufs;		/* of the poll group, held now */
	uint32_t max_bufs;		/* of the largest command */
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
	struct leap_piece *pieces;	/* depth x max_bufs, or NULL */
	uint32_t *free_pieces;		/* stack of lists in pieces */
	uint32_t nr_free_pieces;
	struct held *held;		/* ring of depth */
	uint32_t held_head, nr_held;
	/* Places for capsules instead of shared receives; NULL = not yet. */
	uint8_t *aside;
	uint32_t *free_aside;		/* stack of slots */
	uint32_t nr_free_aside;
	struct leap__cmdq wait, done;
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

/* target_held.c */

uint8_t *leap__rdma_aside_sqe(const struct target *t, uint32_t slot);
uint8_t *leap__rdma_aside_data(const struct target *t, uint32_t slot);

static inline int is_aside(const struct target *t, uint32_t slot)
{
	return __builtin_expect(slot >= t->nr_recvs, 0);
}

/* Where a capsule lies. */
static inline uint8_t *slot_sqe(const struct target *t, uint32_t slot)
{
	return is_aside(t, slot) ? leap__rdma_aside_sqe(t, slot) :
	       t->sqes + (size_t)slot * LEAP_SQE_SIZE;
}

static inline uint8_t *slot_data(const struct target *t, uint32_t slot)
{
	return is_aside(t, slot) ? leap__rdma_aside_data(t, slot) :
	       t->capsules + (size_t)slot * t->capsule_bytes;
}

/* A slot is done with. */
void leap__rdma_slot_back(struct target *t, uint32_t slot);

/* 1 = it keeps more of the shared receives than it may for as long as a command
 * takes. */
int leap__rdma_is_greedy(const struct target *t);

/* Another slot for a capsule in a receive, of which @len bytes of data at @at
 * are of use. Without memory it stays where it is. */
void leap__rdma_put_aside(struct target *t, uint32_t *slot, uint32_t at,
			  uint32_t len);
void leap__rdma_aside_free(struct target *t);

/* Capsules that wait for a command, in their order. The one that came last is
 * put aside if it has to be. */
void leap__rdma_hold(struct target *t, uint32_t slot, uint32_t bytes);
void leap__rdma_hold_aside(struct target *t);
uint32_t leap__rdma_unhold(struct target *t);

/* target_data.c */

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
