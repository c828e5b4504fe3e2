/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of simulator programs, and TAP.
 *
 *	PROGRAM [--seeds N] [--seed S] [--long] [--plant NAME] [CASE]
 *
 * Without arguments: all cases with their seeds, a part of them when
 * LEAP_SIM_QUICK is set. Every eighth seed runs twice and has to leave the same
 * trace. --seed replays one and prints its events.
 *
 * What killed processes of a world held is never freed, so seeds run in
 * children, some in each; a world that crashes one is named as well.
 */
#include "sim-test.h"

#include "util/plant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS_A_CHILD 16

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

/* Of a child, in memory that its parent sees. */
struct progress {
	uint64_t seed, hash;	/* under way; of those before it */
	char why[sizeof(sim_why)];
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

static void child(const struct sim_case *c, uint32_t seeds, struct progress *p)
{
	uint64_t first = p->seed, hash, seed;

	for (; p->seed < first + seeds; p->seed++) {
		if (sim_run_case(c, p->seed, 1, &seed, &hash)) {
			snprintf(p->why, sizeof(p->why), "%s", sim_why);
			exit(1);
		}
		p->hash = p->hash * 31 + hash;
	}
	exit(0);
}

static int in_child(const struct sim_case *c, uint32_t seeds,
		    struct progress *p)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		child(c, seeds, p);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		snprintf(p->why, sizeof(p->why), "no child");
		return -1;
	}
	if (WIFSIGNALED(status))
		snprintf(p->why, sizeof(p->why), "ended by signal %d",
			 WTERMSIG(status));
	else if (WEXITSTATUS(status) && !p->why[0])
		snprintf(p->why, sizeof(p->why), "ended with %d",
			 WEXITSTATUS(status));
	return status ? -1 : 0;
}

/* As sim_run_case, seed by seed in children. */
static int run_case(const struct sim_case *c, uint32_t seeds, uint64_t *seed,
		    uint64_t *hash)
{
	struct progress *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t done, n;
	int rc = 0;

	if (p == MAP_FAILED) {
		snprintf(sim_why, sizeof(sim_why), "no memory");
		return -1;
	}
	p->seed = 1;
	for (done = 0; done < seeds && !rc; done += n) {
		n = seeds - done < SEEDS_A_CHILD ? seeds - done :
						   SEEDS_A_CHILD;
		rc = in_child(c, n, p);
	}
	*seed = p->seed;
	*hash = p->hash;
	snprintf(sim_why, sizeof(sim_why), "%s", p->why);
	munmap(p, sizeof(*p));
	return rc;
}

static int one_case(const struct args *a, const struct sim_case *c,
		    unsigned int nr)
{
	uint32_t seeds = a->seeds ? a->seeds : c->seeds;
	uint64_t seed, hash;
	int rc;

	if (!a->seeds && a->many)
		seeds *= 20;
	else if (!a->seeds && getenv("LEAP_SIM_QUICK"))
		seeds = seeds / 20 + 1;
	if (a->replay)
		rc = sim_run_case(c, a->seed, seeds = 1, &seed, &hash);
	else
		rc = run_case(c, seeds, &seed, &hash);
	if (!rc) {
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
