/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device end of vfio-user with a scripted client: every message, right and
 * wrong, in order and out of it, against a function that ends its work when it
 * is told to.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <leapio/leapio.h>
#include <leapio/nvme.h>

#include "fake-vdev.h"
#include "transport/vfio-user/server.h"
#include "unit.h"
#include "vfu-client.h"

#define VECTORS 17u
#define E_FD	(LEAP__VFU_SET_EVENTFD | LEAP__VFU_SET_TRIGGER)	/* 24h */
#define E_NONE	(LEAP__VFU_SET_NONE | LEAP__VFU_SET_TRIGGER)	/* 21h */
#define RW	(LEAP__VFU_MAP_READ | LEAP__VFU_MAP_WRITE)

static struct {
	struct leap_pollgroup *pg;
	struct leap__vfu_server *server;
	struct fake_vdev vdev;
	struct vfu_client c;
	char path[64];
	char log[4096];
	int stopped;
	int fds_open;		/* before anything */
} t;

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	size_t n = strlen(t.log);

	(void)arg;
	(void)level;
	snprintf(t.log + n, sizeof(t.log) - n, "%s\n", text);
}

static void stopped(void *arg)
{
	(*(int *)arg)++;
}

static int setup(void **state)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct leap__world *w;
	struct leap__wfd *wfd;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.fds_open = open_fds();
	t.c.sock = -1;
	po.log = log_line;
	po.world = LEAP_WORLD_EPOLL;
	assert_int_equal(leap_pollgroup_create(&po, &t.pg), 0);
	fake_vdev_init(&t.vdev);
	snprintf(t.path, sizeof(t.path), "/tmp/leap-vfu-%d.sock",
		 (int)getpid());
	strcpy(addr.sun_path, t.path);
	w = leap__pollgroup_world(t.pg);
	assert_int_equal(w->ops->listen(w, (struct sockaddr *)&addr,
					sizeof(addr), 1, 0600, &wfd), 0);
	assert_int_equal(leap__vfu_server_create(t.pg, &fake_vdev_ops, "unit",
						 &t.server), 0);
	assert_int_equal(leap__vfu_server_start(t.server, wfd,
			(struct leap_vdev *)&t.vdev, VECTORS), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vfu_close(&t.c);
	vfu_settle(t.pg);
	t.vdev.hold = 0;
	fake_vdev_end(&t.vdev, 0);
	leap__vfu_server_stop(t.server, stopped, &t.stopped);
	vfu_settle(t.pg);
	assert_int_equal(t.stopped, 1);
	assert_int_equal(t.vdev.destroyed, 1);
	assert_int_equal(t.vdev.nr_maps, 0);
	assert_int_equal(leap_pollgroup_destroy(t.pg), 0);
	assert_int_equal(access(t.path, F_OK), -1);
	assert_int_equal(open_fds(), t.fds_open);
	return 0;
}

static int setup_live(void **state)
{
	setup(state);
	assert_int_equal(vfu_connect(&t.c, t.pg, t.path), 0);
	assert_int_equal(vfu_hello(&t.c), 0);
	return 0;
}

static int memory(size_t bytes, int sealed)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	if (sealed)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static int event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Signals since the last look. */
static uint64_t fired(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	uint64_t n = 0;

	vfu_settle(t.pg);
	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static int hung_up(void)
{
	return vfu_peek(&t.c) == -2;
}

static int ask(uint16_t cmd, const void *p, size_t n)
{
	return vfu_ask(&t.c, cmd, p, n, NULL, 0, NULL);
}

/* ---- capabilities -------------------------------------------------------- */

static int caps(const char *text, struct leap__vfu_caps *out)
{
	char *exact = exact_string(text);
	int rc = leap__vfu_caps_parse(exact, strlen(exact) + 1, out);

	free(exact);
	return rc;
}

static void test_caps(void **state)
{
	struct leap__vfu_caps c;
	char text[256];

	(void)state;
	assert_int_equal(leap__vfu_caps_parse("", 0, &c), 0);
	assert_int_equal(c.max_msg_fds, 1);
	assert_int_equal(c.max_data_xfer_size, 1 << 20);
	assert_false(c.write_multiple);
	assert_int_equal(caps("{\"capabilities\":{\"max_msg_fds\": 16 , "
			      "\"max_data_xfer_size\":65536,\"x\":[1,{\"a\":"
			      "null}],\"write_multiple\":true}}", &c), 0);
	assert_int_equal(c.max_msg_fds, 16);
	assert_int_equal(c.max_data_xfer_size, 65536);
	assert_true(c.write_multiple);
	/* Only what stands in the right place counts. */
	assert_int_equal(caps("{\"max_msg_fds\":3,\"a\":{\"max_msg_fds\":4},"
			      "\"capabilities\":{\"b\":{\"max_msg_fds\":5}}}",
			      &c), 0);
	assert_int_equal(c.max_msg_fds, 1);
	assert_int_equal(caps("{}", &c), 0);
	assert_int_equal(caps(" { \"\\u00e9\\n\" : -1.5e+3 } \n", &c), 0);
	c.max_msg_fds = 7;
	c.write_multiple = true;
	assert_true(leap__vfu_caps_print(text, sizeof(text), &c) > 0);
	assert_int_equal(caps(text, &c), 0);
	assert_int_equal(c.max_msg_fds, 7);
	assert_int_equal(leap__vfu_caps_print(text, 20, &c), -ENOSPC);
}

static void test_bad_caps(void **state)
{
	static const char *const bad[] = {
		"", "x", "{", "}", "[]", "1", "{\"a\"}", "{\"a\":}", "{a:1}",
		"{\"a\":1,}", "{\"a\":1 \"b\":2}", "{\"a\":01}", "{\"a\":1.}",
		"{\"a\":1e}", "{\"a\":-}", "{\"a\":tru}", "{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}", "{\"a\":\"", "{\"a\":\"\n\"}",
		"{\"a\":[1,]}", "{\"a\":[", "{} {}", "{}x",
		"{\"a\":99999999999999999999}",
		"{\"capabilities\":1}", "{\"capabilities\":[]}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":true}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"a\":[[[[[[[[[[[[1]]]]]]]]]]]]}",
	};
	struct leap__vfu_caps c;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(caps(bad[i], &c), -EINVAL);
	/* A NUL in the middle, none at the end. */
	assert_int_equal(leap__vfu_caps_parse("{}\0\0", 4, &c), -EINVAL);
	assert_int_equal(leap__vfu_caps_parse("{}", 2, &c), -EINVAL);
}

/* ---- VERSION ------------------------------------------------------------- */

static void test_version(void **state)
{
	struct leap__vfu_caps c;
	struct leap__vfu_version v;
	int n = 0;

	(void)state;
	assert_int_equal(vfu_connect(&t.c, t.pg, t.path), 0);
	v = (struct leap__vfu_version){ 0, 9 };
	assert_int_equal(vfu_ask(&t.c, LEAP__VFU_VERSION, &v, sizeof(v), NULL,
				 0, &n), 0);
	memcpy(&v, t.c.in, sizeof(v));
	assert_int_equal(v.major, 0);
	assert_int_equal(v.minor, 1);
	assert_int_equal(leap__vfu_caps_parse((char *)t.c.in + 4,
					      (size_t)n - 4, &c), 0);
	/* What QEMU checks in an answer. */
	assert_true(c.max_msg_fds >= 1 && c.max_msg_fds <= 16);
	assert_true(c.max_data_xfer_size >= 4096 &&
		    c.max_data_xfer_size <= 64 << 20);
	assert_int_equal(c.pgsizes % 4096, 0);
	assert_true(c.max_dma_maps <= 65535);
	/* Once is enough. */
	assert_int_equal(ask(LEAP__VFU_VERSION, &v, sizeof(v)), EINVAL);
	assert_int_equal(ask(LEAP__VFU_RESET, NULL, 0), 0);
}

