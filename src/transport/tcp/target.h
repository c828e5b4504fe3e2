/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h - the inside of a controller end: what target.c, target_data.c and
 * target_tx.c share, and nobody else sees
 *
 *	wait: pull found no buffers   r2t: R2Ts to send   done: answers to send
 *	slot: TTAG, in-capsule place, and pieces of a command that needs them
 */
#ifndef LEAP_TCP_TARGET_H
#define LEAP_TCP_TARGET_H

#include "core/io/cmdq.h"
#include "transport/tcp/tcp.h"

#define NO_SLOT 0xffffu
#define SGL_BAD		1u	/* in-capsule descriptor leaves the capsule */
#define RECEIVING	2u	/* R2T is out or queued */
#define IN_R2T		4u	/* on the r2t queue */
#define DIGEST_BAD	8u

/* What the transport keeps in cmd->priv. */
struct tcmd {
	struct leap__tcp_cursor cur;	/* where H2CData goes on */
	uint32_t got;		/* H2CData received, bytes */
	uint32_t asked;		/* covered by R2Ts sent */
	uint32_t r2t_end;	/* end of the R2T being answered */
	uint32_t unit;		/* bytes of one R2T */
	uint32_t in_capsule;	/* bytes that came with the capsule */
	uint16_t slot;
	uint16_t open;		/* R2Ts outstanding */
	uint16_t nr_bufs;	/* of the poll group, in pieces[] */
	uint8_t dir;
	uint8_t flags;
};

LEAP_STATIC_ASSERT(sizeof(struct tcmd) <=
		   sizeof(((struct leap_cmd *)0)->priv));

struct slot {
	struct leap_cmd *cmd;
	uint16_t gen;
	uint16_t next;
};

/* A capsule that waits for a command; its data follows. */
struct aside {
	struct leap_sqe sqe;
	struct leap__tcp_shape shape;
};

struct target {
	struct leap_vqp vqp;		/* first */
	struct leap__tcp_conn c;
	struct leap__tcp_limits limits;
	uint32_t inflight;		/* arrived, answer not gathered */
	uint32_t receiving;		/* commands with RECEIVING */
	uint32_t max_open;		/* R2Ts per command: MAXR2T + 1 */
	uint32_t max_bufs;		/* of the largest command */
	uint32_t nr_bufs;		/* of the poll group, held now */
	uint32_t progress;		/* data PDUs seen,
					 * for the stall timer */
	uint32_t seen[2];
	uint16_t sqhd;
	uint16_t free_slot;
	uint8_t live;			/* Connect has succeeded */
	uint8_t ic_due;			/* ICResp is to be sent */
	uint8_t stall_timer;
	uint8_t slot_bits;
	struct slot *slots;
	uint8_t *places;		/* see place_of */
	uint32_t capsule_bytes;		/* of a large one */
	struct leap_dmabuf *places_mem;	/* when payload is shared */
	uint8_t *own;			/* max_data, for one command ... */
	struct leap_cmd *own_cmd;	/* ... this one, NULL = unused */
	struct leap_piece *pieces;	/* max_depth x max_bufs */
	uint8_t *aside;			/* ring of max_depth,
					 * made when needed */
	uint32_t aside_head, nr_aside;
	struct leap__cmdq wait, r2t, done;
	struct leap_cmd *sending;	/* payload is in the pending send */
	struct leap_cmd *tx_cmd;	/* its payload is being gathered */
	struct leap_cmd *rx_cmd;	/* its payload is arriving */
	struct leap_cmd *connect;	/* has arrived, behind an R2T that is
					 * being sent */
	uint8_t ic_dgst;
};

static inline struct tcmd *priv(struct leap_cmd *cmd)
{
	return (struct tcmd *)cmd->priv;
}

static inline struct target *of_conn(struct leap__tcp_conn *c)
{
	return (struct target *)((char *)c - offsetof(struct target, c));
}

/*
 * Where a slot has @bytes of payload, up to capsule_bytes: a small place or a
 * large one. The small ones lie side by side, page by page: 4 KiB reads are a
 * tenth faster with it than from places that have a page between them.
 */
#define SMALL_PLACE 4096u

static inline uint8_t *place_of(const struct target *t, uint16_t slot,
				uint32_t bytes)
{
	if (bytes <= SMALL_PLACE)
		return t->places + (size_t)slot * SMALL_PLACE;
	return t->places + (size_t)t->limits.max_depth * SMALL_PLACE +
	       (size_t)slot * t->capsule_bytes;
}

/* Returns 0: the PDU counts as taken. */
static inline int fatal(struct target *t, const union leap__tcp_pdu *pdu,
			uint16_t fes, uint32_t fei)
{
	struct leap__tcp_bad bad = { fes, fei };

	leap__tcp_fatal(&t->c, &bad, pdu, pdu->hdr.hlen);
	return 0;
}

/* target.c: commands may have come back: capsules put aside, in their order. */
void leap__tcp_retry_aside(struct target *t);

/* target_tx.c: of struct leap__tcp_end. */
void leap__tcp_target_gather(struct leap__tcp_conn *c);
void leap__tcp_target_sent(struct leap__tcp_conn *c);

/* target_data.c */

/* A slot for @cmd, or 0: none is free. */
int leap__tcp_slot_get(struct target *t, struct leap_cmd *cmd);

/* All of what a command holds goes back, and the command too. */
void leap__tcp_release(struct target *t, struct leap_cmd *cmd);

/* R2Ts of the first in t->r2t. */
void leap__tcp_gather_r2t(struct target *t, struct leap_cmd *cmd);

/* Buffers may have come back: t->wait, in its order. */
void leap__tcp_retry_waiting(struct target *t);

int leap__tcp_on_data(struct target *t, const union leap__tcp_pdu *pdu,
		      const struct leap__tcp_shape *s);
void leap__tcp_data_end(struct leap__tcp_conn *c, int ddgst_ok);
/* All of its data is there. */
void leap__tcp_data_ready(struct target *t, struct leap_cmd *cmd);

#endif
