/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every planted bug of the data path is found by the worlds that say that they
 * find it, within the seeds of CI, and the world that found it is clean without
 * the bug. Each in a process of its own: a broken library may do anything. The
 * bugs of rings, wake-ups, messages and the record are found by tests/model.
 */
#include "sim-test.h"

#include "util/plant.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST LEAP_PLANT_ACK_BEFORE_FLUSH
#define TIME_LIMIT 60	/* s, of one bug */

static const struct sim_case *const tables[] = {
	world_cases, late_cases, durable_cases, fault_cases, guest_cases,
	fused_cases,
};

struct found {
	int failed;
	uint64_t seed;
	char why[200];
};

static void child(const struct sim_case *c, enum leap_plant plant,
		  uint64_t first, uint32_t seeds, int fd)
{
	struct found f = { 0 };
	uint64_t seed, hash;

	if (!freopen("/dev/null", "w", stderr))
		_exit(2);
	alarm(TIME_LIMIT);
	leap__plant_select(plant);
	for (seed = first; seed < first + seeds && !f.failed; seed++) {
		/* Written first: it may crash. */
		f.seed = seed;
		snprintf(f.why, sizeof(f.why), "crashed");
		if (write(fd, &f, sizeof(f)) != sizeof(f))
			_exit(2);
		f.failed = sim_run_case(c, seed, 1, &f.seed, &hash) != 0;
	}
	snprintf(f.why, sizeof(f.why), "%.199s", sim_why);
	if (write(fd, &f, sizeof(f)) != sizeof(f))
		_exit(2);
	_exit(0);
}

/* 1 = found, 0 = clean, -1 = neither: no end, or no child */
static int hunt(const struct sim_case *c, enum leap_plant plant, uint64_t first,
		uint32_t seeds, struct found *f)
{
	struct found got;
	int fd[2], status;
	pid_t pid;

	memset(f, 0, sizeof(*f));
	fflush(stdout);
	if (pipe(fd))
		return -1;
	pid = fork();
	if (!pid) {
		close(fd[0]);
		child(c, plant, first, seeds, fd[1]);
	}
	close(fd[1]);
	while (read(fd[0], &got, sizeof(got)) == sizeof(got))
		*f = got;
	close(fd[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGALRM ? -1 : 1;
	return WEXITSTATUS(status) ? -1 : f->failed;
}

static unsigned int nr;
static int failures;
static bool listed[LEAP_PLANT_NR];

static void one_plant(const struct sim_case *c, const char *name)
{
	enum leap_plant plant = leap__plant_by_name(name);
	struct found f, clean;
	int rc = -1;

	listed[plant] = true;
	if (plant != LEAP_PLANT_NONE)
		rc = hunt(c, plant, 1, c->seeds, &f);
	nr++;
	if (rc != 1) {
		printf("not ok %u - %s by '%s' in %u seeds: %s\n", nr, name,
		       c->name, c->seeds, rc ? "no end" : "not found");
		failures++;
		return;
	}
	if (hunt(c, LEAP_PLANT_NONE, f.seed, 1, &clean)) {
		printf("not ok %u - %s: '%s' seed %llu fails without it: %s\n",
		       nr, name, c->name, (unsigned long long)f.seed,
		       clean.why);
		failures++;
		return;
	}
	printf("ok %u - %s by '%s', seed %llu: %s\n", nr, name, c->name,
	       (unsigned long long)f.seed, f.why);
}

int main(void)
{
	const struct sim_case *c;
	size_t i, k;
	int p;

	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (c = tables[i]; c->name; c++)
			for (k = 0; c->plants[k]; k++)
				one_plant(c, c->plants[k]);
	for (p = FIRST; p < LEAP_PLANT_NR; p++) {
		if (listed[p])
			continue;
		printf("not ok %u - %s: no world looks for it\n", ++nr,
		       leap__plant_name((enum leap_plant)p));
		failures++;
	}
	printf("1..%u\n", nr);
	return failures ? 1 : 0;
}
