/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chan.h - the socket beside a shared-memory queue pair
 *
 * Checked messages in and out, with their descriptors (core/io/fdchan.h).
 * Nothing here is on the data path but the decision to kick.
 */
#ifndef LEAP_SHM_CHAN_H
#define LEAP_SHM_CHAN_H

#include "core/io/fdchan.h"
#include "transport/shm/proto.h"

struct leap__shm_chan;

struct leap__shm_chan_end {
	bool host;
	/* A checked message. @fd: -1 where its type has none; taken over. */
	void (*message)(struct leap__shm_chan *chan, int type,
			const struct leap__shm_msg *msg, int fd);
	/* The connection is gone; no operation is under way any more. */
	void (*gone)(struct leap__shm_chan *chan, int err);
};

struct leap__shm_chan {
	struct leap__fdchan c;		/* first */
	const struct leap__shm_chan_end *end;
	struct leap__shm_msg in;
	struct leap__shm_msg kick;
	bool kick_waits;
};

/* @wfd: a connected socket, taken over; starts to receive. Context: owner */
void leap__shm_chan_start(struct leap__shm_chan *chan,
			  const struct leap__shm_chan_end *end,
			  struct leap_pollgroup *pg, struct leap__wfd *wfd);

/* Queue a message. @fd: -1, or a descriptor that is duplicated. 0, -ENOBUFS
 * too many wait, -ENOTCONN, -ENOMEM, -EMFILE. Context: owner */
int leap__shm_chan_send(struct leap__shm_chan *chan,
			const struct leap__shm_msg *msg, int fd);

/* Have the peer look at the rings; several are one. Context: owner */
void leap__shm_chan_kick(struct leap__shm_chan *chan);

/* End it: gone is told in a later poll, or at the end of this one. Context:
 * owner */
static inline void leap__shm_chan_kill(struct leap__shm_chan *chan, int err)
{
	leap__fdchan_kill(&chan->c, err);
}

/* An empty message of a type. */
struct leap__shm_msg leap__shm_msg(enum leap__shm_type type);

#endif
