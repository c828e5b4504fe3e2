/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irqfd.h - an eventfd that threads signal while their home replaces it
 *
 * Raised by any thread: has_fd by leap__load_acquire(), then a write to fd. Set
 * and closed by the home.
 */
#ifndef LEAP_CORE_CTRL_IRQFD_H
#define LEAP_CORE_CTRL_IRQFD_H

#include <stdint.h>

struct leap__irqfd {
	/* A number that stays ours once it is: what is behind it is replaced,
	 * so that no thread writes to a number that has become somebody
	 * else's. -1 = none yet. */
	int fd;
	uint32_t has_fd;
};

#define LEAP__IRQFD_NONE	((struct leap__irqfd){ .fd = -1 })

/*
 * leap__irqfd_set - @fd, which is duplicated; -1 = none: who is about to signal
 * writes to @sink, that nobody reads
 * Errors: those of fcntl(2) and dup3(2); nothing has changed then, but that
 *         there is none when there was to be none
 */
int leap__irqfd_set(struct leap__irqfd *x, int fd, int sink);

/* No thread signals it any more. */
void leap__irqfd_close(struct leap__irqfd *x);

#endif
