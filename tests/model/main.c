/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every model program does around the explorer: each model clean, then
 * with each planted bug, and the way to a violation printed when it should
 * not be there.
 */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#define MAX_STATES		8000000
#define MAX_STATES_PLANTED	400000
#define SEEDS			20

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Stacks that change hands behind its back are more than these can follow. */
static const char *cannot_run(void)
{
	const char *preload = getenv("LD_PRELOAD");
	const char *cross = getenv("LEAP_CROSS");

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return "coroutines with restored stacks and this sanitizer exclude "
	       "each other";
#endif
	if (preload && strstr(preload, "vgpreload"))
		return "coroutines with restored stacks and valgrind exclude "
		       "each other";
	/* It orders loads and stores itself,
	 * and no machine has a part in it. */
	if (cross && *cross)
		return "takes minutes under an emulator and shows the same";
	return NULL;
}

static void print_result(const struct explore_model *model,
			 enum leap_plant plant, const struct explore_result *r,
			 bool good, double took)
{
	printf("%s %s, %s: %llu states, %llu executions, %llu ends, "
	       "depth %u, %.2f s%s%s\n", good ? "ok  " : "FAIL", model->name,
	       plant == LEAP_PLANT_NONE ? "no bug" : leap__plant_name(plant),
	       (unsigned long long)r->states,
	       (unsigned long long)r->executions, (unsigned long long)r->ends,
	       r->max_depth, took, r->violation[0] ? ": " : "", r->violation);
	fflush(stdout);
}

/* No bug: everything that can happen, and none of it wrong. */
static int run_clean(const struct explore_model *model)
{
	double start = seconds();
	struct explore_result r = explore_run(model, 0, MAX_STATES);
	bool good = !r.violation[0] && !r.truncated;

	print_result(model, LEAP_PLANT_NONE, &r, good, seconds() - start);
	if (!good)
		explore_print_trace();
	return !good;
}

/*
 * A bug must be found.  Depth first can miss it for long behind one early
 * choice, so a search that takes long is begun again in another order.
 */
static int run_planted(const struct explore_model *model,
		       enum leap_plant plant, bool trace)
{
	struct explore_result r = { 0 };
	double start = seconds();
	bool good = false;
	uint64_t seed;

	leap__plant_select(plant);
	for (seed = 1; seed <= SEEDS && !good; seed++) {
		r = explore_run(model, seed, MAX_STATES_PLANTED);
		good = r.violation[0] && !r.truncated;
	}
	leap__plant_select(LEAP_PLANT_NONE);
	print_result(model, plant, &r, good, seconds() - start);
	if (!good)
		printf("     not found: %s\n", leap__plant_text(plant));
	else if (trace)
		explore_print_trace();
	return !good;
}

/* Arguments: [--trace] [MODEL [BUG]]; nothing: everything. */
int explore_main(int argc, char **argv, const struct explore_case *cases,
		 size_t nr)
{
	const char *why = cannot_run(), *model = NULL, *bug = NULL;
	bool trace = argc > 1 && !strcmp(argv[1], "--trace");
	int failed = 0;
	size_t i, j;

	if (why) {
		printf("SKIP: %s\n", why);
		return 77;
	}
	if (argc > 1 + trace)
		model = argv[1 + trace];
	if (argc > 2 + trace)
		bug = argv[2 + trace];
	for (i = 0; i < nr; i++) {
		const struct explore_case *c = &cases[i];

		if (model && strcmp(model, c->model->name))
			continue;
		if (bug) {
			failed += run_planted(c->model,
					leap__plant_by_name(bug), trace);
			continue;
		}
		failed += run_clean(c->model);
		for (j = 0; j < 8 && c->plants[j]; j++)
			failed += run_planted(c->model, c->plants[j],
					      trace);
	}
	return failed ? 1 : 0;
}
