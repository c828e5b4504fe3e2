/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pollgroup.h - the inside of a poll group
 *
 * For core/io and for those above it that run on a poll group: references,
 * the end-of-batch hook, logging, and the slots that the dispatchers hang
 * their per-group state on.
 */
#ifndef LEAP_CORE_IO_POLLGROUP_H
#define LEAP_CORE_IO_POLLGROUP_H

#include <leapio/pollgroup.h>

#include "core/io/msgq.h"
#include "core/io/world.h"

#include <pthread.h>
#include <stdbool.h>

/*
 * Work for the end of this poll, before sends are pushed out: how a connection
 * gathers all answers of a batch into one send. Caller-owned; zero it, set
 * @run. One defer is queued at most once.
 */
struct leap__defer {
	void (*run)(struct leap__defer *defer);
	struct leap__defer *next, **prev;	/* poll group's */
};

/* struct leap_pollgroup opens with this: found by one load. */
struct leap__pollgroup_head {
	/* The dispatchers' state: commands, buffers, queue pairs. */
	struct leap__dispatch *dispatch;
	/* Queue pairs, listeners, targets, ... : destroy says -EBUSY. */
	uint32_t users;
	uint32_t reserved;
};

/* What a transport keeps for each poll group that it is used in. */
struct leap__pg_ext {
	const void *key;		/* the transport's ops */
	void (*free)(struct leap__pg_ext *ext);	/* when the group goes */
	struct leap__pg_ext *next;	/* poll group's */
};

/* One per kind of message that a peer can provoke; zero it. */
struct leap__log_limit {
	uint64_t window_ns;	/* start of the current one */
	uint32_t used;
	uint32_t dropped;
};

struct leap_pollgroup {
	struct leap__pollgroup_head head;
	struct leap__world *world;
	uint64_t now_ns;		/* of this batch, while polling */
	bool polling;			/* inside leap_pollgroup_poll */
	bool armed;			/* arm held; the next poll disarms */
	struct leap_poller pollers;	/* ring, this is its head */
	struct leap_poller fresh;	/* ring: added since the last pass */
	struct leap_poller *cursor;	/* next to look at in this pass */
	struct leap__defer *defers;	/* oldest first */
	struct leap__defer **defers_tail;
	struct leap_timer *timers;	/* root of the heap */
	uint32_t timer_seq;
	uint32_t nr_timers;
	struct leap__msg *msgs;		/* taken, not yet run */
	uint64_t idle_since_ns;		/* leap_pollgroup_wait; 0 = busy */
	struct leap_pollgroup_opts opts;	/* defaults filled in */
	struct leap_pollgroup_stats stats;
	/* Freed at destroy before the world; set with head.dispatch. */
	void (*dispatch_free)(struct leap_pollgroup *pg);
	struct leap__pg_ext *exts;
	/* Protocol errors of peers. */
	struct leap__log_limit peer_limit;
	char name[32];
	pthread_t owner;

	/* Other threads write these. */
	_Alignas(64) struct leap__msgq msgq;
	leap_le32 need_wake;
	uint32_t senders;	/* other threads inside leap_pollgroup_send */
};

/* leap_pollgroup_now_ns without the call. Context: owner, hot path */
static inline uint64_t leap__pollgroup_now(const struct leap_pollgroup *pg)
{
	if (__builtin_expect(pg->polling, 1))
		return pg->now_ns;
	return leap_pollgroup_now_ns(pg);
}

/*
 * leap__pollgroup_hold, _release - while held, destroy says -EBUSY
 *
 * Context: owner
 */
static inline void leap__pollgroup_hold(struct leap_pollgroup *pg)
{
	pg->head.users++;
}

static inline void leap__pollgroup_release(struct leap_pollgroup *pg)
{
	pg->head.users--;
}

/* leap__pollgroup_opts - as created, defaults filled in. Context: any */
static inline const struct leap_pollgroup_opts *
leap__pollgroup_opts(const struct leap_pollgroup *pg)
{
	return &pg->opts;
}

/*
 * leap__pollgroup_ext - what was added by leap__pollgroup_add_ext with @key, or
 * NULL
 *
 * Context: owner
 */
struct leap__pg_ext *leap__pollgroup_ext(const struct leap_pollgroup *pg,
					 const void *key);
void leap__pollgroup_add_ext(struct leap_pollgroup *pg,
			     struct leap__pg_ext *ext);

/*
 * leap__pollgroup_defer - have @defer->run called once at the end of this poll,
 * or of the next when nobody polls now; no-op when it is queued
 *
 * Context: owner
 */
void leap__pollgroup_defer(struct leap_pollgroup *pg,
			   struct leap__defer *defer);

/* leap__pollgroup_undefer - no-op when not queued. Context: owner */
void leap__pollgroup_undefer(struct leap_pollgroup *pg,
			     struct leap__defer *defer);

/*
 * leap__pg_log - to the log sink of the group, if it has one; keeps errno
 *
 * Context: owner, never on the hot path
 */
void leap__pg_log(struct leap_pollgroup *pg, enum leap_log_level level,
		  const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * leap__pg_log_limited - as leap__pg_log, at most 10 lines per 5 s; says how
 * many were left out
 *
 * Context: owner, never on the hot path
 */
void leap__pg_log_limited(struct leap_pollgroup *pg,
			  struct leap__log_limit *limit,
			  enum leap_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* timer.c */

/* Deadline of the next timer, UINT64_MAX = none. */
uint64_t leap__timers_next(struct leap_pollgroup *pg);

/* Run what is due at pg->now_ns, up to @max (0 = no bound). */
int leap__timers_run(struct leap_pollgroup *pg, unsigned int max);

#endif
