/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim-test.h - worlds of the simulator that end in a data and a leak check
 *
 * model.c knows what every block may hold, world.c builds targets and hosts and
 * takes them apart, load.c sends commands, random.c and the script files say
 * what happens, run.c is the command line.
 */
#ifndef TESTS_SIM_TEST_H
#define TESTS_SIM_TEST_H

#include "sim/sim.h"

#include <leapio/bdev.h>
#include <leapio/host.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include <stdbool.h>
#include <stdint.h>

#define MS 1000000ull
#define SECOND 1000000000ull
#define NQN "nqn.2024-01.io.leapio:sim"
#define BLOCK 512u

/* ---- model.c: what a block may hold -------------------------------------- */

#define MODEL_BLOCKS 256u	/* of each namespace; behind them is no data */

struct write {
	uint64_t id;		/* 0 = zeroes */
	uint64_t submit;
	uint64_t end;		/* UINT64_MAX = under way */
	uint64_t host_died;	/* its host was killed; 0 = no */
	uint32_t host;
	uint32_t block, nr;
	struct write *next;
};

struct model;

struct model *model_new(void);
void model_free(struct model *m);
/* Time of the model: goes on with every event. */
uint64_t model_now(struct model *m);
/* Fill @buf with what write @id puts into @block. */
void model_fill(unsigned char *buf, uint64_t id, uint32_t block);
uint64_t model_id(struct model *m);
struct write *model_submit(struct model *m, uint32_t host, uint32_t block,
			   uint32_t nr, uint64_t id);
/* It was acknowledged; @durable: FUA. */
void model_ack(struct model *m, struct write *w, bool durable);
/* It ended with an error: it may have landed, in part, and is over. */
void model_maybe(struct model *m, struct write *w);
void model_flushed(struct model *m, uint64_t submit);
void model_host_died(struct model *m, uint32_t host);
void model_power_cut(struct model *m);
/* NULL when @buf, read between @submit and now, may be; else what is wrong. */
const char *model_read(struct model *m, uint64_t submit, uint32_t block,
		       const unsigned char *buf);
/* A write that @block may hold now: a good guess for a compare. */
uint64_t model_guess(struct model *m, uint32_t block);
/* May it have held something else than @buf since @submit? */
bool model_may_differ(struct model *m, uint64_t submit, uint32_t block,
		      const unsigned char *buf);

/* ---- world.c: targets and hosts ------------------------------------------ */

#define MAX_HOSTS 3
#define MAX_NS 3
#define MAX_OPS 12
#define OP_BYTES 65536u
#define TARGET 1		/* processes */
#define HOST(i) (2 + (i))

/* What may happen in a world. */
#define W_RESET		(1u << 0)	/* connections are reset */
#define W_HOLD		(1u << 1)	/* half-open for up to seconds */
#define W_STOP		(1u << 2)	/* target or host stopped, continued:
					 * slow readers */
#define W_KILL		(1u << 3)	/* target killed, started again */
#define W_CUT		(1u << 4)	/* power of its machine fails */
#define W_DISK		(1u << 5)	/* EIO, ENOSPC, torn writes */
#define W_NS		(1u << 6)	/* removed, added, resized */
#define W_DISCONNECT	(1u << 7)	/* target ends a controller */
#define W_CC		(1u << 8)	/* host resets the controller */
#define W_HOST_KILL	(1u << 9)
#define W_CORRUPT	(1u << 10)	/* bytes change on the way */
#define W_ABORT		(1u << 11)
#define W_DIGESTS	(1u << 12)
#define W_FLUSH_FAIL	(1u << 13)
#define W_ALL		(W_RESET | W_HOLD | W_STOP | W_KILL | W_CUT | W_NS | \
			 W_DISCONNECT | W_CC | W_HOST_KILL | W_ABORT)

struct world;
struct host;

enum op_kind {
	OP_READ, OP_WRITE, OP_FLUSH, OP_ZEROES, OP_DSM, OP_COMPARE, OP_VERIFY,
	OP_ADMIN, OP_NR,
};

struct op {
	struct leap_req req;	/* first */
	struct leap_piece piece[2];
	struct host *h;
	enum op_kind kind;
	bool fua;
	bool busy;
	bool final;		/* of the check at the end */
	uint32_t queue;
	uint32_t nsid, block, nr;
	uint64_t submit;
	struct write *w;
	leap_status_t status;
	unsigned char *buf;
};

