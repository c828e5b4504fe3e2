/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfu-fixture.c - see vfu-fixture.h
 */
#define _GNU_SOURCE
#include "vfu-fixture.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/un.h>

struct vf vf;

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	size_t n = strlen(vf.log);

	(void)arg;
	(void)level;
	snprintf(vf.log + n, sizeof(vf.log) - n, "%s\n", text);
}

void vf_count(void *arg)
{
	(*(int *)arg)++;
}

int vf_set_up(void **state)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct leap__world *w;
	struct leap__wfd *wfd;

	(void)state;
	memset(&vf, 0, sizeof(vf));
	vf.fds_open = fds_open();
	vf.c.sock = -1;
	po.log = log_line;
	po.world = LEAP_WORLD_EPOLL;
	assert_int_equal(leap_pollgroup_create(&po, &vf.pg), 0);
	fake_vdev_init(&vf.vdev);
	snprintf(vf.path, sizeof(vf.path), "/tmp/leap-vfu-%d.sock",
		 (int)getpid());
	strcpy(addr.sun_path, vf.path);
	w = leap__pollgroup_world(vf.pg);
	assert_int_equal(w->ops->listen(w, (struct sockaddr *)&addr,
					sizeof(addr), 1, 0600, &wfd), 0);
	assert_int_equal(leap__vfu_server_create(vf.pg, &fake_vdev_ops, "unit",
						 &vf.server), 0);
	assert_int_equal(leap__vfu_server_start(vf.server, wfd,
			(struct leap_vdev *)&vf.vdev, VF_VECTORS, 0), 0);
	return 0;
}

int vf_tear_down(void **state)
{
	(void)state;
	vfu_close(&vf.c);
	vfu_settle(vf.pg);
	vf.vdev.hold = 0;
	fake_vdev_end(&vf.vdev, 0);
	leap__vfu_server_stop(vf.server, vf_count, &vf.stopped);
	vfu_settle(vf.pg);
	assert_int_equal(vf.stopped, 1);
	assert_int_equal(vf.vdev.destroyed, 1);
	assert_int_equal(vf.vdev.nr_maps, 0);
	assert_int_equal(leap_pollgroup_destroy(vf.pg), 0);
	assert_int_equal(access(vf.path, F_OK), -1);
	assert_int_equal(fds_open(), vf.fds_open);
	return 0;
}

int vf_set_up_live(void **state)
{
	vf_set_up(state);
	assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
	assert_int_equal(vfu_hello(&vf.c), 0);
	return 0;
}

int vf_event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Signals since the last look. */
uint64_t vf_fired(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	uint64_t n = 0;

	vfu_settle(vf.pg);
	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

int vf_hung_up(void)
{
	return vfu_peek(&vf.c) == -2;
}

int vf_ask(uint16_t cmd, const void *p, size_t n)
{
	return vfu_ask(&vf.c, cmd, p, n, NULL, 0, NULL);
}