static void test_bad_hello(void **state)
{
	struct leap__vfu_version major = { 1, 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(vfu_connect(&t.c, t.pg, t.path), 0);
		switch (i) {
		case 0:		/* not VERSION */
			vfu_send(&t.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
			break;
		case 1:
			vfu_send(&t.c, LEAP__VFU_VERSION, 0, &major, 4, NULL,
				 0);
			break;
		case 2:		/* JSON without its NUL */
			vfu_send(&t.c, LEAP__VFU_VERSION, 0, "\0\0\0\0{}", 6,
				 NULL, 0);
			break;
		case 3:
			vfu_send(&t.c, LEAP__VFU_VERSION, 0, "\0\0", 2, NULL,
				 0);
			break;
		default:	/* a reply to nothing */
			vfu_send(&t.c, LEAP__VFU_VERSION, LEAP__VFU_REPLY,
				 "\0\0\0", 4, NULL, 0);
		}
		assert_true(hung_up());
		vfu_close(&t.c);
		vfu_settle(t.pg);
	}
	assert_non_null(strstr(t.log, "VERSION"));
}

static void test_bad_headers(void **state)
{
	static const struct leap__vfu_hdr bad[] = {
		{ 1, 13, 15, 0, 0 },
		{ 1, 13, 0, 0, 0 },
		{ 1, 9, 16 + LEAP__VFU_MAX_PAYLOAD + 1, 0, 0 },
		{ 1, 9, UINT32_MAX, 0, 0 },
		{ 1, 13, 16, 2, 0 },		/* neither command nor reply */
		{ 1, 13, 16, 0x20, 0 },		/* a command that failed */
		{ 1, 11, 16, 0x21, 5 },		/* a reply to nothing */
		{ 1, 11, 20, 0x21, 5 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(vfu_connect(&t.c, t.pg, t.path), 0);
		assert_int_equal(vfu_hello(&t.c), 0);
		vfu_raw(&t.c, &bad[i], sizeof(bad[i]), NULL, 0);
		assert_true(hung_up());
		vfu_close(&t.c);
		vfu_settle(t.pg);
	}
	assert_int_equal(t.vdev.resets, COUNT(bad));
}

/* ---- what there is ------------------------------------------------------- */

static void test_info(void **state)
{
	struct leap__vfu_device_info d = { .argsz = 20 };
	struct leap__vfu_region_info r = { .argsz = 32 };
	struct leap__vfu_irq_info q = { .argsz = 16 };
	uint32_t i;

	(void)state;
	assert_int_equal(ask(LEAP__VFU_GET_INFO, &d, sizeof(d)), 0);
	memcpy(&d, t.c.in, sizeof(d));
	assert_int_equal(d.flags, 3);
	assert_int_equal(d.nr_regions, 9);
	assert_int_equal(d.nr_irqs, 5);
	for (i = 0; i < 9; i++) {
		r.argsz = 32;
		r.index = i;
		assert_int_equal(ask(LEAP__VFU_REGION_INFO, &r, sizeof(r)), 0);
		memcpy(&r, t.c.in, sizeof(r));
		assert_int_equal(r.index, i);
		assert_int_equal(r.bytes, i == 0 ? 16384 : i == 7 ? 4096 : 0);
		assert_int_equal(r.flags, r.bytes ? 3 : 0);
	}
	for (i = 0; i < 5; i++) {
		q = (struct leap__vfu_irq_info){ .argsz = 16, .index = i };
		assert_int_equal(ask(LEAP__VFU_IRQ_INFO, &q, sizeof(q)), 0);
		memcpy(&q, t.c.in, sizeof(q));
		assert_int_equal(q.count, i == 2 ? VECTORS : i == 1 ? 0 : 1);
		assert_int_equal(!!(q.flags & 1), i != 1);
	}
}

static void test_bad_info(void **state)
{
	static const uint16_t cmds[] = {
		LEAP__VFU_GET_INFO, LEAP__VFU_REGION_INFO,
		LEAP__VFU_REGION_IO_FDS, LEAP__VFU_IRQ_INFO,
	};
	uint32_t p[16] = { 0 };
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(cmds); i++) {
		n = cmds[i] == LEAP__VFU_REGION_INFO ? 32 : 16;
		p[0] = (uint32_t)n;
		assert_int_equal(ask(cmds[i], p, n), 0);
		assert_int_equal(ask(cmds[i], p, n - 4), EINVAL);
		assert_int_equal(ask(cmds[i], p, n + 4), EINVAL);
		assert_int_equal(ask(cmds[i], p, 0), EINVAL);
		p[0] = (uint32_t)n - 1;
		assert_int_equal(ask(cmds[i], p, n), EINVAL);
		p[0] = (uint32_t)n;
		p[2] = 99;
		assert_int_equal(ask(cmds[i], p, n),
				 cmds[i] == LEAP__VFU_GET_INFO ? 0 : EINVAL);
		p[2] = 0;
	}
	/* No descriptors to be had; no such region. */
	p[0] = 16;
	p[2] = 0;
	assert_int_equal(ask(LEAP__VFU_REGION_IO_FDS, p, 16), 0);
	memcpy(p, t.c.in, 16);
	assert_int_equal(p[3], 0);
	p[2] = 3;
	assert_int_equal(ask(LEAP__VFU_REGION_IO_FDS, p, 16), EINVAL);
}

static void test_unknown(void **state)
{
	static const uint16_t cmds[] = { 0, 11, 12, 14, 16, 17, 18, 19, 99,
					 65535 };
	uint8_t p[32] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cmds); i++)
		assert_int_equal(ask(cmds[i], p, sizeof(p)), EOPNOTSUPP);
	/* And not a word when none is wanted. */
	vfu_send(&t.c, 99, LEAP__VFU_NO_REPLY, p, 3, NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
	assert_int_equal(ask(LEAP__VFU_RESET, p, 1), EINVAL);
	assert_int_equal(ask(LEAP__VFU_RESET, NULL, 0), 0);
}

/* ---- regions ------------------------------------------------------------- */

static void test_regions(void **state)
{
	uint8_t buf[16384], v[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	assert_int_equal(vfu_read(&t.c, 7, 0, buf, 4096), 0);
	assert_memory_equal(buf, t.vdev.config, 4096);
	assert_int_equal(vfu_write(&t.c, 0, 0x1000, v, 4, 0), 0);
	assert_int_equal(vfu_write(&t.c, 0, 16376, v, 8, 0), 0);
	assert_int_equal(vfu_read(&t.c, 0, 0, buf, 16384), 0);
	assert_memory_equal(buf + 0x1000, v, 4);
	assert_memory_equal(buf + 16376, v, 8);
	assert_int_equal(vfu_write(&t.c, 7, 4, v, 2, 0), 0);
	assert_memory_equal(t.vdev.config + 4, v, 2);
	assert_int_equal(vfu_write(&t.c, 7, 4094, v, 2, 0), 0);
}

static void test_bad_regions(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t region, count;
	} bad[] = {
		{ 0, 0, 0 }, { 0, 1, 4 }, { 0, 6, 4 }, { 0, 8, 4 },
		{ 0, 9, 4 }, { 0, UINT32_MAX, 4 }, { 16384, 0, 1 },
		{ 16381, 0, 4 }, { 4095, 7, 2 }, { 4096, 7, 1 },
		{ UINT64_MAX, 0, 1 }, { UINT64_MAX - 3, 0, 4 },
		{ UINT64_MAX - 2, 7, 8 }, { 0, 0, 16385 },
		{ 1ull << 32, 0, 4 }, { 0, 0, 65536 }, { 0, 0, 65537 },
		{ 0, 0, UINT32_MAX },
	};
	struct leap__vfu_access a = { 0, 0, 4 };
	static uint8_t buf[65536 + 32];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(vfu_read(&t.c, bad[i].region, bad[i].offset,
					  buf, bad[i].count), EINVAL);
		if (bad[i].count <= 65536)
			assert_int_equal(vfu_write(&t.c, bad[i].region,
						   bad[i].offset, buf,
						   bad[i].count, 0), EINVAL);
	}
	/* Lengths that do not agree. */
	memcpy(buf, &a, sizeof(a));
	assert_int_equal(ask(LEAP__VFU_REGION_READ, buf, 15), EINVAL);
	assert_int_equal(ask(LEAP__VFU_REGION_READ, buf, 20), EINVAL);
	assert_int_equal(ask(LEAP__VFU_REGION_WRITE, buf, 16), EINVAL);
	assert_int_equal(ask(LEAP__VFU_REGION_WRITE, buf, 19), EINVAL);
	assert_int_equal(ask(LEAP__VFU_REGION_WRITE, buf, 21), EINVAL);
	assert_int_equal(ask(LEAP__VFU_REGION_WRITE, buf, 0), EINVAL);
	assert_int_equal(t.vdev.writes, 0);
}

static void test_posted(void **state)
{
	uint32_t i, v;

	(void)state;
	/* Many at once, with a read behind them that sees them all. */
	for (i = 0; i < 200; i++)
		vfu_write(&t.c, 0, 0x1000 + i % 64 * 4, &i, 4,
			  LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_read(&t.c, 0, 0x1000 + 199 % 64 * 4, &v, 4), 0);
	assert_int_equal(v, 199);
	assert_int_equal(t.vdev.writes, 200);
	/* Not even a wrong one is answered. */
	vfu_write(&t.c, 5, 0, &i, 4, LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_peek(&t.c), -1);
}

