/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the worlds share: a poll group of either kind, operations
 * that count how often they were done, connected pairs, a scratch folder.
 */
#ifndef LEAP__TEST_WORLD_FIXTURE_H
#define LEAP__TEST_WORLD_FIXTURE_H

#include "core/io/world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

struct world_test {
	struct leap_pollgroup *pg;
	int kind;
	char dir[64];
};

struct test_io {
	struct leap__io io;
	struct iovec iov;
	int nr_done;
};

static inline struct leap__world *world_of(struct world_test *t)
{
	return leap__pollgroup_world(t->pg);
}

static inline void test_io_done(struct leap__io *io)
{
	((struct test_io *)io)->nr_done++;
}

static inline void io_prep(struct test_io *t, int op, struct leap__wfd *f)
{
	memset(t, 0, sizeof(*t));
	t->io.op = (uint8_t)op;
	t->io.wfd = f;
	t->io.iov = &t->iov;
	t->io.nr_iov = 1;
	t->io.done = test_io_done;
}

static inline void io_start(struct world_test *t, struct test_io *x, int op,
			    struct leap__wfd *f, const void *buf, size_t bytes,
			    uint64_t offset)
{
	io_prep(x, op, f);
	x->iov.iov_base = (void *)(uintptr_t)buf;
	x->iov.iov_len = bytes;
	x->io.offset = offset;
	x->io.len = bytes;
	leap__io_submit(world_of(t), &x->io);
}

static inline void poll_some(struct world_test *t, int n)
{
	while (n-- > 0)
		leap_pollgroup_poll(t->pg, 0);
}

/* As poll() on the group's fd; a signal is no answer. */
static inline int fd_readable(struct world_test *t, int timeout_ms)
{
	struct pollfd p = { leap_pollgroup_fd(t->pg), POLLIN, 0 };
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n;
}

static inline void io_wait_any(struct world_test *t, struct test_io *x)
{
	uint64_t until = leap_pollgroup_now_ns(t->pg) + 120000000000u;

	while (!x->nr_done) {
		leap_pollgroup_wait(t->pg, 1000000000);
		assert_true(leap_pollgroup_now_ns(t->pg) < until);
	}
	assert_int_equal(x->nr_done, 1);
}

static inline void io_wait(struct world_test *t, struct test_io *x,
			   int64_t res)
{
	io_wait_any(t, x);
	assert_int_equal(x->io.res, res);
}

static inline void connect_pair(struct world_test *t, int family,
				struct sockaddr *addr, socklen_t len,
				struct leap__wfd **a, struct leap__wfd **b)
{
	struct leap__world *w = world_of(t);
	struct sockaddr_storage ss;
	struct test_io conn, acc;
	struct leap__wfd *l;

	assert_int_equal(w->ops->listen(w, addr, len, 8, 0, &l), 0);
	assert_int_equal(w->ops->local_addr(l, &ss), 0);
	io_start(t, &acc, LEAP__IO_ACCEPT, l, NULL, 0, 0);
	assert_int_equal(w->ops->socket(w, family, a), 0);
	io_prep(&conn, LEAP__IO_CONNECT, *a);
	conn.io.addr = (struct sockaddr *)&ss;
	leap__io_submit(w, &conn.io);
	io_wait(t, &conn, 0);
	io_wait(t, &acc, 0);
	*b = acc.io.wfd_out;
	w->ops->close(l);
}

static inline void tcp_pair(struct world_test *t, struct leap__wfd **a,
			    struct leap__wfd **b)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connect_pair(t, AF_INET, (struct sockaddr *)&in, sizeof(in), a, b);
}

static inline void tmp_path(struct world_test *t, char *path, size_t max,
			    const char *name)
{
	assert_true((size_t)snprintf(path, max, "%s/%s", t->dir, name) < max);
}

static inline void unix_pair(struct world_test *t, struct leap__wfd **a,
			     struct leap__wfd **b)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	tmp_path(t, un.sun_path, sizeof(un.sun_path), "pair");
	connect_pair(t, AF_UNIX, (struct sockaddr *)&un, sizeof(un), a, b);
}

static inline void world_setup_kind(struct world_test *t, int kind)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;

	memset(t, 0, sizeof(*t));
	o.world = (uint32_t)kind;
	o.spin_ns = -1;
	t->kind = kind;
	assert_int_equal(leap_pollgroup_create(&o, &t->pg), 0);
	strcpy(t->dir, "test-world-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
}

static inline void world_teardown_kind(struct world_test *t)
{
	assert_int_equal(leap_pollgroup_destroy(t->pg), 0);
	assert_int_equal(rmdir(t->dir), 0);
}

static inline int setup_kind(void **state, int kind)
{
	static struct world_test t;

	world_setup_kind(&t, kind);
	*state = &t;
	return 0;
}

static inline int setup_epoll(void **state)
{
	return setup_kind(state, LEAP_WORLD_EPOLL);
}

static inline int setup_uring(void **state)
{
	return setup_kind(state, LEAP_WORLD_URING);
}

static inline int teardown(void **state)
{
	world_teardown_kind(*state);
	return 0;
}

/* Every case once more in the uring world, where there is one. */
static inline int run_worlds(const struct CMUnitTest *epoll,
			     const struct CMUnitTest *uring, size_t nr)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;
	int rc, failed;

	failed = _cmocka_run_group_tests("epoll", epoll, nr, NULL, NULL);
	o.world = LEAP_WORLD_URING;
	rc = leap_pollgroup_create(&o, &pg);
	if (rc == -ENOSYS) {
		printf("[  SKIPPED ] everything over io_uring\n");
		return failed;
	}
	if (!rc)
		leap_pollgroup_destroy(pg);
	return failed +
		_cmocka_run_group_tests("uring", uring, nr, NULL, NULL);
}

#endif
