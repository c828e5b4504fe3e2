/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chan.c - messages over the socket beside a shared-memory queue pair
 *
 * Receives exactly one message at a time, so that descriptors cannot be taken
 * for another message's. Closes every descriptor that a message should not
 * have brought.
 */
#include "transport/shm/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/fdchan.h"

int leap__shm_check(const struct leap__shm_msg *msg, int from_host,
		    uint32_t nr_fds)
{
	static const uint8_t zero[sizeof(msg->reserved)];
	int type = leap_from_le16(msg->type);
	uint32_t region = leap_from_le32(msg->region);

	if (leap_from_le32(msg->magic) != LEAP__SHM_MAGIC ||
	    leap_from_le16(msg->version) != LEAP__SHM_VERSION ||
	    memcmp(msg->reserved, zero, sizeof(zero)))
		return -EPROTO;
	switch (type) {
	case LEAP__SHM_HELLO:
		return from_host && nr_fds == 1 ? type : -EPROTO;
	case LEAP__SHM_MEM_ADD:
		return from_host && nr_fds == 1 && region &&
			region < LEAP__SHM_MAX_REGIONS ? type : -EPROTO;
	case LEAP__SHM_WELCOME:
		return !from_host && !nr_fds ? type : -EPROTO;
	case LEAP__SHM_MEM_ADDED:
		return !from_host && !nr_fds && region &&
			region < LEAP__SHM_MAX_REGIONS ? type : -EPROTO;
	case LEAP__SHM_KICK:
		return !nr_fds ? type : -EPROTO;
	default:
		return -EPROTO;
	}
}

struct leap__shm_msg leap__shm_msg(enum leap__shm_type type)
{
	return (struct leap__shm_msg){
		.magic = leap_to_le32(LEAP__SHM_MAGIC),
		.version = leap_to_le16(LEAP__SHM_VERSION),
		.type = leap_to_le16((uint16_t)type),
	};
}

static void receive(struct leap__shm_chan *chan)
{
	if (chan->dead || chan->paused || chan->rx_busy)
		return;
	chan->rx_iov.iov_base = (uint8_t *)&chan->in + chan->in_bytes;
	chan->rx_iov.iov_len = sizeof(chan->in) - chan->in_bytes;
	chan->rx.nr_fds = 8;
	chan->rx_busy = true;
	leap__io_submit(chan->world, &chan->rx);
}

static void one_message(struct leap__shm_chan *chan)
{
	int fd = chan->in_fd, type;

	type = leap__shm_check(&chan->in, !chan->end->host, chan->nr_in_fds);
	chan->in_bytes = 0;
	chan->in_fd = -1;
	chan->nr_in_fds = 0;
	if (type < 0) {
		if (fd >= 0)
			close(fd);
		leap__shm_chan_kill(chan, -EPROTO);
		return;
	}
	chan->end->message(chan, type, &chan->in, fd);
}

