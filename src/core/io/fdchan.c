/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole messages with descriptors over a Unix socket. Owns the connection and
 * what waits to be sent; knows nothing of what messages mean.
 *
 * Receives the head of a message and then exactly its body, so that a
 * descriptor cannot be taken for another message's. A head that the user
 * refuses, a socket, and any descriptor too many, end the connection.
 */
#include "core/io/fdchan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/list.h"

struct leap__fdchan_out {
	struct leap__fdchan_out *next;
	int fds[LEAP__FDCHAN_FDS];	/* owned */
	uint32_t nr_fds;
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

static void close_fds(int *fds, uint32_t *nr)
{
	while (*nr)
		close(fds[--*nr]);
}

/* ---- in ---- */

static void receive(struct leap__fdchan *chan)
{
	if (chan->dead || chan->rx_busy)
		return;
	chan->rx_iov.iov_base = chan->in + chan->in_bytes;
	chan->rx_iov.iov_len = chan->in_want - chan->in_bytes;
	chan->rx.nr_fds = 8;
	chan->rx_busy = true;
	leap__io_submit(chan->world, &chan->rx);
}

static void whole(struct leap__fdchan *chan)
{
	int fds[LEAP__FDCHAN_FDS];
	uint32_t nr = chan->nr_in_fds, bytes = chan->in_bytes;

	memcpy(fds, chan->in_fds, sizeof(fds));
	chan->nr_in_fds = 0;
	chan->in_bytes = 0;
	chan->in_want = chan->end->head_bytes;
	chan->end->message(chan, chan->in, bytes, fds, nr);
}

/* The head, or all of it, is there. */
static void part_done(struct leap__fdchan *chan)
{
	int n = (int)chan->in_want;

	if (chan->end->size && chan->in_bytes == chan->end->head_bytes)
		n = chan->end->size(chan, chan->in);
	if (n >= 0 && ((uint32_t)n < chan->in_bytes ||
		       (uint32_t)n > chan->in_max))
		n = -EPROTO;
	if (n < 0)
		leap__fdchan_kill(chan, n);
	else if ((uint32_t)n == chan->in_bytes)
		whole(chan);
	else
		chan->in_want = (uint32_t)n;
}

bool leap__fd_no_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && !S_ISSOCK(st.st_mode);
}

int leap__fds_take(const struct leap__io *rx, int *fds, uint32_t *nr,
		   uint32_t max, bool (*wanted)(int fd))
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < rx->nr_fds; i++) {
		if (*nr < max && wanted(rx->fds[i])) {
			fds[(*nr)++] = rx->fds[i];
			continue;
		}
		close(rx->fds[i]);
		err = -EPROTO;
	}
	return err;
}

static void received(struct leap__io *io)
{
	struct leap__fdchan *chan = io->arg;
	int err = 0;

	chan->rx_busy = false;
	if (io->res > 0)
		err = leap__fds_take(io, chan->in_fds, &chan->nr_in_fds,
				     chan->end->max_fds, leap__fd_no_socket);
	if (err)
		leap__fdchan_kill(chan, err);
	if (chan->dead) {
		leap__pollgroup_defer(chan->pg, &chan->defer);
		return;
	}
	if (io->res <= 0) {
		leap__fdchan_kill(chan, io->res ? (int)io->res : -ECONNRESET);
		return;
	}
	chan->in_bytes += (uint32_t)io->res;
	if (chan->in_bytes == chan->in_want)
		part_done(chan);
	receive(chan);
}

/* ---- out ---- */

static void send_next(struct leap__fdchan *chan)
{
	struct leap__fdchan_out *out = chan->out;

	if (chan->tx_busy || chan->dead || !out)
		return;
	chan->tx_iov.iov_base = out->data;
	chan->tx_iov.iov_len = out->bytes;
	chan->tx.iov = &chan->tx_iov;
	chan->tx.nr_iov = 1;
	chan->tx.nr_fds = out->nr_fds;
	chan->tx.fds = out->fds;
	chan->posted = false;
	chan->tx_busy = true;
	leap__io_submit(chan->world, &chan->tx);
}

static void pop_out(struct leap__fdchan *chan)
{
	struct leap__fdchan_out *out = chan->out;

	chan->out = out->next;
	if (!chan->out)
		chan->out_tail = &chan->out;
	chan->nr_out--;
	close_fds(out->fds, &out->nr_fds);
	free(out);
}

