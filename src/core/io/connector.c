/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connecting to a Unix socket. Such a connect does not wait: a full backlog is
 * tried again, for as long as the user lets it (leap_qp_opts.connect_timeout_ms
 * is the bound above). Knows nothing of what is said on the connection.
 *
 * The answer may be there already when the user changes its mind, and comes
 * all the same: the socket has one owner at any time, which is this file until
 * connected is told.
 */
#include "core/io/connector.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"
#include "util/list.h"

#define RETRY_NS	2000000u

static void tell(struct leap__connector *c, struct leap__wfd *wfd, int err)
{
	c->busy = false;
	c->connected(c, wfd, err);
}

static void try_again(struct leap_timer *timer)
{
	struct leap__connector *c =
		leap__list_entry(timer, struct leap__connector, retry);

	leap__io_submit(leap__pollgroup_world(c->pg), &c->io);
}

static void answered(struct leap__io *io)
{
	struct leap__connector *c = io->arg;

	if (c->stopped) {
		tell(c, NULL, -ECANCELED);	/* stop has closed it */
	} else if (io->res == -EAGAIN) {
		leap_timer_start(c->pg, &c->retry, RETRY_NS);
	} else if (io->res) {
		leap__pollgroup_world(c->pg)->ops->close(io->wfd);
		tell(c, NULL, (int)io->res);
	} else {
		tell(c, io->wfd, 0);
	}
}

static void hear_stopped(struct leap_msg *msg)
{
	tell(leap__list_entry(msg, struct leap__connector, msg), NULL,
	     -ECANCELED);
}

void leap__connector_stop(struct leap__connector *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	leap__pollgroup_world(c->pg)->ops->close(c->io.wfd);
	if (!c->retry.armed)
		return;		/* the operation comes back */
	leap_timer_stop(c->pg, &c->retry);
	c->msg.run = hear_stopped;
	leap_pollgroup_send(c->pg, &c->msg);
}

int leap__unix_address(const char *call, const char *path,
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

int leap__connector_start(struct leap__connector *c, struct leap_pollgroup *pg,
			  const char *path,
			  void (*connected)(struct leap__connector *c,
					    struct leap__wfd *wfd, int err))
{
	struct leap__world *w = leap__pollgroup_world(pg);
	struct leap__wfd *wfd;
	int err = leap__unix_address("leap_qp_connect", path, &c->addr);

	if (err)
		return err;
	err = w->ops->socket(w, AF_UNIX, &wfd);
	if (err)
		return leap__err(err, "leap_qp_connect: no socket");
	c->pg = pg;
	c->connected = connected;
	c->retry.run = try_again;
	c->io = (struct leap__io){
		.op = LEAP__IO_CONNECT, .wfd = wfd, .done = answered,
		.arg = c, .addr = (struct sockaddr *)&c->addr,
		.len = sizeof(c->addr),
	};
	c->busy = true;
	leap__io_submit(w, &c->io);
	return 0;
}
