/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An eventfd that threads signal while their home replaces it: those of a
 * drive's vectors, and those of a controller that was lent. Knows nothing of
 * when interrupts are raised, nor what descriptor is an eventfd.
 */
#define _GNU_SOURCE	/* dup3 */
#include "core/ctrl/irqfd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/atomic.h"

int leap__irqfd_set(struct leap__irqfd *x, int fd, int sink)
{
	uint32_t none = fd < 0;

	if (none && x->fd < 0)
		return 0;
	if (none)
		leap__store_release(&x->has_fd, 0u);
	if (x->fd >= 0)
		fd = dup3(none ? sink : fd, x->fd, O_CLOEXEC);
	else
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	x->fd = fd;
	leap__store_release(&x->has_fd, !none);
	return 0;
}

void leap__irqfd_close(struct leap__irqfd *x)
{
	if (x->fd >= 0)
		close(x->fd);
	*x = LEAP__IRQFD_NONE;
}
