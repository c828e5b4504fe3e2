/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An agent at the worst moment: runtimes that answer in an order that no honest
 * one has, that ask without reading, or that are gone while all else goes too.
 */
#include "liar.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- queues that go while a successor is told of them ---- */

/* A guest with a queue whose runtime is lost, and a successor that has heard of
 * the queue (@add) and, as the guest has reset the drive,
 * that it goes (@del). */
static struct liar *successor(struct af *f, struct leap_link_msg *add,
			      struct leap_link_msg *del)
{
	struct liar *l = liar_active(f);

	liar_start_create(f, l);
	assert_int_equal(liar_serve(f, l, 50), 0);
	gd_reap(f->g, &f->g->acq, &f->g->asq);
	liar_detach(f, l);

	l = liar_attach(f);
	liar_say_hello(l, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	assert_int_equal(liar_hear_type(f, l, LEAP_LINK_QP_ADD, add), 1);
	gd_wr4(f->g, LEAP_REG_CC, 0);
	assert_int_equal(liar_hear_type(f, l, LEAP_LINK_QP_DEL, del), 1);
	return l;
}

static void still_good(struct af *f, struct liar *l)
{
	assert_int_equal(liar_serve(f, l, 100), 0);
	assert_int_equal(gd_rd4(f->g, LEAP_REG_CSTS), 0);
	assert_int_equal(af_info(f).nr_queues, 0);
	liar_start_create(f, l);
	assert_int_equal(liar_serve(f, l, 50), 0);
	gd_reap(f->g, &f->g->acq, &f->g->asq);
	assert_int_equal(f->g->raw, 0);
	assert_int_equal(af_info(f).nr_queues, 1);
	gd_wr4(f->g, LEAP_REG_CC, 0);
	assert_int_equal(liar_serve(f, l, 50), 0);
	liar_detach(f, l);
	af_free(f);
}

/* It could not take the queue up, and then it goes: honest, and rare. */
static void test_refused_then_gone(void **state)
{
	struct af *f = af_new(1);
	struct leap_link_msg add, del;
	struct liar *l = successor(f, &add, &del);

	(void)state;
	liar_reply(l, &add, -EPROTO, -1);
	assert_int_equal(liar_serve(f, l, 50), 0);
	liar_reply(l, &del, 0, -1);
	still_good(f, l);
}

/* It says that the queue is gone, and only then that it never was. */
static void test_gone_then_refused(void **state)
{
	struct af *f = af_new(1);
	struct leap_link_msg add, del;
	struct liar *l = successor(f, &add, &del);

	(void)state;
	liar_reply(l, &del, 0, -1);
	assert_int_equal(liar_serve(f, l, 50), 0);
	liar_reply(l, &add, -EPROTO, -1);
	still_good(f, l);
}

/* It refused the queue, and is killed before it says that it is gone. */
static void test_refused_then_lost(void **state)
{
	struct af *f = af_new(1);
	struct leap_link_msg add, del;
	struct liar *l = successor(f, &add, &del);

	(void)state;
	liar_reply(l, &add, -EPROTO, -1);
	assert_int_equal(liar_serve(f, l, 50), 0);
	liar_detach(f, l);
	still_good(f, liar_active(f));
}

/* ---- who asks and does not read ---- */

static void test_does_not_read(void **state)
{
	struct af *f = af_new(1);
	struct liar *l = liar_active(f);
	struct leap_link_msg m = liar_say(LEAP_LINK_KEEPALIVE);
	struct pollfd p = { l->fd, POLLRDHUP, 0 };
	int i;

	(void)state;
	/* Each would be answered, and nobody takes the answers. */
	for (i = 0; i < 100000 && !(p.revents & (POLLRDHUP | POLLHUP)); i++) {
		liar_send_msg(l, &m, -1);
		if (i % 16 == 0)
			af_poll(f);
		if (i % 256 == 0)
			poll(&p, 1, 0);
	}
	assert_in_range(i, 1, 99999);
	liar_detach(f, l);
	still_good(f, liar_active(f));
}

/* It says HELLO again, when it serves, or when it waits. */
static void test_hello_twice(void **state)
{
	struct af *f = af_new(1);
	struct liar *l = liar_active(f), *idle;
	struct leap_link_msg m;

	(void)state;
	idle = liar_attach(f);
	m = liar_say(LEAP_LINK_HELLO);
	m.u.hello.version = LEAP_LINK_VERSION;
	m.u.hello.role = LEAP_LINK_RUNTIME;
	m.u.hello.caps = LEAP_LINK_STANDBY;
	liar_send_msg(idle, &m, -1);
	assert_int_equal(liar_wait_msg(f, idle, &m), 1);
	assert_int_equal(m.err, 0);
	liar_say_hello(idle, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	assert_int_equal(liar_serve(f, idle, 3000), -1);
	liar_end(idle);
	free(idle);
	/* That was not the one that serves. */
	assert_true(af_served(f));
	assert_int_equal(f->fences, 0);
	liar_say_hello(l, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	liar_must_end(f, l);
	still_good(f, liar_active(f));
}

/* Numbers that only a liar sends. */
static void test_numbers(void **state)
{
	struct af *f = af_new(1);
	struct liar *l = liar_active(f);
	struct leap_link_msg m = liar_say(LEAP_LINK_FATAL);

	(void)state;
	assert_int_equal(gd_enable(f->g, 32, 32), LEAP_CSTS_RDY);
	m.cntlid = l->cntlid;
	m.u.fatal.err = INT32_MIN;
	liar_send_msg(l, &m, -1);
	assert_int_equal(liar_serve(f, l, 50), 0);
	assert_true(gd_rd4(f->g, LEAP_REG_CSTS) & LEAP_CSTS_CFS);
	gd_wr4(f->g, LEAP_REG_CC, 0);
	still_good(f, l);
}

/* Those who were refused and stay do not keep others out for good. */
static void test_refused_stay(void **state)
{
	struct af *f = af_new(1);
	struct leap_link_msg m;
	struct liar *l[16];
	int i;

	(void)state;
	for (i = 0; i < 16; i++) {
		l[i] = liar_attach(f);
		liar_say_hello(l[i], 99, LEAP_LINK_RUNTIME);
		assert_int_equal(liar_wait_msg(f, l[i], &m), 1);
		assert_int_equal(m.err, -EPROTONOSUPPORT);
	}
	for (i = 0; i < 16; i++) {
		assert_int_equal(liar_serve(f, l[i], 3000), -1);
		liar_end(l[i]);
		free(l[i]);
	}
	still_good(f, liar_active(f));
}

/* ---- the agent ends while a runtime is being fenced ---- */

/* A process that serves and holds the lock of @path, or says so. */
static pid_t start_holder(const char *sock, const char *path)
{
	struct leap_link_msg m;
	struct liar *l;
	struct af f;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	strcpy(f.sock, sock);
	l = liar_attach(&f);
	liar_say_hello(l, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	for (;;) {
		while (!liar_hear(l, &m))
			usleep(1000);
		if (m.type == LEAP_LINK_RESUME && !m.cntlid) {
			struct leap_link_msg leaf = liar_say(LEAP_LINK_LEAF);

			strcpy(leaf.u.leaf.path, path);
			liar_send_msg(l, &leaf, -1);
		}
		liar_answer(l, &m);
	}
}

static int fencing(struct af *f)
{
	return af_info(f).state == LEAP_AGENT_FENCING;
}

/* And as many times as that are milliseconds, where a process stands still. */
static void poll_for(struct af *f, uint64_t ms)
{
	uint64_t from = af_ms(), looks = 0;

	while (af_ms() - from < ms || looks++ < ms)
		af_poll(f);
}

static void test_end_in_fence(void **state)
{
	struct af *f = af_new(0);
	int gone = 0, destroyed = 0, fd;
	pid_t pid;

	(void)state;
	fd = open(f->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	pid = start_holder(f->sock, f->file);
	af_until(f, af_served, 5000);
	/* What it had under way outlives it. */
	assert_int_equal(flock(fd, LOCK_EX), 0);
	af_kill(f, pid, SIGKILL);
	af_until(f, fencing, 5000);
	poll_for(f, 50);
	assert_true(fencing(f));
	leap_vdev_destroy(f->v, set_flag, &gone);
	leap_target_destroy(f->target, set_flag, &destroyed);
	poll_for(f, 100);
	if (!destroyed) {
		/* It waits for the fence: as good. */
		flock(fd, LOCK_UN);
		while (!destroyed)
			af_poll(f);
	}
	assert_int_equal(leap_agent_destroy(f->agent), 0);
	flock(fd, LOCK_UN);
	poll_for(f, 50);
	assert_true(gone);
	gd_free(f->g);
	while (leap_pollgroup_destroy(f->pg))
		af_poll(f);
	close(fd);
	unlink(f->file);
	unlink(f->sock);
	rmdir(f->dir);
	free(f);
}

/* The same with nothing of a guest: the target need not wait. */
static void test_end_in_fence_idle(void **state)
{
	struct af *f = af_new(0);
	int gone = 0, destroyed = 0, fd;
	pid_t pid;

	(void)state;
	fd = open(f->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	pid = start_holder(f->sock, f->file);
	af_until(f, af_served, 5000);
	leap_vdev_destroy(f->v, set_flag, &gone);
	while (!gone)
		af_poll(f);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	af_kill(f, pid, SIGKILL);
	af_until(f, fencing, 5000);
	leap_target_destroy(f->target, set_flag, &destroyed);
	poll_for(f, 100);
	assert_true(destroyed);
	assert_int_equal(leap_agent_destroy(f->agent), 0);
	flock(fd, LOCK_UN);
	poll_for(f, 50);
	gd_free(f->g);
	while (leap_pollgroup_destroy(f->pg))
		af_poll(f);
	close(fd);
	unlink(f->file);
	unlink(f->sock);
	rmdir(f->dir);
	free(f);
}

/* Whether a runtime lives is asked for one that comes: what it said before that
 * is no answer, as it may have been its last word. */
static void test_last_word(void **state)
{
	struct af *f = af_new(1);
	struct liar *l = liar_active(f), *first = liar_attach(f);
	struct liar *next = liar_attach(f);
	struct leap_link_msg m;

	(void)state;
	liar_say_hello(first, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	assert_int_equal(liar_hear_type(f, l, LEAP_LINK_KEEPALIVE, &m), 1);
	liar_reply(l, &m, 0, -1);
	liar_say_hello(next, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	assert_int_equal(liar_wait_msg(f, first, &m), 1);
	assert_int_equal(m.err, -EBUSY);
	assert_int_equal(liar_wait_msg(f, next, &m), 1);
	assert_int_equal(m.type, LEAP_LINK_HELLO);
	assert_int_equal(m.err, 0);
	liar_end(l);
	free(l);
	liar_end(first);
	free(first);
	liar_detach(f, next);
	af_free(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_then_gone),
		cmocka_unit_test(test_gone_then_refused),
		cmocka_unit_test(test_refused_then_lost),
		cmocka_unit_test(test_does_not_read),
		cmocka_unit_test(test_hello_twice),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_refused_stay),
		cmocka_unit_test(test_last_word),
		cmocka_unit_test(test_end_in_fence),
		cmocka_unit_test(test_end_in_fence_idle),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
