/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farmem_lane.h - far memory and its lanes, from the inside
 */
#ifndef LEAP_RDMA_FARMEM_LANE_H
#define LEAP_RDMA_FARMEM_LANE_H

#include <pthread.h>

#include "transport/rdma/farmem.h"

struct leap__farmem_queue {
	struct leap_ats_io *head, **tail;
};

struct leap__farmem_lane {
	struct leap__rdma_conn c;	/* first */
	struct leap_farmem *far;
	struct leap_pollgroup *pg;
	struct leap__farmem_lane *in_group;
	struct leap__farmem_lane *next;	/* farmem's, under its lock */
	struct leap_timer retry, tick;
	struct leap_msg work;
	struct leap__farmem_queue wait, out;
	uint32_t nr_out;
	/* As the share said to this connection; ranges have r->mem, and what
	 * they say is translated. */
	struct leap__farmem_mem mem;
	uint8_t busy;			/* c is in use */
	uint8_t closing;
	/* When something moved last, or the first of what waits came. A new
	 * connection is not progress: the next one may be lost as well. */
	uint64_t since_ns;
	struct leap_farmem_info count;	/* written by its thread only */
};

struct leap_farmem {
	struct leap_pollgroup *pg;
	pthread_mutex_t lock;		/* lanes */
	struct leap__farmem_lane *lanes;
	struct leap_ats_ops ops;
	struct leap__farmem_mem mem;
	struct sockaddr_storage addr;
	uint64_t loss_ns;
	uint32_t reconnect_ms;
	uint32_t depth;
	uint32_t stale;			/* the share is not what it was */
	uint32_t nr_left;		/* lanes, and one for close */
	uint8_t known;			/* mem; opened has run */
	uint8_t token[LEAP_SHARE_TOKEN];
	void (*opened)(struct leap_farmem *far, int err, void *arg);
	void *arg;
	struct leap_msg end;
	void (*closed)(void *arg);
	void *closed_arg;
};

/* farmem_lane.c */

/* As leap_ats_ops.move; @arg is the far memory. */
int leap__farmem_move(void *arg, const struct leap_piece *remote, void *buf,
		     int out, struct leap_ats_io *io);
/* The first lane; it is not connected yet. NULL = no memory. */
struct leap__farmem_lane *leap__farmem_lane_make(struct leap_farmem *r,
					       struct leap_pollgroup *pg);
int leap__farmem_lane_connect(struct leap__farmem_lane *l);
void leap__farmem_lane_add(struct leap_farmem *r, struct leap__farmem_lane *l);
void leap__farmem_lane_free(struct leap__farmem_lane *l);
/* Sent to the lane's thread: its end, and then leap__farmem_leave. */
void leap__farmem_lane_close(struct leap_msg *msg);

/* farmem.c */

/* A lane is gone, or its user; the last one ends it. */
void leap__farmem_leave(struct leap_farmem *r);

#endif
