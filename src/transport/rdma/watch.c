/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors of the verbs libraries as a source of a poll group.
 *
 * Both channels of a connection are in one epoll set, which the world watches:
 * it reads nothing from it, because the events are the libraries' to read. The
 * pending operation outlives its connection by one poll, so the memory is the
 * watch's own and goes when that has come back.
 */
#include "transport/rdma/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct leap__rdma_watch {
	struct leap__io io;
	struct leap_pollgroup *pg;
	struct leap__wfd *wfd;		/* NULL = stopped */
	void (*fired)(void *arg);
	void (*ended)(void *arg);
	void *arg;
};

static void watch_done(struct leap__io *io)
{
	struct leap__rdma_watch *w = io->arg;

	if (w->wfd && !io->res)
		w->fired(w->arg);
	if (w->wfd && !io->res) {
		leap__io_submit(leap__pollgroup_world(w->pg), io);
		return;
	}
	if (w->wfd)
		w->wfd->world->ops->close(w->wfd);
	leap__pollgroup_release(w->pg);
	if (w->ended)
		w->ended(w->arg);
	free(w);
}

static int make_set(const int fds[2])
{
	int set = epoll_create1(EPOLL_CLOEXEC), i;

	for (i = 0; set >= 0 && i < 2; i++) {
		struct epoll_event ev = { .events = EPOLLIN };
		int err;

		if (fds[i] < 0 ||
		    !epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &ev))
			continue;
		err = -errno;
		close(set);
		return err;
	}
	return set < 0 ? -errno : set;
}

int leap__rdma_watch(struct leap_pollgroup *pg, const int fds[2],
		     void (*fired)(void *arg), void *arg,
		     struct leap__rdma_watch **out)
{
	struct leap__world *world = leap__pollgroup_world(pg);
	struct leap__rdma_watch *w = calloc(1, sizeof(*w));
	int set, err;

	if (!w)
		return -ENOMEM;
	set = make_set(fds);
	if (set < 0) {
		free(w);
		return set;
	}
	err = world->ops->adopt(world, set, &w->wfd);
	if (err) {
		close(set);
		free(w);
		return err;
	}
	w->pg = pg;
	w->fired = fired;
	w->arg = arg;
	w->io.op = LEAP__IO_WATCH;
	w->io.flags = LEAP__IO_PEEK;
	w->io.wfd = w->wfd;
	w->io.done = watch_done;
	w->io.arg = w;
	leap__pollgroup_hold(pg);
	leap__io_submit(world, &w->io);
	*out = w;
	return 0;
}

void leap__rdma_disown(struct leap__rdma_watch *w)
{
	if (w)
		w->ended = NULL;
}

void leap__rdma_unwatch(struct leap__rdma_watch *w, void (*ended)(void *arg))
{
	if (!w)
		return;
	w->ended = ended;
	/* From @fired, the operation is not pending: watch_done frees it. */
	w->wfd->world->ops->close(w->wfd);
	w->wfd = NULL;
}
