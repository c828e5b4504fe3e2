/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim-world.h - processes of a simulated world: one poll group each, connected,
 * and operations that are run to their end
 */
#ifndef LEAP_TESTS_SIM_WORLD_H
#define LEAP_TESTS_SIM_WORLD_H

#include "sim/sim.h"
#include "world-fixture.h"

#define SECOND 1000000000ull

/* A process with one poll group. */
static inline void enter(struct leap_sim *sim, struct world_test *t,
			 int process)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;

	memset(t, 0, sizeof(*t));
	leap_sim_enter(sim, process);
	o.world = LEAP_WORLD_SIM;
	o.sim = sim;
	o.spin_ns = -1;
	assert_int_equal(leap_pollgroup_create(&o, &t->pg), 0);
	assert_int_equal(leap_pollgroup_world(t->pg), LEAP_WORLD_SIM);
	leap_sim_add(sim, t->pg);
}

static inline void leave(struct world_test *t)
{
	assert_int_equal(leap_pollgroup_destroy(t->pg), 0);
}

static inline struct leap_sim *seeded(uint64_t seed)
{
	struct leap_sim_opts o = { .seed = seed };
	struct leap_sim *sim = leap_sim_create(&o);

	assert_non_null(sim);
	return sim;
}

static inline bool is_done(void *arg)
{
	return ((struct test_io *)arg)->nr_done > 0;
}

static inline void run_io(struct leap_sim *sim, struct test_io *x, int64_t res)
{
	assert_int_equal(leap_sim_run(sim, is_done, x, 10 * SECOND), 1);
	assert_int_equal(x->nr_done, 1);
	assert_int_equal(x->io.res, res);
}

/* Connect @a's new socket to a listener of @b. */
static inline void connect_two(struct leap_sim *sim, struct world_test *a,
			       struct world_test *b, struct leap__wfd **sa,
			       struct leap__wfd **sb)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_storage ss;
	struct test_io conn, acc;
	struct leap__world *wa = world_of(a), *wb = world_of(b);
	struct leap__wfd *l;

	assert_int_equal(wb->ops->listen(wb, (struct sockaddr *)&in, sizeof(in),
					 8, 0, &l), 0);
	assert_int_equal(wb->ops->local_addr(l, &ss), 0);
	assert_int_equal(wa->ops->socket(wa, AF_INET, sa), 0);
	io_start(b, &acc, LEAP__IO_ACCEPT, l, NULL, 0, 0);
	io_prep(&conn, LEAP__IO_CONNECT, *sa);
	conn.io.addr = (struct sockaddr *)&ss;
	leap__io_submit(wa, &conn.io);
	run_io(sim, &conn, 0);
	run_io(sim, &acc, 0);
	*sb = acc.io.wfd_out;
	wb->ops->close(l);
}

#endif
