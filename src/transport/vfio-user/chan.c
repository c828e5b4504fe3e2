/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chan.c - vfio-user messages over a Unix socket
 *
 * Receives the 16 bytes of a header and then exactly its payload, so that
 * descriptors cannot be taken for another message's; clients send the next
 * message before this one is read. Knows lengths, and nothing of what messages
 * say.
 */
#include "transport/vfio-user/chan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/io/fdchan.h"
#include "transport/vfio-user/parse.h"

static void receive(struct leap__vfu_chan *chan)
{
	uint32_t head = sizeof(chan->hdr);

	if (chan->dead || chan->held || chan->rx_busy ||
	    (chan->paused && !chan->got))
		return;
	if (chan->got < head) {
		chan->rx_iov.iov_base = (uint8_t *)&chan->hdr + chan->got;
		chan->rx_iov.iov_len = head - chan->got;
	} else {
		chan->rx_iov.iov_base = chan->in + (chan->got - head);
		chan->rx_iov.iov_len = chan->want - chan->got;
	}
	chan->rx.nr_iov = 1;
	chan->rx.len = LEAP__VFU_MAX_FDS;
	chan->rx_busy = true;
	leap__io_submit(chan->world, &chan->rx);
}

static void close_fds(struct leap__vfu_chan *chan)
{
	while (chan->nr_fds)
		if (chan->fds[--chan->nr_fds] >= 0)
			close(chan->fds[chan->nr_fds]);
}

static void one_message(struct leap__vfu_chan *chan)
{
	uint32_t bytes = chan->want - (uint32_t)sizeof(chan->hdr);

	chan->got = 0;
	chan->want = sizeof(chan->hdr);
	chan->end->message(chan, bytes);
	close_fds(chan);
}

static void take_bytes(struct leap__vfu_chan *chan, uint32_t n)
{
	int rc;

	chan->got += n;
	if (chan->got == sizeof(chan->hdr)) {
		rc = leap__vfu_check_header(&chan->hdr, chan->in_max);
		if (rc < 0) {
			leap__vfu_chan_kill(chan, rc);
			return;
		}
		chan->want = (uint32_t)sizeof(chan->hdr) + (uint32_t)rc;
	}
	if (chan->got == chan->want)
		one_message(chan);
}

static void received(struct leap__io *io)
{
	struct leap__vfu_chan *chan = io->arg;
	int err = 0;

	chan->rx_busy = false;
	if (io->res > 0)
		err = leap__fds_take(io, chan->fds, &chan->nr_fds,
				     LEAP__VFU_MAX_FDS, leap__fd_no_socket);
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
		err = io->res ? (int)io->res : chan->got ? -ECONNRESET : 0;
	if (io->res <= 0 || err) {
		leap__vfu_chan_kill(chan, err);
		return;
	}
	take_bytes(chan, (uint32_t)io->res);
	receive(chan);
}

void leap__vfu_chan_hold(struct leap__vfu_chan *chan)
{
	chan->held = true;
}

void leap__vfu_chan_resume(struct leap__vfu_chan *chan)
{
	chan->held = false;
	receive(chan);
}

void leap__vfu_chan_pause(struct leap__vfu_chan *chan)
{
	if (chan->dead || chan->paused)
		return;
	chan->paused = true;
	if (chan->rx_busy && !chan->got)
		chan->world->ops->cancel(chan->world, &chan->rx);
}

bool leap__vfu_chan_is_paused(const struct leap__vfu_chan *chan)
{
	return chan->paused && !chan->dead && !chan->held && !chan->rx_busy &&
	       !chan->tx_busy && !chan->got;
}

void leap__vfu_chan_unpause(struct leap__vfu_chan *chan)
{
	chan->paused = false;
	receive(chan);
}

static void sent(struct leap__io *io)
{
	struct leap__vfu_chan *chan = io->arg;

	chan->tx_busy = false;
	if (chan->dead)
		leap__pollgroup_defer(chan->pg, &chan->defer);
	else if (io->res < 0)
		leap__vfu_chan_kill(chan, (int)io->res);
	else
		chan->end->sent(chan);
}

int leap__vfu_chan_send(struct leap__vfu_chan *chan, const struct iovec *iov,
			uint32_t nr_iov, int *fds, uint32_t nr_fds)
{
	if (chan->dead)
		return -ENOTCONN;
	if (chan->tx_busy)
		return -EBUSY;
	memcpy(chan->tx_iov, iov, nr_iov * sizeof(*iov));
	chan->tx.iov = chan->tx_iov;
	chan->tx.nr_iov = (uint16_t)nr_iov;
	chan->tx.fds = fds;
	chan->tx.nr_fds = nr_fds;
	chan->tx_busy = true;
	leap__io_submit(chan->world, &chan->tx);
	return 0;
}

static void tell_gone(struct leap__defer *defer)
{
	struct leap__vfu_chan *chan = (struct leap__vfu_chan *)
		((char *)defer - offsetof(struct leap__vfu_chan, defer));

	if (chan->rx_busy || chan->tx_busy || chan->told)
		return;
	chan->told = true;
	close_fds(chan);
	chan->end->gone(chan, chan->err);
}

void leap__vfu_chan_kill(struct leap__vfu_chan *chan, int err)
{
	if (chan->dead)
		return;
	chan->dead = true;
	chan->err = err;
	chan->world->ops->close(chan->wfd);
	chan->wfd = NULL;
	leap__pollgroup_defer(chan->pg, &chan->defer);
}

bool leap__vfu_chan_peer_closed(const struct leap__vfu_chan *chan)
{
	return !chan->wfd || chan->world->ops->peer_closed(chan->wfd);
}

void leap__vfu_chan_start(struct leap__vfu_chan *chan,
			  const struct leap__vfu_chan_end *end,
			  struct leap_pollgroup *pg, struct leap__wfd *wfd,
			  uint8_t *in, uint32_t in_max)
{
	memset(chan, 0, sizeof(*chan));
	chan->end = end;
	chan->pg = pg;
	chan->world = leap__pollgroup_world(pg);
	chan->wfd = wfd;
	chan->in = in;
	chan->in_max = in_max;
	chan->want = sizeof(chan->hdr);
	chan->defer.run = tell_gone;
	chan->rx = (struct leap__io){
		.op = LEAP__IO_RECVMSG, .wfd = wfd, .iov = &chan->rx_iov,
		.nr_iov = 1, .fds = chan->came, .done = received, .arg = chan,
	};
	chan->tx = (struct leap__io){
		.op = LEAP__IO_SENDMSG, .wfd = wfd, .done = sent, .arg = chan,
	};
	receive(chan);
}
