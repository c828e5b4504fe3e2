/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of /sys, /proc and /dev, under a root that may be another than "/".
 * Knows where the kernel keeps what about a PCI function, and nothing of what
 * that is asked for. Every answer is bounded; whatever is longer is an error.
 */
#include "config.h"

#include "transport/pcie/pci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int leap__sysfs_path(const struct leap__sysfs *s, char *path, const char *fmt,
		     ...)
{
	size_t at = strlen(s->root);
	va_list ap;
	int n;

	memcpy(path, s->root, at);
	va_start(ap, fmt);
	n = vsnprintf(path + at, LEAP__PCI_PATH - at, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= LEAP__PCI_PATH - at ? -ENAMETOOLONG : 0;
}

int leap__sysfs_read(const char *path, char *text, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	char more;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, max - 1);
	if (n < 0) {
		err = -errno;
		n = 0;
	}
	text[n] = 0;
	/* All of the line, or none of it. */
	if ((size_t)n == max - 1 && !strchr(text, '\n') &&
	    read(fd, &more, 1) == 1 && more != '\n')
		err = -ENAMETOOLONG;
	close(fd);
	text[err ? 0 : strcspn(text, "\n")] = 0;
	return err;
}

int leap__sysfs_write(const struct leap__sysfs *s, const char *path,
		      const char *text)
{
	size_t len = strlen(text);
	int fd, err = 0;
	ssize_t n;

	if (s->write)
		return s->write(s->arg, path, text);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n != (ssize_t)len)
		err = n < 0 ? -errno : -EIO;
	close(fd);
	return err;
}

int leap__sysfs_link(const char *path, char *target, size_t max)
{
	ssize_t n = readlink(path, target, max);

	if (n < 0)
		return -errno;
	if ((size_t)n >= max)
		return -ENAMETOOLONG;
	target[n] = 0;
	return 0;
}

int leap__sysfs_name(const char *path, char *name, size_t max)
{
	char target[LEAP__PCI_PATH];
	int err = leap__sysfs_link(path, target, sizeof(target));
	const char *last;

	if (err)
		return err;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= max)
		return -ENAMETOOLONG;
	strcpy(name, last);
	return 0;
}

int leap__sysfs_each(const char *dir, int (*each)(const char *name, void *arg),
		     void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	while (!rc && (e = readdir(d)))
		if (e->d_name[0] != '.')
			rc = each(e->d_name, arg);
	closedir(d);
	return rc;
}

int leap__pci_driver(const struct leap__sysfs *s, const char *address,
		     char *driver, size_t max)
{
	char path[LEAP__PCI_PATH];
	int err;

	driver[0] = 0;
	err = leap__sysfs_path(s, path, "/sys/bus/pci/devices/%s", address);
	if (err)
		return err;
	if (access(path, F_OK))
		return -ENODEV;
	err = leap__sysfs_path(s, path, "/sys/bus/pci/devices/%s/driver",
			       address);
	if (!err)
		err = leap__sysfs_name(path, driver, max);
	return err == -ENOENT ? 0 : err;
}

int leap__pci_group(const struct leap__sysfs *s, const char *address)
{
	char path[LEAP__PCI_PATH], name[16], *end;
	unsigned long n;

	if (leap__sysfs_path(s, path, "/sys/bus/pci/devices/%s/iommu_group",
			     address) ||
	    leap__sysfs_name(path, name, sizeof(name)))
		return -1;
	n = strtoul(name, &end, 10);
	return *end || n > 1u << 30 ? -1 : (int)n;
}
