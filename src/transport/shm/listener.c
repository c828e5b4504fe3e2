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

static void accepted(struct leap__io *io)
{
	struct leap__shm_listener *l = io->arg;

	if (io->res == -ECANCELED)
		return;
	/* An error of one connection (or of no descriptors) is not ours. */
	if (io->res == 0 && leap__shm_target_start(l->listener, io->wfd_out))
		l->world->ops->close(io->wfd_out);
	leap__io_submit(l->world, io);
}

int leap__shm_listen(struct leap_listener *listener, const char *address,
		     char *bound, size_t bound_max)
{
	const struct leap_listener_opts *opts = leap_listener_opts(listener);
	struct leap__shm_listener *l = leap_listener_priv(listener);
	struct sockaddr_un addr;
	int err;

	err = leap__shm_address("leap_listener_create", address, &addr);
	if (err)
		return err;
	l->listener = listener;
	l->world = leap__pollgroup_world(leap_listener_pollgroup(listener));
	err = l->world->ops->listen(l->world, (struct sockaddr *)&addr,
				    sizeof(addr), (int)opts->backlog,
				    opts->mode ? opts->mode : 0600, &l->wfd);
	if (err)
		return leap__err(err, "leap_listener_create: %s: %s", address,
				 strerror(-err));
	snprintf(bound, bound_max, "%s", address);
	l->accept = (struct leap__io){
		.op = LEAP__IO_ACCEPT, .wfd = l->wfd, .done = accepted,
		.arg = l,
	};
	leap__io_submit(l->world, &l->accept);
	return 0;
}

void leap__shm_unlisten(struct leap_listener *listener)
{
	struct leap__shm_listener *l = leap_listener_priv(listener);

	if (l->wfd)
		l->world->ops->close(l->wfd);
	l->wfd = NULL;
}
