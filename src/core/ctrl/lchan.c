/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link messages over a Unix socket. Owns the connection and what waits to be
 * sent; below the agent and the runtime, who know what messages mean.
 *
 * Receives the head of a message and then exactly its body, so that a
 * descriptor cannot be taken for another message's. What the decoder does not
 * let through, and any descriptor too many, ends the connection.
 */
#include "core/ctrl/lchan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/endian.h"

struct leap__lchan_out {
	struct leap__lchan_out *next;
	int fd;			/* -1 = none; owned */
	uint32_t bytes;
	uint8_t data[];
};

bool leap__is_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd]";
	char link[sizeof("/proc/self/fd/") + 12], to[sizeof(name)];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, to, sizeof(to));
	return n == (ssize_t)sizeof(name) - 1 &&
	       !memcmp(to, name, sizeof(name) - 1);
}

static void receive(struct leap__lchan *chan)
{
	if (chan->dead || chan->rx_busy)
		return;
	chan->rx_iov.iov_base = chan->in + chan->in_bytes;
	chan->rx_iov.iov_len = chan->in_want - chan->in_bytes;
	chan->rx.nr_fds = 8;
	chan->rx_busy = true;
	leap__io_submit(chan->world, &chan->rx);
}

/* The head, or all of it, is there. */
static void part_done(struct leap__lchan *chan)
{
	struct leap_link_msg msg;
	int fd = chan->in_fd;
	int n = leap_link_decode(chan->in, chan->in_bytes, &msg);

	if (!n) {
		/* The decoder has checked the length that it waits for. */
		chan->in_want = leap__get_le32(chan->in);
		return;
	}
	chan->in_fd = -1;
	chan->in_bytes = 0;
	chan->in_want = LEAP_LINK_HEAD_BYTES;
	if (n < 0) {
		if (fd >= 0)
			close(fd);
		leap__lchan_kill(chan, n);
		return;
	}
	chan->heard_ns = leap__pollgroup_now(chan->pg);
	chan->end->message(chan, &msg, fd);
}

/* The first descriptor is the message's; more are nobody's. 0, -EPROTO */
static int take_fds(struct leap__lchan *chan)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < chan->rx.nr_fds; i++) {
		if (chan->in_fd < 0) {
			chan->in_fd = chan->in_fds[i];
			continue;
		}
		close(chan->in_fds[i]);
		err = -EPROTO;
	}
	return err;
}

static void received(struct leap__io *io)
{
	struct leap__lchan *chan = io->arg;
	int err = 0;

	chan->rx_busy = false;
	if (io->res > 0)
		err = take_fds(chan);
	if (err)
		leap__lchan_kill(chan, err);
	if (chan->dead) {
		leap__pollgroup_defer(chan->pg, &chan->defer);
		return;
	}
	if (io->res <= 0) {
		leap__lchan_kill(chan, io->res ? (int)io->res : -ECONNRESET);
		return;
	}
	chan->in_bytes += (uint32_t)io->res;
	if (chan->in_bytes == chan->in_want)
		part_done(chan);
	receive(chan);
}

static void send_next(struct leap__lchan *chan)
{
	struct leap__lchan_out *out = chan->out;

	if (chan->tx_busy || chan->dead || !out)
		return;
	chan->tx_iov.iov_base = out->data;
	chan->tx_iov.iov_len = out->bytes;
	chan->tx.iov = &chan->tx_iov;
	chan->tx.nr_iov = 1;
	chan->tx.nr_fds = out->fd >= 0;
	chan->tx.fds = &out->fd;
	chan->tx_busy = true;
	leap__io_submit(chan->world, &chan->tx);
}

static void pop_out(struct leap__lchan *chan)
{
	struct leap__lchan_out *out = chan->out;

	chan->out = out->next;
	if (!chan->out)
		chan->out_tail = &chan->out;
	if (out->fd >= 0)
		close(out->fd);
	free(out);
}

static void sent(struct leap__io *io)
{
	struct leap__lchan *chan = io->arg;

	chan->tx_busy = false;
	pop_out(chan);
	if (chan->dead)
		leap__pollgroup_defer(chan->pg, &chan->defer);
	else if (io->res < 0)
		leap__lchan_kill(chan, (int)io->res);
	else
		send_next(chan);
}

void leap__lchan_send(struct leap__lchan *chan,
		      const struct leap_link_msg *msg, int fd)
{
	struct leap__lchan_out *out;
	int n;

	if (chan->dead)
		return;
	out = malloc(sizeof(*out) + LEAP__LCHAN_BYTES);
	if (!out) {
		leap__lchan_kill(chan, -ENOMEM);
		return;
	}
	n = leap_link_encode(msg, out->data, LEAP__LCHAN_BYTES);
	out->next = NULL;
	out->fd = -1;
	if (n > 0 && fd >= 0) {
		out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (out->fd < 0)
			n = -errno;
	}
	if (n < 0) {
		free(out);
		leap__lchan_kill(chan, n);
		return;
	}
	out->bytes = (uint32_t)n;
	*chan->out_tail = out;
	chan->out_tail = &out->next;
	send_next(chan);
}

static void tell_gone(struct leap__defer *defer)
{
	struct leap__lchan *chan = (struct leap__lchan *)
		((char *)defer - offsetof(struct leap__lchan, defer));

	if (chan->rx_busy || chan->tx_busy || chan->told)
		return;
	chan->told = true;
	while (chan->out)
		pop_out(chan);
	if (chan->in_fd >= 0)
		close(chan->in_fd);
	chan->in_fd = -1;
	chan->end->gone(chan, chan->err);
}

void leap__lchan_kill(struct leap__lchan *chan, int err)
{
	if (chan->dead)
		return;
	chan->dead = true;
	chan->err = err;
	chan->world->ops->close(chan->wfd);
	chan->wfd = NULL;
	leap__pollgroup_defer(chan->pg, &chan->defer);
}

void leap__lchan_start(struct leap__lchan *chan,
		       const struct leap__lchan_end *end,
		       struct leap_pollgroup *pg, struct leap__wfd *wfd)
{
	memset(chan, 0, sizeof(*chan));
	chan->end = end;
	chan->pg = pg;
	chan->world = leap__pollgroup_world(pg);
	chan->wfd = wfd;
	chan->in_fd = -1;
	chan->in_want = LEAP_LINK_HEAD_BYTES;
	chan->out_tail = &chan->out;
	chan->heard_ns = leap__pollgroup_now(pg);
	chan->defer.run = tell_gone;
	chan->rx = (struct leap__io){
		.op = LEAP__IO_RECVMSG, .wfd = wfd, .iov = &chan->rx_iov,
		.nr_iov = 1, .fds = chan->in_fds, .done = received,
		.arg = chan,
	};
	chan->tx = (struct leap__io){
		.op = LEAP__IO_SENDMSG, .wfd = wfd, .done = sent, .arg = chan,
	};
	receive(chan);
}
