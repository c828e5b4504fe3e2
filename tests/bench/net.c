/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network of the benchmark's own, so that what the system has set up for real
 * networks is not measured. Needs a user namespace or the right to make others;
 * without either the benchmark goes on with what there is, and says so.
 */
#define _GNU_SOURCE
#include "net.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL "/proc/sys/net/ipv4/tcp_congestion_control"

static int lo_up(void)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), rc;

	if (fd < 0)
		return -1;
	rc = ioctl(fd, SIOCSIFFLAGS, &req);
	close(fd);
	return rc;
}

static void set_control(const char *name)
{
	int fd = open(CONTROL, O_WRONLY);

	if (fd < 0)
		return;
	/* What came of it is read again. */
	if (write(fd, name, strlen(name)) < 0)
		perror(CONTROL);
	close(fd);
}

static void get_control(char *name, size_t max)
{
	int fd = open(CONTROL, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, name, max - 1);

	if (fd >= 0)
		close(fd);
	name[n > 0 ? n : 0] = 0;
	name[strcspn(name, "\n")] = 0;
}

void bench_net(const char *program)
{
	char name[32];

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		fprintf(stderr, "%s: no network of our own\n", program);
	else if (lo_up())
		perror("lo");
	else
		set_control("reno");
	get_control(name, sizeof(name));
	if (strcmp(name, "reno"))
		fprintf(stderr, "%s: congestion control is \"%s\"\n", program,
			name);
}
