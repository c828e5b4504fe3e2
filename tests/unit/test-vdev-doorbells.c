/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many doorbells of a busy guest leave it when the poll group that serves
 * it sleeps adaptively: with shadow doorbells only those that find the group
 * asleep. An embedded drive, a guest that rings for each single command as
 * kernels do, and virtual time: what is asserted are counts.
 *
 * The group waits as programs have it wait. When it polls in vain that takes
 * POLL_NS; when it sleeps, the simulator lets the guest go on, which is a timer
 * of another poll group.
 */
#include "guest-driver.h"
#include "rand.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <stdio.h>

#include "sim/sim.h"

#define NQN		"nqn.2026-01.org.example:doorbells"
#define RAM_BYTES	(2u << 20)
#define QD		32u
#define DEPTH		128u	/* as the target has it */
#define COMMANDS	20000u
#define POLL_NS		300u
#define GUEST_NS	1000u	/* from one look of the guest to the next */

/* What the guest does besides. */
struct habits {
	const char *stack;
	int64_t spin_ns;
	uint32_t pause_every;	/* commands; 0 = never */
	uint32_t pause_ns;	/* another program has its CPU */
};

struct world {
	const struct habits *habits;
	struct leap_sim *sim;
	struct leap_pollgroup *pg, *guest;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_timer timer;
	struct test_rand r;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	struct leap_sqe read[QD];
	uint32_t sent, reaped, pauses;
};

static void turn(struct world *w, int64_t timeout_ns)
{
	if (leap_pollgroup_wait(w->pg, timeout_ns) <= 0)
		leap_sim_run(w->sim, NULL, NULL, POLL_NS);
}

static void poll_group(void *arg)
{
	turn(arg, 0);
}

static void wait_for(struct world *w, const int *flag)
{
	uint32_t turns;

	for (turns = 0; !*flag; turns++) {
		assert_true(turns < 1000000);
		turn(w, 0);
	}
}

static struct leap_pollgroup *group(struct world *w, int process)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;

	leap_sim_enter(w->sim, process);
	o.world = LEAP_WORLD_SIM;
	o.sim = w->sim;
	o.spin_ns = w->habits->spin_ns;
	assert_int_equal(leap_pollgroup_create(&o, &pg), 0);
	return pg;
}

static void start(struct world *w)
{
	struct leap_sim_opts sim = { .seed = 5, .poll_ns = 10 };
	struct leap_ns_opts ns = LEAP_NS_OPTS_INIT;
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;
	int added = 0;
	uint32_t i;

	w->sim = leap_sim_create(&sim);
	w->pg = group(w, 1);
	w->guest = group(w, 2);
	leap_sim_add(w->sim, w->guest);
	w->target = serve_target(w->pg, NQN, &w->ss);
	assert_int_equal(leap_bdev_open(w->pg, w->habits->stack, &ns.bdev), 0);
	assert_int_equal(leap_ns_add(w->ss, &ns, ns_done, &added), 1);
	wait_for(w, &added);
	assert_int_equal(leap_vdev_create(w->ss, &o, &w->v), 0);
	w->g = gd_new(w->v, RAM_BYTES, poll_group, w);
	/* A pin falls by the head doorbell, which is why those then trap. */
	gd_msix_enable(w->g, 1);
	gd_up(w->g, &w->cq, &w->sq, DEPTH);
	assert_int_equal(gd_dbbuf(w->g), 0);
	for (i = 0; i < QD; i++) {
		w->read[i] = gd_sqe_rw(LEAP_NVM_READ, 1, 8 * i, 8);
		w->read[i].prp1 = leap_to_le64(gd_alloc(w->g, GD_PAGE));
	}
	w->r.s = 11;
}

static void stop(struct world *w)
{
	int gone = 0;

	leap_vdev_destroy(w->v, set_flag, &gone);
	wait_for(w, &gone);
	gone = 0;
	leap_target_destroy(w->target, set_flag, &gone);
	wait_for(w, &gone);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	assert_int_equal(leap_pollgroup_destroy(w->guest), 0);
	leap_sim_destroy(w->sim);
	gd_free(w->g);
}

/* One command more, and what has been answered; then time passes. */
static void go_on(struct leap_timer *timer)
{
	struct world *w = (struct world *)
		((char *)timer - offsetof(struct world, timer));
	uint64_t ns = GUEST_NS / 2 + test_rand_below(&w->r, GUEST_NS);

	w->reaped += (uint32_t)gd_reap(w->g, &w->cq, &w->sq);
	if (w->sent < COMMANDS && w->sent - w->reaped < QD) {
		gd_submit(w->g, &w->sq, &w->read[w->sent++ % QD]);
		if (w->habits->pause_every &&
		    w->sent % w->habits->pause_every == 0) {
			ns += w->habits->pause_ns;
			w->pauses++;
		}
	}
	if (w->reaped < COMMANDS)
		leap_timer_start(w->guest, timer, ns);
}

/* Doorbells that left the guest while it did its commands. */
static uint64_t exits(const struct habits *habits)
{
	struct leap_pollgroup_stats stats = { .size = sizeof(stats) };
	struct world w = { .habits = habits };
	uint64_t before, turns, n;

	start(&w);
	before = w.g->mmio;
	w.timer.run = go_on;
	leap_timer_start(w.guest, &w.timer, GUEST_NS);
	for (turns = 0; w.reaped < COMMANDS; turns++) {
		assert_true(turns < 100ull * COMMANDS);
		turn(&w, -1);
	}
	n = w.g->mmio - before;
	leap_pollgroup_stats(w.pg, &stats);
	/* It did sleep whenever the guest was away, and had to be woken. */
	assert_true(stats.sleeps >= w.pauses);
	assert_true(n >= w.pauses);
	stop(&w);
	printf("# %s, spin_ns %lld: %llu doorbells of %u commands left the "
	       "guest\n", habits->stack, (long long)habits->spin_ns,
	       (unsigned long long)n, COMMANDS);
	return n * 1000 / COMMANDS;
}

static void test_fast(void **state)
{
	const struct habits h = { .stack = "memory:16M" };

	(void)state;
	assert_true(exits(&h) < 2);
}

/* Longer than the group polls in vain; with 32 of them one ends in time. */
static void test_slow(void **state)
{
	const struct habits h = {
		.stack = "delay[read_us=80,jitter_us=40] -> memory:16M",
	};

	(void)state;
	assert_true(exits(&h) < 2);
}

/* The group falls asleep each time, and one doorbell wakes it. */
static void test_pauses(void **state)
{
	const struct habits h = {
		.stack = "memory:16M", .pause_every = 100, .pause_ns = 200000,
	};
	uint64_t n;

	(void)state;
	n = exits(&h);
	assert_in_range(n, 10, 49);
}

/* The counting counts: a group that never polls in vain is woken for almost
 * every command of this guest. */
static void test_sleeps_at_once(void **state)
{
	const struct habits h = { .stack = "memory:16M", .spin_ns = -1 };

	(void)state;
	assert_true(exits(&h) > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fast),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_sleeps_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
