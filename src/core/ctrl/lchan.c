/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link messages over a Unix socket: what fdchan.h carries, decoded and encoded.
 * Below the agent and the runtime, who know what messages mean; what the
 * decoder does not let through ends the connection.
 */
#include "core/ctrl/lchan.h"

#include <errno.h>

#include "util/endian.h"

static struct leap__lchan *of(struct leap__fdchan *chan)
{
	return (struct leap__lchan *)chan;
}

/* The decoder has checked the length that it waits for. */
static int size(const uint8_t *head)
{
	struct leap_link_msg msg;
	int n = leap_link_decode(head, LEAP_LINK_HEAD_BYTES, &msg);

	return n ? n : (int)leap__get_le32(head);
}

static void message(struct leap__fdchan *fdchan, uint32_t bytes)
{
	struct leap__lchan *chan = of(fdchan);
	struct leap_link_msg msg;
	int n = leap_link_decode(chan->in, bytes, &msg);
	int fd = fdchan->nr_fds ? fdchan->fds[0] : -1;

	if (n <= 0) {
		leap__lchan_kill(chan, n ? n : -EPROTO);
		return;
	}
	fdchan->fds[0] = -1;
	chan->heard_ns = leap__pollgroup_now(fdchan->pg);
	chan->end->message(chan, &msg, fd);
}

static void gone(struct leap__fdchan *chan, int err)
{
	of(chan)->end->gone(of(chan), err ? err : -ECONNRESET);
}

static const struct leap__fdchan_end link_end = {
	.head_bytes = LEAP_LINK_HEAD_BYTES, .max_fds = 1,
	.size = size, .message = message, .gone = gone,
};

void leap__lchan_send(struct leap__lchan *chan,
		      const struct leap_link_msg *msg, int fd)
{
	uint8_t data[LEAP__LCHAN_BYTES];
	int n;

	if (chan->chan.dead)
		return;
	n = leap_link_encode(msg, data, sizeof(data));
	if (n < 0)
		leap__lchan_kill(chan, n);
	else
		leap__fdchan_send(&chan->chan, data, (uint32_t)n, &fd,
				  fd >= 0);
}

void leap__lchan_kill(struct leap__lchan *chan, int err)
{
	leap__fdchan_kill(&chan->chan, err);
}

void leap__lchan_start(struct leap__lchan *chan,
		       const struct leap__lchan_end *end,
		       struct leap_pollgroup *pg, struct leap__wfd *wfd)
{
	chan->end = end;
	chan->heard_ns = leap__pollgroup_now(pg);
	leap__fdchan_start(&chan->chan, &link_end, pg, wfd, chan->in,
			   sizeof(chan->in));
}
