/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulator's clock, chance, trace and scheduler. Events are kept in a heap
 * ordered by time, then by when they were made; nothing is ever ordered by an
 * address, so that a seed replays. Part of tests, not of the library.
 */
#include "sim/sim_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What killed processes leave behind, so that it stays reachable. */
static struct sim_world *graveyard;

void *sim_realloc(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	if (!p) {
		fprintf(stderr, "simulator: out of memory\n");
		abort();
	}
	return p;
}

void *sim_alloc(size_t bytes)
{
	return memset(sim_realloc(NULL, bytes), 0, bytes);
}

/* ---- chance and trace ---------------------------------------------------- */

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t leap_sim_random(struct leap_sim *sim)
{
	sim->rng += 0x9e3779b97f4a7c15u;
	return mix(sim->rng);
}

uint32_t leap_sim_below(struct leap_sim *sim, uint32_t n)
{
	return (uint32_t)((leap_sim_random(sim) >> 32) * n >> 32);
}

uint64_t sim_between(struct leap_sim *sim, uint64_t min, uint64_t max)
{
	return max <= min ? min : min + leap_sim_random(sim) % (max - min + 1);
}

bool sim_chance(struct leap_sim *sim, uint32_t of_1000)
{
	return of_1000 && leap_sim_below(sim, 1000) < of_1000;
}

