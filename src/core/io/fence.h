/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fence.h - make sure that a process does nothing any more
 */
#ifndef LEAP_CORE_IO_FENCE_H
#define LEAP_CORE_IO_FENCE_H

#include <stdint.h>

#include <leapio/pollgroup.h>

#include "util/list.h"

/* The runtime behind one link, and the locks it has told of. Zero it. */
struct leap__fence {
	struct leap_pollgroup *pg;
	int64_t pid;
	int pidfd;		/* -1 = none */
	uint32_t running;
	uint32_t exited;
	uint32_t killed;
	uint64_t kill_ns;	/* when */
	struct leap__list leaves;
	uint32_t nr_leaves;
	struct leap_timer timer;
	void (*done)(struct leap__fence *f);
};

void leap__fence_init(struct leap__fence *f, struct leap_pollgroup *pg);

/* @pidfd: taken over. 0; -EPERM it could not be killed. Context: owner */
int leap__fence_process(struct leap__fence *f, int64_t pid, int pidfd);

/* It holds the lock of the file that is now at @path, or (@released) no longer.
 * 0, -ENOMEM, -ENOSPC too many, -EINVAL no absolute path, -errno the file
 * cannot be opened for reading. Context: owner */
int leap__fence_leaf(struct leap__fence *f, const char *path, int released);

/* Kill it, unless it exits by itself in @grace_ns, await its exit and then all
 * its locks; @done runs in poll, however long that takes. No-op while it runs.
 * Context: owner */
void leap__fence_start(struct leap__fence *f, uint64_t grace_ns,
		       void (*done)(struct leap__fence *f));

/* While it runs: done does not come. Context: owner */
void leap__fence_stop(struct leap__fence *f);
/* The same, and what it has is freed. Context: owner */
void leap__fence_fini(struct leap__fence *f);

#endif
