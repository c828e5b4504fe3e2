/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fds.h - descriptors, as those who lie about them need them: sent along with a
 * message, memory of another process, and how many are open
 *
 * For fuzzers, too: what cannot fail here aborts.
 */
#ifndef LEAP_TESTS_FDS_H
#define LEAP_TESTS_FDS_H

#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX 32u	/* that a message may carry */

/* As send(), with @nr descriptors. */
static inline ssize_t fds_send(int sock, const void *bytes, size_t n,
			       const int *fds, uint32_t nr, int flags)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} ctl;
	struct iovec iov = { (void *)(uintptr_t)bytes, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr > FDS_MAX)
		abort();
	if (nr) {
		memset(&ctl, 0, sizeof(ctl));
		msg.msg_control = ctl.buf;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		ctl.hdr.cmsg_level = SOL_SOCKET;
		ctl.hdr.cmsg_type = SCM_RIGHTS;
		ctl.hdr.cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(&ctl.hdr), fds, nr * sizeof(int));
	}
	return sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
}

/* Memory that more seals can be put on; @seals: those it has, as F_SEAL_SHRINK,
 * or 0. */
static inline int fds_memory(uint64_t bytes, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) ||
	    (seals && fcntl(fd, F_ADD_SEALS, seals)))
		abort();
	return fd;
}

static inline int fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	if (!d)
		abort();
	while (readdir(d))
		n++;
	closedir(d);
	/* Its own, ".", and "..". */
	return n - 3;
}

#endif
