/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The poll group: messages from other threads while it sleeps, pollers that
 * come and go in callbacks, the end-of-batch hook, arming, idle cost, log.
 */
#include "core/io/pollgroup.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

/* The world that the cases run in. */
static uint32_t kind;

#define SENDERS 3
#define ROUNDS 20000

static struct leap_pollgroup *create(uint32_t world, int64_t spin_ns)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg = NULL;

	o.world = world;
	o.spin_ns = spin_ns;
	assert_int_equal(leap_pollgroup_create(&o, &pg), 0);
	return pg;
}

static int readable(struct leap_pollgroup *pg, int timeout_ms)
{
	struct pollfd p = { leap_pollgroup_fd(pg), POLLIN, 0 };
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n;
}

static void test_create(void **state)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;
	struct leap_timer t = { 0 };

	o.world = 77;
	assert_int_equal(leap_pollgroup_create(&o, &pg), -EINVAL);
	o.world = LEAP_WORLD_SIM;	/* without a simulator */
	assert_int_equal(leap_pollgroup_create(&o, &pg), -EINVAL);
	o.world = LEAP_WORLD_EPOLL;
	o.nr_cmds = 70000;
	assert_int_equal(leap_pollgroup_create(&o, &pg), -EINVAL);
	o.nr_cmds = 0;
	o.buf_bytes = 5000;
	assert_int_equal(leap_pollgroup_create(&o, &pg), -EINVAL);
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_true(leap_pollgroup_fd(pg) >= 0);
	leap_timer_start(pg, &t, 1000000);
	assert_int_equal(leap_pollgroup_destroy(pg), -EBUSY);
	leap_timer_stop(pg, &t);
	leap__pollgroup_hold(pg);
	assert_int_equal(leap_pollgroup_destroy(pg), -EBUSY);
	leap__pollgroup_release(pg);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	assert_int_equal(leap_pollgroup_destroy(NULL), 0);
}

/* ---- messages ---------------------------------------------------------- */

struct sender {
	struct leap_pollgroup *pg;
	pthread_t thread;
	struct test_msg {
		struct leap_msg msg;
		struct sender *s;
		unsigned int nr;
	} *msgs;
	unsigned int seen;
};

static unsigned int total;

static void got(struct leap_msg *msg)
{
	struct test_msg *m = (struct test_msg *)msg;

	assert_int_equal(m->nr, m->s->seen);	/* in order of the sender */
	m->s->seen++;
	total++;
}

static void *sending(void *arg)
{
	struct sender *s = arg;
	struct timespec pause = { 0, 20000 };
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		s->msgs[i].msg.run = got;
		s->msgs[i].s = s;
		s->msgs[i].nr = i;
		leap_pollgroup_send(s->pg, &s->msgs[i].msg);
		/* Now and then let it fall asleep. */
		if (i % 16 == 0)
			nanosleep(&pause, NULL);
	}
	return NULL;
}

static void messages(struct leap_pollgroup *pg, int by_wait)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	struct sender s[SENDERS];
	int i;

	total = 0;
	memset(s, 0, sizeof(s));
	for (i = 0; i < SENDERS; i++) {
		s[i].pg = pg;
		s[i].msgs = calloc(ROUNDS, sizeof(*s[i].msgs));
		assert_non_null(s[i].msgs);
		assert_int_equal(pthread_create(&s[i].thread, NULL, sending,
						&s[i]), 0);
	}
	/* Without a time limit a lost wake-up stops the test here. */
	while (total < SENDERS * ROUNDS) {
		if (by_wait) {
			assert_true(leap_pollgroup_wait(pg, -1) >= 0);
			continue;
		}
		if (leap_pollgroup_poll(pg, 0) || leap_pollgroup_arm(pg))
			continue;
		assert_int_equal(readable(pg, -1), 1);
	}
	for (i = 0; i < SENDERS; i++) {
		pthread_join(s[i].thread, NULL);
		assert_int_equal(s[i].seen, ROUNDS);
		free(s[i].msgs);
	}
	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	assert_true(st.sleeps > 10);
	assert_true(st.wakeups > 10);
	assert_true(st.events >= SENDERS * ROUNDS);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void test_messages_wait(void **state)
{
	messages(create(kind, -1), 1);
}

static void test_messages_arm(void **state)
{
	messages(create(kind, -1), 0);
}

/* ---- pollers ----------------------------------------------------------- */

struct test_poller {
	struct leap_poller p;
	struct leap_pollgroup *pg;
	struct test_poller *del, *add;
	int calls, arms, work;
};

