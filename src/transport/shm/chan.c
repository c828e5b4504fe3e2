/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chan.c - messages over the socket beside a shared-memory queue pair
 *
 * Checks what has come, and which descriptor with it; makes of many kicks as
 * many as the socket takes. The connection itself is an fdchan's.
 */
#include "transport/shm/chan.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_WAITING 32u		/* messages to be sent */

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

static struct leap__shm_chan *of(struct leap__fdchan *chan)
{
	return (struct leap__shm_chan *)chan;
}

static void message(struct leap__fdchan *fdchan, uint32_t bytes)
{
	struct leap__shm_chan *chan = of(fdchan);
	int fd = fdchan->nr_fds ? fdchan->fds[0] : -1;
	int type = leap__shm_check(&chan->in, !chan->end->host,
				   fdchan->nr_fds);

	if (type < 0) {
		leap__fdchan_kill(fdchan, type);
		return;
	}
	fdchan->fds[0] = -1;
	chan->end->message(chan, type, &chan->in, fd);
}

/* Nothing else is ever wanted; least of all a socket (leap__fd_no_socket). */
static bool is_memory(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static void send_kick(struct leap__fdchan *fdchan)
{
	struct leap__shm_chan *chan = of(fdchan);
	struct iovec part = { &chan->kick, sizeof(chan->kick) };

	if (!chan->kick_waits || !leap__fdchan_idle(fdchan))
		return;
	chan->kick_waits = false;
	leap__fdchan_post(fdchan, &part, 1, NULL, 0);
}

static void gone(struct leap__fdchan *fdchan, int err)
{
	of(fdchan)->end->gone(of(fdchan), err);
}

static const struct leap__fdchan_end shm_end = {
	.head_bytes = sizeof(struct leap__shm_msg), .max_fds = 1,
	.max_waiting = MAX_WAITING, .wanted = is_memory, .message = message,
	.idle = send_kick, .gone = gone,
};

int leap__shm_chan_send(struct leap__shm_chan *chan,
			const struct leap__shm_msg *msg, int fd)
{
	return leap__fdchan_queue(&chan->c, msg, sizeof(*msg), &fd, fd >= 0);
}

void leap__shm_chan_kick(struct leap__shm_chan *chan)
{
	chan->kick_waits = true;
	send_kick(&chan->c);
}

void leap__shm_chan_start(struct leap__shm_chan *chan,
			  const struct leap__shm_chan_end *end,
			  struct leap_pollgroup *pg, struct leap__wfd *wfd)
{
	chan->end = end;
	chan->kick = leap__shm_msg(LEAP__SHM_KICK);
	chan->kick_waits = false;
	leap__fdchan_start(&chan->c, &shm_end, pg, wfd, &chan->in,
			   sizeof(chan->in));
}
