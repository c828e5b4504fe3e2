/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent-fixture.h - an agent with one drive and its guest in this process, and
 * runtimes that are processes of their own
 */
#ifndef LEAP_TESTS_AGENT_FIXTURE_H
#define LEAP_TESTS_AGENT_FIXTURE_H

#include "guest-driver.h"

#include <leapio/agent.h>
#include <leapio/bdev.h>

#include <sys/types.h>

#define AF_NQN		"nqn.2026-01.org.example:agent"
#define AF_RAM		(16u << 20)
#define AF_BLOCKS	2048u		/* of 512 bytes */

struct af {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_agent *agent;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	char dir[64];
	char sock[96];
	char file[96];
	char stack[160];
	pid_t pid;			/* the last runtime started */
	unsigned int changes;
	unsigned int fences;
	int self_fence;			/* opts.fence answers at once */
	unsigned int raised;
};

/* @fence: the agent calls back instead of killing. */
struct af *af_new(int fence);
/* No longer than this without a runtime. */
struct af *af_new_bound(int fence, uint32_t no_runtime_ms);
/* Lines of that level that were logged in this process. */
unsigned int af_errors(void);
void af_free(struct af *f);
/* Poll once; sleeps a little when there was nothing. */
void af_poll(void *arg);
/* Until @done says so; fails the test after @ms. Returns ms waited. */
uint64_t af_until(struct af *f, int (*done)(struct af *f), uint64_t ms);
int af_served(struct af *f);
int af_none(struct af *f);
uint64_t af_ms(void);
/* In a loop: it has not lasted that long yet (unit_lived_ns). */
int af_lives(struct unit_lived *lived, uint64_t ms);
struct leap_agent_info af_info(struct af *f);

/* A process that serves f->stack with @threads I/O threads. */
pid_t af_start(struct af *f, int threads, int standby);
/* SIGKILL (or what it is given) and wait. */
void af_kill(struct af *f, pid_t pid, int sig);
/* What such a process runs: main of test programs calls it first. Does not
 * return when @argv says that it is one. */
void af_maybe_runtime(int argc, char **argv);

#endif
