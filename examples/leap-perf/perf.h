/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * perf.h - what the parts of leap-perf share
 */
#ifndef LEAP_PERF_H
#define LEAP_PERF_H

#include <stdint.h>
#include <stdio.h>

#include <leapio/leapio.h>

/* Exit codes. */
enum {
	PERF_OK = 0,
	PERF_IO_ERROR = 1,	/* commands failed */
	PERF_USAGE = 2,
	PERF_BAD_DATA = 3,	/* verification found something */
	PERF_NO_CONNECTION = 4,
};

enum { ZONED_NOT = 0, ZONED_WRITE, ZONED_APPEND };

struct opts {
	const char *url;
	const char *discover;
	const char *stack;	/* loop:// */
	const char *hostnqn;
	uint32_t nsid;		/* 0 = first */
	uint32_t bs_min, bs_max;	/* bytes */
	uint32_t read_percent;
	int sequential;
	uint32_t depth;
	uint32_t queues;
	double seconds;
	uint64_t count;		/* 0 = by time */
	uint64_t range;		/* bytes from the start; 0 = all, <= 1 GiB */
	uint64_t seed;
	uint32_t loss_ms;
	uint32_t reconnect_ms;
	uint32_t timeout_ms;
	uint32_t qp_flags;
	int verify;
	int zoned;		/* ZONED_* */
	int misalign;
	int64_t spin_ns;	/* as of a poll group */
	int json;
	int quiet;
};

/* Latency: 32 steps for each doubling, so 2 % of resolution. */
#define HIST_SUB	32u
#define HIST_BUCKETS	(64u * HIST_SUB)

struct hist {
	uint64_t n, sum, min, max;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);
/* @p: 0..100 */
uint64_t hist_percentile(const struct hist *h, double p);

/*
 * verify.c: every block carries where it belongs and which write put it there,
 * and is filled from both, so that a block tells what happened to it.
 */
enum fault {
	FAULT_NONE = 0,
	FAULT_TORN,		/* parts of two writes */
	FAULT_LOST,		/* written and acknowledged, but not there */
	FAULT_STALE,		/* an older write than the acknowledged one */
	FAULT_MISPLACED,	/* belongs somewhere else */
	FAULT_FUTURE,		/* a write that was never sent */
	FAULT_NR,
};

struct verify;

struct verify *verify_create(uint64_t blocks, uint32_t block_bytes,
			     uint64_t seed);
void verify_destroy(struct verify *v);
/* 1 when a write may start now: none of the blocks has one in flight. */
int verify_may_write(const struct verify *v, uint64_t lba, uint32_t nr);
void verify_write_start(struct verify *v, uint64_t lba, uint32_t nr, void *buf);
void verify_write_end(struct verify *v, uint64_t lba, uint32_t nr, int ok);
/* What must be there at least: taken when the read is sent. */
void verify_read_start(struct verify *v, uint64_t lba, uint32_t nr,
		       uint32_t *floor);
/* Number of bad blocks; the first one is described on stderr. */
unsigned int verify_read_end(struct verify *v, uint64_t lba, uint32_t nr,
			     const void *buf, const uint32_t *floor);
/* Has this block been written and acknowledged? */
int verify_is_written(const struct verify *v, uint64_t lba);
uint64_t verify_faults(const struct verify *v, enum fault f);
const char *verify_fault_name(enum fault f);

/* Spreads a number over all its bits: what a block has in it. */
static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

/* load.c */
struct result {
	struct hist read, write;
	uint64_t read_bytes, write_bytes;
	uint64_t errors;
	leap_status_t last_error;
	double seconds;
	uint64_t reconnects, redriven, bounced;
	uint64_t verified;	/* blocks */
	uint64_t bad;
	int lost;		/* the connection, for good */
};

struct ns_info {
	uint32_t nsid;
	uint32_t block_bytes;
	uint64_t nr_blocks;
};

int load_run(struct leap_pollgroup *pg, struct leap_host *host,
	     const struct opts *o, const struct ns_info *ns, struct verify *v,
	     struct result *r);
/* Read back everything that has been acknowledged. */
int load_read_back(struct leap_pollgroup *pg, struct leap_host *host,
		   const struct opts *o, const struct ns_info *ns,
		   struct verify *v, struct result *r);

/* zoned.c: always verified */
int zoned_run(struct leap_pollgroup *pg, struct leap_host *host,
	      const struct opts *o, const struct leap_host_ns *ns,
	      struct result *r);

/* discover.c */
int discover_run(const struct opts *o);

/* report.c */
/* As JSON, quoted. */
void report_string(const char *s);
void report(const struct opts *o, const struct ns_info *ns,
	    const struct verify *v, const struct result *r);

/* main.c */
uint64_t now_ns(void);
/* Poll until live or failed. 0, or -1 with a line on stderr. */
int wait_live(struct leap_pollgroup *pg, struct leap_host *host);
/* opts.state of a host: says on stderr what went wrong; @arg: struct opts */
void say_state(struct leap_host *host, enum leap_host_state state,
	       leap_status_t status, int sys_errno, void *arg);
extern volatile int perf_stop;	/* a signal asked to end */

#endif
