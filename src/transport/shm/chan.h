/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chan.h - the socket beside a shared-memory queue pair
 *
 * Whole messages in and out, with their descriptors. Nothing here is on the
 * data path but the decision to kick.
 */
#ifndef LEAP_SHM_CHAN_H
#define LEAP_SHM_CHAN_H

#include "core/io/pollgroup.h"
#include "transport/shm/proto.h"

#include <stdbool.h>

struct leap__shm_chan;

struct leap__shm_chan_end {
	bool host;
	/* A checked message. @fds has as many as its type says; taken over. */
	void (*message)(struct leap__shm_chan *chan, int type,
			const struct leap__shm_msg *msg, int fd);
	/* The connection is gone; no operation is under way any more. */
	void (*gone)(struct leap__shm_chan *chan, int err);
};

#define LEAP__SHM_OUT 32	/* messages that wait to be sent */

struct leap__shm_chan {
	const struct leap__shm_chan_end *end;
	struct leap_pollgroup *pg;
	struct leap__world *world;
	struct leap__wfd *wfd;
	struct leap__io rx;
	struct leap__io tx;
	struct iovec rx_iov;
	struct iovec tx_iov;
	struct leap__shm_msg in;
	struct leap__shm_msg out[LEAP__SHM_OUT];
	int out_fd[LEAP__SHM_OUT];	/* -1 = none; owned */
	int in_fds[8];
	int in_fd;			/* of the message being received */
	uint32_t nr_in_fds;
	uint32_t in_bytes;
	uint32_t out_head;
	uint32_t out_tail;
	struct leap__defer defer;	/* tells gone */
	bool rx_busy;
	bool tx_busy;
	bool kick;			/* a kick waits to be sent */
	bool paused;
	bool dead;
	bool told;
	int err;
};

/* @wfd: a connected socket, taken over; starts to receive. Context: owner */
void leap__shm_chan_start(struct leap__shm_chan *chan,
			  const struct leap__shm_chan_end *end,
			  struct leap_pollgroup *pg, struct leap__wfd *wfd);

/* Queue a message. @fd: -1, or a descriptor that is duplicated. 0, -EAGAIN
 * too many wait, -ENOTCONN, -EMFILE. Context: owner */
int leap__shm_chan_send(struct leap__shm_chan *chan,
			const struct leap__shm_msg *msg, int fd);

/* Have the peer look at the rings; several are one. Context: owner */
void leap__shm_chan_kick(struct leap__shm_chan *chan);

/* End it: gone is told in a later poll, or at the end of this one. Context:
 * owner */
void leap__shm_chan_kill(struct leap__shm_chan *chan, int err);

/*
 * Stop receiving, so that it can be moved: true when no operation is under way
 * any more, false = it will be, try again in a later poll. Context: owner
 */
bool leap__shm_chan_pause(struct leap__shm_chan *chan);

/* Receive again; no-op when it does. Context: owner */
void leap__shm_chan_resume(struct leap__shm_chan *chan);

/* Take it to another poll group, paused: on the old thread, then on the new
 * one. */
void leap__shm_chan_detach(struct leap__shm_chan *chan);
int leap__shm_chan_attach(struct leap__shm_chan *chan,
			  struct leap_pollgroup *pg);

/* Close what was paused, and tell nobody: its owner is freed at once. */
void leap__shm_chan_drop(struct leap__shm_chan *chan);

/* An empty message of a type. */
struct leap__shm_msg leap__shm_msg(enum leap__shm_type type);

#endif