/* Nothing else is ever wanted; least of all a socket (leap__fd_no_socket). */
static bool is_memory(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static void received(struct leap__io *io)
{
	struct leap__shm_chan *chan = io->arg;
	int err = 0;

	chan->rx_busy = false;
	if (io->res > 0)
		err = leap__fds_take(io, &chan->in_fd, &chan->nr_in_fds, 1,
				     is_memory);
	if (err)
		leap__shm_chan_kill(chan, err);
	if (chan->dead) {
		leap__pollgroup_defer(chan->pg, &chan->defer);
		return;
	}
	if (io->res == -ECANCELED && chan->paused)
		return;
	if (io->res <= 0) {
		leap__shm_chan_kill(chan, (int)io->res);
		return;
	}
	chan->in_bytes += (uint32_t)io->res;
	if (chan->in_bytes == sizeof(chan->in))
		one_message(chan);
	receive(chan);
}

bool leap__shm_chan_pause(struct leap__shm_chan *chan)
{
	if (!chan->paused && chan->rx_busy)
		chan->world->ops->cancel(chan->world, &chan->rx);
	chan->paused = true;
	return !chan->rx_busy && !chan->tx_busy;
}

void leap__shm_chan_resume(struct leap__shm_chan *chan)
{
	chan->paused = false;
	receive(chan);
}

static void send_next(struct leap__shm_chan *chan)
{
	struct leap__shm_msg kick;
	uint32_t at;

	if (chan->tx_busy || chan->dead)
		return;
	if (chan->out_head == chan->out_tail) {
		if (!chan->kick)
			return;
		chan->kick = false;
		kick = leap__shm_msg(LEAP__SHM_KICK);
		leap__shm_chan_send(chan, &kick, -1);
		return;
	}
	at = chan->out_head % LEAP__SHM_OUT;
	chan->tx_iov.iov_base = &chan->out[at];
	chan->tx_iov.iov_len = sizeof(chan->out[at]);
	chan->tx.iov = &chan->tx_iov;
	chan->tx.nr_iov = 1;
	chan->tx.nr_fds = chan->out_fd[at] >= 0;
	chan->tx.fds = &chan->out_fd[at];
	chan->tx_busy = true;
	leap__io_submit(chan->world, &chan->tx);
}

static void pop_out(struct leap__shm_chan *chan)
{
	uint32_t at = chan->out_head++ % LEAP__SHM_OUT;

	if (chan->out_fd[at] >= 0)
		close(chan->out_fd[at]);
}

static void sent(struct leap__io *io)
{
	struct leap__shm_chan *chan = io->arg;

	chan->tx_busy = false;
	pop_out(chan);
	if (chan->dead)
		leap__pollgroup_defer(chan->pg, &chan->defer);
	else if (io->res < 0)
		leap__shm_chan_kill(chan, (int)io->res);
	else
		send_next(chan);
}

int leap__shm_chan_send(struct leap__shm_chan *chan,
			const struct leap__shm_msg *msg, int fd)
{
	uint32_t at = chan->out_tail % LEAP__SHM_OUT;

	if (chan->dead)
		return -ENOTCONN;
	if (chan->out_tail - chan->out_head == LEAP__SHM_OUT)
		return -EAGAIN;
	chan->out_fd[at] = -1;
	if (fd >= 0) {
		chan->out_fd[at] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (chan->out_fd[at] < 0)
			return -errno;
	}
	chan->out[at] = *msg;
	chan->out_tail++;
	send_next(chan);
	return 0;
}

void leap__shm_chan_kick(struct leap__shm_chan *chan)
{
	chan->kick = true;
	send_next(chan);
}

static void tell_gone(struct leap__defer *defer)
{
	struct leap__shm_chan *chan = (struct leap__shm_chan *)
		((char *)defer - offsetof(struct leap__shm_chan, defer));

	if (chan->rx_busy || chan->tx_busy || chan->told)
		return;
	chan->told = true;
	while (chan->out_head != chan->out_tail)
		pop_out(chan);
	if (chan->in_fd >= 0)
		close(chan->in_fd);
	chan->in_fd = -1;
	chan->end->gone(chan, chan->err);
}

void leap__shm_chan_kill(struct leap__shm_chan *chan, int err)
{
	if (chan->dead)
		return;
	chan->dead = true;
	chan->err = err;
	chan->world->ops->close(chan->wfd);
	chan->wfd = NULL;
	leap__pollgroup_defer(chan->pg, &chan->defer);
}

void leap__shm_chan_start(struct leap__shm_chan *chan,
			  const struct leap__shm_chan_end *end,
			  struct leap_pollgroup *pg, struct leap__wfd *wfd)
{
	memset(chan, 0, sizeof(*chan));
	chan->end = end;
	chan->pg = pg;
	chan->world = leap__pollgroup_world(pg);
	chan->wfd = wfd;
	chan->in_fd = -1;
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

void leap__shm_chan_detach(struct leap__shm_chan *chan)
{
	leap__pollgroup_undefer(chan->pg, &chan->defer);
	if (chan->wfd)
		chan->world->ops->detach(chan->wfd);
}

int leap__shm_chan_attach(struct leap__shm_chan *chan,
			  struct leap_pollgroup *pg)
{
	chan->pg = pg;
	chan->world = leap__pollgroup_world(pg);
	if (!chan->wfd) {
		leap__pollgroup_defer(pg, &chan->defer);
		return 0;
	}
	return chan->world->ops->attach(chan->world, chan->wfd);
}

void leap__shm_chan_drop(struct leap__shm_chan *chan)
{
	leap__pollgroup_undefer(chan->pg, &chan->defer);
	if (chan->wfd)
		chan->world->ops->close(chan->wfd);
	chan->wfd = NULL;
	chan->dead = true;
	chan->told = true;
}