static size_t multi(uint8_t *p, uint64_t n, const struct leap__vfu_write1 *w)
{
	memcpy(p, &n, 8);
	memcpy(p + 8, w, n * sizeof(*w));
	return 8 + n * sizeof(*w);
}

static void test_multi(void **state)
{
	struct leap__vfu_write1 w[3] = {
		{ 0x1000, 0, 4, { 1, 2, 3, 4 } },
		{ 0x1008, 0, 8, { 5, 6, 7, 8, 9, 10, 11, 12 } },
		{ 4, 7, 2, { 13, 14 } },
	};
	uint8_t p[128];
	uint64_t n = 0;
	size_t len;

	(void)state;
	len = multi(p, 3, w);
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, len), 0);
	memcpy(&n, t.c.in, 8);
	assert_int_equal(n, 3);
	assert_memory_equal(t.vdev.bar + 0x1008, w[1].data, 8);
	assert_memory_equal(t.vdev.config + 4, w[2].data, 2);
	assert_int_equal(t.vdev.writes, 3);
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, len - 1), EINVAL);
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, len + 1), EINVAL);
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, 7), EINVAL);
	n = 0;
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, &n, 8), EINVAL);
	n = UINT64_MAX / 24 + 2;	/* times 24 wraps */
	memcpy(p, &n, 8);
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, len), EINVAL);
	w[2].count = 9;
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, multi(p, 3, w)), EINVAL);
	w[2].count = 0;
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, multi(p, 3, w)), EINVAL);
	w[2].count = 2;
	w[2].offset = 4095;
	assert_int_equal(ask(LEAP__VFU_WRITE_MULTI, p, multi(p, 3, w)), EINVAL);
	/* All or none. */
	assert_int_equal(t.vdev.writes, 3);
}

/* ---- memory -------------------------------------------------------------- */

static void test_map(void **state)
{
	int fd = memory(1 << 20, 1);

	(void)state;
	assert_int_equal(vfu_map(&t.c, 0, 0xa0000, fd, 0, RW), 0);
	assert_int_equal(t.vdev.maps[0].source, LEAP_ATS_FD);
	assert_int_equal(t.vdev.maps[0].perm,
			 LEAP_PERM_READ | LEAP_PERM_WRITE);
	assert_int_equal(vfu_map(&t.c, 0xc0000, 0x8000, fd, 0x80000,
				 LEAP__VFU_MAP_READ), 0);
	assert_int_equal(t.vdev.maps[1].perm, LEAP_PERM_READ);
	assert_int_equal(t.vdev.maps[1].offset, 0x80000);
	/* A ROM: without a file. */
	assert_int_equal(vfu_map(&t.c, 0xfffc0000, 0x40000, -1, 7,
				 LEAP__VFU_MAP_READ), 0);
	assert_int_equal(t.vdev.maps[2].source, LEAP_ATS_MESSAGE);
	assert_null(strstr(t.log, "memory-backend-memfd"));
	assert_int_equal(vfu_map(&t.c, 1ull << 32, 4096, -1, 0, RW), 0);
	assert_non_null(strstr(t.log, "memory-backend-memfd"));
	/* To the top of what there is. */
	assert_int_equal(vfu_map(&t.c, UINT64_MAX - 4095, 4096, -1, 0, RW), 0);
	assert_int_equal(t.vdev.nr_maps, 5);
	/* Descriptors are ours no longer. */
	close(fd);
	assert_int_equal(vfu_unmap(&t.c, 0xc0000, 0x8000, 0), 0);
	assert_int_equal(vfu_unmap(&t.c, 0xc0000, 0x8000, 0), ENOENT);
	assert_int_equal(t.vdev.nr_maps, 4);
	assert_int_equal(vfu_map(&t.c, 0xc0000, 0x4000, -1, 0,
				 LEAP__VFU_MAP_READ), 0);
	assert_int_equal(vfu_unmap(&t.c, 0, 0, LEAP__VFU_UNMAP_ALL), 0);
	assert_int_equal(t.vdev.nr_maps, 0);
	assert_int_equal(vfu_unmap(&t.c, 0, 0, LEAP__VFU_UNMAP_ALL), 0);
}

static void test_bad_map(void **state)
{
	struct leap__vfu_dma_map m = {
		.argsz = 32, .flags = RW, .addr = 0, .bytes = 4096,
	};
	int fd = memory(1 << 16, 1), two[2] = { fd, fd };

	(void)state;
	assert_int_equal(vfu_map(&t.c, 0x10000, 0x10000, fd, 0, RW), 0);
	assert_int_equal(vfu_map(&t.c, 0x10000, 0x10000, fd, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&t.c, 0x1f000, 0x2000, fd, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&t.c, 0xf000, 0x1001, fd, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&t.c, 0, UINT64_MAX, -1, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&t.c, 0x12000, 0x1000, -1, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&t.c, 0x40000, 0, fd, 0, RW), EINVAL);
	assert_int_equal(vfu_map(&t.c, UINT64_MAX, 2, fd, 0, RW), EINVAL);
	assert_int_equal(vfu_map(&t.c, 0x40000, 4096, fd, UINT64_MAX, RW),
			 EINVAL);
	assert_int_equal(vfu_map(&t.c, 0x40000, 4096, fd, 0, 0), EINVAL);
	assert_int_equal(vfu_map(&t.c, 0x40000, 4096, fd, 0, 0x13), EINVAL);
	assert_int_equal(ask(LEAP__VFU_DMA_MAP, &m, 31), EINVAL);
	assert_int_equal(ask(LEAP__VFU_DMA_MAP, &m, 0), EINVAL);
	assert_int_equal(vfu_ask(&t.c, LEAP__VFU_DMA_MAP, &m, 32, two, 2, NULL),
			 EINVAL);
	m.argsz = 31;
	assert_int_equal(ask(LEAP__VFU_DMA_MAP, &m, 32), EINVAL);
	t.vdev.mem_add_err = -ENOMEM;
	assert_int_equal(vfu_map(&t.c, 0x40000, 4096, fd, 0, RW), ENOMEM);
	assert_int_equal(t.vdev.nr_maps, 1);
	close(fd);
}

/* A file that could be cut short under a load: kept, not used, explained. */
static void test_unsealed(void **state)
{
	int fd = memory(1 << 16, 0);

	(void)state;
	t.vdev.mem_add_err = -EACCES;
	assert_int_equal(vfu_map(&t.c, 0, 0x10000, fd, 0, RW), 0);
	assert_int_equal(t.vdev.maps[0].source, LEAP_ATS_MESSAGE);
	assert_non_null(strstr(t.log, "the test said so"));
	assert_non_null(strstr(t.log, "memory-backend-memfd"));
	assert_int_equal(vfu_unmap(&t.c, 0, 0x10000, 0), 0);
	close(fd);
}

static void test_bad_unmap(void **state)
{
	struct leap__vfu_dma_unmap u = { .argsz = 24, .bytes = 4096 };

	(void)state;
	assert_int_equal(vfu_map(&t.c, 0x10000, 0x10000, -1, 0, RW), 0);
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0x1000, 0), ENOENT);
	assert_int_equal(vfu_unmap(&t.c, 0x11000, 0xf000, 0), ENOENT);
	assert_int_equal(vfu_unmap(&t.c, 0xf000, 0x11000, 0), ENOENT);
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0, 0), EINVAL);
	assert_int_equal(vfu_unmap(&t.c, UINT64_MAX, 2, 0), EINVAL);
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0x10000, 1), EOPNOTSUPP);
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0x10000, 4), EINVAL);
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0x10000, 2), EINVAL);
	assert_int_equal(ask(LEAP__VFU_DMA_UNMAP, &u, 23), EINVAL);
	u.argsz = 8;
	assert_int_equal(ask(LEAP__VFU_DMA_UNMAP, &u, 24), EINVAL);
	assert_int_equal(t.vdev.nr_maps, 1);
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0x10000, 0), 0);
}

/* ---- what ends later ----------------------------------------------------- */

