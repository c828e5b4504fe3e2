/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver over a drive that takes too long, or is gone while nothing is out:
 * aborts, resets, and what is sent again, in virtual time.
 */
#include "bad-fixture.h"
#include "serve.h"

#include <leapio/vdev.h>

#include "core/io/dispatch.h"
#include "core/io/regctrl.h"

#define T(f) cmocka_unit_test_setup_teardown(f, bad_set_up, bad_tear_down)

static struct bad_world *const w = &bad_shared;

/* ---- commands that take too long ---- */

static void test_abort(void **state)
{
	uint64_t from;

	bad_up(w);
	bad.fault = BAD_MUTE;
	bad.opc = LEAP_NVM_READ;
	from = leap_sim_now_ns(w->sim);
	assert_int_equal(bad_load(w, 4), 1);
	assert_true(leap_sim_now_ns(w->sim) - from >= 2 * SECOND);
	assert_true(leap_sim_now_ns(w->sim) - from < 3 * SECOND);
	assert_int_equal(bad.aborts, 1);
	assert_int_equal(w->losses, 0);
}

/* No answer to the Abort's victim: a reset, and all goes again. */
static void test_redrive(void **state)
{
	struct leap_host_stats st = { .size = sizeof(st) };

	bad_up(w);
	bad.fault = BAD_MUTE;
	bad.opc = LEAP_NVM_WRITE;
	bad.ignores_abort = true;
	assert_int_equal(bad_load(w, 4), 0);
	assert_int_equal(bad.aborts, 1);
	assert_int_equal(w->losses, 1);
	assert_int_equal(w->err, -ETIMEDOUT);
	assert_non_null(strstr(w->text, "opcode 0x1: no answer in 2000 ms"));
	leap_host_stats(w->host, &st);
	assert_int_equal(st.reconnects, 1);
	assert_true(st.redriven >= 1);
}

/* The same without reconnection: they fail. */
static void test_fail(void **state)
{
	w->opts.loss_ms = UINT32_MAX;
	bad_up(w);
	bad.fault = BAD_HANG;
	bad.at = bad.steps + 20;
	assert_true(bad_load(w, 40) >= NR_IOS);
	assert_int_equal(w->state, LEAP_HOST_FAILED);
	assert_int_equal(w->err, -ETIMEDOUT);
}

static void test_slow_admin(void **state)
{
	bad_up(w);
	bad.fault = BAD_MUTE;
	bad.opc = LEAP_ADM_GET_LOG;
	/* Sent again after the reset. */
	assert_int_equal(bad_admin(w, LEAP_ADM_GET_LOG, LEAP_NSID_ALL,
				   LEAP_LID_SMART | 127u << 16, 512), 0);
	assert_int_equal(w->losses, 1);
	assert_int_equal(w->page[3], 3);
}

static void own_done(struct leap__regcmd *cmd, leap_status_t status)
{
	++*(int *)cmd->arg;
}

/* One of the driver's own, or of a borrower's, while others are answered. */
static void test_own_command(void **state)
{
	static struct leap__regcmd mute, busy;
	struct leap__regctrl *c;
	int done = 0, muted = 0, k;

	bad_up(w);
	c = leap__list_entry(leap__dispatch(w->pg)->regctrls.next,
			     struct leap__regctrl, link);
	bad.fault = BAD_MUTE;
	bad.opc = LEAP_ADM_GET_LOG;
	memset(&mute, 0, sizeof(mute));
	mute.req.sqe.opc = LEAP_ADM_GET_LOG;
	mute.arg = &muted;
	leap__regctrl_admin(c, &mute, own_done);
	for (k = 0; k < 60 && !w->losses; k++) {
		memset(&busy, 0, sizeof(busy));
		busy.req.sqe.opc = LEAP_ADM_GET_FEATURES;
		busy.req.sqe.cdw10 = leap_to_le32(LEAP_FID_NUM_QUEUES);
		busy.arg = &done;
		leap__regctrl_admin(c, &busy, own_done);
		bad_pass(w, SECOND / 2);
	}
	assert_int_equal(w->losses, 1);
	assert_int_equal(w->err, -ETIMEDOUT);
	assert_true(done > 2);
	assert_int_equal(muted, 0);
}

/* No limit: it waits as long as it takes. */
static void test_no_limit(void **state)
{
	w->opts.timeout_ms = UINT32_MAX;
	bad_up(w);
	bad.fault = BAD_MUTE;
	bad.opc = LEAP_NVM_READ;
	bad_load_start(w, 4);
	bad_pass(w, 600 * SECOND);
	assert_int_equal(w->running, 1);
	assert_int_equal(bad.aborts, 0);
}

/* Our own controller, over a layer that takes its time with reads. */
static void delayed(const char *stack, uint32_t failed, unsigned int losses)
{
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	struct leap_target *target;

	target = serve_target(w->pg, BAD_NQN, &ss);
	assert_int_equal(leap_bdev_open(w->pg, stack, &no.bdev), 0);
	assert_true(leap_ns_add(ss, &no, NULL, NULL) > 0);
	assert_int_equal(leap_bdev_open(w->pg, "memory:1M", &no.bdev), 0);
	assert_true(leap_ns_add(ss, &no, NULL, NULL) > 0);
	bad_pass(w, MS);
	assert_int_equal(leap_vdev_create(ss, NULL, &w->opts.vdev), 0);
	w->opts.url = "vdev://here/" BAD_NQN;
	bad_up(w);
	assert_int_equal(bad_load(w, 2), failed);
	assert_int_equal(w->losses, losses);
	bad_close_host(w);
	w->closed = 0;
	leap_vdev_destroy(w->opts.vdev, bad_note_closed, w);
	bad_run(w, bad_is_closed, 20 * SECOND);
	w->closed = 0;
	leap_target_destroy(target, bad_note_closed, w);
	bad_run(w, bad_is_closed, 20 * SECOND);
}

/* The Abort comes too late for a command that is with the disk, which ends in
 * its own time. */
static void test_delay(void **state)
{
	delayed("delay[read_us=2700000] -> memory:1M", 0, 0);
}

/* Reset and sent again four times; namespace 2 is served all the time. */
static void test_long_delay(void **state)
{
	delayed("delay[read_us=9000000] -> memory:1M", NR_IOS / 2, 5);
	assert_int_equal(w->io[0].req.sys_errno, -ETIMEDOUT);
	assert_int_equal(LEAP_STATUS_SCT(leap_req_status(&w->io[0].req)), 3);
}

/* ---- nothing is out, and still it is noticed ---- */

static bool is_lost(void *arg)
{
	return ((struct bad_world *)arg)->losses > 0;
}

static void test_idle_removal(void **state)
{
	w->opts.kato_ms = 4000;
	bad_up(w);
	bad_pass(w, 10 * SECOND);
	assert_int_equal(w->losses, 0);
	bad.fault = BAD_GONE;
	bad_run(w, is_lost, 10 * SECOND);
	assert_int_equal(w->err, -ENODEV);
	assert_non_null(strstr(w->text, "removed"));
}

static void test_idle_fatal(void **state)
{
	w->opts.kato_ms = 4000;
	bad_up(w);
	bad.fault = BAD_CFS;
	bad_run(w, is_lost, 10 * SECOND);
	assert_int_equal(w->err, -EIO);
	assert_int_equal(bad_load(w, 4), 0);
	assert_int_equal(w->lives, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_abort), T(test_redrive), T(test_fail),
		T(test_slow_admin), T(test_own_command), T(test_no_limit),
		T(test_delay), T(test_long_delay), T(test_idle_removal),
		T(test_idle_fatal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