struct host {
	struct world *w;
	uint32_t i;
	int state;		/* enum leap_host_state */
	uint64_t live_ns;	/* since when */
	struct leap_pollgroup *pg;
	struct leap_host *host;
	uint32_t flags;		/* LEAP_QP_* */
	bool shm;		/* over shared memory, not TCP */
	uint32_t nr_queues;
	uint64_t events;
	uint64_t reconnects;	/* of incarnations that were closed */
	struct op *ops;		/* [MAX_OPS] */
	struct op admin;	/* one admin command at a time */
};

struct ns {
	const char *stack;
	const char *disk;	/* NULL = in memory */
	uint64_t blocks;	/* size now */
	uint32_t lba;		/* blocks of one LBA of its hosts: 1 or 8 */
	bool there;
	bool changing;		/* removal or addition under way */
	struct model *model;
};

struct world {
	struct leap_sim *sim;
	uint64_t seed;
	uint32_t what;		/* W_* */
	struct leap_pollgroup *tpg[2];
	uint32_t nr_tpg;
	int second_process;	/* the second group's, if its own: it gets the
				 * first I/O queue then */
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_listener *listener, *shm_listener;
	struct ns ns[MAX_NS];	/* nsid - 1 */
	uint32_t nr_ns;
	struct host hosts[MAX_HOSTS];
	uint32_t nr_hosts;
	uint32_t left;		/* commands still to be sent */
	uint32_t busy;		/* commands sent and not done */
	uint32_t kato_ms;
	uint64_t done;
	uint64_t cut_ns;	/* of the last power cut */
	uint64_t done_at_kill;	/* commands, when the target last died */
	uint32_t gone;
	char failed[256];
};

struct world *world_new(uint64_t seed, uint32_t what);
/* A disk for namespace @nsid, and its stack. */
void world_ns(struct world *w, uint32_t nsid, const char *stack,
	      const char *disk);
void world_start_target(struct world *w, uint32_t nr_groups);
void world_kill_target(struct world *w);	/* and start it again */
void world_cut_power(struct world *w);		/* likewise */
void world_start_host(struct world *w, uint32_t i, uint32_t nr_queues);
void world_kill_host(struct world *w, uint32_t i);	/* and start it again */
void world_connect_host(struct world *w, uint32_t i, uint32_t nr_queues);
/* After leap_sim_kill. */
void world_forget_host(struct world *w, uint32_t i);
void world_wait_live(struct world *w, uint32_t i);
/* Takes it apart, with the leak check; the trace hash, 0 = failed. */
uint64_t world_end(struct world *w);
void world_fail(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void world_note(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Runs until @until or a failure; fails with @what when @ns pass before. */
bool world_run(struct world *w, bool (*until)(void *arg), void *arg,
	       uint64_t ns, const char *what);
void world_pass(struct world *w, uint64_t ns);	/* let time pass */
void keep(void *p);	/* memory of the dead: reachable for ever */

/* ---- load.c: commands ---------------------------------------------------- */

void op_init(struct op *op, struct host *h);
void op_read(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr);
void op_write(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr,
	      bool fua);
void op_zeroes(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr);
void op_flush(struct op *op, uint32_t nsid);
void op_verify(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr);
/* With what is probably there; @other: the last block with something else. */
void op_compare(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr,
		bool other);
void op_admin(struct op *op, uint8_t opc, uint32_t cdw10, uint32_t cdw11);
/* Send one, and wait for it. */
void op_send(struct op *op);
bool op_is_done(void *op);
void op_sync(struct op *op);
/* Commands by chance on every host, until w->left is used up. */
void load_start(struct host *h);
bool load_is_over(void *world);
void load_abort_one(struct host *h);
void load_abort(struct host *h, struct op *op);
void load_reset_controller(struct host *h);
void load_check_all(struct world *w);	/* reads everything */

/* ---- run.c --------------------------------------------------------------- */

struct sim_case {
	const char *name;
	/* The trace hash; 0 = failed, with the reason in sim_why. */
	uint64_t (*run)(uint64_t seed);
	uint32_t seeds;		/* in CI */
	const char *plants[12];	/* bugs that it has to find */
};

extern char sim_why[256];
extern bool sim_verbose;

extern const struct sim_case world_cases[];
extern const struct sim_case late_cases[];
extern const struct sim_case durable_cases[];
extern const struct sim_case fault_cases[];
extern const struct sim_case guest_cases[];
extern const struct sim_case fused_cases[];

int sim_main(int argc, char **argv, const struct sim_case *cases);
/* 0 = ran @seeds worlds of a case;
 * else the first seed that failed, in *@seed */
int sim_run_case(const struct sim_case *c, uint64_t first, uint32_t seeds,
		 uint64_t *seed, uint64_t *hash);

#endif
