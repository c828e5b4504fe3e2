/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connector.h - connecting to a Unix socket, which every host end beside one
 * does: the counterpart of acceptor.h
 */
#ifndef LEAP_CORE_IO_CONNECTOR_H
#define LEAP_CORE_IO_CONNECTOR_H

#include <stdbool.h>
#include <sys/un.h>

#include "core/io/pollgroup.h"

/* The user's memory, zeroed; the connector's from start until connected. */
struct leap__connector {
	struct leap_pollgroup *pg;
	struct leap__io io;
	struct leap_timer retry;	/* of a full backlog */
	struct leap_msg msg;
	struct sockaddr_un addr;
	void (*connected)(struct leap__connector *c, struct leap__wfd *wfd,
			  int err);
	bool busy;
	bool stopped;
};

/* 0; -EINVAL: @path does not fit, with last error text that begins with
 * @call. */
int leap__unix_address(const char *call, const char *path,
		       struct sockaddr_un *addr);

/* @connected runs once, in a later poll: with a socket, which is the user's
 * from there on, or with NULL and why not. 0, or -errno with last error text.
 * Context: owner */
int leap__connector_start(struct leap__connector *c, struct leap_pollgroup *pg,
			  const char *path,
			  void (*connected)(struct leap__connector *c,
					    struct leap__wfd *wfd, int err));

/* Is connected still to come? */
static inline bool leap__connector_busy(const struct leap__connector *c)
{
	return c->busy;
}

/* While it is busy: connected says -ECANCELED. Context: owner */
void leap__connector_stop(struct leap__connector *c);

#endif
