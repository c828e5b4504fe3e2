/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.c - the program's event loop, with a poll group as one of its sources
 *
 * The library does not own main: while there is work its poll group is polled
 * and the other descriptors are looked at once a millisecond; without work for
 * spin_ns the group is armed and everything sleeps in one epoll_wait. Knows
 * nothing of what the descriptors are for.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <leapio/pollgroup.h>

#include "examples/common/loop.h"

#define LOOK_NS 1000000u
#define NR_EVENTS 16

static void woken(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;	/* the next poll takes what is there, and disarms */
}

int loop_init(struct loop *loop, struct leap_pollgroup *pg, uint64_t spin_ns)
{
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		return -errno;
	loop->quit = 0;
	loop->pg = pg;
	loop->spin_ns = spin_ns;
	loop->wake = (struct watch){ leap_pollgroup_fd(pg), woken };
	return loop_add(loop, &loop->wake, EPOLLIN);
}

void loop_fini(struct loop *loop)
{
	close(loop->epfd);
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = watch };

	return epoll_ctl(loop->epfd, EPOLL_CTL_ADD, watch->fd, &ev) ? -errno :
								      0;
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = watch };

	epoll_ctl(loop->epfd, EPOLL_CTL_MOD, watch->fd, &ev);
}

void loop_del(struct loop *loop, struct watch *watch)
{
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, watch->fd, NULL);
}

static void look(struct loop *loop, int timeout)
{
	struct epoll_event events[NR_EVENTS];
	struct watch *watch;
	int i, n;

	n = epoll_wait(loop->epfd, events, NR_EVENTS, timeout);
	for (i = 0; i < n; i++) {
		watch = events[i].data.ptr;
		watch->ready(watch, events[i].events);
	}
}

void loop_run(struct loop *loop)
{
	uint64_t worked = leap_pollgroup_now_ns(loop->pg);
	uint64_t looked = worked;
	uint64_t now;

	while (!loop->quit) {
		int n = leap_pollgroup_poll(loop->pg, 0);

		now = leap_pollgroup_now_ns(loop->pg);
		if (n > 0)
			worked = now;
		if (loop->quit)
			break;
		if (now - worked >= loop->spin_ns &&
		    !leap_pollgroup_arm(loop->pg)) {
			look(loop, -1);
			looked = now;
		} else if (now - looked >= LOOK_NS) {
			look(loop, 0);
			looked = now;
		}
	}
}
