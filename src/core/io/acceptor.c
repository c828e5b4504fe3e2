/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * acceptor.c - the accept loop that every listening transport has
 *
 * The pending accept outlives its listener by one poll, so the memory is the
 * acceptor's own and goes when the operation has come back.
 */
#include "core/io/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leapio/target.h>

#include "core/io/connector.h"
#include "core/io/pollgroup.h"
#include "util/err.h"

#define RETRY_NS 100000000u	/* after a failed accept */

struct leap__acceptor {
	struct leap_pollgroup *pg;
	struct leap__wfd *wfd;		/* NULL = stopped */
	struct leap__io io;
	struct leap_timer retry;
	int (*accepted)(void *arg, struct leap__wfd *conn);
	void *arg;
};

static void post(struct leap__acceptor *a)
{
	a->io.wfd_out = NULL;
	leap__io_submit(leap__pollgroup_world(a->pg), &a->io);
}

static void retry_run(struct leap_timer *timer)
{
	post((struct leap__acceptor *)
	     ((char *)timer - offsetof(struct leap__acceptor, retry)));
}

static void accept_done(struct leap__io *io)
{
	struct leap__acceptor *a = io->arg;
	struct leap__world *w = leap__pollgroup_world(a->pg);

	if (!a->wfd) {
		if (!io->res)
			w->ops->close(io->wfd_out);
		leap__pollgroup_release(a->pg);
		free(a);
		return;
	}
	if (!io->res && a->accepted(a->arg, io->wfd_out))
		w->ops->close(io->wfd_out);
	/* @accepted may have stopped us: then this io is not pending. */
	if (!a->wfd) {
		leap__pollgroup_release(a->pg);
		free(a);
	} else if (io->res && io->res != -ECONNABORTED) {
		leap_timer_start(a->pg, &a->retry, RETRY_NS);
	} else {
		post(a);
	}
}

int leap__acceptor_start(struct leap_pollgroup *pg, struct leap__wfd *wfd,
			 int (*accepted)(void *arg, struct leap__wfd *conn),
			 void *arg, struct leap__acceptor **out)
{
	struct leap__acceptor *a = calloc(1, sizeof(*a));

	if (!a) {
		leap__pollgroup_world(pg)->ops->close(wfd);
		return leap__err(-ENOMEM, "leap_listener_create: out of "
				 "memory");
	}
	a->pg = pg;
	a->wfd = wfd;
	a->accepted = accepted;
	a->arg = arg;
	a->retry.run = retry_run;
	a->io.op = LEAP__IO_ACCEPT;
	a->io.wfd = wfd;
	a->io.done = accept_done;
	a->io.arg = a;
	leap__pollgroup_hold(pg);
	post(a);
	*out = a;
	return 0;
}

int leap__acceptor_listen(const char *call, struct leap__world *w,
			  const char *path,
			  const struct leap_listener_opts *opts, int backlog,
			  struct leap__wfd **out)
{
	struct sockaddr_un addr;
	int err = leap__unix_address(call, path, &addr);

	if (err)
		return err;
	err = w->ops->listen(w, (struct sockaddr *)&addr, sizeof(addr), backlog,
			     opts->mode ? opts->mode : 0600, out);
	if (err)
		return leap__err(err, "%s: %s: %s", call, path, strerror(-err));
	if (!opts->set_owner || !lchown(path, opts->uid, opts->gid))
		return 0;
	err = -errno;
	w->ops->close(*out);
	return leap__err(err, "%s: %s: owner: %s", call, path, strerror(-err));
}

void leap__acceptor_stop(struct leap__acceptor *a)
{
	struct leap__wfd *wfd;

	if (!a)
		return;
	wfd = a->wfd;
	a->wfd = NULL;
	leap__pollgroup_world(a->pg)->ops->close(wfd);
	if (a->retry.armed) {
		leap_timer_stop(a->pg, &a->retry);
		leap__pollgroup_release(a->pg);
		free(a);
	}
}