static void test_unmap_waits(void **state)
{
	struct leap__vfu_dma_unmap u = {
		.argsz = 24, .addr = 0x10000, .bytes = 0x1000,
	};
	uint32_t v = 7;

	(void)state;
	assert_int_equal(vfu_map(&t.c, 0x10000, 0x1000, -1, 0, RW), 0);
	t.vdev.hold = 1;
	vfu_send(&t.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
	/* What comes behind it waits. */
	vfu_write(&t.c, 0, 0x1000, &v, 4, LEAP__VFU_NO_REPLY);
	vfu_settle(t.pg);
	assert_int_equal(t.vdev.writes, 0);
	fake_vdev_end(&t.vdev, 0);
	assert_int_equal(vfu_peek(&t.c), sizeof(u));
	assert_int_equal(t.c.hdr.flags, LEAP__VFU_REPLY);
	vfu_settle(t.pg);
	assert_int_equal(t.vdev.writes, 1);
	/* It was not fenced: an error, and it can be asked for again. */
	t.vdev.hold = 0;
	assert_int_equal(vfu_map(&t.c, 0x10000, 0x1000, -1, 0, RW), 0);
	t.vdev.hold = 1;
	vfu_send(&t.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	vfu_settle(t.pg);
	fake_vdev_end(&t.vdev, -ETIMEDOUT);
	assert_int_equal(vfu_peek(&t.c), 0);
	assert_int_equal(t.c.hdr.flags, LEAP__VFU_REPLY | LEAP__VFU_ERROR);
	assert_int_equal(t.c.hdr.err, ETIMEDOUT);
	t.vdev.hold = 0;
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0x1000, 0), 0);
}

static void test_unmap_all_waits(void **state)
{
	struct leap__vfu_dma_unmap u = { .argsz = 24, .flags = 2 };
	uint64_t i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_int_equal(vfu_map(&t.c, i << 20, 1 << 19, -1, 0, RW), 0);
	t.vdev.hold = 1;
	vfu_send(&t.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
	assert_int_equal(t.vdev.nr_later, 20);
	fake_vdev_end(&t.vdev, 0);
	assert_int_equal(vfu_peek(&t.c), sizeof(u));
	assert_int_equal(t.vdev.nr_maps, 0);
	/* One that nobody wants to hear of. */
	vfu_send(&t.c, LEAP__VFU_DMA_UNMAP, LEAP__VFU_NO_REPLY, &u, sizeof(u),
		 NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
}

static void test_reset_waits(void **state)
{
	(void)state;
	t.vdev.hold = 1;
	vfu_send(&t.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
	assert_int_equal(t.vdev.resets, 1);
	fake_vdev_end(&t.vdev, 0);
	assert_int_equal(vfu_peek(&t.c), 0);
	assert_int_equal(t.c.hdr.flags, LEAP__VFU_REPLY);
	vfu_send(&t.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
	vfu_settle(t.pg);
	fake_vdev_end(&t.vdev, -ETIMEDOUT);
	assert_int_equal(vfu_peek(&t.c), 0);
	assert_int_equal(t.c.hdr.err, ETIMEDOUT);
}

/* ---- interrupts ---------------------------------------------------------- */

static void test_msix(void **state)
{
	int fds[VECTORS], none = -1;
	uint8_t bools[4] = { 0, 1, 0, 255 };
	uint32_t i;

	(void)state;
	for (i = 0; i < VECTORS; i++)
		fds[i] = event();
	/* In pieces of what one message can take. */
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 0, 16, NULL, fds, 16), 0);
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 16, 1, NULL, fds + 16, 1),
			 0);
	for (i = 0; i < VECTORS; i++)
		assert_true(t.vdev.irq[i] >= 0);
	/* The client tries them. */
	assert_int_equal(vfu_set_irqs(&t.c, E_NONE, 2, 16, 1, NULL, &none, 0),
			 0);
	assert_int_equal(fired(fds[16]), 1);
	assert_int_equal(vfu_set_irqs(&t.c, LEAP__VFU_SET_BOOL |
				      LEAP__VFU_SET_TRIGGER, 2, 1, 4, bools,
				      &none, 0), 0);
	assert_int_equal(fired(fds[1]), 0);
	assert_int_equal(fired(fds[2]), 1);
	assert_int_equal(fired(fds[4]), 1);
	/* One is taken away, then all. */
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 3, 2, NULL, &none, 0), 0);
	assert_int_equal(t.vdev.irq[3], -1);
	assert_int_equal(t.vdev.irq[4], -1);
	assert_true(t.vdev.irq[5] >= 0);
	assert_int_equal(vfu_set_irqs(&t.c, E_NONE, 2, 0, 0, NULL, &none, 0),
			 0);
	for (i = 0; i < VECTORS; i++)
		assert_int_equal(t.vdev.irq[i], -1);
	assert_int_equal(vfu_set_irqs(&t.c, E_NONE, 2, 0, 1, NULL, &none, 0),
			 0);
	assert_int_equal(fired(fds[0]), 0);
	t.vdev.irq_err = -EMFILE;
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 0, 1, NULL, fds, 1),
			 EMFILE);
	t.vdev.irq_err = 0;
	for (i = 0; i < VECTORS; i++)
		close(fds[i]);
}

static void test_intx(void **state)
{
	struct leap__vfu_dev *dev = leap__vfu_server_dev(t.server);
	int fd = event(), none = -1;

	(void)state;
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(fired(fd), 0);
	t.vdev.intx_level = 1;
	leap__vfu_intx(dev, 1);
	assert_int_equal(fired(fd), 1);
	/* Masked by that until the client says so. */
	leap__vfu_intx(dev, 0);
	leap__vfu_intx(dev, 1);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(vfu_set_irqs(&t.c, LEAP__VFU_SET_NONE |
				      LEAP__VFU_SET_UNMASK, 0, 0, 1, NULL,
				      &none, 0), 0);
	assert_int_equal(fired(fd), 1);	/* still asserted */
	t.vdev.intx_level = 0;
	leap__vfu_intx(dev, 0);
	assert_int_equal(vfu_set_irqs(&t.c, LEAP__VFU_SET_NONE |
				      LEAP__VFU_SET_UNMASK, 0, 0, 1, NULL,
				      &none, 0), 0);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(vfu_set_irqs(&t.c, LEAP__VFU_SET_BOOL |
				      LEAP__VFU_SET_MASK, 0, 0, 1, "\1", &none,
				      0), 0);
	t.vdev.intx_level = 1;
	leap__vfu_intx(dev, 1);
	assert_int_equal(fired(fd), 0);
	/* One who comes with a new eventfd hears what is pending. */
	assert_int_equal(vfu_set_irqs(&t.c, E_NONE, 0, 0, 0, NULL, &none, 0),
			 0);
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(fired(fd), 1);
	close(fd);
}

static void test_bad_irqs(void **state)
{
	static const struct {
		uint32_t flags, index, start, count;
		int want;
	} bad[] = {
		{ E_NONE, 5, 0, 1, EINVAL }, { E_NONE, 99, 0, 0, EINVAL },
		{ E_NONE, 1, 0, 1, EINVAL }, { E_NONE, 2, VECTORS, 1, EINVAL },
		{ E_NONE, 2, 0, VECTORS + 1, EINVAL },
		{ E_NONE, 2, UINT32_MAX, 2, EINVAL },
		{ E_NONE, 2, VECTORS + 1, 0, EINVAL },
		{ E_NONE, 0, 0, 2, EINVAL },
		{ LEAP__VFU_SET_NONE, 2, 0, 1, EINVAL },
		{ LEAP__VFU_SET_TRIGGER, 2, 0, 1, EINVAL },
		{ 0, 2, 0, 0, EINVAL }, { 0x25, 2, 0, 1, EINVAL },
		{ 0x31, 2, 0, 1, EINVAL }, { 0x61, 2, 0, 1, EINVAL },
		{ E_FD, 2, 0, 0, EINVAL },
		{ LEAP__VFU_SET_NONE | LEAP__VFU_SET_MASK, 2, 0, 0, EINVAL },
		{ LEAP__VFU_SET_NONE | LEAP__VFU_SET_MASK, 2, 0, 1, ENOTSUP },
		{ LEAP__VFU_SET_EVENTFD | LEAP__VFU_SET_UNMASK, 0, 0, 1,
		  ENOTSUP },
	};
	int fds[3] = { event(), event(), -1 }, none = -1;
	struct leap__vfu_set_irqs set = {
		.argsz = 20, .flags = E_NONE, .index = 2, .count = 1,
	};
	uint8_t p[24] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(vfu_set_irqs(&t.c, bad[i].flags, bad[i].index,
				bad[i].start, bad[i].count, p, &none, 0),
				 bad[i].want);
	/* More or fewer descriptors than vectors; some where none belong. */
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 0, 1, NULL, fds, 2),
			 EINVAL);
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 0, 3, NULL, fds, 2),
			 EINVAL);
	assert_int_equal(vfu_set_irqs(&t.c, E_NONE, 2, 0, 1, NULL, fds, 1),
			 EINVAL);
	assert_int_equal(vfu_ask(&t.c, LEAP__VFU_RESET, NULL, 0, fds, 1, NULL),
			 EINVAL);
	/* Not an eventfd. */
	fds[2] = memory(4096, 1);
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 0, 1, NULL, fds + 2, 1),
			 EINVAL);
	/* Lengths. */
	memcpy(p, &set, sizeof(set));
	assert_int_equal(ask(LEAP__VFU_SET_IRQS, p, 19), EINVAL);
	assert_int_equal(ask(LEAP__VFU_SET_IRQS, p, 21), EINVAL);
	set.flags = LEAP__VFU_SET_BOOL | LEAP__VFU_SET_TRIGGER;
	memcpy(p, &set, sizeof(set));
	assert_int_equal(ask(LEAP__VFU_SET_IRQS, p, 20), EINVAL);
	assert_int_equal(ask(LEAP__VFU_SET_IRQS, p, 22), EINVAL);
	set.argsz = 19;
	memcpy(p, &set, sizeof(set));
	assert_int_equal(ask(LEAP__VFU_SET_IRQS, p, 21), EINVAL);
	for (i = 0; i < 3; i++)
		close(fds[i]);
	for (i = 0; i < VECTORS; i++)
		assert_int_equal(t.vdev.irq[i], -1);
}

