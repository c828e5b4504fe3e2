/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls that VFIO is made of. Errors come back as -errno; nothing
 * here knows what they are for.
 */
#include "config.h"

#include "transport/pcie/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int kernel_open(void *arg, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int kernel_ioctl(void *arg, int fd, unsigned long request, void *data)
{
	int rc = ioctl(fd, request, data);

	return rc < 0 ? -errno : rc;
}

static int kernel_map(void *arg, int fd, uint64_t offset, size_t bytes,
		      void **out)
{
	*out = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)offset);
	return *out == MAP_FAILED ? -errno : 0;
}

static void kernel_unmap(void *arg, void *addr, size_t bytes)
{
	munmap(addr, bytes);
}

static ssize_t kernel_pread(void *arg, int fd, void *buf, size_t bytes,
			    uint64_t offset)
{
	ssize_t n = pread(fd, buf, bytes, (off_t)offset);

	return n < 0 ? -errno : n;
}

static ssize_t kernel_pwrite(void *arg, int fd, const void *buf, size_t bytes,
			     uint64_t offset)
{
	ssize_t n = pwrite(fd, buf, bytes, (off_t)offset);

	return n < 0 ? -errno : n;
}

static void kernel_close(void *arg, int fd)
{
	close(fd);
}

static int kernel_link(void *arg, const char *path, char *name, size_t max)
{
	char target[512];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	const char *last;

	if (n < 0)
		return -errno;
	target[n] = 0;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= max)
		return -ENAMETOOLONG;
	strcpy(name, last);
	return 0;
}

const struct leap__vfio_calls leap__vfio_kernel = {
	.open = kernel_open,
	.ioctl = kernel_ioctl,
	.map = kernel_map,
	.unmap = kernel_unmap,
	.pread = kernel_pread,
	.pwrite = kernel_pwrite,
	.close = kernel_close,
	.link = kernel_link,
	.pin = leap__vfio_pin,
	.frames = leap__vfio_frames,
};
