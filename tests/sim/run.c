/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of simulator programs, and TAP.
 *
 *	PROGRAM [--seeds N] [--seed S] [--long] [--plant NAME] [CASE]
 *
 * Without arguments: all cases with their seeds, a part of them when
 * LEAP_SIM_QUICK is set. Every eighth seed runs twice and has to leave the same
 * trace. --seed replays one and prints its events.
 */
#include "sim-test.h"

#include "util/plant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char sim_why[256];
bool sim_verbose;

struct args {
	const char *program;
	const char *only;
	uint64_t seed;
	bool replay;
	uint32_t seeds;		/* 0 = the case's */
	bool many;
};

int sim_run_case(const struct sim_case *c, uint64_t first, uint32_t seeds,
		 uint64_t *seed, uint64_t *hash)
{
	uint64_t h;

	*hash = 0;
	for (*seed = first; *seed < first + seeds; ++*seed) {
		h = c->run(*seed);
		if (!h)
			return -1;
		if (*seed % 8 == 0 && c->run(*seed) != h) {
			if (!sim_why[0])
				snprintf(sim_why, sizeof(sim_why),
					 "the same seed took another course");
			return -1;
		}
		*hash = *hash * 31 + h;
	}
	return 0;
}

static int one_case(const struct args *a, const struct sim_case *c,
		    unsigned int nr)
{
	uint32_t seeds = a->seeds ? a->seeds : c->seeds;
	uint64_t seed, hash;

	if (!a->seeds && a->many)
		seeds *= 20;
	else if (!a->seeds && getenv("LEAP_SIM_QUICK"))
		seeds = seeds / 20 + 1;
	if (a->replay)
		seeds = 1;
	if (!sim_run_case(c, a->replay ? a->seed : 1, seeds, &seed, &hash)) {
		printf("ok %u - %s: %u worlds, trace hash %016llx\n", nr,
		       c->name, seeds, (unsigned long long)hash);
		fflush(stdout);
		return 0;
	}
	printf("not ok %u - %s: %s\n", nr, c->name, sim_why);
	printf("# replay: %s --seed %llu '%s'\n", a->program,
	       (unsigned long long)seed, c->name);
	fflush(stdout);
	return 1;
}

static int select_plant(const char *name)
{
#ifdef LEAP_PLANTED
	enum leap_plant plant = leap__plant_by_name(name);

	leap__plant_select(plant);
	return plant == LEAP_PLANT_NONE;
#else
	(void)name;
	return 1;
#endif
}

static int parse(int argc, char **argv, struct args *a)
{
	int i;

	a->program = argv[0];
	for (i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (!strcmp(argv[i], "--long")) {
			a->many = true;
		} else if (!strcmp(argv[i], "--seeds") && more) {
			a->seeds = (uint32_t)strtoul(argv[++i], NULL, 0);
		} else if (!strcmp(argv[i], "--seed") && more) {
			a->seed = strtoull(argv[++i], NULL, 0);
			a->replay = sim_verbose = true;
		} else if (!strcmp(argv[i], "--plant") && more) {
			if (select_plant(argv[++i])) {
				printf("Bail out! no planted bug %s here\n",
				       argv[i]);
				return -1;
			}
		} else if (argv[i][0] != '-') {
			a->only = argv[i];
		} else {
			fprintf(stderr, "usage: %s [--seeds N] [--seed S] "
				"[--long] [--plant NAME] [CASE]\n", argv[0]);
			return -1;
		}
	}
	return 0;
}

int sim_main(int argc, char **argv, const struct sim_case *cases)
{
	struct args a = { 0 };
	unsigned int nr = 0;
	int failed = 0;

	if (parse(argc, argv, &a))
		return 2;
	for (; cases->name; cases++) {
		if (a.only && strcmp(a.only, cases->name))
			continue;
		failed += one_case(&a, cases, ++nr);
	}
	printf("1..%u\n", nr);
	return failed ? 1 : 0;
}