static void test_other_irqs(void **state)
{
	int fd = event(), none = -1;
	uint32_t index;

	(void)state;
	for (index = 3; index < 5; index++) {
		assert_int_equal(vfu_set_irqs(&t.c, E_FD, index, 0, 1, NULL,
					      &fd, 1), 0);
		assert_int_equal(vfu_set_irqs(&t.c, E_NONE, index, 0, 1, NULL,
					      &none, 0), 0);
		assert_int_equal(fired(fd), 1);
		assert_int_equal(vfu_set_irqs(&t.c, E_NONE, index, 0, 0, NULL,
					      &none, 0), 0);
	}
	close(fd);
}

/* ---- what only the client can reach -------------------------------------- */

/* The address space that a real function has over the fake one's map. */
static struct leap_ats *far;
static struct leap_ats_view *view;

static void far_open(void)
{
	struct leap_ats_range r;

	assert_int_equal(vfu_map(&t.c, 0x10000, 0x10000, -1, 0, RW), 0);
	r = t.vdev.maps[0];
	r.ops = &t.vdev.map_ops[0];
	assert_int_equal(leap_ats_create(NULL, &far), 0);
	assert_int_equal(leap_ats_map(far, &r), 0);
	assert_int_equal(leap_ats_attach(far, t.pg, &view), 0);
}

static void far_close(void)
{
	vfu_settle(t.pg);
	assert_int_equal(leap_ats_detach(view), 0);
	assert_int_equal(leap_ats_destroy(far), 0);
}

struct far_io {
	struct leap_ats_io io;
	int done, err;
	char buf[32];
};

static void far_done(struct leap_ats_io *io, int err)
{
	struct far_io *f = io->arg;

	f->done++;
	f->err = err;
}

static void far_start(struct far_io *f, uint64_t gpa, uint32_t n, bool write)
{
	memset(f, 0, sizeof(*f));
	memset(f->buf, 'w', sizeof(f->buf));
	f->io.gpa.addr = gpa;
	f->io.buf = f->buf;
	f->io.bytes = n;
	f->io.done = far_done;
	f->io.arg = f;
	assert_int_equal(write ? leap_ats_write(view, &f->io) :
			 leap_ats_read(view, &f->io), 0);
}

/* The client's answer to what it was asked last. */
static void far_reply(uint32_t flags, uint32_t err, const void *p, size_t n)
{
	uint8_t msg[128];
	struct leap__vfu_hdr h = t.c.hdr;

	h.flags = flags;
	h.err = err;
	h.size = (uint32_t)(sizeof(h) + n);
	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), p, n);
	vfu_raw(&t.c, msg, sizeof(h) + n, NULL, 0);
	vfu_settle(t.pg);
}

static void test_dma(void **state)
{
	struct leap__vfu_hdr ask_hdr;
	struct leap__vfu_dma dma;
	struct far_io f, g;
	uint8_t p[48];
	uint32_t v;

	(void)state;
	far_open();
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&t.c), 16);
	assert_int_equal(t.c.hdr.cmd, LEAP__VFU_DMA_READ);
	assert_int_equal(t.c.hdr.flags, LEAP__VFU_COMMAND);
	memcpy(&dma, t.c.in, sizeof(dma));
	assert_int_equal(dma.addr, 0x10100);
	assert_int_equal(dma.count, 8);
	/* The client goes on with its own business meanwhile. */
	memcpy(p, t.c.in, 16);
	memcpy(p + 16, "ABCDEFGH", 8);
	ask_hdr = t.c.hdr;
	assert_int_equal(vfu_read(&t.c, 7, 0, &v, 4), 0);
	t.c.hdr = ask_hdr;
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.err, 0);
	assert_memory_equal(f.buf, "ABCDEFGHw", 9);
	/* A write, behind a read: in order, each with its own answer. */
	far_start(&f, 0x10100, 8, false);
	far_start(&g, 0x10200, 16, true);
	assert_int_equal(vfu_peek(&t.c), 16);
	far_reply(LEAP__VFU_REPLY | LEAP__VFU_ERROR, EFAULT, p, 0);
	assert_int_equal(f.err, -EFAULT);
	assert_int_equal(vfu_peek(&t.c), 32);
	assert_int_equal(t.c.hdr.cmd, LEAP__VFU_DMA_WRITE);
	assert_memory_equal(t.c.in + 16, "wwwwwwwwwwwwwwww", 16);
	far_reply(LEAP__VFU_REPLY, 0, t.c.in, 16);
	assert_int_equal(g.done, 1);
	assert_int_equal(g.err, 0);
	/* The short form of the standard's text. */
	far_start(&g, 0x10200, 16, true);
	assert_int_equal(vfu_peek(&t.c), 32);
	far_reply(LEAP__VFU_REPLY, 0, t.c.in, 12);
	assert_int_equal(g.err, 0);
	far_close();
}

static void test_bad_dma(void **state)
{
	struct far_io f;
	uint8_t p[48];

	(void)state;
	far_open();
	/* Too short, too long, of another address. */
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&t.c), 16);
	memcpy(p, t.c.in, 16);
	far_reply(LEAP__VFU_REPLY, 0, p, 23);
	assert_int_equal(f.err, -EPROTO);
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&t.c), 16);
	far_reply(LEAP__VFU_REPLY, 0, p, 25);
	assert_int_equal(f.err, -EPROTO);
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&t.c), 16);
	p[0]++;
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_int_equal(f.err, -EPROTO);
	assert_null(strstr(t.log, "10.1"));
	/* An answer to nothing is the end. */
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_true(hung_up());
	far_close();
}

/* The message that QEMU 10.1.0 would send, byte for byte. */
static void test_old_qemu(void **state)
{
	struct far_io f;
	uint8_t p[24] = { 0 };

	(void)state;
	far_open();
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&t.c), 16);
	memcpy(p, t.c.in, 12);
	memcpy(p + 12, "ABCDEFGH", 8);
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_int_equal(f.err, -EPROTO);
	assert_non_null(strstr(t.log, "QEMU 10.1.0"));
	assert_non_null(strstr(t.log, "share=on"));
	/* It is not asked again: a write would land in the wrong place. */
	far_start(&f, 0x10100, 8, true);
	vfu_settle(t.pg);
	assert_int_equal(f.err, -ENOTCONN);
	assert_int_equal(vfu_peek(&t.c), -1);
	far_close();
}

