/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults one after the other instead of by chance: a connection that ends after
 * every byte of an exchange, of either side; and hosts that come and go over 64
 * connections while others work.
 */
#include "sim-test.h"

#include <stdlib.h>

#define POSITIONS 64u	/* of one world */

static void exchange(struct world *w)
{
	struct op *op = w->hosts[0].ops;

	/* In the capsule, by R2T, and data to the host. */
	op_write(&op[0], 1, 0, 2, false);
	op_write(&op[1], 1, 8, 20, false);
	op_read(&op[2], 1, 100, 2);
	op_send(&op[0]);
	op_send(&op[1]);
	op_send(&op[2]);
	world_run(w, load_is_over, w, 20 * SECOND, "an exchange ends");
}

static bool is_lost(void *arg)
{
	return ((struct host *)arg)->state == LEAP_HOST_RECONNECTING;
}

/*
 * Seeds 4k .. 4k+3: the exchange and the new connection after a lost one, cut
 * after 64k .. 64k+63 bytes of the host's or the target's.
 */
static uint64_t every_byte(uint64_t seed)
{
	struct world *w = world_new(seed, W_ALL);
	int from = seed & 1 ? TARGET : HOST(0);
	uint32_t i, first = (uint32_t)(seed / 4 % 64) * POSITIONS;

	world_ns(w, 1, "file:d0", "d0");
	world_start_target(w, 1 + leap_sim_below(w->sim, 2));
	if (leap_sim_below(w->sim, 2))
		w->hosts[0].flags = LEAP_QP_HEADER_DIGEST |
				    LEAP_QP_DATA_DIGEST;
	world_start_host(w, 0, 1);
	for (i = first; i < first + POSITIONS && !w->failed[0]; i++) {
		if (seed & 2) {
			leap_sim_net_reset(w->sim, TARGET, HOST(0));
			world_run(w, is_lost, &w->hosts[0], SECOND,
				  "a reset connection is lost");
		}
		leap_sim_net_cut_after(w->sim, from, i);
		exchange(w);
		leap_sim_net_cut_after(w->sim, from, UINT64_MAX);
		world_pass(w, MS);
		world_wait_live(w, 0);
	}
	load_check_all(w);
	return world_end(w);
}

static bool half_done(void *arg)
{
	struct world *w = arg;

	return w->done >= w->done_at_kill || load_is_over(w);
}

/* 22 + 21 + 21 connections: one host after the other goes and comes back. */
static uint64_t cycles(uint64_t seed)
{
	struct world *w = world_new(seed, W_HOST_KILL | W_RESET);
	uint32_t i, k, n;

	world_ns(w, 1, "file:d0", "d0");
	world_ns(w, 2, "memory:160K", NULL);
	world_start_target(w, 2);
	for (i = 0; i < 3; i++)
		world_start_host(w, i, i ? 20 : 21);
	w->left = 2000;
	for (i = 0; i < 3 && !w->failed[0]; i++)
		load_start(&w->hosts[i]);
	for (n = 0; n < 20 && !w->failed[0]; n++) {
		k = leap_sim_below(w->sim, 3);
		world_kill_host(w, k);
		if (!w->failed[0])
			load_start(&w->hosts[k]);
		w->done_at_kill = w->done + 10;
		world_run(w, half_done, w, 20 * SECOND, "work goes on");
		i = (uint32_t)leap_sim_net_count(w->sim, LEAP_SIM_ANY,
						 LEAP_SIM_ANY);
		if (!w->failed[0] && i != 64)
			world_fail(w, "%u connections instead of 64", i);
	}
	w->left = 0;
	world_run(w, load_is_over, w, 60 * SECOND, "every command ends");
	load_check_all(w);
	return world_end(w);
}

const struct sim_case fault_cases[] = {
	{ "cut after every byte", every_byte, 256, { "REDRIVE_LOST" } },
	{ "hosts come and go", cycles, 50, { NULL } },
	{ NULL, NULL, 0, { NULL } },
};
