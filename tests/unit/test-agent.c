/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A drive whose I/O another process serves: attach, I/O, memory and queues that
 * come and go, runtimes that end, are killed, stopped, handed over; answers
 * within their bound whatever the runtime does.
 */
#include "agent-fixture.h"
#include "rand.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t buf;	/* one page of the guest */

static void up(struct af *f)
{
	gd_up(f->g, &f->cq, &f->sq, 64);
	buf = gd_alloc(f->g, GD_PAGE);
}

static leap_status_t rw(struct af *f, uint8_t opc, uint64_t lba, uint8_t value)
{
	struct leap_sqe sqe = gd_sqe_rw(opc, 1, lba, 8);

	if (opc == LEAP_NVM_WRITE)
		memset(gd_at(f->g, buf), value, GD_PAGE);
	else
		memset(gd_at(f->g, buf), 0xee, GD_PAGE);
	gd_prp(f->g, &sqe, buf, GD_PAGE);
	return gd_cmd(f->g, &f->sq, &sqe);
}

static void check_block(struct af *f, uint64_t lba, uint8_t value)
{
	uint8_t *p = gd_at(f->g, buf);
	int i;

	assert_int_equal(rw(f, LEAP_NVM_READ, lba, 0), 0);
	for (i = 0; i < (int)GD_PAGE; i++)
		if (p[i] != value)
			fail_msg("lba %llu byte %d: %02x, not %02x",
				 (unsigned long long)lba, i, p[i], value);
}

static void test_io(void **state)
{
	struct af *f = af_new(0);
	int i;

	(void)state;
	assert_int_equal(af_info(f).state, LEAP_AGENT_NONE);
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	assert_int_equal(af_info(f).pid, f->pid);
	assert_int_equal(af_info(f).nr_ctrls, 1);
	assert_int_equal(leap_ns_next(f->ss, 0), 1);
	up(f);
	for (i = 0; i < 64; i++)
		assert_int_equal(rw(f, LEAP_NVM_WRITE, (uint64_t)i * 8,
				    (uint8_t)(i + 1)), 0);
	for (i = 0; i < 64; i++)
		check_block(f, (uint64_t)i * 8, (uint8_t)(i + 1));
	assert_int_equal(rw(f, LEAP_NVM_READ, AF_BLOCKS, 0),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(gd_delete(f->g, LEAP_ADM_DELETE_SQ, 1), 0);
	assert_int_equal(gd_delete(f->g, LEAP_ADM_DELETE_CQ, 1), 0);
	gd_disable(f->g);
	up(f);
	check_block(f, 8, 2);
	af_kill(f, f->pid, SIGKILL);
	af_until(f, af_none, 10000);
	assert_int_equal(af_info(f).fenced, 1);
	af_free(f);
}

static uint64_t events(struct af *f)
{
	struct leap_pollgroup_stats s = { .size = sizeof(s) };

	assert_int_equal(leap_pollgroup_stats(f->pg, &s), 0);
	return s.events;
}

/* What @n commands make the agent do. */
static uint64_t events_of(struct af *f, int n)
{
	uint64_t before = events(f);

	while (n--)
		check_block(f, 0, 0);
	return events(f) - before;
}

/*
 * A guest that polls and rings in memory: the commands pass between it and the
 * runtime, and the agent hears of none. One that may have the pin is told of
 * each.
 */
static void test_bystander(void **state)
{
	struct af *f = af_new(0);

	(void)state;
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	gd_cfg_wr(f->g, 0x04, 0x0406, 2);	/* Interrupt Disable */
	up(f);
	assert_int_equal(gd_dbbuf(f->g), 0);
	check_block(f, 0, 0);
	/* The doorbells that find the runtime asleep are calls, not events. A
	 * few come with time alone. */
	assert_true(events_of(f, 200) < 100);
	gd_cfg_wr(f->g, 0x04, 0x0006, 2);
	assert_true(events_of(f, 200) >= 200);
	gd_cfg_wr(f->g, 0x04, 0x0406, 2);
	assert_true(events_of(f, 200) < 100);
	af_free(f);
}

/* Everything that needs no runtime works without one. */
static void test_without(void **state)
{
	struct af *f = af_new(0);
	uint16_t cid;
	struct leap_sqe sqe;
	int i;

	(void)state;
	up(f);
	sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 0, 8);
	memset(gd_at(f->g, buf), 0x77, GD_PAGE);
	gd_prp(f->g, &sqe, buf, GD_PAGE);
	cid = gd_submit(f->g, &f->sq, &sqe);
	for (i = 0; i < 200; i++)
		af_poll(f);
	assert_int_equal(gd_reap(f->g, &f->cq, &f->sq), 0);
	/* It waited. */
	af_start(f, 1, 0);
	assert_int_equal(gd_wait(f->g, &f->sq, cid), 0);
	check_block(f, 0, 0x77);
	af_kill(f, f->pid, SIGKILL);
	cid = gd_submit(f->g, &f->sq, &sqe);
	gd_disable(f->g);
	af_until(f, af_none, 10000);
	up(f);
	assert_int_equal(gd_delete(f->g, LEAP_ADM_DELETE_SQ, 1), 0);
	assert_int_equal(gd_delete(f->g, LEAP_ADM_DELETE_CQ, 1), 0);
	af_free(f);
}