static void test_dma_ends(void **state)
{
	struct leap__vfu_hdr ask_hdr;
	struct far_io f, g;

	(void)state;
	/* A client that waits for an unmap answers nothing. */
	far_open();
	far_start(&f, 0x10100, 8, false);
	far_start(&g, 0x10100, 8, true);
	assert_int_equal(vfu_peek(&t.c), 16);
	ask_hdr = t.c.hdr;
	assert_int_equal(vfu_peek(&t.c), 24);
	assert_int_equal(vfu_unmap(&t.c, 0x10000, 0x10000, 0), 0);
	vfu_settle(t.pg);
	assert_int_equal(f.err, -ECANCELED);
	assert_int_equal(g.err, -ECANCELED);
	/* And says it when it is too late. */
	t.c.hdr = ask_hdr;
	far_reply(LEAP__VFU_REPLY | LEAP__VFU_ERROR, EFAULT, "", 0);
	assert_int_equal(vfu_map(&t.c, 0x10000, 0x10000, -1, 0, RW), 0);
	/* One that goes away answers nothing either. */
	far_start(&f, 0x10100, 8, true);
	vfu_close(&t.c);
	vfu_settle(t.pg);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.err, -ENOTCONN);
	far_start(&f, 0x10100, 8, false);
	vfu_settle(t.pg);
	assert_int_equal(f.err, -ENOTCONN);
	far_close();
}

/* ---- clients ------------------------------------------------------------- */

static void test_too_many_fds(void **state)
{
	const char *cross = getenv("LEAP_CROSS");
	int fds[17], i;

	(void)state;
	if (cross && *cross) {
		print_message("skip: qemu-user does not tell that descriptors "
			      "were cut off\n");
		skip();
	}
	for (i = 0; i < 17; i++)
		fds[i] = event();
	vfu_send(&t.c, LEAP__VFU_RESET, 0, NULL, 0, fds, 17);
	assert_true(hung_up());
	for (i = 0; i < 17; i++)
		close(fds[i]);
}

/* A client's own end of the socket would outlive it here. */
static void test_own_socket(void **state)
{
	struct leap__vfu_hdr h = { 1, LEAP__VFU_DMA_MAP, 48, 0, 0 };

	(void)state;
	vfu_raw(&t.c, &h, sizeof(h), &t.c.sock, 1);
	assert_true(hung_up());
}

/* A message in pieces, two in one, and one that never ends. */
static void test_pieces(void **state)
{
	struct leap__vfu_access a = { 0, 7, 4 };
	struct leap__vfu_hdr h = { 7, LEAP__VFU_REGION_READ, 32, 0, 0 };
	uint8_t both[64];
	int i;

	(void)state;
	memcpy(both, &h, 16);
	memcpy(both + 16, &a, 16);
	memcpy(both + 32, both, 32);
	for (i = 0; i < 32; i++)
		vfu_raw(&t.c, both + i, 1, NULL, 0);
	assert_int_equal(vfu_peek(&t.c), 20);
	assert_int_equal(t.c.hdr.id, 7);
	vfu_raw(&t.c, both, 64, NULL, 0);
	assert_int_equal(vfu_peek(&t.c), 20);
	assert_int_equal(vfu_peek(&t.c), 20);
	vfu_raw(&t.c, both, 31, NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
}

/* Descriptors go with the message that they came with, however many follow. */
static void test_pipelined(void **state)
{
	struct leap__vfu_set_irqs set = {
		.argsz = 20, .flags = E_FD, .index = 2, .count = 1,
	};
	int fds[8], i;

	(void)state;
	for (i = 0; i < 8; i++) {
		fds[i] = event();
		set.start = (uint32_t)i;
		vfu_send(&t.c, LEAP__VFU_SET_IRQS, LEAP__VFU_NO_REPLY, &set,
			 sizeof(set), i % 2 ? NULL : &fds[i], i % 2 ? 0 : 1);
	}
	vfu_settle(t.pg);
	for (i = 0; i < 8; i++) {
		assert_int_equal(t.vdev.irq[i] >= 0, !(i % 2));
		close(fds[i]);
	}
}

static void test_second_client(void **state)
{
	static struct vfu_client b;
	int fd = event();

	(void)state;
	assert_int_equal(vfu_connect(&b, t.pg, t.path), 0);
	assert_int_equal(vfu_hello(&b), -2);
	vfu_close(&b);
	assert_non_null(strstr(t.log, "second client"));
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 2, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vfu_map(&t.c, 0, 4096, -1, 0, RW), 0);
	/* The first one dies; the next is served when it is forgotten. */
	t.vdev.hold = 1;
	vfu_close(&t.c);
	vfu_settle(t.pg);
	assert_int_equal(t.vdev.irq[0], -1);
	assert_int_equal(t.vdev.resets, 1);
	assert_true(leap__vfu_server_busy(t.server));
	assert_int_equal(vfu_connect(&t.c, t.pg, t.path), 0);
	vfu_send(&t.c, LEAP__VFU_VERSION, 0, "\0\0\0", 4, NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
	fake_vdev_end(&t.vdev, 0);	/* reset */
	assert_int_equal(vfu_peek(&t.c), -1);
	assert_int_equal(t.vdev.nr_later, 1);
	fake_vdev_end(&t.vdev, 0);	/* memory */
	assert_true(vfu_peek(&t.c) > 4);
	t.vdev.hold = 0;
	assert_int_equal(vfu_map(&t.c, 0, 4096, -1, 0, RW), 0);
	close(fd);
}

/* It goes in the middle of an unmap, and nobody is left to be answered. */
static void test_gone_in_unmap(void **state)
{
	struct leap__vfu_dma_unmap u = { .argsz = 24, .bytes = 4096 };

	(void)state;
	assert_int_equal(vfu_map(&t.c, 0, 4096, -1, 0, RW), 0);
	assert_int_equal(vfu_map(&t.c, 8192, 4096, -1, 0, RW), 0);
	t.vdev.hold = 1;
	vfu_send(&t.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	vfu_settle(t.pg);
	assert_int_equal(t.vdev.nr_later, 1);
	vfu_close(&t.c);
	vfu_settle(t.pg);
	/* A newcomer finds out that it is dead, and waits. */
	assert_int_equal(vfu_connect(&t.c, t.pg, t.path), 0);
	vfu_send(&t.c, LEAP__VFU_VERSION, 0, "\0\0\0", 4, NULL, 0);
	assert_int_equal(vfu_peek(&t.c), -1);
	t.vdev.hold = 0;
	fake_vdev_end(&t.vdev, 0);
	assert_true(vfu_peek(&t.c) > 4);
	assert_int_equal(t.vdev.nr_maps, 0);
	assert_int_equal(t.vdev.resets, 1);
}

static void test_stop_while_serving(void **state)
{
	(void)state;
	assert_int_equal(vfu_map(&t.c, 0, 4096, -1, 0, RW), 0);
	t.vdev.hold = 1;
	leap__vfu_server_stop(t.server, stopped, &t.stopped);
	vfu_settle(t.pg);
	assert_int_equal(t.stopped, 0);
	fake_vdev_end(&t.vdev, 0);
	assert_int_equal(t.stopped, 0);
	fake_vdev_end(&t.vdev, -ETIMEDOUT);
	assert_int_equal(t.stopped, 1);
	assert_int_equal(t.vdev.destroyed, 1);
	assert_true(hung_up());
	/* For teardown: a new one. */
	vfu_close(&t.c);
	assert_int_equal(leap_pollgroup_destroy(t.pg), 0);
	setup(state);
}

/* ---- a drive whose payload only the client can reach --------------------- */

#define NQN	"nqn.2026-01.org.example:far"
#define RAM	(1u << 20)
#define FAR	0x40000000u		/* without a descriptor */
#define FAR_MAX	(64u << 10)
#define BAR	0u
#define CONFIG	7u

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_listener *listener;
	struct vfu_client c;
	uint8_t *ram;
	int fd;
	uint8_t far[FAR_MAX];
	uint32_t tail[2], head[2];
	uint32_t reads, writes;		/* that the client was asked for */
	uint32_t fail;			/* its answer to the next */
	struct leap_pollgroup *other;	/* serves the I/O queues, or NULL */
	pthread_t thread;
	uint32_t stop;
} dr;

static void flag(void *arg)
{
	*(int *)arg = 1;
}

static void flag_err(int err, void *arg)
{
	assert_int_equal(err, 0);
	*(int *)arg = 1;
}

static void await(const int *done)
{
	int turns = 0;

	while (!*done) {
		assert_true(turns++ < 100000000);
		leap_pollgroup_poll(dr.pg, 0);
	}
}

static void drive_memory(void)
{
	dr.fd = memory(RAM, 1);
	dr.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, dr.fd, 0);
	assert_true(dr.ram != MAP_FAILED);
	assert_int_equal(vfu_map(&dr.c, 0, RAM, dr.fd, 0, RW), 0);
	assert_int_equal(vfu_map(&dr.c, FAR, FAR_MAX, -1, 0, RW), 0);
}

static void reg(uint64_t at, uint64_t v, uint32_t n)
{
	assert_int_equal(vfu_write(&dr.c, BAR, at, &v, n, 0), 0);
}

