/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.c - "shm:/run/leap.sock": accepts connections
 */
#include "transport/shm/shm.h"

#include <stdio.h>

#include "core/io/pollgroup.h"
#include "util/err.h"

static int accepted(void *arg, struct leap__wfd *conn)
{
	return leap__shm_target_start(arg, conn);
}

int leap__shm_listen(struct leap_listener *listener, const char *address,
		     char *bound, size_t bound_max)
{
	const struct leap_listener_opts *opts = leap_listener_opts(listener);
	struct leap_pollgroup *pg = leap_listener_pollgroup(listener);
	struct leap__shm_listener *l = leap_listener_priv(listener);
	struct leap__wfd *wfd;
	int err;

	err = leap__acceptor_listen("leap_listener_create",
				    leap__pollgroup_world(pg), address, opts,
				    opts->backlog ? (int)opts->backlog : 128,
				    &wfd);
	if (err)
		return err;
	snprintf(bound, bound_max, "%s", address);
	return leap__acceptor_start(pg, wfd, accepted, listener, &l->acceptor);
}

void leap__shm_unlisten(struct leap_listener *listener)
{
	struct leap__shm_listener *l = leap_listener_priv(listener);

	leap__acceptor_stop(l->acceptor);
	l->acceptor = NULL;
}
