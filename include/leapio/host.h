/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - a controller that somebody else serves, used from here
 *
 * Connects the admin queue, enables the controller, identifies it, opens I/O
 * queues, keeps it alive, passes its events on, and brings everything back
 * after a lost connection, with the commands that were in flight.
 */
#ifndef LEAPIO_HOST_H
#define LEAPIO_HOST_H

#include <leapio/qp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_host;

enum leap_host_state {
	LEAP_HOST_CONNECTING = 0,
	LEAP_HOST_LIVE = 1,
	LEAP_HOST_RECONNECTING = 2,	/* requests wait */
	LEAP_HOST_FAILED = 3,	/* gave up; requests fail with path status */
};

struct leap_host_opts {
	size_t size;
	const char *url;	/* required; as leap_qp_opts.url */
	const char *hostnqn;	/* these two as leap_qp_opts has them */
	uint8_t hostid[16];
	uint32_t nr_io_queues;	/* 0 = none for discovery, else 1 */
	uint32_t depth;		/* of each I/O queue; 0 = 128 */
	uint32_t kato_ms;	/* 0 = 15000; UINT32_MAX = off */
	uint32_t flags;		/* LEAP_QP_* */
	uint32_t reconnect_ms;	/* wait between tries; 0 = 1000 */
	uint32_t loss_ms;	/* give up after; 0 = 600000; UINT32_MAX: at
				 * once, no reconnection. The first connection
				 * is tried once */
	struct leap_target *target;	/* loop:// only */
	/* State changes, in poll; @sys_errno and @status say why. */
	void (*state)(struct leap_host *host, enum leap_host_state state,
		      leap_status_t status, int sys_errno, void *arg);
	/* An asynchronous event, DW0 of the AER; the log has been read and
	 * the namespace table refreshed before. */
	void (*event)(struct leap_host *host, uint32_t dw0, void *arg);
	void *arg;
	struct leap_vdev *vdev;	/* vdev:// only */
	struct leap_lender *lender;	/* lent: only; borrowed until closed */
	uint32_t timeout_ms;	/* as leap_qp_opts.timeout_ms; what was out
				 * goes again on the next connection, but for
				 * what was out five times */
};

#define LEAP_HOST_OPTS_INIT LEAP_OPTS_INIT(struct leap_host_opts)

/**
 * leap_host_connect - start using a controller
 *
 * @out: the caller owns it (leap_host_close)
 * Context: owner
 * Returns: 0 = under way; opts->state tells the rest
 * Errors:  as leap_qp_connect
 */
LEAP_API int leap_host_connect(struct leap_pollgroup *pg,
			       const struct leap_host_opts *opts,
			       struct leap_host **out);

/**
 * leap_host_close - shut the controller down (CC.SHN) and free all
 *
 * Requests that wait or are in flight complete with path status first.
 * @closed: runs once, in poll; may be NULL. NULL @host is a no-op
 * Context: owner; not from a callback of a request of this host
 */
LEAP_API void leap_host_close(struct leap_host *host,
			      void (*closed)(void *arg), void *arg);

/* leap_host_state - where it stands. Context: owner */
LEAP_API enum leap_host_state leap_host_state(const struct leap_host *host);

/**
 * leap_host_nr_queues - I/O queues that the controller granted
 *
 * Never changes once live. When a reconnection is granted fewer, all of these
 * may be used as before and share the connections that there are; one that is
 * granted as many again ends that.
 * Context: owner
 */
LEAP_API uint32_t leap_host_nr_queues(const struct leap_host *host);

/**
 * leap_host_submit - queue commands on an I/O queue, or admin commands
 *
 * While reconnecting, requests are taken and wait. A request in flight when
 * the connection is lost is sent again on the new one; but one that could be
 * done twice by that (Zone Append, Copy, fused ones, what the library does not
 * know) ends with a path status.
 * @queue: 0 = admin, 1..leap_host_nr_queues()
 * Context: owner, hot path
 * Returns: number accepted, 0..n
 * Errors:  -EINVAL no such queue, more payload than MDTS, or as
 *          leap_qp_submit; -ENOTCONN not live yet, or failed for good
 */
LEAP_API int leap_host_submit(struct leap_host *host, uint32_t queue,
			      struct leap_req *const *reqs, unsigned int n);