/* Rings: admin at 1000h and 2000h, I/O at 3000h and 4000h, 32 deep. */
static void drive_on(void)
{
	uint32_t csts = 0, master = 6;
	int turns = 0;

	memset(dr.ram, 0, 0x5000);
	memset(dr.tail, 0, sizeof(dr.tail));
	memset(dr.head, 0, sizeof(dr.head));
	assert_int_equal(vfu_write(&dr.c, CONFIG, 4, &master, 2, 0), 0);
	reg(LEAP_REG_AQA, 31 << 16 | 31, 4);
	reg(LEAP_REG_ASQ, 0x1000, 8);
	reg(LEAP_REG_ACQ, 0x2000, 8);
	reg(LEAP_REG_CC, 0x00460001, 4);
	while (!(csts & LEAP_CSTS_RDY)) {
		assert_true(turns++ < 1000);
		assert_int_equal(vfu_read(&dr.c, BAR, LEAP_REG_CSTS, &csts, 4),
				 0);
	}
}

static void *run_other(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&dr.stop, __ATOMIC_ACQUIRE)) {
		leap_pollgroup_poll(dr.other, 0);
		leap_pollgroup_wait(dr.other, 1000000);
	}
	return NULL;
}

static void other_start(void)
{
	assert_int_equal(leap_pollgroup_create(NULL, &dr.other), 0);
	assert_int_equal(leap_target_add_group(dr.target, dr.other), 0);
	assert_int_equal(pthread_create(&dr.thread, NULL, run_other, NULL), 0);
}

static void other_stop(void)
{
	__atomic_store_n(&dr.stop, 1, __ATOMIC_RELEASE);
	pthread_join(dr.thread, NULL);
	assert_int_equal(leap_pollgroup_destroy(dr.other), 0);
}

static int drive_open_on(bool other)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	char path[64], url[160];
	int added = 0;

	memset(&dr, 0, sizeof(dr));
	po.world = LEAP_WORLD_EPOLL;
	assert_int_equal(leap_pollgroup_create(&po, &dr.pg), 0);
	assert_int_equal(leap_target_create(dr.pg, NULL, &dr.target), 0);
	if (other)
		other_start();
	so.nqn = NQN;
	so.serial = "FAR0001";
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(dr.target, &so, &ss), 0);
	no.nsid = 1;
	no.block_bytes = 512;
	assert_int_equal(leap_bdev_open(dr.pg, "memory:4M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(ss, &no, flag_err, &added), 1);
	await(&added);
	snprintf(path, sizeof(path), "/tmp/leap-far-%d.sock", (int)getpid());
	snprintf(url, sizeof(url), "vfio-user:%s/" NQN, path);
	lo.url = url;
	assert_int_equal(leap_listener_create(dr.target, &lo, &dr.listener), 0);
	assert_int_equal(vfu_connect(&dr.c, dr.pg, path), 0);
	assert_int_equal(vfu_hello(&dr.c), 0);
	drive_memory();
	drive_on();
	return 0;
}

static int drive_open(void **state)
{
	(void)state;
	return drive_open_on(false);
}

static int drive_open_threaded(void **state)
{
	(void)state;
	return drive_open_on(true);
}

static int drive_close(void **state)
{
	struct leap_pollgroup_stats s = { sizeof(s) };
	int gone = 0, turns = 0;

	(void)state;
	vfu_close(&dr.c);
	vfu_settle(dr.pg);
	assert_int_equal(leap_pollgroup_stats(dr.pg, &s), 0);
	assert_int_equal(s.bufs_in_use, 0);
	assert_int_equal(s.cmds_in_use, 0);
	leap_target_destroy(dr.target, flag, &gone);
	await(&gone);
	/* The server's last work ends a little after the target. */
	while (leap_pollgroup_destroy(dr.pg)) {
		assert_true(turns++ < 1000000);
		leap_pollgroup_poll(dr.pg, 0);
	}
	if (dr.other)
		other_stop();
	munmap(dr.ram, RAM);
	close(dr.fd);
	return 0;
}

/* Answer what the client was asked, @n bytes of it. */
static void drive_serve(int n)
{
	struct leap__vfu_hdr h = dr.c.hdr;
	uint8_t msg[sizeof(h) + sizeof(struct leap__vfu_dma) + FAR_MAX];
	struct leap__vfu_dma dma;
	size_t size = sizeof(h) + sizeof(dma);

	assert_true(n >= (int)sizeof(dma));
	assert_int_equal(h.flags, LEAP__VFU_COMMAND);
	memcpy(&dma, dr.c.in, sizeof(dma));
	assert_true(dma.addr >= FAR && dma.addr + dma.count <= FAR + FAR_MAX);
	memcpy(msg + sizeof(h), &dma, sizeof(dma));
	if (h.cmd == LEAP__VFU_DMA_READ) {
		dr.reads++;
		memcpy(msg + size, dr.far + (dma.addr - FAR), dma.count);
		size += dma.count;
	} else {
		assert_int_equal(h.cmd, LEAP__VFU_DMA_WRITE);
		assert_int_equal(n, sizeof(dma) + dma.count);
		dr.writes++;
		memcpy(dr.far + (dma.addr - FAR), dr.c.in + sizeof(dma),
		       dma.count);
	}
	h.flags = LEAP__VFU_REPLY | (dr.fail ? LEAP__VFU_ERROR : 0);
	h.err = dr.fail;
	h.size = dr.fail ? sizeof(h) : (uint32_t)size;
	dr.fail = 0;
	memcpy(msg, &h, sizeof(h));
	vfu_raw(&dr.c, msg, h.size, NULL, 0);
}

static void drive_push(uint32_t q, struct leap_sqe sqe)
{
	sqe.cid = leap_to_le16((uint16_t)(dr.tail[q] + 1));
	memcpy(dr.ram + 0x1000 + q * 0x2000 + dr.tail[q] * 64, &sqe, 64);
	dr.tail[q] = (dr.tail[q] + 1) % 32;
	reg(LEAP_REG_DBL + 8 * q, dr.tail[q], 4);
}

/* The completion's status; of fewer commands than the ring has entries. */
static leap_status_t drive_do(uint32_t q, struct leap_sqe sqe)
{
	const uint8_t *cqe = dr.ram + 0x2000 + q * 0x2000 + dr.head[q] * 16;
	int turns = 0, n;

	drive_push(q, sqe);
	while (!(cqe[14] & 1)) {
		assert_true(turns++ < 100000);
		n = vfu_peek(&dr.c);
		assert_int_not_equal(n, -2);
		if (n >= 0)
			drive_serve(n);
	}
	dr.head[q]++;
	assert_true(dr.head[q] < 31);
	reg(LEAP_REG_DBL + 8 * q + 4, dr.head[q], 4);
	return (leap_status_t)((cqe[14] | cqe[15] << 8) >> 1);
}

static void drive_queue(void)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_CREATE_CQ };

	sqe.cdw10 = leap_to_le32(31 << 16 | 1);
	sqe.cdw11 = leap_to_le32(1);
	sqe.prp1 = leap_to_le64(0x4000);
	assert_int_equal(drive_do(0, sqe), 0);
	sqe.opc = LEAP_ADM_CREATE_SQ;
	sqe.cdw11 = leap_to_le32(1 << 16 | 1);
	sqe.prp1 = leap_to_le64(0x3000);
	assert_int_equal(drive_do(0, sqe), 0);
}

static struct leap_sqe drive_rw(uint8_t opc, uint32_t slba, uint32_t nr,
				uint64_t prp1, uint64_t prp2)
{
	struct leap_sqe sqe = { .opc = opc };

	sqe.nsid = leap_to_le32(1);
	sqe.cdw10 = leap_to_le32(slba);
	sqe.cdw12 = leap_to_le32(nr - 1);
	sqe.prp1 = leap_to_le64(prp1);
	sqe.prp2 = leap_to_le64(prp2);
	return sqe;
}

