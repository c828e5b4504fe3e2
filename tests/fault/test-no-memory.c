/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A target listens, and a queue pair is connected to it in the same poll group,
 * over each transport; and one allocation of all that takes fails: the first,
 * then the second, and so on until none does. Whatever comes of it, nothing
 * stays behind, in memory or among the descriptors.
 */
#include "fault.h"
#include "fds.h"

#include <stdio.h>
#include <unistd.h>

#include <leapio/qp.h>

#include "count.h"

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_qp *qp;
	int up, lost, flag;
} w;

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void added(int err, void *arg)
{
	assert_int_equal(err, 0);
	*(int *)arg = 1;
}

static void wait_for(const int *flag, const int *other)
{
	uint64_t until = fault_now_ns() + 30000000000ull;

	while (!*flag && !*other) {
		assert_true(fault_now_ns() < until);
		leap_pollgroup_wait(w.pg, 1000000);
	}
}

static void serve(void)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;

	memset(&w, 0, sizeof(w));
	po.world = LEAP_WORLD_EPOLL;
	assert_int_equal(leap_pollgroup_create(&po, &w.pg), 0);
	assert_int_equal(leap_target_create(w.pg, NULL, &w.target), 0);
	so.nqn = FAULT_NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(w.target, &so, &ss), 0);
	assert_int_equal(leap_bdev_open(w.pg, "memory:1M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(ss, &no, added, &w.flag), 1);
	wait_for(&w.flag, &w.lost);
}

static void connected(struct leap_qp *qp, leap_status_t status, int err,
		      void *arg)
{
	if (status || err)
		w.lost = 1;
	else
		w.up = 1;
}

static void lost(struct leap_qp *qp, int err, void *arg)
{
	w.lost = 1;
}

static void listen_and_connect(const char *url)
{
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	struct leap_listener *listener;
	const char *at;
	char full[200];
	int closed = 0;

	lo.url = url;
	if (leap_listener_create(w.target, &lo, &listener))
		return;
	at = strcmp(url, "loop://") ? leap_listener_url(listener) :
				      "loop://leapio";
	snprintf(full, sizeof(full), "%s%s", at, strstr(at, FAULT_NQN) ? "" :
		 "/" FAULT_NQN);
	o.url = full;
	o.target = w.target;
	o.depth = 32;
	o.connected = connected;
	o.lost = lost;
	o.connect_timeout_ms = 5000;
	if (leap_qp_connect(w.pg, &o, &w.qp))
		return;
	wait_for(&w.up, &w.lost);
	leap_qp_close(w.qp, set_flag, &closed);
	wait_for(&closed, &closed);
}

/* Descriptors that are more than before, once both ends have looked. */
static int left_over(int before)
{
	int i;

	for (i = 0; i < 1000 && fds_open() != before; i++)
		leap_pollgroup_wait(w.pg, 1000000);
	return fds_open() - before;
}

static void over(const char *url)
{
	int64_t blocks = 0, now;
	int fds, i, failed = 1, gone;

	for (i = 0; failed; i++) {
		gone = 0;
		serve();
		fds = fds_open();
		count_fail((uint64_t)i);
		listen_and_connect(url);
		failed = !count_fail(0);
		leap_target_destroy(w.target, set_flag, &gone);
		wait_for(&gone, &gone);
		fds = left_over(fds);
		assert_int_equal(leap_pollgroup_destroy(w.pg), 0);
		now = count_blocks();
		if (!i)		/* it fills what is kept */
			blocks = now;
		if (now != blocks || fds)
			fail_msg("allocation %d failed: %lld blocks and %d "
				 "descriptors are left", i,
				 (long long)(now - blocks), fds);
		assert_true(i < 1000);
	}
	/* The last one had all that it asked for. */
	assert_true(w.up);
	assert_true(i > 5);
}

#ifdef LEAP_WITH_TCP
static void test_tcp(void **state)
{
	over("tcp://127.0.0.1:0");
}
#endif

#ifdef LEAP_WITH_SHM
static void test_shm(void **state)
{
	char url[80];

	snprintf(url, sizeof(url), "shm:/tmp/leap-nomem-%d.sock",
		 (int)getpid());
	over(url);
}
#endif

#ifdef LEAP_WITH_VFIO_USER
static void test_vfio_user(void **state)
{
	char url[200];

	snprintf(url, sizeof(url), "vfio-user:/tmp/leap-nomem-%d.sock/"
		 FAULT_NQN, (int)getpid());
	over(url);
}
#endif

static void test_loop(void **state)
{
	over("loop://");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop),
#ifdef LEAP_WITH_TCP
		cmocka_unit_test(test_tcp),
#endif
#ifdef LEAP_WITH_SHM
		cmocka_unit_test(test_shm),
#endif
#ifdef LEAP_WITH_VFIO_USER
		cmocka_unit_test(test_vfio_user),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
