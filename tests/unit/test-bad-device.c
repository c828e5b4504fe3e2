/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver and a drive that does wrong: every fault at every step of a whole
 * life (open, enable, identify, create queues, write and read, close). Each
 * time it ends in bounded (virtual) time, every request comes back once, data
 * that was read is what was written, and nothing is left or reached after it
 * was taken away. Whether it recovers is said for each fault.
 */
#include "bad-fixture.h"

#include <stdio.h>

static struct bad_world w;

/* How many steps and commands a life has where nothing goes wrong. */
static uint64_t steps, cmds;

static int measure(void **state)
{
	bad_init();
	bad_world_init(&w);
	assert_int_equal(bad_life(&w), LEAP_HOST_LIVE);
	assert_int_equal(w.losses, 0);
	steps = bad.steps;
	cmds = bad.cmds;
	assert_true(steps > 100 && cmds > 40);
	bad_world_fini(&w);
	bad_fini();
	return 0;
}

static void begin(enum bad_fault fault, uint64_t at)
{
	bad_init();
	bad_world_init(&w);
	bad.fault = fault;
	bad.at = at;
}

static void end(void)
{
	bad_world_fini(&w);
	bad_fini();
}

/* A device that is reset, or plugged in again, is as good as new: whatever
 * happened after the first connection was made up for. */
static void recovers(enum bad_fault fault, uint64_t first, uint64_t last)
{
	unsigned int lost = 0, refused = 0, i;
	uint64_t at;

	for (at = first; at < last; at++) {
		enum leap_host_state state;

		begin(fault, at);
		state = bad_life(&w);
		if (w.lives) {
			lost += w.losses;
			assert_int_equal(state, LEAP_HOST_LIVE);
			for (i = 0; i < NR_IOS; i++)
				assert_int_equal(w.io[i].failed, 0);
		} else {
			/* The first try is the only one; it says why. */
			refused++;
			assert_int_equal(state, LEAP_HOST_FAILED);
			assert_true(w.err < 0 || w.status);
		}
		end();
	}
	printf("fault %u at %llu steps: %u refused, %u recovered\n", fault,
	       (unsigned long long)(last - first), refused, lost);
	assert_true(lost > 0);
}

/* ---- of the whole device ---- */

static void test_gone_for_good(void **state)
{
	enum bad_fault faults[] = { BAD_GONE, BAD_GONE_TOLD };
	enum leap_host_state s;
	unsigned int i;
	uint64_t at;

	for (i = 0; i < COUNT(faults); i++)
		for (at = 0; at < steps; at++) {
			begin(faults[i], at);
			bad.stays_gone = true;
			w.opts.loss_ms = 3000;
			s = bad_life(&w);
			/* Not noticed: pulled out on the last steps. */
			if (s != LEAP_HOST_LIVE) {
				assert_int_equal(s, LEAP_HOST_FAILED);
				if (w.err != -ENODEV)
					fail_msg("step %llu: %d %x %s",
						 (unsigned long long)at, w.err,
						 w.status, w.text);
			}
			end();
		}
}

static void test_gone_and_back(void **state)
{
	recovers(BAD_GONE, 0, steps);
	recovers(BAD_GONE_TOLD, 0, steps);
}

static void test_fatal(void **state)
{
	recovers(BAD_CFS, 0, steps);
}

static void test_hangs(void **state)
{
	recovers(BAD_HANG, 0, steps);
}

static void test_resets_itself(void **state)
{
	recovers(BAD_RESETS, 0, steps);
}

/* Fatal for ever: given up in the end, with the reason. */
static void test_fatal_for_good(void **state)
{
	uint64_t at;

	for (at = 0; at < steps; at += 7) {
		begin(BAD_CFS, at);
		bad.sticky = true;
		w.opts.loss_ms = 3000;
		bad_life(&w);
		end();
	}
	begin(BAD_CFS, 0);
	bad.sticky = true;
	bad.csts = LEAP_CSTS_CFS;
	bad.hit = true;
	assert_int_equal(bad_open_host(&w), LEAP_HOST_FAILED);
	assert_int_equal(w.err, -EIO);
	assert_non_null(strstr(w.text, "CFS"));
	bad_close_host(&w);
	end();
}

/* ---- of one completion ---- */

static void lies(enum bad_fault fault)
{
	recovers(fault, 0, cmds);
}

static void test_wrong_phase(void **state)
{
	lies(BAD_WRONG_PHASE);
}

static void test_duplicate(void **state)
{
	lies(BAD_DUPLICATE);
}

static void test_cid_range(void **state)
{
	lies(BAD_CID_RANGE);
}

static void test_cid_free(void **state)
{
	lies(BAD_CID_FREE);
}

static void test_sqid(void **state)
{
	lies(BAD_SQID);
}

static void test_sqhd_range(void **state)
{
	lies(BAD_SQHD_RANGE);
}

static void test_sqhd_ahead(void **state)
{
	lies(BAD_SQHD_AHEAD);
}

static void test_sqhd_back(void **state)
{
	lies(BAD_SQHD_BACK);
}

static void test_flood(void **state)
{
	lies(BAD_FLOOD);
}

/* A status is an answer: of an I/O command it is the caller's. */
static void test_status(void **state)
{
	uint64_t at;

	for (at = 0; at < cmds; at++) {
		enum leap_host_state s;

		begin(BAD_STATUS, at);
		s = bad_life(&w);
		assert_true(s == LEAP_HOST_LIVE || s == LEAP_HOST_FAILED);
		end();
	}
}

/* Never answered: an Abort ends it where the device takes one. */
static void test_mute(void **state)
{
	unsigned int aborts = 0, refused = 0, i, failed;
	uint64_t at;

	for (at = 0; at < cmds; at++) {
		begin(BAD_MUTE, at);
		if (bad_life(&w) == LEAP_HOST_FAILED)
			refused++;
		for (i = failed = 0; i < NR_IOS; i++)
			failed += w.io[i].failed;
		/* Aborted commands failed, all others did not. */
		assert_int_equal(failed, bad.aborts);
		aborts += bad.aborts;
		end();
	}
	assert_true(aborts >= NR_IOS * 4);
	assert_true(refused < cmds / 2);
}

static void test_mute_no_abort(void **state)
{
	uint64_t at;

	for (at = 0; at < cmds; at++) {
		begin(BAD_MUTE, at);
		bad.ignores_abort = true;
		if (bad_life(&w) != LEAP_HOST_FAILED) {
			unsigned int i;

			for (i = 0; i < NR_IOS; i++)
				assert_int_equal(w.io[i].failed, 0);
		}
		end();
	}
}

static void test_late(void **state)
{
	uint64_t at;

	for (at = 0; at < cmds; at++) {
		begin(BAD_LATE, at);
		bad_life(&w);
		end();
	}
}

#define T(f) cmocka_unit_test(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_gone_for_good), T(test_gone_and_back), T(test_fatal),
		T(test_hangs), T(test_resets_itself), T(test_fatal_for_good),
		T(test_wrong_phase), T(test_duplicate), T(test_cid_range),
		T(test_cid_free), T(test_sqid), T(test_sqhd_range),
		T(test_sqhd_ahead), T(test_sqhd_back), T(test_flood),
		T(test_status), T(test_mute), T(test_mute_no_abort),
		T(test_late),
	};

	return cmocka_run_group_tests(tests, measure, NULL);
}
