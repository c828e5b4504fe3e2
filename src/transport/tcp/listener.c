/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listening for NVMe/TCP connections.
 *
 * Each connection becomes a controller end of the target's home poll group.
 * Knows neither PDUs nor commands.
 */
#include "transport/tcp/tcp.h"

#include "core/io/inet.h"
#include "util/err.h"

#include <string.h>

static int accepted(void *arg, struct leap__wfd *conn)
{
	struct leap_listener *listener = arg;
	const struct leap_target_opts *opts =
		leap_listener_target_opts(listener);
	struct leap__tcp_limits limits = {
		.max_data = opts->mdts_bytes,
		.inline_bytes = opts->inline_bytes,
		.max_depth = opts->queue_depth,
	};
	struct leap_vqp *vqp;

	if (limits.max_depth < 128)
		limits.max_depth = 128;
	if (limits.max_data < 4096)
		limits.max_data = 4096;
	return leap__tcp_target_start(leap_listener_pollgroup(listener),
				      &limits, listener, conn, &vqp);
}

static int bind_to(struct leap__world *w, const char *address, int backlog,
		   struct sockaddr_storage *addr, struct leap__wfd **wfd)
{
	socklen_t len;
	int err;

	err = leap__inet_parse("leap_listener_create", address, addr, &len);
	if (err)
		return err;
	err = w->ops->listen(w, (struct sockaddr *)addr, len, backlog, 0, wfd);
	if (!err) {
		err = w->ops->local_addr(*wfd, addr);
		if (err)
			w->ops->close(*wfd);
	}
	if (err)
		leap__err(err, "leap_listener_create: %s: %s", address,
			  strerror(-err));
	return err;
}

int leap__tcp_listen(struct leap_listener *listener, const char *address,
		     char *bound, size_t bound_max)
{
	const struct leap_listener_opts *opts = leap_listener_opts(listener);
	struct leap_pollgroup *pg = leap_listener_pollgroup(listener);
	struct leap__tcp_listener *l = leap_listener_priv(listener);
	struct sockaddr_storage addr;
	struct leap__wfd *wfd;
	int err;

	err = bind_to(leap__pollgroup_world(pg), address,
		      opts->backlog ? (int)opts->backlog : 128, &addr, &wfd);
	if (err)
		return err;
	leap__inet_text(&addr, bound, bound_max);
	return leap__acceptor_start(pg, wfd, accepted, listener, &l->acceptor);
}

void leap__tcp_unlisten(struct leap_listener *listener)
{
	struct leap__tcp_listener *l = leap_listener_priv(listener);

	leap__acceptor_stop(l->acceptor);
	l->acceptor = NULL;
}
