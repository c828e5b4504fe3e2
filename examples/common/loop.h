/* SPDX-License-Identifier: BSD-3-Clause */
/* loop.h - one epoll loop for a poll group and the program's own descriptors */
#ifndef EXAMPLES_LOOP_H
#define EXAMPLES_LOOP_H

#include <stdint.h>

struct leap_pollgroup;

struct watch {
	int fd;
	void (*ready)(struct watch *watch, uint32_t events);
};

struct loop {
	int epfd;
	int quit;
	struct leap_pollgroup *pg;
	struct watch wake;	/* the poll group's */
	uint64_t spin_ns;
};

int loop_init(struct loop *loop, struct leap_pollgroup *pg, uint64_t spin_ns);
void loop_fini(struct loop *loop);

/* @events: EPOLLIN, ... */
int loop_add(struct loop *loop, struct watch *watch, uint32_t events);
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);
void loop_del(struct loop *loop, struct watch *watch);

/* Until loop->quit is set. */
void loop_run(struct loop *loop);

#endif
