/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim.h - a world that can be played again
 *
 * One simulator holds a virtual clock, a network, disks and any number of
 * processes, all in one thread. Poll groups that are created with world
 * LEAP_WORLD_SIM and opts.sim live in it and run the same code as elsewhere.
 * All chance comes from the seed: the same program with the same seed does the
 * same, to the byte; leap_sim_trace_hash says so.
 *
 *	sim = leap_sim_create(&(struct leap_sim_opts){ .seed = 7 });
 *	leap_sim_enter(sim, 1);			// process 1: the target
 *	leap_sim_disk(sim, "disk0", 1 << 20);
 *	leap_pollgroup_create(&opts, &target);	// opts.sim = sim
 *	leap_sim_add(sim, target);
 *	leap_sim_enter(sim, 2);			// process 2: a host
 *	...
 *	leap_sim_run(sim, all_done, &state, 10 * NS_PER_S);
 *
 * Time passes between polls only. A group is polled while it finds work; when
 * leap_pollgroup_arm says that it may sleep, it is polled again only after
 * something woke it, so a lost wake-up shows as a world that stands still.
 * Which awake group comes next is chance.
 *
 * Not simulated: eventfds (adopt says -EOPNOTSUPP), addresses (every IP is the
 * same machine; ports and Unix paths tell listeners apart), leap_pollgroup_fd
 * (-1). Descriptors sent over a Unix socket are real and really arrive.
 */
#ifndef LEAP_SIM_SIM_H
#define LEAP_SIM_SIM_H

#include <leapio/pollgroup.h>

#include <stdbool.h>

struct leap_sim;

#define LEAP_SIM_PROCESSES 16	/* 0 .. 15 */
#define LEAP_SIM_ANY (-1)	/* every process, where one is asked for */

/* Zero means the default written beside it. */
struct leap_sim_opts {
	uint64_t seed;
	uint64_t start_ns;		/* 1 s; the clock's first value */
	uint32_t poll_ns;		/* 500; a poll takes up to twice that */
	uint32_t net_min_ns;		/* 5000 */
	uint32_t net_max_ns;		/* 50000 */
	uint32_t net_window_bytes;	/* 65536; unread before a send waits */
	uint32_t disk_min_ns;		/* 10000 */
	uint32_t disk_max_ns;		/* 200000 */
	/* Pieces of one send, and short receives: how often, of 1000. 200.
	 * UINT32_MAX = never. */
	uint32_t split;
	/* Every event as a line; NULL = quiet. */
	void (*trace)(void *arg, uint64_t now_ns, const char *text);
	void *trace_arg;
};

/* NULL: no memory. @opts NULL: all defaults. */
struct leap_sim *leap_sim_create(const struct leap_sim_opts *opts);

/* Destroy the poll groups that live in it first; killed ones stay behind. */
void leap_sim_destroy(struct leap_sim *sim);

uint64_t leap_sim_now_ns(const struct leap_sim *sim);
uint64_t leap_sim_random(struct leap_sim *sim);
/* 0 .. n - 1 */
uint32_t leap_sim_below(struct leap_sim *sim, uint32_t n);

/* A digest of everything that has happened, bytes included. */
uint64_t leap_sim_trace_hash(const struct leap_sim *sim);

/* ---- processes and their poll groups ------------------------------------ */

/* Poll groups created from here on belong to @process. At start: 0. */
void leap_sim_enter(struct leap_sim *sim, int process);

/* Let the simulator poll @pg. leap_pollgroup_destroy takes it out again. */
void leap_sim_add(struct leap_sim *sim, struct leap_pollgroup *pg);

/*
 * Run until @until says true (NULL: never asked), nothing will ever happen
 * again, or @max_ns have passed. Not from a callback.
 * Returns: 1 @until, 0 all is quiet for ever, -ETIME
 */
int leap_sim_run(struct leap_sim *sim, bool (*until)(void *arg), void *arg,
		 uint64_t max_ns);

/* SIGSTOP and SIGCONT: its groups are not polled; its sockets stay. */
void leap_sim_stop(struct leap_sim *sim, int process);
void leap_sim_continue(struct leap_sim *sim, int process);

