/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Host ends that go over a Unix socket, closed while they connect: before
 * anybody has looked at the answer, while the listener's backlog is full, and
 * when nobody listens. Each closes its socket once, and says so once.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <leapio/leapio.h>

#define NQN	"nqn.2026-01.org.example:nobody"
#define BACKLOG	2

static struct {
	struct leap_pollgroup *pg;
	struct sockaddr_un addr;
	int listener;
	int fill[8];		/* of the backlog */
	int closed, connected;
	struct leap_qp *other;	/* is closed when one is refused */
	int own;
} w;

static int setup(void **state)
{
	memset(&w, 0, sizeof(w));
	w.addr.sun_family = AF_UNIX;
	snprintf(w.addr.sun_path, sizeof(w.addr.sun_path),
		 "/tmp/leap-connector-%d.sock", getpid());
	assert_int_equal(leap_pollgroup_create(NULL, &w.pg), 0);
	w.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w.listener, (struct sockaddr *)&w.addr,
			      sizeof(w.addr)), 0);
	assert_int_equal(listen(w.listener, BACKLOG), 0);
	return 0;
}

static int teardown(void **state)
{
	close(w.listener);
	unlink(w.addr.sun_path);
	return leap_pollgroup_destroy(w.pg);
}

static void fill_backlog(void)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < COUNT(w.fill); i++) {
		w.fill[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
				   SOCK_CLOEXEC, 0);
		rc |= connect(w.fill[i], (struct sockaddr *)&w.addr,
			      sizeof(w.addr));
	}
	assert_int_equal(rc, -1);
	assert_int_equal(errno, EAGAIN);
}

static void drain_backlog(void)
{
	size_t i;

	for (i = 0; i < COUNT(w.fill); i++)
		close(w.fill[i]);
}

static void on_connected(struct leap_qp *qp, leap_status_t status, int err,
			 void *arg)
{
	w.connected++;
}

static void on_closed(void *arg)
{
	w.closed++;
}

/* Connect, poll so many times, close: nothing else is closed with it. */
static void try_one(const char *scheme, int polls)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;
	char url[200];
	int own, i;

	snprintf(url, sizeof(url), "%s:%s/" NQN, scheme, w.addr.sun_path);
	o.url = url;
	o.depth = 8;
	o.connected = on_connected;
	w.closed = 0;
	assert_int_equal(leap_qp_connect(w.pg, &o, &qp), 0);
	for (i = 0; i < polls; i++) {
		leap_pollgroup_poll(w.pg, 0);
		usleep(1000);
	}
	leap_qp_close(qp, on_closed, NULL);
	/* These get the lowest numbers that are free. */
	own = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(own >= 0);
	for (i = 0; i < 20; i++) {
		leap_pollgroup_poll(w.pg, 0);
		usleep(1000);
	}
	assert_int_equal(w.closed, 1);
	assert_int_equal(fcntl(own, F_GETFD), FD_CLOEXEC);
	close(own);
}

static void try_all(int polls)
{
	static const char *const schemes[] = { "shm", "lent", "vfio-user" };
	size_t i;

	for (i = 0; i < COUNT(schemes); i++)
		try_one(schemes[i], polls);
}

static void test_at_once(void **state)
{
	try_all(0);
}

static void test_full(void **state)
{
	int polls;

	fill_backlog();
	for (polls = 0; polls < 8; polls++)
		try_all(polls);
	drain_backlog();
}

static void test_nobody(void **state)
{
	int polls;

	unlink(w.addr.sun_path);
	for (polls = 0; polls < 3; polls++)
		try_all(polls);
}

/* Both answers are there when the first is told. */
static void on_refused(struct leap_qp *qp, leap_status_t status, int err,
		       void *arg)
{
	struct leap_qp *other = w.other;

	assert_true(err != 0);
	w.other = NULL;
	leap_qp_close(other, on_closed, NULL);
	w.own = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(w.own >= 0);
}

static void close_by(const char *scheme)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;
	char url[200];
	int i;

	snprintf(url, sizeof(url), "%s:%s/" NQN, scheme, w.addr.sun_path);
	o.url = url;
	o.depth = 8;
	o.connected = on_connected;
	w.closed = w.connected = 0;
	assert_int_equal(leap_qp_connect(w.pg, &o, &w.other), 0);
	o.url = "shm:/nonexistent/" NQN;
	o.connected = on_refused;
	assert_int_equal(leap_qp_connect(w.pg, &o, &qp), 0);
	for (i = 0; i < 20; i++) {
		leap_pollgroup_poll(w.pg, 0);
		usleep(1000);
	}
	assert_null(w.other);
	assert_int_equal(w.closed, 1);
	assert_int_equal(fcntl(w.own, F_GETFD), FD_CLOEXEC);
	close(w.own);
	leap_qp_close(qp, on_closed, NULL);
	while (w.closed < 2)
		leap_pollgroup_poll(w.pg, 0);
}

static void test_by_another(void **state)
{
	close_by("shm");
	close_by("lent");
	close_by("vfio-user");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_at_once), T(test_full), T(test_nobody),
		T(test_by_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