/**
 * leap_host_submit_fused - queue two commands that are done as one
 *
 * As leap_qp_submit_fused. While reconnecting they wait; a pair in flight when
 * the connection is lost is not sent again, as what it compared with may be
 * overwritten: both end with a path status.
 * @queue: 1..leap_host_nr_queues()
 * Context: owner; allowed in callbacks
 * Returns: 1; 0 = no room for both
 * Errors:  as leap_host_submit
 */
LEAP_API int leap_host_submit_fused(struct leap_host *host, uint32_t queue,
				    struct leap_req *first,
				    struct leap_req *second);

/**
 * leap_host_submit_lists - as leap_qp_submit_lists, on an I/O queue
 *
 * A command in flight when the connection is lost ends with a path status.
 * @lists: what it points to is borrowed until @req is done
 * Context: owner; allowed in callbacks
 * Returns: 1; 0 = no room
 * Errors:  as leap_host_submit and leap_qp_submit_lists
 */
LEAP_API int leap_host_submit_lists(struct leap_host *host, uint32_t queue,
				    struct leap_req *req,
				    const struct leap_req_lists *lists);

/* leap_host_kick - as leap_qp_kick. Context: owner, hot path */
LEAP_API void leap_host_kick(struct leap_host *host, uint32_t queue);

struct leap_host_ns {
	size_t size;
	uint32_t nsid;
	uint32_t block_bytes;	/* 512 or 4096 usually */
	uint64_t nr_blocks;
	uint8_t uuid[16];	/* zeros = none */
	uint8_t nguid[16];
	uint8_t eui64[8];
	uint8_t dlfeat;		/* as in Identify Namespace */
	uint8_t nsattr;
	/* Of each block, beside its block_bytes: nothing here carries any. */
	uint16_t metadata_bytes;
	uint8_t metadata_inline;	/* 1: at the end of the block itself */
	uint8_t pi_type;	/* of protection information; 0 = none */
	uint8_t csi;		/* command set: 0 NVM, 2 zoned */
	uint8_t msrc;		/* limits of Copy, as in Identify Namespace */
	uint16_t mssrl;
	uint32_t mcl;
	/* Of csi 2; in blocks. */
	uint64_t zone_blocks;
	uint32_t max_active;	/* 0 = no limit */
	uint32_t max_open;	/* 0 = no limit */
	uint32_t append_bytes;	/* 0 = as all transfers */
	uint8_t read_across;	/* one read may lie in two zones */
	uint8_t variable_capacity;	/* ZOC: capacities may change */
	uint8_t format;		/* index of the LBA format */
	uint8_t open_channel;	/* says that it is such a drive (ocssd.h) */
};

/**
 * leap_host_ns_next - walk the active namespaces
 *
 * @after: 0 for the first
 * Context: owner
 * Returns: 0 and @ns, or -ENOENT at the end
 */
LEAP_API int leap_host_ns_next(const struct leap_host *host, uint32_t after,
			       struct leap_host_ns *ns);

/* leap_host_identify - Identify Controller data, 4096 bytes, borrowed until
 * the next reconnection. Context: owner */
LEAP_API const struct leap_id_ctrl *
leap_host_identify(const struct leap_host *host);

/* leap_host_identify_nvm - its limits of NVM commands (Identify CNS 06h);
 * zeroes where it has none to tell. Context: owner */
LEAP_API const struct leap_id_ctrl_nvm *
leap_host_identify_nvm(const struct leap_host *host);

struct leap_host_stats {
	size_t size;
	uint64_t reconnects;
	uint64_t redriven;	/* requests sent again */
	uint64_t events;
};

/* leap_host_stats - counters. Context: owner. Returns: 0, -EINVAL */
LEAP_API int leap_host_stats(const struct leap_host *host,
			     struct leap_host_stats *stats);

/**
 * leap_host_sync - one command, and poll @pg until it is done
 *
 * For set-up code and small programs. @req->done is not called.
 * @queue: as leap_host_submit
 * Context: owner, not from a callback
 * Returns: 0: see leap_req_status
 * Errors:  as leap_host_submit
 */
LEAP_API int leap_host_sync(struct leap_host *host, struct leap_pollgroup *pg,
			    uint32_t queue, struct leap_req *req);

#ifdef __cplusplus
}
#endif

#endif
