/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.h - a target in a process of its own on the second core, and what the
 * benchmarks of queue pairs between two processes share
 */
#ifndef LEAP_TESTS_BENCH_PAIR_H
#define LEAP_TESTS_BENCH_PAIR_H

#include <leapio/leapio.h>

#include "bench.h"

#define PAIR_NQN "nqn.2014-08.org.example:bench"

struct pair_opts {
	const char *name;		/* of the program, for errors */
	uint32_t queue_depth;
	const char *ns[2];		/* stacks of namespaces 1 and 2 */
	const char *const *urls;	/* listeners; NULL ends them */
	/*
	 * The socket of an agent, a third process that owns the drive at
	 * @agent_url (vfio-user) and sleeps; the serving one is its runtime as
	 * well, with the same namespaces. NULL: none
	 */
	const char *agent;
	const char *agent_url;
};

/* Fork, and wait until it serves; the caller goes on on the first core. Exits
 * with an error when that fails. */
void pair_start(const struct pair_opts *opts);
/* The other process ends. */
void pair_end(void);

/* ns for a round trip of a cache line between the two, by @n of them. */
double pair_line_ns(uint32_t n);

/* A live host; exits with an error. */
struct leap_host *pair_host(struct leap_pollgroup *pg,
			    const struct leap_host_opts *opts);
void pair_host_close(struct leap_pollgroup *pg, struct leap_host *host);
/* "NAME: @what: last error", and exit. */
void pair_die(const char *what);

#endif
