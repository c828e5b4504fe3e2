/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fdchan.h - whole messages with descriptors over a Unix socket
 *
 * What a message is the user says: how long its head is, and how long all of it
 * when the head is there. Links between agent and runtime, lenders with their
 * borrowers, vfio-user, and the sockets beside shared-memory queue pairs talk
 * through this.
 *
 * Messages go out by leap__fdchan_send, which keeps copies in a queue, or by
 * leap__fdchan_post, one at a time and without one.
 */
#ifndef LEAP_CORE_IO_FDCHAN_H
#define LEAP_CORE_IO_FDCHAN_H

#include "core/io/pollgroup.h"

#define LEAP__FDCHAN_FDS	LEAP__IO_FDS_MAX	/* of a message */
#define LEAP__FDCHAN_PARTS	3u			/* of a posted one */

struct leap__fdchan;

struct leap__fdchan_end {
	uint32_t head_bytes;
	uint32_t max_fds;	/* <= LEAP__FDCHAN_FDS */
	uint32_t max_waiting;	/* messages to be sent; 0 = no bound */
	/* The head is there: length of the message, head included, at most the
	 * size of the buffer; or -errno. NULL: the head is all. */
	int (*size)(const uint8_t *head);
	/* Which descriptors may come. NULL: leap__fd_no_socket */
	bool (*wanted)(int fd);
	/*
	 * A whole message: @bytes in chan->in, chan->nr_fds descriptors in
	 * chan->fds, which are closed afterwards unless the callee has put -1
	 * in their place. The bytes stay until the next message, which comes
	 * at once, or after leap__fdchan_hold only when resumed.
	 */
	void (*message)(struct leap__fdchan *chan, uint32_t bytes);
	/* Nothing waits to be sent: leap__fdchan_post may be called, and what
	 * it was given may be reused. NULL */
	void (*idle)(struct leap__fdchan *chan);
	/* The connection is gone; no operation is under way any more. @err: 0
	 * when the peer has closed it between two messages. */
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
	struct iovec tx_iov[LEAP__FDCHAN_PARTS];
	uint8_t *in;			/* the user's buffer */
	uint32_t in_max;
	uint32_t in_bytes;
	uint32_t in_want;
	int rx_fds[LEAP__FDCHAN_FDS];	/* with the last piece */
	int fds[LEAP__FDCHAN_FDS];	/* of the message */
	uint32_t nr_fds;
	uint32_t nr_out;
	struct leap__fdchan_out *out;	/* oldest first */
	struct leap__fdchan_out **out_tail;
	struct leap__defer defer;	/* tells gone */
	bool rx_busy;
	bool tx_busy;
	bool posted;			/* tx is of leap__fdchan_post */
	bool held;
	bool paused;			/* at the next message boundary */
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

/*
 * leap__fdchan_queue - send a message, which is copied
 *
 * @fds: duplicated
 * Context: owner
 * Returns: 0, -ENOTCONN, -ENOBUFS max_waiting are waiting, -ENOMEM, -EMFILE
 */
int leap__fdchan_queue(struct leap__fdchan *chan, const void *data,
		       uint32_t bytes, const int *fds, uint32_t nr_fds);

/* The same; a failure ends the connection, and gone says so. Context: owner */
void leap__fdchan_send(struct leap__fdchan *chan, const void *data,
		       uint32_t bytes, const int *fds, uint32_t nr_fds);

/* May leap__fdchan_post be called? */
static inline bool leap__fdchan_idle(const struct leap__fdchan *chan)
{
	return !chan->dead && !chan->tx_busy && !chan->out;
}

/*
 * Send a message of up to LEAP__FDCHAN_PARTS parts: their bytes, and the array
 * of @fds, stay where they are until idle or gone is called. Only while it is
 * idle; allocates nothing. Context: owner
 */
void leap__fdchan_post(struct leap__fdchan *chan, const struct iovec *parts,
		       uint32_t nr_parts, int *fds, uint32_t nr_fds);

/* No further message until resume. Context: owner */
void leap__fdchan_hold(struct leap__fdchan *chan);
void leap__fdchan_resume(struct leap__fdchan *chan);

/* Take no more messages after the one that has begun; is it so, with nothing
 * received or being sent; go on. Context: owner */
void leap__fdchan_pause(struct leap__fdchan *chan);
bool leap__fdchan_is_paused(const struct leap__fdchan *chan);
void leap__fdchan_unpause(struct leap__fdchan *chan);

/* Take it to another poll group, paused: on the old thread, then on the new
 * one. attach: 0, -errno */
void leap__fdchan_detach(struct leap__fdchan *chan);
int leap__fdchan_attach(struct leap__fdchan *chan, struct leap_pollgroup *pg);

/* Close what was paused, and tell nobody: its owner is freed at once. */
void leap__fdchan_drop(struct leap__fdchan *chan);

/* End it: gone is told in a later poll, or at the end of this one. What was
 * queued may be lost. Context: owner */
void leap__fdchan_kill(struct leap__fdchan *chan, int err);

/* Has the peer closed its side, whatever is unread? Context: owner */
bool leap__fdchan_peer_closed(const struct leap__fdchan *chan);

/* Not a socket: a peer that passes its own end of one, or another that has that
 * in its queue, would keep it open, when it is gone, for as long as we have
 * it. */
bool leap__fd_no_socket(int fd);

/* Is this descriptor an eventfd? Nothing else is ever written to. */
bool leap__is_eventfd(int fd);

#endif