void sim_trace(struct leap_sim *sim, const char *what, uint64_t a, uint64_t b,
	       const void *data, size_t bytes)
{
	const unsigned char *p = data;
	uint64_t h = sim->hash ^ sim->now_ns;
	char text[80];
	size_t i;

	for (i = 0; what[i]; i++)
		h = (h ^ (unsigned char)what[i]) * 0x100000001b3u;
	h = mix(h ^ mix(a) ^ mix(b + 1));
	for (i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	sim->hash = h;
	if (!sim->opts.trace)
		return;
	snprintf(text, sizeof(text), "%s %llu %llu (%04x)", what,
		 (unsigned long long)a, (unsigned long long)b,
		 (unsigned int)(h & 0xffff));
	sim->opts.trace(sim->opts.trace_arg, sim->now_ns, text);
}

uint64_t leap_sim_trace_hash(const struct leap_sim *sim)
{
	return sim->hash;
}

uint64_t leap_sim_now_ns(const struct leap_sim *sim)
{
	return sim->now_ns;
}

/* ---- events -------------------------------------------------------------- */

static bool sooner(const struct sim_event *a, const struct sim_event *b)
{
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns;
	return a->seq < b->seq;
}

static void place(struct leap_sim *sim, struct sim_event *ev, size_t pos)
{
	sim->heap[pos - 1] = ev;
	ev->pos = pos;
}

static void sift_up(struct leap_sim *sim, struct sim_event *ev, size_t pos)
{
	while (pos > 1 && sooner(ev, sim->heap[pos / 2 - 1])) {
		place(sim, sim->heap[pos / 2 - 1], pos);
		pos /= 2;
	}
	place(sim, ev, pos);
}

static void sift_down(struct leap_sim *sim, struct sim_event *ev, size_t pos)
{
	size_t kid;

	while ((kid = pos * 2) <= sim->nr_events) {
		if (kid < sim->nr_events &&
		    sooner(sim->heap[kid], sim->heap[kid - 1]))
			kid++;
		if (!sooner(sim->heap[kid - 1], ev))
			break;
		place(sim, sim->heap[kid - 1], pos);
		pos = kid;
	}
	place(sim, ev, pos);
}

void sim_schedule(struct leap_sim *sim, struct sim_event *ev, uint64_t delay_ns,
		  void (*run)(struct leap_sim *sim, struct sim_event *ev))
{
	ev->at_ns = sim->now_ns + delay_ns;
	ev->seq = sim->seq++;
	ev->run = run;
	if (sim->nr_events == sim->max_events) {
		sim->max_events = sim->max_events * 2 + 64;
		sim->heap = sim_realloc(sim->heap, sim->max_events *
					sizeof(*sim->heap));
	}
	sift_up(sim, ev, ++sim->nr_events);
}

void sim_unschedule(struct leap_sim *sim, struct sim_event *ev)
{
	struct sim_event *last;
	size_t pos = ev->pos;

	if (!pos)
		return;
	ev->pos = 0;
	last = sim->heap[--sim->nr_events];
	if (last == ev)
		return;
	if (pos > 1 && sooner(last, sim->heap[pos / 2 - 1]))
		sift_up(sim, last, pos);
	else
		sift_down(sim, last, pos);
}

static void run_events(struct leap_sim *sim)
{
	struct sim_event *ev;

	while (sim->nr_events && sim->heap[0]->at_ns <= sim->now_ns) {
		ev = sim->heap[0];
		sim_unschedule(sim, ev);
		ev->run(sim, ev);
	}
}

/* ---- the scheduler ------------------------------------------------------- */

static bool may_run(const struct leap_sim *sim, const struct sim_world *w)
{
	return w->pg && !w->dead && !w->waiting && !sim->stopped[w->process];
}

static struct sim_world *pick_awake(struct leap_sim *sim)
{
	struct sim_world *w, *pick = NULL;
	uint32_t n = 0;

	for (w = sim->worlds; w; w = w->next)
		if (may_run(sim, w) && w->awake &&
		    !leap_sim_below(sim, ++n))
			pick = w;
	return pick;
}

static void poll_one(struct leap_sim *sim, struct sim_world *w)
{
	/* Now and then with a small bound, which leaves work for later. */
	unsigned int max = sim_chance(sim, 100) ?
		1 + leap_sim_below(sim, 4) : 0;
	int n;

	sim->polled = w;
	n = leap_pollgroup_poll(w->pg, max);
	sim_trace(sim, "poll", w->id, (uint64_t)n, NULL, 0);
	/* Idle: asleep when it says that it may. */
	if (!n && !leap_pollgroup_arm(w->pg))
		w->awake = false;
	sim->polled = NULL;
	sim->now_ns += sim_between(sim, sim->opts.poll_ns / 10 + 1,
				   2 * sim->opts.poll_ns);
	run_events(sim);
}

static uint64_t next_ns(const struct leap_sim *sim)
{
	const struct sim_world *w;
	uint64_t at = UINT64_MAX;

	if (sim->nr_events)
		at = sim->heap[0]->at_ns;
	for (w = sim->worlds; w; w = w->next)
		if ((may_run(sim, w) || w->waiting) && w->deadline_ns < at)
			at = w->deadline_ns;
	return at;
}

bool sim_step(struct leap_sim *sim, uint64_t until_ns)
{
	struct sim_world *w;
	uint64_t at;

	for (w = sim->worlds; w; w = w->next)
		if (!w->awake && w->deadline_ns <= sim->now_ns)
			w->awake = true;
	w = pick_awake(sim);
	if (w) {
		poll_one(sim, w);
		return true;
	}
	at = next_ns(sim);
	if (at == UINT64_MAX)
		return false;
	if (at > until_ns)
		at = until_ns;
	if (at > sim->now_ns)
		sim->now_ns = at;
	run_events(sim);
	return true;
}

int leap_sim_run(struct leap_sim *sim, bool (*until)(void *arg), void *arg,
		 uint64_t max_ns)
{
	uint64_t end = sim->now_ns + max_ns;
	struct sim_world *w;

	if (end < sim->now_ns)
		end = UINT64_MAX;
	/* The caller may have started timers and the like from outside. */
	for (w = sim->worlds; w; w = w->next)
		w->awake = true;
	for (;;) {
		if (until && until(arg))
			return 1;
		if (sim->now_ns >= end)
			return -ETIME;
		if (!sim_step(sim, end))
			return 0;
	}
}

/* ---- processes ----------------------------------------------------------- */

void leap_sim_enter(struct leap_sim *sim, int process)
{
	sim->process = process;
}

void leap_sim_add(struct leap_sim *sim, struct leap_pollgroup *pg)
{
	struct sim_world *w = sim_world(leap__pollgroup_world(pg));

	w->pg = pg;
	w->awake = true;
	sim_trace(sim, "add", w->id, (uint64_t)w->process, NULL, 0);
}

void leap_sim_stop(struct leap_sim *sim, int process)
{
	sim->stopped[process] = true;
	sim_trace(sim, "stop", (uint64_t)process, 0, NULL, 0);
}

void leap_sim_continue(struct leap_sim *sim, int process)
{
	sim->stopped[process] = false;
	sim_trace(sim, "continue", (uint64_t)process, 0, NULL, 0);
}

void leap_sim_kill(struct leap_sim *sim, int process)
{
	struct sim_world **p = &sim->worlds, *w;

	sim_trace(sim, "kill", (uint64_t)process, 0, NULL, 0);
	sim->stopped[process] = false;
	while ((w = *p)) {
		if (w->process != process) {
			p = &w->next;
			continue;
		}
		sim_world_kill(w);
		*p = w->next;
		w->next = graveyard;
		graveyard = w;
	}
}

struct leap_sim *leap_sim_create(const struct leap_sim_opts *opts)
{
	struct leap_sim *sim = calloc(1, sizeof(*sim));
	struct leap_sim_opts *o;

	if (!sim)
		return NULL;
	o = &sim->opts;
	if (opts)
		*o = *opts;
	o->start_ns = o->start_ns ? o->start_ns : 1000000000u;
	o->poll_ns = o->poll_ns ? o->poll_ns : 500;
	o->net_min_ns = o->net_min_ns ? o->net_min_ns : 5000;
	o->net_max_ns = o->net_max_ns ? o->net_max_ns : 50000;
	o->net_window_bytes = o->net_window_bytes ? o->net_window_bytes : 65536;
	o->disk_min_ns = o->disk_min_ns ? o->disk_min_ns : 10000;
	o->disk_max_ns = o->disk_max_ns ? o->disk_max_ns : 200000;
	o->split = o->split ? o->split == UINT32_MAX ? 0 : o->split : 200;
	sim->head.world_create = sim_world_create;
	sim->now_ns = o->start_ns;
	sim->rng = mix(o->seed + 1);
	sim->hash = mix(o->seed);
	sim->next_port = 40000;
	return sim;
}

void leap_sim_destroy(struct leap_sim *sim)
{
	if (!sim)
		return;
	sim_net_free(sim);
	sim_disk_free(sim);
	free(sim->heap);
	free(sim);
}
