/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pollgroup.h - the unit of polling, owned by one thread
 *
 * Everything that moves, moves because the thread that created a poll group
 * polls it. Busy: call leap_pollgroup_poll() in a loop. Idle: arm it and sleep
 * on its one file descriptor, in any event loop. Or let leap_pollgroup_wait()
 * do both adaptively. The library has no threads of its own.
 *
 *	for (;;) {
 *		if (leap_pollgroup_poll(pg, 0) > 0)
 *			continue;
 *		if (leap_pollgroup_arm(pg))	// work came meanwhile
 *			continue;
 *		poll({ leap_pollgroup_fd(pg), POLLIN }, ...);
 *	}
 */
#ifndef LEAPIO_POLLGROUP_H
#define LEAPIO_POLLGROUP_H

#include <leapio/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_pollgroup;
struct leap_sim;

enum leap_log_level {
	LEAP_LOG_ERROR = 0,
	LEAP_LOG_WARN = 1,
	LEAP_LOG_INFO = 2,
	LEAP_LOG_DEBUG = 3,
};

/* How a poll group reaches files and sockets. */
enum leap_world_kind {
	LEAP_WORLD_AUTO = 0,	/* uring when the kernel has it, else epoll */
	LEAP_WORLD_EPOLL = 1,	/* sockets by readiness, files synchronously */
	LEAP_WORLD_URING = 2,	/* sockets by readiness, files by io_uring */
	LEAP_WORLD_SIM = 3,	/* the simulator given in opts.sim */
};

struct leap_pollgroup_opts {
	size_t size;
	const char *name;	/* copied; NULL = "pg" */
	uint32_t world;		/* enum leap_world_kind */
	/* Of a pool, no queue pair takes more than it leaves to the others;
	 * from 64 commands on, a quarter is kept for those with few, and one
	 * more for each of up to 4096 queue pairs that has none. */
	uint32_t nr_cmds;	/* commands served at once;
				 * 0 = 1024, <= 65535 */
	uint32_t nr_bufs;	/* payload buffers; 0 = 256 */
	uint32_t buf_bytes;	/* size of one; 0 = 131072, multiple of 4096 */
	int64_t spin_ns;	/* leap_pollgroup_wait: how long to poll without
				 * work before sleeping; 0 = 50000,
				 * INT64_MAX = never sleep, -1 = at once */
	struct leap_sim *sim;	/* LEAP_WORLD_SIM; borrowed */
	/* Called on the owner's thread; @text without newline, borrowed. */
	void (*log)(void *log_arg, enum leap_log_level level, const char *text);
	void *log_arg;
	/* 1: payload buffers are a dmabuf. A stack that passes commands on to a
	 * drive, or to another process, then passes them on where they are, and
	 * shows the far side all of them; 0: it copies. */
	uint32_t share_bufs;
	uint32_t reserved;
};

#define LEAP_POLLGROUP_OPTS_INIT LEAP_OPTS_INIT(struct leap_pollgroup_opts)

/**
 * leap_pollgroup_create - a poll group of the calling thread
 *
 * Context: any; the caller's thread becomes the owner
 * Returns: 0
 * Errors:  -EINVAL, -ENOMEM, -ENOSYS world not to be had here, -EMFILE
 */
LEAP_API int leap_pollgroup_create(const struct leap_pollgroup_opts *opts,
				   struct leap_pollgroup **out);

/**
 * leap_pollgroup_destroy - free it; NULL is a no-op
 *
 * Context: owner, not from a callback
 * Returns: 0, or -EBUSY while queue pairs, listeners, targets or timers use it
 */
LEAP_API int leap_pollgroup_destroy(struct leap_pollgroup *pg);

/**
 * leap_pollgroup_poll - do what is there to do, without sleeping
 *
 * Callbacks run from here and from nowhere else.
 * @max: soft bound on events handled in this call; 0 = no bound of the caller's
 * Context: owner, not from a callback
 * Returns: number of events handled, 0 = nothing was there
 */
LEAP_API int leap_pollgroup_poll(struct leap_pollgroup *pg, unsigned int max);

/**
 * leap_pollgroup_fd - readable when an armed poll group should be polled
 *
 * Borrowed; the same for the life of the group.
 * Context: any
 */
LEAP_API int leap_pollgroup_fd(const struct leap_pollgroup *pg);

