/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lend.h - one controller behind registers, used from many threads and
 * processes
 *
 * A controller that is reached through its registers (an SSD, "vfio-user:",
 * "vdev://") belongs to one poll group. A lender owns it there, with its admin
 * queue and its events, and lends I/O queue pairs of it to borrowers: host ends
 * in other poll groups, of this process or of others. A borrower's rings and
 * payload lie in memory of its own, which the device reaches; the lender takes
 * no part in its commands.
 *
 *	leap_lender  --- admin queue ------------------------> device
 *	  | Unix socket                                        ^ ^
 *	  +-- "lent:/run/ssd.sock/NQN", leap_host, relay ------+ |  rings, DMA
 *	  +-- opts.lender, in another poll group ----------------+
 *
 * A borrower that goes away, however it does, is fenced: its queues are deleted
 * on the device and its memory is taken out of it before another borrower is
 * given a queue, so that no write of the old one lands after one of the new.
 *
 * A lent queue pair trusts the borrower with the whole device: commands of its
 * queues are not looked at, and may name every namespace and every memory that
 * the device reaches, this lender's too. Who must not have that is to be
 * served by a relay.
 *
 * All calls but leap_lender_connect are for the owner of the lender's poll
 * group.
 */
#ifndef LEAPIO_LEND_H
#define LEAPIO_LEND_H

#include <leapio/qp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_lender;
struct leap_vdev;

enum leap_lender_state {
	LEAP_LENDER_OPENING = 0,	/* borrowers wait */
	LEAP_LENDER_LIVE = 1,
	LEAP_LENDER_LOST = 2,	/* being reset or looked for again: borrowers
				 * were ended, and those that come wait */
	LEAP_LENDER_FAILED = 3,	/* gave up: destroy it */
};

struct leap_lender_opts {
	size_t size;
	const char *url;	/* of the device, as leap_qp_opts.url */
	struct leap_vdev *vdev;	/* vdev:// only; borrowed until destroyed */
	const char *hostnqn;	/* NULL = derived */
	/* Unix socket for borrowers; NULL = this process only. */
	const char *path;
	uint32_t mode;		/* of the socket; 0 = 0600 */
	uint32_t set_owner;	/* 1: the socket is to belong to uid, gid */
	uint32_t uid, gid;
	uint32_t max_queues;	/* I/O queues asked of the device; 0 = 64 */
	uint32_t max_borrowers;	/* at once; 0 = 64 */
	/* A borrower that breaks the protocol's rules is always ended. 1: its
	 * process, if it is another, is killed first and its exit awaited, as
	 * it is when leap_lender_evict says so. */
	uint32_t kill;
	uint32_t reconnect_ms;	/* a device that is lost; 0 = 100 */
	uint32_t loss_ms;	/* LEAP_LENDER_FAILED after; 0 = 30000 */
	/* Runs in poll whenever the state changes; may be NULL. */
	void (*changed)(struct leap_lender *lender,
			enum leap_lender_state state, int sys_errno, void *arg);
	void *arg;
	/* Memory that one borrower makes known to the device, which may lock
	 * all of it; 0 = as much as the machine has. */
	uint64_t max_map_bytes;
};

#define LEAP_LENDER_OPTS_INIT LEAP_OPTS_INIT(struct leap_lender_opts)

/**
 * leap_lender_create - own a device and lend queue pairs of it
 *
 * @out: the caller owns it (leap_lender_destroy)
 * Context: owner of @pg
 * Returns: 0 = under way; opts->changed tells the rest
 * Errors:  as leap_host_connect; of the socket as leap_listener_create
 */
LEAP_API int leap_lender_create(struct leap_pollgroup *pg,
				const struct leap_lender_opts *opts,
				struct leap_lender **out);

/**
 * leap_lender_destroy - end all borrowers, disable the device, free all
 *
 * Borrowers in this process see their connection end; they may be closed
 * before or after, but not connect any more.
 * @done: runs once, in poll; may be NULL. NULL as @lender is a no-op
 * Context: owner
 */
LEAP_API void leap_lender_destroy(struct leap_lender *lender,
				  void (*done)(void *arg), void *arg);

/**
 * leap_lender_connect - a connection for one borrower
 *
 * leap_qp_opts.lender and leap_host_opts.lender do this by themselves. To lend
 * to a process that cannot reach the socket, pass it the descriptor.
 * Context: any, before leap_lender_destroy
 * Returns: a descriptor, the caller's; -EMFILE, -ENOMEM
 */
LEAP_API int leap_lender_connect(struct leap_lender *lender);

/**
 * leap_lender_evict - take everything back from one borrower
 *
 * @kill: 1: a process that is another is killed first (pidfd) and its exit
 *        awaited. The device alone is enough to stop its writes
 * @done: runs once, in poll, when the device has nothing of it any more; may
 *        be NULL
 * Context: owner
 * Returns: 0
 * Errors:  -ENOENT no such borrower, -EBUSY it is being ended already
 */
LEAP_API int leap_lender_evict(struct leap_lender *lender, uint32_t id,
			       uint32_t kill, void (*done)(void *arg),
			       void *arg);

struct leap_lender_info {
	size_t size;
	uint32_t state;		/* enum leap_lender_state */
	uint32_t nr_borrowers;
	uint32_t nr_fencing;	/* that have gone and are not fenced yet */
	uint32_t max_queues;	/* that the device granted */
	uint32_t nr_queues;	/* that are lent */
	uint32_t nr_vectors;	/* MSI-X, of the device */
	uint32_t nr_maps;	/* memories of borrowers that it reaches */
	uint32_t shadow;	/* 1: doorbells are words in memory */
	uint64_t map_bytes;
	uint64_t ended;		/* borrowers that have gone */
	uint64_t killed;	/* processes */
	uint64_t refused;	/* admin commands that are not a borrower's */
	uint64_t doorbells;	/* that came as messages */
	uint64_t resets;	/* of the device, after it was live */
};

/* leap_lender_info - Context: owner. Returns: 0, -EINVAL */
LEAP_API int leap_lender_info(const struct leap_lender *lender,
			      struct leap_lender_info *info);

/* leap_lender_identify - Identify Controller data, borrowed until the next
 * poll; NULL while not live. Context: owner */
LEAP_API const struct leap_id_ctrl *
leap_lender_identify(const struct leap_lender *lender);

struct leap_borrower_info {
	size_t size;
	uint32_t id;		/* never used again */
	uint32_t nr_queues;
	int64_t pid;		/* 0 = not known; ours: this process */
	uint32_t nr_maps;
	uint32_t fencing;	/* 1: it has gone */
	uint64_t map_bytes;
	uint64_t commands;	/* admin */
};

/**
 * leap_lender_next - walk the borrowers
 *
 * @after: 0 for the first, else leap_borrower_info.id
 * Context: owner
 * Returns: 0 and @info, or -ENOENT at the end
 */
LEAP_API int leap_lender_next(const struct leap_lender *lender, uint32_t after,
			      struct leap_borrower_info *info);

#ifdef __cplusplus
}
#endif

#endif
