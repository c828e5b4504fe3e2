/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.h - a namespace, or a part of one, that somebody else serves
 *
 * A relay is a leaf of a block stack: what arrives at it is handed on, as
 * commands, to the host end of other queue pairs (tcp://, rdma://, shm:, lent:
 * and what else leap_qp_opts.url knows). Alone behind a namespace it passes a
 * guest's commands through: payload that the far end reaches is not copied, ids
 * are the relay's own, LBAs move into its window, ranges that lie in the
 * payload (Dataset Management) are copied, checked against the window and
 * rewritten, and what the far end answers is the answer.
 *
 *	relay:tcp://HOST:PORT/NQN[nsid=1,start=0,blocks=0,queues=1,depth=128]
 *
 * Each poll group that serves the namespace has queue pairs of its own to the
 * far end, so that N queue pairs of hosts go over M of the relay. While the far
 * end is lost, commands are held and sent again when it is back; once it has
 * been away for loss_ms they fail with a path error that a host may retry, and
 * so do later ones until it is back.
 */
#ifndef LEAPIO_RELAY_H
#define LEAPIO_RELAY_H

#include <leapio/bdev.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_target;

struct leap_relay_opts {
	size_t size;
	const char *url;	/* as leap_host_opts.url */
	const char *hostnqn;	/* NULL = derived */
	uint32_t nsid;		/* of the far end; 0 = 1 */
	uint32_t nr_queues;	/* of each poll group; 0 = 1 */
	uint64_t start_block;	/* window, in blocks of the far namespace */
	uint64_t nr_blocks;	/* 0 = to its end, and grows with it */
	uint32_t depth;		/* of each queue; 0 = 128 */
	uint32_t loss_ms;	/* how long commands are held; 0 = 30000 */
	uint32_t reconnect_ms;	/* between tries; 0 = 1000 */
	const char *above;	/* layers to put on top, as in "trace"; NULL */
	struct leap_target *target;	/* loop:// only */
};

#define LEAP_RELAY_OPTS_INIT LEAP_OPTS_INIT(struct leap_relay_opts)

/**
 * leap_relay_open - look at the far end, then open a stack over it
 *
 * leap_bdev_open of the text does the same and waits meanwhile, up to ten
 * seconds, so that the far end may not be served by the calling thread.
 * @opened: runs once, in poll: 0 and the stack, which is its receiver's; or
 *          -errno, with leap_last_error: -ENOENT no such namespace there,
 *          -EINVAL window outside of it, or what connecting answered
 * Context: owner of @pg
 * Returns: 0 = under way
 * Errors:  as leap_host_connect; @opened does not run
 */
LEAP_API int leap_relay_open(struct leap_pollgroup *pg,
			     const struct leap_relay_opts *opts,
			     void (*opened)(int err, struct leap_bdev *bdev,
					    void *arg),
			     void *arg);

struct leap_relay_info {
	size_t size;
	uint32_t groups_live;	/* poll groups whose far end answers */
	uint32_t reserved;
	uint64_t lost;		/* connections given up after loss_ms */
	uint64_t reconnects;	/* connections that came back */
	uint64_t held;		/* commands that had to wait */
	uint64_t split;		/* commands sent in several */
	uint64_t refused;	/* commands failed for a lost far end */
	uint64_t bounced;	/* commands whose payload was copied, as the far
				 * end does not reach it where it is */
};

/**
 * leap_relay_info - how the first relay in a stack does
 *
 * Leaves nvme: and ng: are relays, too.
 * Context: any
 * Returns: 0, -EINVAL, -ENOENT there is none in it
 */
LEAP_API int leap_relay_info(const struct leap_bdev *bdev,
			     struct leap_relay_info *info);

#ifdef __cplusplus
}
#endif

#endif
