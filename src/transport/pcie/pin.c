/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for devices that no IOMMU stands before: it must not move while they
 * know where it is, and they have to be told where that is.
 *
 * A lock (mlock) keeps pages in memory, but the kernel may still move them.
 * What it does not move is pages that something of its own has pinned for long;
 * the one way to have that done from here is to register them with an io_uring,
 * which is then used for nothing else. Sits below the kernel's table of calls
 * (calls.c); knows nothing of VFIO.
 */
#include "config.h"

#include "transport/pcie/vfio.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ats/pagemap.h"
#include "util/err.h"

#define IOV_BYTES	(1ull << 30)	/* of one registered buffer, at most */

static int make_ring(void)
{
	struct io_uring_params p;
	long fd;

	memset(&p, 0, sizeof(p));
	fd = syscall(__NR_io_uring_setup, 1, &p);
	return fd < 0 ? -errno : (int)fd;
}

int leap__vfio_pin(void *arg, void *addr, size_t bytes)
{
	size_t nr = (size_t)((bytes + IOV_BYTES - 1) / IOV_BYTES), i;
	struct iovec *iov = calloc(nr, sizeof(*iov));
	int fd = iov ? make_ring() : -ENOMEM, err;

	for (i = 0; iov && i < nr; i++) {
		iov[i].iov_base = (uint8_t *)addr + i * IOV_BYTES;
		iov[i].iov_len = bytes < IOV_BYTES ? bytes : (size_t)IOV_BYTES;
		bytes -= iov[i].iov_len;
	}
	if (fd >= 0 && syscall(__NR_io_uring_register, fd,
			       IORING_REGISTER_BUFFERS, iov,
			       (unsigned int)nr) < 0) {
		err = -errno;
		close(fd);
		fd = err;
	}
	free(iov);
	return fd;
}

int leap__vfio_frames(void *arg, const void *addr, size_t bytes,
		      uint64_t *pages)
{
	const uint8_t *at = addr;
	struct leap__pagemap *map;
	uint64_t phys, run;
	int err = leap__pagemap_open(&map);

	while (!err && bytes) {
		err = leap__pagemap_run(map, at, bytes, &phys, &run);
		if (err)
			break;
		at += run;
		bytes -= (size_t)run;
		for (; run; run -= LEAP__VFIO_PAGE, phys += LEAP__VFIO_PAGE)
			*pages++ = phys;
	}
	leap__pagemap_close(map);
	return err;
}
