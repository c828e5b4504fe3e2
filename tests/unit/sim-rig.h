/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim-rig.h - a target over TCP in a simulated world, and hosts that have a
 * process of their own each
 */
#ifndef LEAP_TESTS_SIM_RIG_H
#define LEAP_TESTS_SIM_RIG_H

#include "serve.h"

#include <leapio/host.h>

#include "sim/sim.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define NQN "nqn.2024-01.io.leapio:sim"
#define URL "tcp://127.0.0.1:4420/" NQN
#define TARGET 1		/* process */
#define GOOD 2
#define NR_HOSTILE 8
#define DEPTH 128
#define LARGE (1u << 20)

/* A host with its own process and poll group. */
struct end {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_req reqs[DEPTH];
	struct leap_piece piece;
	uint32_t left, done, failed;
	int live, closed;
};

struct rig {
	struct leap_sim *sim;
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct end good, bad[NR_HOSTILE];
	uint8_t *data;
	uint64_t cmds;		/* in use before */
	int gone;
};

struct leap_pollgroup *rig_process(struct leap_sim *sim, int nr);
/* The target listens; its process is TARGET. */
void rig_open(struct rig *r, uint64_t seed);
/* All commands and buffers have to be back by then. */
void rig_close(struct rig *r);
/* The target's, in use now; and whether they are more than r->cmds. */
uint64_t rig_cmds(struct rig *r);
bool rig_is_busy(void *arg);
uint64_t rig_connections(struct rig *r);

/* Of a struct end: leap_host_opts.state, and what it has told. */
void end_state(struct leap_host *host, enum leap_host_state state,
	       leap_status_t status, int sys_errno, void *arg);
bool end_is_live(void *arg);
/* A host, live; and gone. */
void end_start(struct rig *r, struct end *e, int nr);
void end_stop(struct rig *r, struct end *e);
void end_submit(struct rig *r, struct end *e, struct leap_req *req,
		uint8_t opc, uint32_t bytes);

#endif
