/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host-script.h - a leap_host over loop://, and the controller it meets, which
 * does what a test has written down for it
 */
#ifndef LEAP_TESTS_HOST_SCRIPT_H
#define LEAP_TESTS_HOST_SCRIPT_H

#include "unit.h"

#include "fake-target.h"

#include <leapio/host.h>

#define NQN "nqn.2014-08.org.example:disk"
#define BLOCKS 64

struct script {
	struct leap_target target;	/* first */
	struct leap_pollgroup *pg;
	uint32_t cc;
	unsigned int csts_reads, rdy_after, shst_reads, shst_after;
	unsigned int nr_queues;		/* granted */
	uint32_t nsids[4];
	struct leap_vqp *vqps[8];	/* by qid */
	struct leap_cmd *aers[8];
	unsigned int nr_aers;
	unsigned int keep_alives, late_keep_alives;
	unsigned int log_reads, shutdowns, writes;
	int hold_io, never_ready, hold_ka;
	struct leap_cmd *held_ka;
	struct leap_cmd *held[64];
	unsigned int nr_held;
	uint8_t cntrltype;
	char media[BLOCKS][512];
	/* the host's side */
	struct leap_host *host;
	enum leap_host_state state;
	unsigned int states[4];
	leap_status_t why;
	int err;
	unsigned int events, closed, nr_done;
	int closing;
	uint32_t last_event;
};

/* A controller and its poll group; the one before has ended. */
struct script *script_begin(void);
/* A host that connects to it; what @opts leaves open is of use to any test. */
void script_open(struct script *s, struct leap_host_opts *opts);
/* The same, until it is live and all its AERs have come. */
void script_up(struct script *s, struct leap_host_opts *opts);
void script_close(struct script *s);
/* Closed, and nothing is left of it; numbers of @s can still be looked at. */
void script_end(struct script *s);

/* All queues that have had a command are closed, and @nr are gone; then, as a
 * real controller would, it gives back its AERs. */
void script_cut(struct script *s, unsigned int nr);
void script_drop_aers(struct script *s);
/* What was held ends well. */
void script_release(struct script *s);

#define WAIT(s, cond) do { \
	uint64_t until = leap_pollgroup_now_ns((s)->pg) + 60000000000ull; \
	while (!(cond) && leap_pollgroup_now_ns((s)->pg) < until) \
		leap_pollgroup_wait((s)->pg, 1000000); \
	assert_true(cond); \
} while (0)

struct io {
	struct leap_req req;
	struct leap_piece piece;
	struct script *s;
	unsigned int done;
	char data[512];
};

/* One block of namespace 1, which is full of @fill. */
struct leap_req *io_init(struct script *s, struct io *io, uint8_t opc,
			 uint64_t lba, int fill);
/* The same, submitted on queue @q. */
void io_submit(struct script *s, struct io *io, uint32_t q, uint8_t opc,
	       uint64_t lba, int fill);

#endif
