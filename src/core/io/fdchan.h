/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fdchan.h - whole messages with descriptors over a Unix socket
 *
 * What a message is the user says: how long its head is, and how long all of it
 * when the head is there. Links between agent and runtime, and lenders with
 * their borrowers, talk through this.
 */
#ifndef LEAP_CORE_IO_FDCHAN_H
#define LEAP_CORE_IO_FDCHAN_H

#include "core/io/pollgroup.h"

#define LEAP__FDCHAN_FDS	2u	/* that a message may have */

struct leap__fdchan;

struct leap__fdchan_end {
	uint32_t head_bytes;
	uint32_t max_fds;	/* <= LEAP__FDCHAN_FDS */
	uint32_t max_waiting;	/* messages to be sent; 0 = no bound. One more
				 * ends the connection: nobody reads */
	/* The head is there: length of the message, head included, at most the
	 * size of the buffer; or -errno. NULL: the head is all. */
	int (*size)(struct leap__fdchan *chan, const uint8_t *head);
	/* A whole message; @fds are the handler's to close. */
	void (*message)(struct leap__fdchan *chan, const uint8_t *data,
			uint32_t bytes, int *fds, uint32_t nr_fds);
	/* Nothing waits to be sent: leap__fdchan_post may be called. NULL */
	void (*idle)(struct leap__fdchan *chan);
	/* The connection is gone; no operation is under way any more. */
	void (*gone)(struct leap__fdchan *chan, int err);
};

struct leap__fdchan_out;

struct leap__fdchan {
	const struct leap__fdchan_end *end;
	struct leap_pollgroup *pg;
	struct leap__world *world;
	struct leap__wfd *wfd;
	struct leap__io rx;
	struct leap__io tx;
	struct iovec rx_iov;
	struct iovec tx_iov;
	uint8_t *in;			/* the user's buffer */
	uint32_t in_max;
	uint32_t in_bytes;
	uint32_t in_want;
	int rx_fds[8];
	int in_fds[LEAP__FDCHAN_FDS];	/* of the message being received */
	uint32_t nr_in_fds;
	uint32_t nr_out;
	struct leap__fdchan_out *out;	/* oldest first */
	struct leap__fdchan_out **out_tail;
	struct leap__defer defer;	/* tells gone */
	bool rx_busy;
	bool tx_busy;
	bool posted;			/* tx is of leap__fdchan_post */
	bool dead;
	bool told;
	int err;
};

/* @wfd: a connected socket, taken over; starts to receive into @buf, which has
 * to have room for every message. Context: owner */
void leap__fdchan_start(struct leap__fdchan *chan,
			const struct leap__fdchan_end *end,
			struct leap_pollgroup *pg, struct leap__wfd *wfd,
			void *buf, uint32_t bytes);

/* Queue a message, which is copied. @fds are duplicated. A failure ends the
 * connection, and gone says so. Context: owner */
void leap__fdchan_send(struct leap__fdchan *chan, const void *data,
		       uint32_t bytes, const int *fds, uint32_t nr_fds);

/* May leap__fdchan_post be called? */
static inline bool leap__fdchan_idle(const struct leap__fdchan *chan)
{
	return !chan->dead && !chan->tx_busy && !chan->out;
}

/* Send @data, which stays where it is until idle or gone is called. Only while
 * it is idle; allocates nothing. Context: owner */
void leap__fdchan_post(struct leap__fdchan *chan, void *data, uint32_t bytes);

/* End it: gone is told in a later poll, or at the end of this one. What was
 * queued may be lost. Context: owner */
void leap__fdchan_kill(struct leap__fdchan *chan, int err);

/*
 * leap__fds_take - descriptors that came with bytes
 *
 * Those that @wanted takes, while there is room for @max, go to @fds; all
 * others are closed.
 * Returns: 0, -EPROTO: some were closed
 */
int leap__fds_take(const struct leap__io *rx, int *fds, uint32_t *nr,
		   uint32_t max, bool (*wanted)(int fd));

/* Not a socket: a peer that passes its own end of one, or another that has that
 * in its queue, would keep it open, when it is gone, for as long as we have
 * it. */
bool leap__fd_no_socket(int fd);

/* Is this descriptor an eventfd? Nothing else is ever written to. */
bool leap__is_eventfd(int fd);

#endif
