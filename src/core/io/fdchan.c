/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole messages with descriptors over a Unix socket. Owns the connection and
 * what waits to be sent; knows nothing of what messages mean.
 *
 * Receives the head of a message and then exactly its body, so that a
 * descriptor cannot be taken for another message's; peers send the next message
 * before this one is read. A head that the user refuses, a socket, and any
 * descriptor that is not wanted or one too many, end the connection.
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
	struct iovec iov;
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

bool leap__fd_no_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && !S_ISSOCK(st.st_mode);
}

static void close_fds(int *fds, uint32_t *nr)
{
	while (*nr)
		if (fds[--*nr] >= 0)
			close(fds[*nr]);
}

/* ---- in ---- */

static void receive(struct leap__fdchan *chan)
{
	if (chan->dead || chan->held || chan->rx_busy ||
	    (chan->paused && !chan->in_bytes))
		return;
	chan->rx_iov.iov_base = chan->in + chan->in_bytes;
	chan->rx_iov.iov_len = chan->in_want - chan->in_bytes;
	chan->rx_busy = true;
	leap__io_submit(chan->world, &chan->rx);
}

static void whole(struct leap__fdchan *chan)
{
	uint32_t bytes = chan->in_bytes;

	chan->in_bytes = 0;
	chan->in_want = chan->end->head_bytes;
	chan->end->message(chan, bytes);
	close_fds(chan->fds, &chan->nr_fds);
}

