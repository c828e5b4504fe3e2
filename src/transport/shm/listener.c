/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.c - "shm:/run/leap.sock": accepts connections
 */
#include "transport/shm/shm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/io/pollgroup.h"
#include "util/err.h"

int leap__shm_address(const char *call, const char *path,
		      struct sockaddr_un *addr)
{
	size_t len = strlen(path);

	if (!len || len >= sizeof(addr->sun_path))
		return leap__err(-EINVAL, "%s: socket path of %zu bytes, not "
				 "1..%zu", call, len,
				 sizeof(addr->sun_path) - 1);
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, len + 1);
	return 0;
}

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
	struct leap__world *world = leap__pollgroup_world(pg);
	struct sockaddr_un addr;
	struct leap__wfd *wfd;
	int err;

	err = leap__shm_address("leap_listener_create", address, &addr);
	if (err)
		return err;
	err = world->ops->listen(world, (struct sockaddr *)&addr, sizeof(addr),
				 opts->backlog ? (int)opts->backlog : 128,
				 opts->mode ? opts->mode : 0600, &wfd);
	if (err)
		return leap__err(err, "leap_listener_create: %s: %s", address,
				 strerror(-err));
	err = leap__acceptor_own(opts, address);
	if (err) {
		world->ops->close(wfd);
		return err;
	}
	snprintf(bound, bound_max, "%s", address);
	return leap__acceptor_start(pg, wfd, accepted, listener, &l->acceptor);
}

void leap__shm_unlisten(struct leap_listener *listener)
{
	struct leap__shm_listener *l = leap_listener_priv(listener);

	leap__acceptor_stop(l->acceptor);
	l->acceptor = NULL;
}
