/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of the RDMA transport: every event in every state, a hand-shake
 * with any event in place of another, everything that can fail failing once,
 * connections that break after any number of operations, a device that is
 * pulled out. Controllers that answer wrongly are in test-rdma-host-bad.c.
 */
#include "rdma-fixture.h"

#include <stdlib.h>

static void begin(struct rdma_pair *w)
{
	rdma_pair_init_two(w);
	rdma_pair_start(w, "127.0.0.1");
}

static void polls(struct rdma_pair *w, int n)
{
	while (n--)
		rdma_run_poll(&w->r);
}

/* The next host is served as if nothing had been. */
static void serves(struct rdma_pair *w)
{
	memset(&w->r, 0, sizeof(w->r));
	rdma_open(&w->r, &w->f, w->host, 1, 0, 8192);
	rdma_connect(&w->r);
	rdma_ios(&w->r, 40);
	rdma_close(&w->r);
}

static int is_fatal(unsigned int type)
{
	return type != LEAP__V_TIMEWAIT_EXIT && type != LEAP__V_OTHER &&
	       type != LEAP__V_CONNECT_REQUEST;
}

/* ---- events ---- */

enum { RESOLVING, ROUTING, ASKING, LIVE, LOADED, NR_STATES };

/* As far as @state, and there one event. */
static void event_in(unsigned int type, unsigned int state)
{
	static const uint8_t last[] = { LEAP__V_ADDR_RESOLVED,
					LEAP__V_ROUTE_RESOLVED,
					LEAP__V_ESTABLISHED };
	struct rdma_pair w;

	begin(&w);
	if (state < LIVE) {
		/* Instead of what it waits for. */
		w.fabric->swap_on = 1;
		w.fabric->swap_from = last[state];
		w.fabric->swap_to = (uint8_t)type;
		w.fabric->swap_status = -EHOSTUNREACH;
	}
	rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
	w.r.may_fail = 1;
	if (state >= LIVE) {
		rdma_connect(&w.r);
		if (state == LOADED)
			rdma_load(&w.r, 1u << 30);
		fake_event(fake_id(w.fabric, 0, 0), type, 0, NULL, 0);
	}
	polls(&w, 100);
	w.r.stop = 1;
	polls(&w, 100);
	if (state >= LIVE) {
		assert_int_equal(w.r.connected, 1);
		assert_int_equal(w.r.lost, is_fatal(type) ? 1 : 0);
	} else if (type == last[state]) {
		assert_int_equal(w.r.connected, 1);
		assert_int_equal(w.r.status, 0);
	} else if (is_fatal(type)) {
		assert_int_equal(w.r.connected, 1);
		assert_true(w.r.status && w.r.sys_errno < 0);
	} else {
		/* It waits on, until its time is over. */
		assert_int_equal(w.r.connected, 0);
	}
	rdma_close(&w.r);
	assert_int_equal(w.r.lost + !!w.r.status <= 1, 1);
	serves(&w);
	rdma_pair_end(&w);
}

static void test_events(void **state)
{
	unsigned int type, s;

	for (type = 0; type < LEAP__V_NR_EVENTS; type++)
		for (s = 0; s < NR_STATES; s++)
			event_in(type, s);
}

/* Nobody listens; and nobody answers. */
static void test_nobody(void **state)
{
	struct rdma_pair w;

	begin(&w);
	strcpy(strchr(w.f.url + 8, ':'), ":1/" RDMA_NQN);
	rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
	RDMA_WAIT(w.r.connected, rdma_run_poll(&w.r));
	assert_int_equal(w.r.sys_errno, -ECONNREFUSED);
	rdma_close(&w.r);
	w.fabric->mute = 1;
	rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
	polls(&w, 50);
	assert_int_equal(w.r.connected, 0);
	rdma_close(&w.r);
	w.fabric->mute = 0;
	rdma_pair_end(&w);
}

static void test_bad_urls(void **state)
{
	static const char *const urls[] = {
		"rdma://127.0.0.1/" RDMA_NQN, "rdma://host:4420/" RDMA_NQN,
		"rdma://[::1:4420/" RDMA_NQN, "rdma://:/" RDMA_NQN,
		"rdma://127.0.0.1:65536/" RDMA_NQN,
	};
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;
	struct rdma_pair w;
	unsigned int i;

	begin(&w);
	for (i = 0; i < COUNT(urls); i++) {
		opts.url = urls[i];
		assert_int_equal(leap_qp_connect(w.host, &opts, &qp), -EINVAL);
	}
	rdma_pair_end(&w);
}