/* The head, or all of it, is there. */
static void part_done(struct leap__fdchan *chan)
{
	int n = (int)chan->in_want;

	if (chan->end->size && chan->in_bytes == chan->end->head_bytes)
		n = chan->end->size(chan->in);
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

/* Those that are wanted, while there is room, are the message's; all others are
 * closed, and there should not have been any. */
static int take_fds(struct leap__fdchan *chan)
{
	const struct leap__fdchan_end *end = chan->end;
	bool (*wanted)(int fd) = end->wanted ? end->wanted :
					       leap__fd_no_socket;
	uint32_t i;
	int err = 0;

	for (i = 0; i < chan->rx.nr_fds; i++) {
		if (chan->nr_fds < end->max_fds && wanted(chan->rx_fds[i])) {
			chan->fds[chan->nr_fds++] = chan->rx_fds[i];
			continue;
		}
		close(chan->rx_fds[i]);
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
		err = take_fds(chan);
	if (chan->dead) {
		leap__pollgroup_defer(chan->pg, &chan->defer);
		return;
	}
	/* A pause took it back, which may be over already. */
	if (io->res == -ECANCELED) {
		receive(chan);
		return;
	}
	if (io->res <= 0)
		err = io->res ? (int)io->res :
		      chan->in_bytes ? -ECONNRESET : 0;
	if (io->res <= 0 || err) {
		leap__fdchan_kill(chan, err);
		return;
	}
	chan->in_bytes += (uint32_t)io->res;
	if (chan->in_bytes == chan->in_want)
		part_done(chan);
	receive(chan);
}

void leap__fdchan_hold(struct leap__fdchan *chan)
{
	chan->held = true;
}

void leap__fdchan_resume(struct leap__fdchan *chan)
{
	chan->held = false;
	receive(chan);
}

void leap__fdchan_pause(struct leap__fdchan *chan)
{
	if (chan->dead || chan->paused)
		return;
	chan->paused = true;
	if (chan->rx_busy && !chan->in_bytes)
		chan->world->ops->cancel(chan->world, &chan->rx);
}

bool leap__fdchan_is_paused(const struct leap__fdchan *chan)
{
	return chan->paused && !chan->dead && !chan->held && !chan->rx_busy &&
	       !chan->tx_busy && !chan->in_bytes;
}

void leap__fdchan_unpause(struct leap__fdchan *chan)
{
	chan->paused = false;
	receive(chan);
}

/* ---- out ---- */

static void submit_tx(struct leap__fdchan *chan, struct iovec *iov,
		      uint32_t nr_iov, int *fds, uint32_t nr_fds)
{
	chan->tx.iov = iov;
	chan->tx.nr_iov = (uint16_t)nr_iov;
	chan->tx.fds = fds;
	chan->tx.nr_fds = nr_fds;
	chan->posted = iov == chan->tx_iov;
	chan->tx_busy = true;
	leap__io_submit(chan->world, &chan->tx);
}

static void send_next(struct leap__fdchan *chan)
{
	struct leap__fdchan_out *out = chan->out;

	if (!chan->tx_busy && !chan->dead && out)
		submit_tx(chan, &out->iov, 1, out->fds, out->nr_fds);
}

static void out_free(struct leap__fdchan_out *out)
{
	close_fds(out->fds, &out->nr_fds);
	free(out);
}

static void pop_out(struct leap__fdchan *chan)
{
	struct leap__fdchan_out *out = chan->out;

	chan->out = out->next;
	if (!chan->out)
		chan->out_tail = &chan->out;
	chan->nr_out--;
	out_free(out);
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

void leap__fdchan_post(struct leap__fdchan *chan, const struct iovec *parts,
		       uint32_t nr_parts, int *fds, uint32_t nr_fds)
{
	memcpy(chan->tx_iov, parts, nr_parts * sizeof(*parts));
	submit_tx(chan, chan->tx_iov, nr_parts, fds, nr_fds);
}

static int make_out(const void *data, uint32_t bytes, const int *fds,
		    uint32_t nr_fds, struct leap__fdchan_out **made)
{
	struct leap__fdchan_out *out = malloc(sizeof(*out) + bytes);
	int fd;

	if (!out)
		return -ENOMEM;
	out->next = NULL;
	out->nr_fds = 0;
	out->iov = (struct iovec){ out->data, bytes };
	memcpy(out->data, data, bytes);
	while (out->nr_fds < nr_fds) {
		fd = fcntl(fds[out->nr_fds], F_DUPFD_CLOEXEC, 0);
		if (fd < 0) {
			fd = -errno;
			out_free(out);
			return fd;
		}
		out->fds[out->nr_fds++] = fd;
	}
	*made = out;
	return 0;
}

int leap__fdchan_queue(struct leap__fdchan *chan, const void *data,
		       uint32_t bytes, const int *fds, uint32_t nr_fds)
{
	struct leap__fdchan_out *out = NULL;
	int err;

	if (chan->dead)
		return -ENOTCONN;
	if (chan->end->max_waiting && chan->nr_out >= chan->end->max_waiting)
		return -ENOBUFS;
	err = make_out(data, bytes, fds, nr_fds, &out);
	if (err)
		return err;
	*chan->out_tail = out;
	chan->out_tail = &out->next;
	chan->nr_out++;
	send_next(chan);
	return 0;
}

void leap__fdchan_send(struct leap__fdchan *chan, const void *data,
		       uint32_t bytes, const int *fds, uint32_t nr_fds)
{
	int err = leap__fdchan_queue(chan, data, bytes, fds, nr_fds);

	if (err)
		leap__fdchan_kill(chan, err);
}

/* ---- to another poll group ---- */

void leap__fdchan_detach(struct leap__fdchan *chan)
{
	leap__pollgroup_undefer(chan->pg, &chan->defer);
	if (chan->wfd)
		chan->world->ops->detach(chan->wfd);
}

int leap__fdchan_attach(struct leap__fdchan *chan, struct leap_pollgroup *pg)
{
	chan->pg = pg;
	chan->world = leap__pollgroup_world(pg);
	if (!chan->wfd) {
		leap__pollgroup_defer(pg, &chan->defer);
		return 0;
	}
	return chan->world->ops->attach(chan->world, chan->wfd);
}

/* ---- the end ---- */

static void forget(struct leap__fdchan *chan)
{
	chan->told = true;
	while (chan->out)
		pop_out(chan);
	close_fds(chan->fds, &chan->nr_fds);
}

static void tell_gone(struct leap__defer *defer)
{
	struct leap__fdchan *chan =
		leap__list_entry(defer, struct leap__fdchan, defer);

	if (chan->rx_busy || chan->tx_busy || chan->told)
		return;
	forget(chan);
	chan->end->gone(chan, chan->err);
}

static void end(struct leap__fdchan *chan, int err)
{
	chan->dead = true;
	chan->err = err;
	if (chan->wfd)
		chan->world->ops->close(chan->wfd);
	chan->wfd = NULL;
}

void leap__fdchan_drop(struct leap__fdchan *chan)
{
	leap__pollgroup_undefer(chan->pg, &chan->defer);
	end(chan, -ECANCELED);
	forget(chan);
}

void leap__fdchan_kill(struct leap__fdchan *chan, int err)
{
	if (chan->dead)
		return;
	end(chan, err);
	leap__pollgroup_defer(chan->pg, &chan->defer);
}

bool leap__fdchan_peer_closed(const struct leap__fdchan *chan)
{
	return !chan->wfd || chan->world->ops->peer_closed(chan->wfd);
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
