/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h - the inside of a controller end: what target.c and target_data.c
 * share, and nobody else sees
 */
#ifndef LEAP_SHM_TARGET_H
#define LEAP_SHM_TARGET_H

#include <leapio/ats.h>
#include <leapio/nvmf.h>

#include "core/io/ring.h"
#include "core/io/transport.h"
#include "transport/shm/chan.h"
#include "transport/shm/shm.h"

struct array;

struct target {
	struct leap_vqp vqp;		/* first */
	struct leap__shm_chan chan;
	struct leap_timer timer;	/* for HELLO; then for the end */
	struct leap_dmabuf *mem;
	uint64_t mapped;		/* bytes of it and of its regions */
	struct leap_ats *ats;
	struct leap_ats_view *view;
	struct leap__sqc sqc;
	struct leap__cqp cqp;
	leap_le32 *host_wake;
	struct leap_poller poller;
	struct leap__defer end_of_batch;
	struct leap_cmd *blocked;	/* completions without room, in order */
	struct leap_cmd **blocked_tail;
	struct leap_cmd *waiting;	/* pulls without an array, in order */
	struct leap_cmd **waiting_tail;
	struct array *arrays;		/* free ones, of target_data.c */
	struct array *all_arrays;
	bool giving;			/* them to those that wait */
	bool attached;			/* rings are set up */
	bool starved;			/* until vqp_resume */
	bool armed;
	bool posted;			/* since the last wake decision */
	bool *moved;			/* of fetch: set by detach */
	bool closing;
	uint8_t connect_data[sizeof(struct leap_connect_data)];
};

static inline struct target *of_vqp(struct leap_vqp *vqp)
{
	return (struct target *)vqp;
}

/* target_data.c */

/* 0, -ENOMEM */
int leap__shm_arrays_init(struct target *t);

/* The payload of a command is not needed any more. */
void leap__shm_array_put(struct target *t, struct leap_cmd *cmd);

static inline void payload_put(struct target *t, struct leap_cmd *cmd)
{
	if (cmd->pins.nr)
		leap_ats_release(t->view, &cmd->pins);
	if (cmd->priv[0])
		leap__shm_array_put(t, cmd);
}

#endif