static int poll_it(struct leap_poller *p, unsigned int budget)
{
	struct test_poller *t = (struct test_poller *)p;
	int n = t->work;

	assert_true(budget > 0);
	t->calls++;
	t->work = 0;
	if (t->del)
		leap_pollgroup_del_poller(t->pg, &t->del->p);
	if (t->add)
		leap_pollgroup_add_poller(t->pg, &t->add->p);
	t->del = t->add = NULL;
	return n;
}

static int arm_it(struct leap_poller *p)
{
	struct test_poller *t = (struct test_poller *)p;

	t->arms++;
	return t->work;
}

static void test_pollers(void **state)
{
	struct leap_pollgroup *pg = create(kind, -1);
	struct test_poller t[4];
	int i;

	memset(t, 0, sizeof(t));
	for (i = 0; i < 4; i++) {
		t[i].p.poll = poll_it;
		t[i].p.arm = arm_it;
		t[i].pg = pg;
	}
	leap_pollgroup_add_poller(pg, &t[0].p);
	leap_pollgroup_add_poller(pg, &t[1].p);
	leap_pollgroup_add_poller(pg, &t[2].p);
	assert_int_equal(leap_pollgroup_destroy(pg), -EBUSY);
	assert_int_equal(leap_pollgroup_poll(pg, 0), 0);
	/* 0 deletes its neighbour, 2 itself; 3 is new and waits. */
	t[0].del = &t[1];
	t[2].del = &t[2];
	t[0].add = &t[3];
	t[0].work = 5;
	assert_int_equal(leap_pollgroup_poll(pg, 0), 5);
	assert_int_equal(t[1].calls, 1);
	assert_int_equal(t[2].calls, 2);
	assert_int_equal(t[3].calls, 0);
	assert_int_equal(leap_pollgroup_arm(pg), 1);
	assert_int_equal(leap_pollgroup_poll(pg, 0), 0);
	assert_int_equal(t[3].calls, 1);
	assert_int_equal(t[1].calls, 1);
	/* Work that is found while arming holds the sleep up. */
	t[3].work = 1;
	assert_int_equal(leap_pollgroup_arm(pg), 1);
	assert_int_equal(t[3].arms, 1);
	assert_int_equal(leap_pollgroup_poll(pg, 0), 1);
	assert_int_equal(leap_pollgroup_arm(pg), 0);
	leap_pollgroup_del_poller(pg, &t[0].p);
	leap_pollgroup_del_poller(pg, &t[3].p);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* ---- the end-of-batch hook ---------------------------------------------- */

struct test_defer {
	struct leap__defer d;
	struct leap_pollgroup *pg;
	struct test_defer *other;
	int runs;
};

static void deferred(struct leap__defer *d)
{
	struct test_defer *t = (struct test_defer *)d;

	t->runs++;
	if (t->other)
		leap__pollgroup_defer(t->pg, &t->other->d);
}

static void test_defer(void **state)
{
	struct leap_pollgroup *pg = create(kind, -1);
	struct test_defer a = { { deferred }, pg, NULL, 0 }, b = a, c = a;

	a.other = &b;
	leap__pollgroup_defer(pg, &a.d);
	leap__pollgroup_defer(pg, &a.d);
	leap__pollgroup_defer(pg, &c.d);
	leap__pollgroup_undefer(pg, &c.d);
	leap__pollgroup_undefer(pg, &c.d);
	assert_int_equal(leap_pollgroup_arm(pg), 1);
	leap_pollgroup_poll(pg, 0);
	leap_pollgroup_poll(pg, 0);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 1);
	assert_int_equal(c.runs, 0);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* ---- sleeping ----------------------------------------------------------- */

static int timer_runs;

static void tick(struct leap_timer *t)
{
	timer_runs++;
}

static void test_timer_wakes(void **state)
{
	struct leap_pollgroup *pg = create(kind, -1);
	struct leap_pollgroup_stats st = { sizeof(st) };
	struct leap_timer t = { tick };
	/* It sleeps before that is over, even if it stands still first. */
	const uint64_t ns = 500000000;
	uint64_t before = leap_pollgroup_now_ns(pg);
	int i;

	timer_runs = 0;
	leap_timer_start(pg, &t, ns);
	assert_int_equal(leap_pollgroup_arm(pg), 0);
	assert_int_equal(readable(pg, 60000), 1);
	assert_int_equal(leap_pollgroup_poll(pg, 0), 1);
	assert_true(leap_pollgroup_now_ns(pg) - before >= ns);
	/* The same by wait, which needs no fd. */
	leap_timer_start(pg, &t, ns);
	/* What the kernel does for a ring that is gone may end a sleep. */
	for (i = 0; i < 20 && timer_runs < 2; i++)
		assert_true(leap_pollgroup_wait(pg, 5000000000) >= 0);
	assert_int_equal(timer_runs, 2);
	/* A timeout is not a wake-up. */
	before = leap_pollgroup_now_ns(pg);
	for (i = 0; leap_pollgroup_now_ns(pg) - before < 10000000; i++)
		assert_int_equal(leap_pollgroup_wait(pg, 10000000), 0);
	assert_true(i < 20);
	leap_pollgroup_stats(pg, &st);
	assert_int_equal(st.wakeups, 2);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void test_spin(void **state)
{
	struct leap_pollgroup *pg = create(kind, INT64_MAX);
	struct leap_pollgroup_stats st = { sizeof(st) };
	int i;

	for (i = 0; i < 1000; i++)
		assert_int_equal(leap_pollgroup_wait(pg, -1), 0);
	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	assert_int_equal(st.polls, 1000);
	assert_int_equal(st.sleeps, 0);
	st.size = 2;
	assert_int_equal(leap_pollgroup_stats(pg, &st), -EINVAL);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* An idle group, armed, is not woken, with any number of timers far off. */
static void test_idle(void **state)
{
	struct leap_pollgroup *pg = create(kind, -1);
	struct leap_pollgroup_stats before = { sizeof(before) };
	struct leap_pollgroup_stats after = { sizeof(after) };
	struct leap_timer t[3] = { { tick }, { tick }, { tick } };
	int i;

	for (i = 0; i < 3; i++) {
		leap_timer_start(pg, &t[i], 100000000);
		leap_timer_start(pg, &t[i], 5000000000u);
	}
	while (leap_pollgroup_poll(pg, 0) || leap_pollgroup_arm(pg))
		;
	leap_pollgroup_stats(pg, &before);
	assert_int_equal(readable(pg, 1000), 0);
	leap_pollgroup_stats(pg, &after);
	assert_int_equal(after.syscalls, before.syscalls);
	assert_int_equal(after.polls, before.polls);
	assert_int_equal(after.wakeups, 0);
	for (i = 0; i < 3; i++)
		leap_timer_stop(pg, &t[i]);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* ---- log ---------------------------------------------------------------- */

static int lines;
static char last[600];

static void sink(void *arg, enum leap_log_level level, const char *text)
{
	assert_ptr_equal(arg, &lines);
	lines++;
	snprintf(last, sizeof(last), "%d %s", level, text);
	errno = EIO;
}

static void test_log(void **state)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap__log_limit limit = { 0 };
	struct leap_pollgroup *pg;
	int i;

	o.log = sink;
	o.log_arg = &lines;
	o.world = kind;
	assert_int_equal(leap_pollgroup_create(&o, &pg), 0);
	errno = EPERM;
	leap__pg_log(pg, LEAP_LOG_WARN, "queue %d", 3);
	assert_int_equal(errno, EPERM);
	assert_string_equal(last, "1 queue 3");
	lines = 0;
	for (i = 0; i < 100; i++)
		leap__pg_log_limited(pg, &limit, LEAP_LOG_INFO, "bad pdu");
	assert_int_equal(lines, 10);
	assert_int_equal(limit.dropped, 90);
	limit.window_ns -= 5000000000u;
	leap__pg_log_limited(pg, &limit, LEAP_LOG_INFO, "bad pdu");
	assert_int_equal(lines, 12);
	/* The longest URL, what is wrong with it, and what to do about that. */
	leap__pg_log(pg, LEAP_LOG_WARN, "%0500d", 3);
	assert_int_equal(strlen(last), strlen("1 ") + 500);
	lines--;
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	pg = create(kind, 0);
	leap__pg_log(pg, LEAP_LOG_ERROR, "to nobody");
	assert_int_equal(lines, 12);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_messages_wait),
		cmocka_unit_test(test_messages_arm),
		cmocka_unit_test(test_pollers),
		cmocka_unit_test(test_defer),
		cmocka_unit_test(test_timer_wakes),
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_log),
	};

	struct leap_pollgroup *pg;
	int failed, rc;

	kind = LEAP_WORLD_EPOLL;
	failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
	kind = LEAP_WORLD_URING;
	rc = leap_pollgroup_create(&(struct leap_pollgroup_opts) {
			sizeof(struct leap_pollgroup_opts), .world = kind },
			&pg);
	if (rc == -ENOSYS) {
		printf("[  SKIPPED ] everything over io_uring\n");
		return failed;
	}
	if (!rc)
		leap_pollgroup_destroy(pg);
	return failed +
		cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