static uint64_t commands(struct af *f)
{
	struct leap_vdev_info info = { .size = sizeof(info) };

	assert_int_equal(leap_vdev_info(f->v, &info), 0);
	return info.commands;
}

static void lose_runtime(struct af *f)
{
	af_kill(f, f->pid, SIGKILL);
	af_until(f, af_none, 10000);
}

/* A runtime comes, and finds nothing to do but what the guest has rung. */
static void serve_again(struct af *f, uint64_t so_far)
{
	int i;

	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	for (i = 0; i < 50; i++)
		af_poll(f);
	assert_int_equal(commands(f), so_far);
}

/*
 * Doorbell Buffer Config while nobody serves: who comes then finds words that
 * say how far the queues were, not pages as the guest gave them.
 */
static void test_shadow_without(void **state)
{
	struct af *f = af_new(0);
	struct leap_sqe sqe;
	struct gd_sq sq2;
	uint64_t n;
	uint16_t cid;
	int i;

	(void)state;
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	up(f);
	for (i = 0; i < 5; i++)
		check_block(f, 0, 0);
	n = commands(f);
	lose_runtime(f);
	assert_int_equal(gd_dbbuf(f->g), 0);
	serve_again(f, n);
	for (i = 0; i < 5; i++)
		check_block(f, 0, 0);
	assert_int_equal(commands(f), n + 5);
	/* A queue that is made then, whose words were used before. */
	lose_runtime(f);
	gd_sq_init(f->g, &sq2, 2, 64, &f->cq);
	((leap_le32 *)gd_at(f->g, f->g->shadow))[4] = leap_to_le32(7);
	assert_int_equal(gd_create_sq(f->g, &sq2), 0);
	serve_again(f, n + 5);
	/* And what was rung while nobody listened. */
	lose_runtime(f);
	gd_disable(f->g);
	f->g->shadow = 0;
	up(f);
	sqe = gd_sqe_rw(LEAP_NVM_READ, 1, 0, 8);
	gd_prp(f->g, &sqe, buf, GD_PAGE);
	gd_submit(f->g, &f->sq, &sqe);
	assert_int_equal(gd_dbbuf(f->g), 0);
	cid = gd_submit(f->g, &f->sq, &sqe);
	af_start(f, 0, 0);
	assert_int_equal(gd_wait(f->g, &f->sq, cid), 0);
	check_block(f, 0, 0);
	assert_int_equal(commands(f), n + 5 + 3);
	af_free(f);
}

static int has_failed(struct af *f)
{
	return (gd_rd4(f->g, LEAP_REG_CSTS) & LEAP_CSTS_CFS) != 0;
}

/* A write that nobody serves, and the controller as it fails over it. */
static void wait_for_bound(struct af *f)
{
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 0, 8);
	uint16_t cid;

	gd_prp(f->g, &sqe, buf, GD_PAGE);
	cid = gd_submit(f->g, &f->sq, &sqe);
	af_until(f, has_failed, 10000);
	/* Until then it waited. */
	gd_reap(f->g, &f->cq, &f->sq);
	assert_int_equal(f->g->done[cid], 0);
}

/* I/O waits for a runtime so long and no longer; a reset makes it wait anew. */
static void test_bound(void **state)
{
	const uint32_t bound_ms = 300;
	struct af *f = af_new_bound(0, bound_ms);
	uint64_t from;

	(void)state;
	/* There never was one. */
	up(f);
	wait_for_bound(f);
	gd_disable(f->g);
	assert_false(has_failed(f));
	up(f);
	wait_for_bound(f);
	/* One that serves stops the clock. */
	gd_disable(f->g);
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	up(f);
	from = af_ms();
	while (af_ms() - from < 2 * bound_ms)
		assert_int_equal(rw(f, LEAP_NVM_WRITE, 0, 1), 0);
	assert_false(has_failed(f));
	/* And one that dies starts it. */
	af_kill(f, f->pid, SIGKILL);
	from = af_ms();
	af_until(f, af_none, 10000);
	wait_for_bound(f);
	assert_true(af_ms() - from >= bound_ms / 2);
	af_free(f);
}

/* The next one comes in time: nothing is to be seen of the bound. */
static void test_in_time(void **state)
{
	struct af *f = af_new_bound(0, 60000);

	(void)state;
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	up(f);
	assert_int_equal(rw(f, LEAP_NVM_WRITE, 0, 1), 0);
	af_kill(f, f->pid, SIGKILL);
	af_start(f, 0, 0);
	check_block(f, 0, 1);
	assert_false(has_failed(f));
	af_kill(f, f->pid, SIGKILL);
	af_free(f);
}

