/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults of the simulated network, as tests ask for them (sim.h): what is held
 * back, flipped, cut off and reset. Each is only noted here, by processes, and
 * done by sim_net.c and sim_connect.c to what passes there.
 */
#include "sim/sim_net.h"

static bool is(int process, int pattern)
{
	return pattern == LEAP_SIM_ANY || process == pattern;
}

static void set_held(struct leap_sim *sim, int from, int to, bool held)
{
	int a, b;

	for (a = 0; a < LEAP_SIM_PROCESSES; a++)
		for (b = 0; b < LEAP_SIM_PROCESSES; b++)
			if (is(a, from) && is(b, to))
				sim->held[a][b] = held;
}

void leap_sim_net_hold(struct leap_sim *sim, int from, int to)
{
	sim_trace(sim, "hold", (uint64_t)from, (uint64_t)to, NULL, 0);
	set_held(sim, from, to, true);
}

void leap_sim_net_hold_first(struct leap_sim *sim, int from, int to)
{
	struct sim_conn *c, *first = NULL;
	int side = 0;

	sim_trace(sim, "hold first", (uint64_t)from, (uint64_t)to, NULL, 0);
	/* The list has the newest in front. */
	for (c = sim->conns; c; c = c->next) {
		if (c->process[0] == from && c->process[1] == to)
			side = 0;
		else if (c->process[1] == from && c->process[0] == to)
			side = 1;
		else
			continue;
		first = c;
	}
	if (first)
		first->held[side] = true;
}

void leap_sim_net_release(struct leap_sim *sim, int from, int to)
{
	struct sim_conn *c;
	struct sim_syn *syn;
	int s;

	sim_trace(sim, "release", (uint64_t)from, (uint64_t)to, NULL, 0);
	set_held(sim, from, to, false);
	for (c = sim->conns; c; c = c->next)
		for (s = 0; s < 2; s++)
			if (!sim->held[c->process[s]][c->process[1 - s]])
				sim_conn_release(sim, c, s);
	for (syn = sim->syns; syn; syn = syn->next)
		if (!syn->ev.pos && !syn->answered && syn->to >= 0 &&
		    !sim->held[sim_fd_world(syn->f)->process][syn->to])
			sim_syn_send(sim, syn);
}

void leap_sim_net_corrupt(struct leap_sim *sim, int from, uint32_t per_1000,
			  size_t min_bytes)
{
	sim_trace(sim, "corrupt", (uint64_t)from, per_1000, NULL, 0);
	sim->corrupt[from] = per_1000;
	sim->corrupt_bytes = min_bytes;
}

void leap_sim_net_cut_after(struct leap_sim *sim, int from, uint64_t bytes)
{
	sim_trace(sim, "cut after", (uint64_t)from, bytes, NULL, 0);
	sim->cut_after[from] = bytes + 1;
}

static bool between(const struct sim_conn *c, int a, int b)
{
	return (is(c->process[0], a) && is(c->process[1], b)) ||
		(is(c->process[0], b) && is(c->process[1], a));
}

void leap_sim_net_reset(struct leap_sim *sim, int a, int b)
{
	struct sim_conn *c;

	for (c = sim->conns; c; c = c->next)
		if (between(c, a, b))
			sim_conn_reset(sim, c);
}

int leap_sim_net_count(struct leap_sim *sim, int a, int b)
{
	struct sim_conn *c;
	int n = 0;

	for (c = sim->conns; c; c = c->next)
		n += between(c, a, b) && c->end[0] && c->end[1];
	return n;
}
