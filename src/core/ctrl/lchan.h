/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lchan.h - link messages over a Unix socket, each with at most one descriptor
 */
#ifndef LEAP_CORE_CTRL_LCHAN_H
#define LEAP_CORE_CTRL_LCHAN_H

#include <leapio/link.h>

#include "core/io/fdchan.h"

struct leap__lchan;

struct leap__lchan_end {
	/* A message that the decoder let through. @fd: -1, or the handler's to
	 * close. */
	void (*message)(struct leap__lchan *chan,
			const struct leap_link_msg *msg, int fd);
	/* The connection is gone; no operation is under way any more. */
	void (*gone)(struct leap__lchan *chan, int err);
};

/* No message is longer. */
#define LEAP__LCHAN_BYTES (LEAP_LINK_HEAD_BYTES + \
			   sizeof(((struct leap_link_msg *)0)->u))

struct leap__lchan {
	struct leap__fdchan chan;	/* first */
	const struct leap__lchan_end *end;
	uint8_t in[LEAP__LCHAN_BYTES];
	uint64_t heard_ns;		/* last message */
};

/* @wfd: a connected socket, taken over; starts to receive. Context: owner */
void leap__lchan_start(struct leap__lchan *chan,
		       const struct leap__lchan_end *end,
		       struct leap_pollgroup *pg, struct leap__wfd *wfd);

/* Queue a message. @fd: -1, or a descriptor that is duplicated. A failure ends
 * the connection, and gone says so. Context: owner */
void leap__lchan_send(struct leap__lchan *chan,
		      const struct leap_link_msg *msg, int fd);

/* End it: gone is told in a later poll, or at the end of this one. What was
 * queued may be lost. Context: owner */
void leap__lchan_kill(struct leap__lchan *chan, int err);

#endif