static void test_far_payload(void **state)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_IDENTIFY };
	uint8_t want[8192];
	uint32_t i;

	(void)state;
	/* Identify Controller, into memory that the client has to store. */
	sqe.cdw10 = leap_to_le32(1);
	sqe.prp1 = leap_to_le64(FAR + 0x8000);
	assert_int_equal(drive_do(0, sqe), 0);
	assert_int_equal(dr.writes, 1);
	assert_memory_equal(dr.far + 0x8004, "FAR0001 ", 8);
	drive_queue();
	for (i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7 + i / 256);
	/* A write from far memory, a read to it, and one to RAM. */
	memcpy(dr.far + 0x200, want, 4096);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_WRITE, 8, 8,
					      FAR + 0x200, FAR + 0x1000)), 0);
	assert_int_equal(dr.reads, 1);	/* one piece */
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8,
					      0x10000, 0)), 0);
	assert_memory_equal(dr.ram + 0x10000, want, 4096);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8,
					      FAR + 0x5c04, FAR + 0x6000)), 0);
	assert_int_equal(dr.writes, 2);
	assert_memory_equal(dr.far + 0x5c04, want, 4096);
	/* Half of it here and half of it there, both ways. */
	memcpy(dr.ram + 0x11000, want, 4096);
	memcpy(dr.far + 0x3000, want + 4096, 4096);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_WRITE, 64, 16, 0x11000,
					      FAR + 0x3000)), 0);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 64, 16,
					      FAR + 0x4000, 0x12000)), 0);
	assert_memory_equal(dr.far + 0x4000, want, 4096);
	assert_memory_equal(dr.ram + 0x12000, want + 4096, 4096);
	/* What the client refuses fails, and nothing else does. */
	dr.fail = EFAULT;
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_WRITE, 8, 8, FAR, 0)) &
			 ~LEAP_STATUS_MORE,
			 LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR);
	dr.fail = EFAULT;
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8, FAR, 0)) &
			 ~LEAP_STATUS_MORE,
			 LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8,
					      0x10000, 0)), 0);
	assert_memory_equal(dr.ram + 0x10000, want, 4096);
}

/* A client that was asked resets the drive, takes the memory back, or dies. */
static void test_far_ends(void **state)
{
	struct leap__vfu_hdr asked;
	int n;

	(void)state;
	drive_queue();
	drive_push(1, drive_rw(LEAP_NVM_WRITE, 0, 8, FAR, 0));
	n = vfu_peek(&dr.c);
	assert_int_equal(n, sizeof(struct leap__vfu_dma));
	asked = dr.c.hdr;
	assert_int_equal(vfu_ask(&dr.c, LEAP__VFU_RESET, NULL, 0, NULL, 0,
				 NULL), 0);
	assert_int_equal(dr.ram[0x4000 + 14], 0);	/* nothing posted */
	/* It answers after all: too late, and no harm. */
	dr.c.hdr = asked;
	drive_serve(n);
	drive_on();
	drive_queue();
	drive_push(1, drive_rw(LEAP_NVM_READ, 0, 8, FAR, 0));
	assert_int_equal(vfu_peek(&dr.c), sizeof(struct leap__vfu_dma) + 4096);
	assert_int_equal(vfu_unmap(&dr.c, FAR, FAR_MAX, 0), 0);
	vfu_settle(dr.pg);
	assert_int_equal((dr.ram[0x4000 + 14] | dr.ram[0x4000 + 15] << 8) >> 1 &
			 0x7ff, LEAP_SC_DATA_TRANSFER);
	assert_int_equal(vfu_map(&dr.c, FAR, FAR_MAX, -1, 0, RW), 0);
	drive_push(1, drive_rw(LEAP_NVM_WRITE, 0, 8, FAR, 0));
	assert_true(vfu_peek(&dr.c) > 0);
	drive_push(1, drive_rw(LEAP_NVM_READ, 0, 8, FAR + 4096, 0));
	/* drive_close: it goes away. */
}

/* ---- what QEMU says until firmware runs ---------------------------------- */

static void qemu_memory(int fd)
{
	uint64_t at;
	int i;

	assert_int_equal(vfu_map(&t.c, 0, 0x40000000, fd, 0, RW), 0);
	assert_int_equal(vfu_map(&t.c, 0xfffc0000, 0x40000, -1, 0, 1), 0);
	/* The BIOS moves its shadow around. */
	for (i = 0; i < 4; i++) {
		assert_int_equal(vfu_unmap(&t.c, 0, 0x40000000, 0), 0);
		assert_int_equal(vfu_map(&t.c, 0, 0xc0000, fd, 0, RW), 0);
		for (at = 0xc0000; at < 0x100000; at += 0x8000)
			assert_int_equal(vfu_map(&t.c, at, 0x8000, fd, at, 1),
					 0);
		assert_int_equal(vfu_map(&t.c, 0x100000, 0x3ff00000, fd,
					 0x100000, RW), 0);
		for (at = 0xc0000; at < 0x100000; at += 0x8000)
			assert_int_equal(vfu_unmap(&t.c, at, 0x8000, 0), 0);
		assert_int_equal(vfu_unmap(&t.c, 0, 0xc0000, 0), 0);
		assert_int_equal(vfu_unmap(&t.c, 0x100000, 0x3ff00000, 0), 0);
		assert_int_equal(vfu_map(&t.c, 0, 0x40000000, fd, 0, RW), 0);
	}
	assert_int_equal(t.vdev.nr_maps, 2);
}

static void qemu_device(int fd)
{
	struct leap__vfu_device_info d = { .argsz = 24 };
	struct leap__vfu_region_info r = { .argsz = 32 };
	struct leap__vfu_irq_info q = { .argsz = 16 };
	uint8_t config[4096];
	uint32_t v, i, ones = 0xffffffff;
	int none = -1;

	assert_int_equal(ask(LEAP__VFU_GET_INFO, &d, sizeof(d)), 0);
	for (i = 0; i < 7; i++) {
		r.index = i < 6 ? i : 7;
		assert_int_equal(ask(LEAP__VFU_REGION_INFO, &r, sizeof(r)), 0);
	}
	q.index = 3;
	assert_int_equal(ask(LEAP__VFU_IRQ_INFO, &q, sizeof(q)), 0);
	assert_int_equal(vfu_read(&t.c, 7, 0, config, sizeof(config)), 0);
	vfu_write(&t.c, 7, 0x30, &ones, 4, LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_read(&t.c, 0, 0, &v, 4), 0);
	q.index = 2;
	assert_int_equal(ask(LEAP__VFU_IRQ_INFO, &q, sizeof(q)), 0);
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 3, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vfu_set_irqs(&t.c, E_NONE, 0, 0, 0, NULL, &none, 0),
			 0);
	assert_int_equal(vfu_read(&t.c, 7, 4, &v, 2), 0);
	vfu_write(&t.c, 7, 4, &v, 2, LEAP__VFU_NO_REPLY);
	assert_int_equal(ask(LEAP__VFU_RESET, NULL, 0), 0);
	assert_int_equal(vfu_set_irqs(&t.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	for (i = 0x10; i < 0x28; i += 4)
		vfu_write(&t.c, 7, i, &ones, 4, LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_read(&t.c, 7, 4, &v, 2), 0);
	assert_int_equal(t.vdev.resets, 1);
}

static void test_qemu_start(void **state)
{
	int ram = memory(0x40000000, 1), fd = event();

	(void)state;
	qemu_memory(ram);
	qemu_device(fd);
	close(ram);
	close(fd);
}

#define LIVE(f) cmocka_unit_test_setup_teardown(f, setup_live, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_bad_caps),
		cmocka_unit_test_setup_teardown(test_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_hello, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_bad_headers, setup,
						teardown),
		LIVE(test_info),
		LIVE(test_bad_info),
		LIVE(test_unknown),
		LIVE(test_regions),
		LIVE(test_bad_regions),
		LIVE(test_posted),
		LIVE(test_multi),
		LIVE(test_map),
		LIVE(test_bad_map),
		LIVE(test_unsealed),
		LIVE(test_bad_unmap),
		LIVE(test_unmap_waits),
		LIVE(test_unmap_all_waits),
		LIVE(test_reset_waits),
		LIVE(test_msix),
		LIVE(test_intx),
		LIVE(test_bad_irqs),
		LIVE(test_other_irqs),
		LIVE(test_dma),
		LIVE(test_bad_dma),
		LIVE(test_old_qemu),
		LIVE(test_dma_ends),
		LIVE(test_too_many_fds),
		LIVE(test_own_socket),
		LIVE(test_pieces),
		LIVE(test_pipelined),
		LIVE(test_second_client),
		LIVE(test_gone_in_unmap),
		LIVE(test_stop_while_serving),
		LIVE(test_qemu_start),
		cmocka_unit_test_setup_teardown(test_far_payload, drive_open,
						drive_close),
		cmocka_unit_test_setup_teardown(test_far_payload,
						drive_open_threaded,
						drive_close),
		cmocka_unit_test_setup_teardown(test_far_ends, drive_open,
						drive_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
