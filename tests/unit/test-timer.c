/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers: order, restarts, stops from callbacks, and 10^5 random operations
 * against a naive model (a sorted table) under a clock that the test turns.
 */
#include "core/io/pollgroup.h"
#include "rand.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NR 200
#define STEPS 100000

struct test_timer {
	struct leap_timer t;
	int id;
	/* the model */
	int armed;
	uint64_t at;
	uint64_t order;
};

static struct leap_pollgroup pg;	/* only what timers need of it */
static struct test_timer timers[NR];
static int fired[4 * NR], nr_fired;
static uint64_t order;

static uint64_t fake_now(struct leap__world *w)
{
	return pg.now_ns;
}

static const struct leap__world_ops fake_ops = { .now_ns = fake_now };
static struct leap__world fake = { .ops = &fake_ops };

static void note(struct leap_timer *t)
{
	struct test_timer *tt = (struct test_timer *)t;

	assert_true(nr_fired < 4 * NR);
	fired[nr_fired++] = tt->id;
	tt->armed = 0;
}

static int setup(void **state)
{
	int i;

	memset(&pg, 0, sizeof(pg));
	memset(timers, 0, sizeof(timers));
	pg.world = &fake;
	pg.now_ns = 1000;
	nr_fired = 0;
	for (i = 0; i < NR; i++) {
		timers[i].id = i;
		timers[i].t.run = note;
	}
	return 0;
}

static void start(int i, uint64_t delay)
{
	timers[i].armed = 1;
	timers[i].at = pg.now_ns + delay;
	timers[i].order = ++order;
	leap_timer_start(&pg, &timers[i].t, delay);
}

static void stop(int i)
{
	timers[i].armed = 0;
	leap_timer_stop(&pg, &timers[i].t);
}

static void test_order(void **state)
{
	start(0, 30);
	start(1, 10);
	start(2, 20);
	start(3, 10);
	assert_int_equal(leap__timers_next(&pg), 1010);
	assert_int_equal(leap__timers_run(&pg, 0), 0);
	pg.now_ns = 1020;
	assert_int_equal(leap__timers_run(&pg, 2), 2);
	assert_int_equal(leap__timers_run(&pg, 0), 1);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 3);
	assert_int_equal(fired[2], 2);
	assert_int_equal(leap__timers_next(&pg), 1030);
	stop(0);
	stop(0);
	assert_int_equal(leap__timers_next(&pg), UINT64_MAX);
	assert_int_equal(pg.nr_timers, 0);
}

static void test_restart(void **state)
{
	start(0, 10);
	start(1, 15);
	start(0, 20);		/* later */
	assert_int_equal(leap__timers_next(&pg), 1015);
	start(1, 5);		/* earlier */
	assert_int_equal(leap__timers_next(&pg), 1005);
	start(2, 20);
	start(0, 20);		/* the same time, but behind 2 now */
	pg.now_ns = 2000;
	assert_int_equal(leap__timers_run(&pg, 0), 3);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 2);
	assert_int_equal(fired[2], 0);
}

static void again(struct leap_timer *t)
{
	note(t);
	leap_timer_start(&pg, t, 0);
}

static void stop_next(struct leap_timer *t)
{
	note(t);
	leap_timer_stop(&pg, &timers[1].t);
}

static void test_callbacks(void **state)
{
	/* One that starts itself at once runs once a batch. */
	timers[0].t.run = again;
	start(0, 0);
	assert_int_equal(leap__timers_run(&pg, 0), 1);
	assert_int_equal(leap__timers_run(&pg, 0), 1);
	stop(0);
	/* One that is stopped by another does not run. */
	timers[0].t.run = stop_next;
	start(0, 5);
	start(1, 5);
	pg.now_ns += 5;
	assert_int_equal(leap__timers_run(&pg, 0), 1);
	assert_int_equal(pg.nr_timers, 0);
	/* A delay beyond the end of time does not wrap. */
	start(2, UINT64_MAX);
	assert_true(leap__timers_next(&pg) > 1ull << 63);
	stop(2);
}

/* The model's next one due: smallest time, then oldest start. */
static int model_next(void)
{
	int i, best = -1;

	for (i = 0; i < NR; i++) {
		if (!timers[i].armed || timers[i].at > pg.now_ns)
			continue;
		if (best < 0 || timers[i].at < timers[best].at ||
		    (timers[i].at == timers[best].at &&
		     timers[i].order < timers[best].order))
			best = i;
	}
	return best;
}

static void advance(uint64_t by)
{
	int i, next;

	pg.now_ns += by;
	nr_fired = 0;
	/* note() clears the model's flag, so play the model first */
	for (i = 0; (next = model_next()) >= 0; i++) {
		fired[2 * NR + i] = next;
		timers[next].armed = 0;
	}
	assert_int_equal(leap__timers_run(&pg, 0), i);
	assert_int_equal(nr_fired, i);
	assert_memory_equal(fired, fired + 2 * NR, sizeof(int) * (size_t)i);
}

static void test_model(void **state)
{
	struct test_rand r = { 42 };
	uint64_t due;
	int i, j, armed;

	for (i = 0; i < STEPS; i++) {
		j = (int)test_rand_below(&r, NR);
		switch (test_rand_below(&r, 8)) {
		case 0:
			stop(j);
			break;
		case 1:
			advance(test_rand_below(&r, 20));
			break;
		default:
			start(j, test_rand_below(&r, 50));
		}
		if (i % 64)
			continue;
		due = UINT64_MAX;
		for (j = armed = 0; j < NR; j++) {
			armed += timers[j].armed;
			if (timers[j].armed && timers[j].at < due)
				due = timers[j].at;
		}
		assert_int_equal(pg.nr_timers, armed);
		assert_true(leap__timers_next(&pg) == due);
	}
	advance(1000);
	assert_int_equal(pg.nr_timers, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_restart, setup),
		cmocka_unit_test_setup(test_callbacks, setup),
		cmocka_unit_test_setup(test_model, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
