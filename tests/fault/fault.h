/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.h - a target on threads of its own, hosts on the caller's that know
 * what each of their blocks may hold, and what the process uses
 */
#ifndef LEAP_TESTS_FAULT_H
#define LEAP_TESTS_FAULT_H

#include "unit.h"

#include <pthread.h>

#include <leapio/host.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

#define FAULT_NQN	"nqn.2026-01.org.example:fault"
#define FAULT_MAX_NS	4
#define FAULT_BLOCKS	16u	/* of each host */
#define FAULT_SLOTS	4u

/* ---- a target ---- */

struct fault_thread {
	struct fault_server *s;
	pthread_t id;
	struct leap_pollgroup *pg;
	struct leap_msg msg;
	unsigned int ready, stop, idle, die;	/* shared */
};

struct fault_server {
	struct fault_thread thread[3];		/* [0] is home */
	unsigned int nr_threads;
	const char *kind;			/* "tcp", "shm", "loop" */
	const char *stack[FAULT_MAX_NS + 1];	/* namespaces 1.., then NULL */
	uint32_t world;
	struct leap_target *target;
	struct leap_subsystem *ss;
	char url[200], path[64];
	int pending;
	unsigned int up, gone;			/* shared */
	struct leap_target_stats stats;
};

/* kind, stack, world are set; skips the test when the transport is absent. */
void fault_serve(struct fault_server *s, unsigned int nr_groups);
/* Everything has to end in time. */
void fault_end(struct fault_server *s);
/* Of this moment. */
struct leap_target_stats fault_stats(struct fault_server *s);

/* ---- hosts ---- */

/* What the drive holds: acknowledged, or one that was on its way. */
struct fault_block {
	uint32_t acked;
	uint32_t maybe;		/* 0 = none */
	int busy;
};

struct fault_slot {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct fault_host *h;
	uint32_t block, gen;
	uint32_t data[128];
};

struct fault_host {
	struct leap_pollgroup *pg;
	struct leap_host *host;		/* NULL = not connected */
	uint32_t index;			/* hostid, range of blocks */
	uint32_t nsid;
	uint32_t gen, rnd;
	struct fault_block block[FAULT_BLOCKS];
	struct fault_slot slot[FAULT_SLOTS];
	uint32_t in_flight;
	uint32_t check;			/* blocks still to be read first */
	uint64_t acked, verified, wrong, failed;
	int closing, closed;
};

void fault_host_init(struct fault_host *h, struct leap_pollgroup *pg,
		     uint32_t index);
void fault_host_open(struct fault_host *h, const char *url,
		     struct leap_target *target);
/* Connected? Then keep its slots busy; submits nothing while it closes. */
void fault_host_feed(struct fault_host *h);
/* With whatever is in flight. h->closed says when it is over. */
void fault_host_close(struct fault_host *h);

/* One command to its end; @data of @bytes. */
leap_status_t fault_cmd(struct leap_host *host, struct leap_pollgroup *pg,
			uint8_t opc, uint32_t nsid, uint64_t lba,
			uint32_t nr_blocks, void *data);

/* ---- the process ---- */

uint64_t fault_now_ns(void);
uint64_t fault_rss_bytes(void);
int fault_slow(void);	/* emulated or instrumented: smaller numbers */

#endif