/**
 * leap_pollgroup_arm - get ready to sleep on the fd
 *
 * Tells every source to wake us, then looks once more at each, so that no
 * wake-up is lost; arms the fd for the next timer as well. The next poll
 * disarms.
 * Context: owner, not from a callback
 * Returns: 0 sleep now; 1 there is work, poll instead
 */
LEAP_API int leap_pollgroup_arm(struct leap_pollgroup *pg);

/**
 * leap_pollgroup_wait - poll once; when idle for spin_ns, sleep till something
 * happens or @timeout_ns is over
 *
 * @timeout_ns: < 0 = no timeout
 * Context: owner, not from a callback
 * Returns: number of events handled; 0 = none: time is over, a signal ended the
 *          sleep, or it spun without work
 * Errors:  those of the sleep's system call, none in practice
 */
LEAP_API int leap_pollgroup_wait(struct leap_pollgroup *pg, int64_t timeout_ns);

/**
 * leap_pollgroup_now_ns - monotonic time, read once a batch; virtual in a
 * simulator
 *
 * Context: owner, hot path
 */
LEAP_API uint64_t leap_pollgroup_now_ns(const struct leap_pollgroup *pg);

/*
 * Messages: how another thread asks for something. Caller-owned memory, in use
 * from send until @run begins.
 */
struct leap_msg {
	void (*run)(struct leap_msg *msg);	/* on the owner's thread */
	struct leap_msg *next;			/* library's */
};

/**
 * leap_pollgroup_send - have @msg->run called by the owner of @pg
 *
 * Messages of one sender arrive in order. Wakes a sleeping group.
 * Context: any, hot path
 */
LEAP_API void leap_pollgroup_send(struct leap_pollgroup *pg,
				  struct leap_msg *msg);

/* Timers: caller-owned memory; zero it, set @run, start it. */
struct leap_timer {
	void (*run)(struct leap_timer *timer);
	uint64_t at_ns;			/* library's from here on */
	uint64_t key_ns;
	struct leap_timer *link[3];
	uint32_t armed;
	uint32_t at_seq;
	uint32_t key_seq;
	uint32_t reserved;
};

/**
 * leap_timer_start - run once, @delay_ns from now; restarts a running timer
 *
 * Context: owner
 */
LEAP_API void leap_timer_start(struct leap_pollgroup *pg,
			       struct leap_timer *timer, uint64_t delay_ns);

/* leap_timer_stop - no-op when it is not running. Context: owner */
LEAP_API void leap_timer_stop(struct leap_pollgroup *pg,
			      struct leap_timer *timer);

/*
 * Pollers: sources without a file descriptor, looked at in every poll.
 * Caller-owned memory, in use until leap_pollgroup_del_poller.
 */
struct leap_poller {
	/* Handle up to @budget events; returns how many. */
	int (*poll)(struct leap_poller *poller, unsigned int budget);
	/* About to sleep: ask to be woken; 1 when there is work after all.
	 * NULL = nothing to do, never has work that poll would not see. */
	int (*arm)(struct leap_poller *poller);
	struct leap_poller *link[2];	/* library's */
};

/* leap_pollgroup_add_poller - from the next poll on. Context: owner */
LEAP_API void leap_pollgroup_add_poller(struct leap_pollgroup *pg,
					struct leap_poller *poller);

/* leap_pollgroup_del_poller - safe from any callback. Context: owner */
LEAP_API void leap_pollgroup_del_poller(struct leap_pollgroup *pg,
					struct leap_poller *poller);

struct leap_pollgroup_stats {
	size_t size;
	uint64_t polls;
	uint64_t events;
	uint64_t sleeps;	/* by leap_pollgroup_wait, or arm that held */
	uint64_t wakeups;	/* sleeps that ended with work or a timer */
	uint64_t syscalls;	/* made by the world of this group */
	uint64_t cmds_in_use;
	uint64_t bufs_in_use;
	uint64_t pool_empty;	/* times a pool was found empty */
	uint64_t bounced;	/* I/O commands of host ends whose payload was
				 * copied, as the far side does not reach it */
};

/**
 * leap_pollgroup_stats - counters; @stats->size set by the caller
 *
 * Context: owner
 * Returns: 0, -EINVAL
 */
LEAP_API int leap_pollgroup_stats(const struct leap_pollgroup *pg,
				  struct leap_pollgroup_stats *stats);

/* leap_pollgroup_world - what it got, enum leap_world_kind. Context: any */
LEAP_API int leap_pollgroup_world(const struct leap_pollgroup *pg);

#ifdef __cplusplus
}
#endif

#endif