/*
 * SIGKILL: its groups are never polled again and none of their operations is
 * done. Peers find its sockets closed. Writes in flight land later, or not, and
 * its disk locks are free after that. The memory of its poll groups, and what
 * they point to, is never touched again: do not destroy them, forget them (they
 * stay reachable, so that leak checkers keep quiet). Not from its own callback.
 * The same number may be entered again: that is its successor.
 */
void leap_sim_kill(struct leap_sim *sim, int process);

/* ---- the network --------------------------------------------------------- */

/*
 * What @from sends to @to (LEAP_SIM_ANY: whoever), connection requests too, is
 * held back until release: half-open peers. Both directions: call twice.
 */
void leap_sim_net_hold(struct leap_sim *sim, int from, int to);

/*
 * Hold back only what travels by the oldest connection between them: one of
 * several paths is slow.
 */
void leap_sim_net_hold_first(struct leap_sim *sim, int from, int to);

/* Deliver what was held, in order, and go on. */
void leap_sim_net_release(struct leap_sim *sim, int from, int to);

/* All connections between @a and @b end: each side finds ECONNRESET in time. */
void leap_sim_net_reset(struct leap_sim *sim, int a, int b);

/*
 * After @bytes more that @from has sent, over whichever connection, that
 * connection is cut: the peer gets exactly those bytes, then the end of the
 * stream; @from finds ECONNRESET. Once; UINT64_MAX = not any more.
 */
void leap_sim_net_cut_after(struct leap_sim *sim, int from, uint64_t bytes);

/* Connections that exist now between @a and @b. */
int leap_sim_net_count(struct leap_sim *sim, int a, int b);

/*
 * @per_1000 of the pieces of @min_bytes and more that @from sends arrive with a
 * byte changed, as checksums of the network let through now and then.
 */
void leap_sim_net_corrupt(struct leap_sim *sim, int from, uint32_t per_1000,
			  size_t min_bytes);

/* ---- disks --------------------------------------------------------------- */

/*
 * A disk, opened by its @name through a world's open (LEAP__OPEN_CREATE makes
 * one as well). Written data is volatile until a flush or a FUA write.
 * Returns: 0, -EEXIST, -ENOMEM
 */
int leap_sim_disk(struct leap_sim *sim, const char *name, uint64_t bytes);

/* Operations that a fault hits: bits by kind. */
#define LEAP_SIM_READS		1u
#define LEAP_SIM_WRITES		2u	/* discard and zero too */
#define LEAP_SIM_FLUSHES	4u

/*
 * From now on @per_1000 of these operations fail with @err (-EIO, -ENOSPC),
 * at most @times of them. A write that fails may have landed in part. A new
 * call replaces the last; @times 0 = no more failures.
 */
void leap_sim_disk_fail(struct leap_sim *sim, const char *name, uint32_t what,
			int err, uint32_t per_1000, uint32_t times);

/* Operations take this long; 0, 0 = as in the options. */
void leap_sim_disk_latency(struct leap_sim *sim, const char *name,
			   uint32_t min_ns, uint32_t max_ns);

/*
 * The power fails: of every sector (512 bytes) that is not flushed, the disk
 * keeps any one of its versions since. Writes in flight land in part or not at
 * all. Kill the processes that use it first. @name NULL = every disk.
 */
void leap_sim_power_cut(struct leap_sim *sim, const char *name);

/* What a reader sees, past the queue; for checks at the end. */
const void *leap_sim_disk_data(struct leap_sim *sim, const char *name,
			       uint64_t *bytes);

/* What a disk was asked for and has done. */
struct leap_sim_disk_counts {
	uint64_t reads;
	uint64_t writes;	/* discard and zero too */
	uint64_t fuas;		/* of them, writes that are durable when done */
	uint64_t flushes;
};

void leap_sim_disk_count(struct leap_sim *sim, const char *name,
			 struct leap_sim_disk_counts *counts);

/* Is the lock of @name free? */
bool leap_sim_disk_unlocked(struct leap_sim *sim, const char *name);

#endif