/* Who only looks whether somebody listens is no runtime that failed. */
static void test_probe(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct af *f = af_new(0);
	unsigned int before = af_errors();
	int i, fd;

	(void)state;
	strcpy(addr.sun_path, f->sock);
	for (i = 0; i < 20; i++) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fd >= 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&addr,
					 sizeof(addr)), 0);
		/* Before it is accepted, and after. */
		if (i % 2)
			af_poll(f);
		close(fd);
		af_poll(f);
		af_poll(f);
	}
	assert_int_equal(af_errors(), before);
	assert_string_equal(af_info(f).error, "");
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	af_kill(f, f->pid, SIGKILL);
	af_free(f);
}

/* It ends without the stopped runtime, and so does that. */
static void ends_without(struct af *f, const int *done, const char *what)
{
	uint64_t from = af_ms();

	while (!*done)
		af_poll(f);
	print_message("# %s with a stopped runtime: %llu ms\n", what,
		      (unsigned long long)(af_ms() - from));
	assert_int_equal(*done, 1);
	assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
}

/* SIGSTOP: nobody answers, and the bound is kept. */
static void test_stopped(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *extra;
	struct af *f = af_new(0);
	int done = 0;
	pid_t old;

	(void)state;
	o.bytes = 1 << 20;
	assert_int_equal(leap_dmabuf_create(&o, &extra), 0);
	r.gpa.addr = GD_BASE + (1ull << 32);
	r.bytes = 1 << 20;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = extra;
	af_start(f, 1, 0);
	af_until(f, af_served, 10000);
	up(f);
	assert_int_equal(leap_vdev_mem_add(f->v, &r), 0);
	assert_int_equal(rw(f, LEAP_NVM_WRITE, 0, 1), 0);
	kill(f->pid, SIGSTOP);
	assert_int_equal(leap_vdev_mem_del(f->v, r.gpa, r.bytes, set_err,
					   &done), 0);
	ends_without(f, &done, "unmap");
	/* And a reset. */
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	check_block(f, 0, 1);
	kill(f->pid, SIGSTOP);
	done = 0;
	leap_vdev_reset(f->v, set_err, &done);
	ends_without(f, &done, "reset");
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	up(f);
	check_block(f, 0, 1);
	/* A new runtime is not kept waiting by a stopped one. */
	old = f->pid;
	kill(old, SIGSTOP);
	af_start(f, 0, 0);
	while (af_info(f).pid != f->pid || !af_served(f))
		af_poll(f);
	assert_int_equal(waitpid(old, NULL, 0), old);
	check_block(f, 0, 1);
	af_kill(f, f->pid, SIGKILL);
	leap_dmabuf_put(extra);
	af_free(f);
}

static void test_busy(void **state)
{
	struct af *f = af_new(0);
	pid_t first, second;
	int status;

	(void)state;
	first = af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	second = af_start(f, 0, 0);
	while (!waitpid(second, &status, WNOHANG))
		af_poll(f);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 16);
	assert_int_equal(af_info(f).pid, first);
	af_kill(f, first, SIGKILL);
	af_free(f);
}

static int has_standby(struct af *f)
{
	return af_info(f).nr_standby == 1;
}

static void test_handoff(void **state)
{
	struct af *f = af_new(0);
	int i, done, err;
	pid_t old;

	(void)state;
	assert_int_equal(leap_agent_handoff(f->agent, set_err, &done),
			 -ENOTCONN);
	af_start(f, 1, 0);
	af_until(f, af_served, 10000);
	assert_int_equal(leap_agent_handoff(f->agent, set_err, &done), -ENOENT);
	up(f);
	for (i = 0; i < 5; i++) {
		struct leap_agent_info info;

		assert_int_equal(rw(f, LEAP_NVM_WRITE, 0, (uint8_t)i), 0);
		old = f->pid;
		af_start(f, i % 2, 1);
		af_until(f, has_standby, 10000);
		done = 0;
		assert_int_equal(leap_agent_handoff(f->agent, set_err, &done),
				 0);
		err = leap_agent_handoff(f->agent, set_err, &done);
		assert_int_equal(err, -EBUSY);
		/* I/O goes on meanwhile. */
		check_block(f, 0, (uint8_t)i);
		while (!done)
			af_poll(f);
		assert_int_equal(done, 1);
		info = af_info(f);
		assert_int_equal(info.pid, f->pid);
		assert_int_equal(info.slots[1] + info.slots[2] + info.slots[3],
				 0);
		print_message("# handoff: pause %llu us\n",
			      (unsigned long long)(info.pause_ns / 1000));
		assert_int_equal(waitpid(old, NULL, 0), old);
		check_block(f, 0, (uint8_t)i);
	}
	af_kill(f, f->pid, SIGKILL);
	af_free(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_bystander),
		cmocka_unit_test(test_without),
		cmocka_unit_test(test_shadow_without),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_in_time),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_handoff),
	};

	af_maybe_runtime(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