/* A build without the libraries says so. */
static void test_not_built(void **state)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;
	char bound[64];
	struct rdma_pair w;

	begin(&w);
	assert_int_equal(leap__rdma_use(w.host, NULL), 0);
	opts.url = w.f.url;
	assert_int_equal(leap_qp_connect(w.host, &opts, &qp),
			 -EPROTONOSUPPORT);
	assert_last_error("rdma");
	leap__rdma_unlisten(&w.f.target.listener);
	assert_int_equal(leap__rdma_use(w.pg, NULL), 0);
	assert_int_equal(leap__rdma_listen(&w.f.target.listener, "0.0.0.0:0",
					   bound, sizeof(bound)),
			 -EPROTONOSUPPORT);
	assert_int_equal(leap__rdma_use(w.pg, &w.fabric->v), 0);
	w.fabric->fail_calls = 1;
	assert_int_equal(leap__rdma_listen(&w.f.target.listener, "0.0.0.0:0",
					   bound, sizeof(bound)), -ENODEV);
	assert_last_error("no RDMA device");
	assert_int_equal(leap__rdma_use(w.host, &w.fabric->v), 0);
	rdma_pair_end(&w);
}

/* ---- faults ---- */

/* Whatever is made on the way to a connection, at either end, fails once. */
static void test_failing_calls(void **state)
{
	int n, failed = 0;

	for (n = 1; ; n++) {
		struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
		struct leap_qp *qp = NULL;
		struct rdma_pair w;
		int left;

		begin(&w);
		opts.url = w.f.url;
		w.fabric->fail_calls = n;
		if (n <= 3) {
			/* Before connect returns. */
			assert_true(leap_qp_connect(w.host, &opts, &qp) < 0);
			failed++;
			rdma_pair_end(&w);
			continue;
		}
		rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
		RDMA_WAIT(w.r.connected, rdma_run_poll(&w.r));
		left = w.fabric->fail_calls;
		w.fabric->fail_calls = 0;
		failed += !left;
		assert_int_equal(!w.r.status, left != 0);
		rdma_close(&w.r);
		serves(&w);
		rdma_pair_end(&w);
		if (left)
			break;
	}
	assert_true(failed >= 15);
}

/* Emulated and instrumented builds do fewer. */
static unsigned int step(void)
{
	const char *cross = getenv("LEAP_CROSS");
	const char *instrumented = getenv("LEAP_INSTRUMENTED");

	return (cross && *cross) || (instrumented && *instrumented) ? 11 : 1;
}

/* The connection breaks after any number of operations, quietly or not. */
static void test_breaks(void **state)
{
	unsigned int n, how;

	for (how = 0; how < 3; how++)
		for (n = 1; n < 150; n += step()) {
			struct rdma_pair w;

			begin(&w);
			w.f.delay = n % 3;
			if (how == 0)
				w.fabric->die_after = n;
			else if (how == 1)
				w.fabric->leave_after = n;
			rdma_open(&w.r, &w.f, w.host, 1, 0, n & 1 ? 8192 : 0);
			w.r.may_fail = 1;
			RDMA_WAIT(w.r.connected, rdma_run_poll(&w.r));
			if (!w.r.status)
				rdma_load(&w.r, 1u << 30);
			if (how == 2) {
				polls(&w, (int)n);
				fake_lock(w.fabric);
				w.fabric->fail_post = -ENOMEM;
				fake_unlock(w.fabric);
			}
			RDMA_WAIT(w.r.lost || w.r.status,
				  rdma_run_poll(&w.r));
			assert_true(w.r.sys_errno < 0);
			rdma_close(&w.r);
			w.f.delay = 0;
			serves(&w);
			rdma_pair_end(&w);
		}
}

/* The device is pulled out under load; another takes its place. */
static void test_device_removed(void **state)
{
	struct rdma_pair w;
	int i;

	for (i = 0; i < 4; i++) {
		uint32_t pds;

		begin(&w);
		rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
		rdma_connect(&w.r);
		rdma_ios(&w.r, 20);
		w.r.may_fail = 1;
		rdma_load(&w.r, 1u << 30);
		polls(&w, i);
		fake_remove_device(w.fabric);
		RDMA_WAIT(w.r.lost, rdma_run_poll(&w.r));
		assert_true(w.r.sys_errno == -ENODEV ||
			    w.r.sys_errno == -ECONNRESET);
		rdma_close(&w.r);
		RDMA_WAIT(w.f.target.gone == w.f.target.accepted,
			  rdma_run_poll(&w.r));
		/* Nothing keeps it: that is what the kernel waits for. */
		if (w.r.sys_errno == -ENODEV)
			assert_true(w.fabric->nr_pds <= 1);
		pds = w.fabric->nr_pds;
		RDMA_WAIT(w.fabric->nr_ids == 0, rdma_run_poll(&w.r));
		RDMA_WAIT(w.fabric->nr_ids == 1, rdma_run_poll(&w.r));
		serves(&w);
		assert_true(w.fabric->nr_pds <= pds + 2);
		rdma_pair_end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_bad_urls),
		cmocka_unit_test(test_not_built),
		cmocka_unit_test(test_failing_calls),
		cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_device_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
