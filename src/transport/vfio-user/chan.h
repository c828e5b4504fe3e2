/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chan.h - whole vfio-user messages over a socket, with their descriptors
 *
 * The same for both ends. One message is received at a time, because nothing
 * else says which message a descriptor belongs to; one is sent at a time.
 */
#ifndef LEAP_VFIO_USER_CHAN_H
#define LEAP_VFIO_USER_CHAN_H

#include "core/io/pollgroup.h"
#include "transport/vfio-user/proto.h"

#include <stdbool.h>

struct leap__vfu_chan;

struct leap__vfu_chan_end {
	/*
	 * A message is there: chan->hdr, @bytes of payload in chan->in,
	 * chan->nr_fds descriptors in chan->fds, which are closed afterwards
	 * unless the callee has put -1 in their place. What was received stays
	 * there until the next message, which comes at once, or after
	 * leap__vfu_chan_hold only when resumed.
	 */
	void (*message)(struct leap__vfu_chan *chan, uint32_t bytes);
	/* What was given to leap__vfu_chan_send is gone: it may be reused. */
	void (*sent)(struct leap__vfu_chan *chan);
	/* The connection is gone; no operation is under way any more. */
	void (*gone)(struct leap__vfu_chan *chan, int err);
};

struct leap__vfu_chan {
	const struct leap__vfu_chan_end *end;
	struct leap_pollgroup *pg;
	struct leap__world *world;
	struct leap__wfd *wfd;
	struct leap__io rx;
	struct leap__io tx;
	struct iovec rx_iov;
	struct iovec tx_iov[3];
	struct leap__vfu_hdr hdr;
	uint8_t *in;			/* owner's */
	uint32_t in_max;
	uint32_t got;			/* bytes, header included */
	uint32_t want;			/* the same, of all of it */
	uint32_t nr_fds;
	int fds[LEAP__VFU_MAX_FDS];
	int came[LEAP__VFU_MAX_FDS];	/* with the last piece */
	struct leap__defer defer;	/* tells gone */
	bool rx_busy;
	bool tx_busy;
	bool held;
	bool paused;			/* at the next message boundary */
	bool dead;
	bool told;
	int err;
};

/* @wfd: a connected socket, taken over; starts to receive payloads of up to
 * @in_max bytes into @in. Context: owner */
void leap__vfu_chan_start(struct leap__vfu_chan *chan,
			  const struct leap__vfu_chan_end *end,
			  struct leap_pollgroup *pg, struct leap__wfd *wfd,
			  uint8_t *in, uint32_t in_max);

/* No further message until resume. Context: owner */
void leap__vfu_chan_hold(struct leap__vfu_chan *chan);
void leap__vfu_chan_resume(struct leap__vfu_chan *chan);

/* Take no more messages after the one that has begun; is it so, with nothing
 * received or being sent; go on. Context: owner */
void leap__vfu_chan_pause(struct leap__vfu_chan *chan);
bool leap__vfu_chan_is_paused(const struct leap__vfu_chan *chan);
void leap__vfu_chan_unpause(struct leap__vfu_chan *chan);

/*
 * leap__vfu_chan_send - send a message of up to three parts
 *
 * @iov: its parts, whose bytes stay until sent is told
 * @fds: borrowed until then
 * Context: owner
 * Returns: 0, -EBUSY one is being sent, -ENOTCONN
 */
int leap__vfu_chan_send(struct leap__vfu_chan *chan, const struct iovec *iov,
			uint32_t nr_iov, int *fds, uint32_t nr_fds);

/* End it: gone is told in a later poll, or at the end of this one. Context:
 * owner */
void leap__vfu_chan_kill(struct leap__vfu_chan *chan, int err);

/* Has the peer closed its side, whatever is unread? Context: owner */
bool leap__vfu_chan_peer_closed(const struct leap__vfu_chan *chan);

#endif