static void sent(struct leap__io *io)
{
	struct leap__fdchan *chan = io->arg;

	chan->tx_busy = false;
	if (!chan->posted)
		pop_out(chan);
	if (chan->dead) {
		leap__pollgroup_defer(chan->pg, &chan->defer);
	} else if (io->res < 0) {
		leap__fdchan_kill(chan, (int)io->res);
	} else {
		send_next(chan);
		if (!chan->tx_busy && chan->end->idle)
			chan->end->idle(chan);
	}
}

void leap__fdchan_post(struct leap__fdchan *chan, void *data, uint32_t bytes)
{
	chan->tx_iov.iov_base = data;
	chan->tx_iov.iov_len = bytes;
	chan->tx.iov = &chan->tx_iov;
	chan->tx.nr_iov = 1;
	chan->tx.nr_fds = 0;
	chan->tx.fds = NULL;
	chan->posted = true;
	chan->tx_busy = true;
	leap__io_submit(chan->world, &chan->tx);
}

static int fill(struct leap__fdchan_out *out, const void *data, uint32_t bytes,
		const int *fds, uint32_t nr_fds)
{
	out->next = NULL;
	out->nr_fds = 0;
	out->bytes = bytes;
	memcpy(out->data, data, bytes);
	while (out->nr_fds < nr_fds) {
		int fd = fcntl(fds[out->nr_fds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		out->fds[out->nr_fds++] = fd;
	}
	return 0;
}

void leap__fdchan_send(struct leap__fdchan *chan, const void *data,
		       uint32_t bytes, const int *fds, uint32_t nr_fds)
{
	struct leap__fdchan_out *out;
	int err;

	if (chan->dead)
		return;
	if (chan->end->max_waiting && chan->nr_out >= chan->end->max_waiting) {
		leap__fdchan_kill(chan, -ENOBUFS);
		return;
	}
	out = malloc(sizeof(*out) + bytes);
	if (!out) {
		leap__fdchan_kill(chan, -ENOMEM);
		return;
	}
	err = fill(out, data, bytes, fds, nr_fds);
	if (err) {
		close_fds(out->fds, &out->nr_fds);
		free(out);
		leap__fdchan_kill(chan, err);
		return;
	}
	*chan->out_tail = out;
	chan->out_tail = &out->next;
	chan->nr_out++;
	send_next(chan);
}

/* ---- the end ---- */

static void tell_gone(struct leap__defer *defer)
{
	struct leap__fdchan *chan =
		leap__list_entry(defer, struct leap__fdchan, defer);

	if (chan->rx_busy || chan->tx_busy || chan->told)
		return;
	chan->told = true;
	while (chan->out)
		pop_out(chan);
	close_fds(chan->in_fds, &chan->nr_in_fds);
	chan->end->gone(chan, chan->err);
}

void leap__fdchan_kill(struct leap__fdchan *chan, int err)
{
	if (chan->dead)
		return;
	chan->dead = true;
	chan->err = err;
	chan->world->ops->close(chan->wfd);
	chan->wfd = NULL;
	leap__pollgroup_defer(chan->pg, &chan->defer);
}

void leap__fdchan_start(struct leap__fdchan *chan,
			const struct leap__fdchan_end *end,
			struct leap_pollgroup *pg, struct leap__wfd *wfd,
			void *buf, uint32_t bytes)
{
	memset(chan, 0, sizeof(*chan));
	chan->end = end;
	chan->pg = pg;
	chan->world = leap__pollgroup_world(pg);
	chan->wfd = wfd;
	chan->in = buf;
	chan->in_max = bytes;
	chan->in_want = end->head_bytes;
	chan->out_tail = &chan->out;
	chan->defer.run = tell_gone;
	chan->rx = (struct leap__io){
		.op = LEAP__IO_RECVMSG, .wfd = wfd, .iov = &chan->rx_iov,
		.nr_iov = 1, .fds = chan->rx_fds, .done = received,
		.arg = chan,
	};
	chan->tx = (struct leap__io){
		.op = LEAP__IO_SENDMSG, .wfd = wfd, .done = sent, .arg = chan,
	};
	receive(chan);
}
