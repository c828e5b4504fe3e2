/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qp.h - the host end of a queue pair, and the commands sent through it
 *
 * A leap_qp submits NVMe commands to a controller that somebody else serves: a
 * target over TCP or shared memory, an SSD, or a controller in this process.
 * One leap_qp is one submission and one completion queue. For a whole
 * controller with its admin queue, keep-alive and reconnection see host.h.
 */
#ifndef LEAPIO_QP_H
#define LEAPIO_QP_H

#include <leapio/endian.h>
#include <leapio/mem.h>
#include <leapio/nvme.h>
#include <leapio/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_lender;
struct leap_pollgroup;
struct leap_qp;
struct leap_target;
struct leap_vdev;

/*
 * One command. Caller-owned, 128 bytes; borrowed by the queue pair from an
 * accepted submit until @done begins.
 */
struct leap_req {
	struct leap_sqe sqe;		/* caller fills all but CID and DPTR */
	struct leap_cqe cqe;		/* out: completion, wire byte order */
	/*
	 * Runs exactly once for an accepted request, only inside
	 * leap_pollgroup_poll/wait, on the owner's thread, never inside
	 * submit. May submit, may reuse or free its request; may not destroy
	 * the queue pair or poll.
	 */
	void (*done)(struct leap_req *req);
	const struct leap_piece *pieces;	/* payload, direct; borrowed */
	uint32_t nr_pieces;
	int32_t sys_errno;		/* out: why a path error; else 0 */
	uint64_t lib[3];		/* library's */
};

LEAP_STATIC_ASSERT(sizeof(struct leap_req) == 128);

/**
 * leap_req_status - how a completed request ended
 *
 * Context: any, hot path
 */
static inline leap_status_t leap_req_status(const struct leap_req *req)
{
	return (leap_status_t)(leap_from_le16(req->cqe.status) >> 1);
}

/* leap_req_result - DW0 and DW1 of the completion. Context: any, hot path */
static inline uint64_t leap_req_result(const struct leap_req *req)
{
	return leap_from_le64(req->cqe.result);
}

struct leap_qp_opts {
	size_t size;
	/*
	 * Where to: "tcp://127.0.0.1:4420/NQN", "tcp://[::1]:4420/NQN",
	 * "rdma://192.0.2.1:4420/NQN", "shm:/run/leap.sock/NQN",
	 * "vfio-user:/run/drive.sock/NQN", "pcie:0000:01:00.0/NQN" (see pci.h;
	 * without an IOMMU "pcie:0000:01:00.0?noiommu=1/NQN"),
	 * "loop://NAME/NQN", "vdev://NAME/NQN", "lent:/run/ssd.sock/NQN". The
	 * subsystem NQN is what follows the last slash.
	 *
	 * vfio-user, pcie, vdev and lent (lend.h) reach a controller behind
	 * registers, as a guest does. It has one host and belongs, with all its
	 * queues, to the poll group of its admin queue; PRPs carry no length,
	 * so that a command that moves more than its payload has is the
	 * caller's error.
	 */
	const char *url;
	const char *hostnqn;	/* NULL = derived from hostid */
	uint8_t hostid[16];	/* zeros = a random one, the same for all of
				 * the poll group */
	uint16_t qid;		/* 0 = admin */
	uint16_t cntlid;	/* I/O queues: of the admin Connect; admin: 0 =
				 * FFFFh (any) */
	uint32_t depth;		/* entries, one-based; 0 = 32 admin, 128 I/O */
	uint32_t kato_ms;	/* admin queue; keep alive timeout, 0 = off */
	uint32_t flags;		/* LEAP_QP_* */
	uint32_t connect_timeout_ms;	/* 0 = 10000 */
	struct leap_target *target;	/* loop:// only; borrowed */
	/*
	 * Runs once, in poll: @status of the Connect command, or a path status
	 * and @sys_errno. The queue pair may be used from here on. Behind
	 * registers, leap_last_error says more of a path status, here and in
	 * lost.
	 */
	void (*connected)(struct leap_qp *qp, leap_status_t status,
			  int sys_errno, void *arg);
	/*
	 * Runs at most once, in poll, after connected: the connection is gone.
	 * All requests have completed with path status before. Close it.
	 */
	void (*lost)(struct leap_qp *qp, int sys_errno, void *arg);
	void *arg;
	/*
	 * Transports with capsules: the payload that an I/O command may carry
	 * in its capsule, IOCCSZ x 16 - 64 of Identify Controller; 0 = none.
	 * Admin and fabrics commands carry up to 8192 bytes where the
	 * transport's standard lets them.
	 */
	uint32_t inline_bytes;
	struct leap_vdev *vdev;	/* vdev:// only; borrowed until closed */
	/* lent: only, in place of a socket; borrowed until connected. The
	 * address is a name: "lent://NAME/NQN" */
	struct leap_lender *lender;
	/*
	 * Behind registers; the admin queue's holds for all of its controller:
	 * a command that is out for so long is aborted, and if that does not
	 * help the controller is reset, which ends its queue pairs. 0 = 30000,
	 * UINT32_MAX = never. Admin commands have twice that, those that may
	 * take minutes twenty times. Events have no limit.
	 */
	uint32_t timeout_ms;
};

#define LEAP_QP_OPTS_INIT LEAP_OPTS_INIT(struct leap_qp_opts)

#define LEAP_QP_HEADER_DIGEST	1u	/* tcp: ask for header digests */
#define LEAP_QP_DATA_DIGEST	2u	/* tcp: ask for data digests */
#define LEAP_QP_NO_SQ_FLOW	4u	/* ask for SQ flow control disable */
#define LEAP_QP_PRP		8u	/* behind registers: payload by PRPs,
					 * even where it takes SGLs */

/**
 * leap_qp_connect - open a transport connection and send Connect
 *
 * @out: the caller owns it (leap_qp_close), also when connecting fails later
 * Context: owner
 * Returns: 0 = under way, opts->connected will run
 * Errors:  -EINVAL bad URL, NQN or depth, -EPROTONOSUPPORT no such transport in
 *          this build, -ENOMEM; no callback after an error
 */
LEAP_API int leap_qp_connect(struct leap_pollgroup *pg,
			     const struct leap_qp_opts *opts,
			     struct leap_qp **out);

/**
 * leap_qp_submit - queue commands
 *
 * Accepted requests are on their way no later than the next poll, or at once
 * by leap_qp_kick.
 * Context: owner, hot path; allowed in callbacks
 * Returns: number accepted, 0..n; fewer than @n = the ring is full, poll and
 *          submit the rest again
 * Errors:  -ENOTCONN connection lost or not there yet, -EINVAL payload longer
 *          than the transport can carry, or a piece that is not direct. Nothing
 *          was accepted
 */
LEAP_API int leap_qp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
			    unsigned int n);

/**
 * leap_qp_submit_fused - queue two commands that are done as one
 *
 * They lie next to each other in the queue, and FUSE is set here. The one fused
 * operation there is: Compare, then Write, of the same range. Each gets its
 * answer; if one fails, both do.
 * Context: owner; allowed in callbacks
 * Returns: 1; 0 = no room for both, poll and try again
 * Errors:  as leap_qp_submit
 * Spec:    NVMe Base 2.0 s6.2
 */
LEAP_API int leap_qp_submit_fused(struct leap_qp *qp, struct leap_req *first,
				  struct leap_req *second);

/* Addresses that a command of an open-channel drive has (ocssd.h). */
struct leap_req_lists {
	const uint64_t *at;	/* [nr] */
	const uint64_t *to;	/* of a copy, or NULL */
	uint32_t nr;		/* 1 to 64 */
	uint32_t reserved;
};

/**
 * leap_qp_submit_lists - queue a command that names many addresses
 *
 * One address lies in the command, in CDW10 and 11 (of a copy's target, 14 and
 * 15); more in a list that is copied to where the drive reads it, which only a
 * queue pair behind registers has. Fills these dwords, and the count in CDW12.
 * @lists: copied
 * Context: owner; allowed in callbacks
 * Returns: 1; 0 = no room, poll and try again
 * Errors:  as leap_qp_submit; -EINVAL also a bad count; -EOPNOTSUPP no lists
 *          over this transport
 */
LEAP_API int leap_qp_submit_lists(struct leap_qp *qp, struct leap_req *req,
				  const struct leap_req_lists *lists);

/**
 * leap_qp_kick - ring the doorbell for what has been submitted
 *
 * Context: owner, hot path
 */
LEAP_API void leap_qp_kick(struct leap_qp *qp);

/**
 * leap_qp_close - end the connection and free the queue pair
 *
 * Outstanding requests complete with path status 3/71 (aborted by host) in a
 * later poll, then @closed, which may be NULL, runs, once, and @qp is gone.
 * NULL @qp is a no-op.
 * Context: owner; allowed in callbacks of other objects and in lost
 */
LEAP_API void leap_qp_close(struct leap_qp *qp, void (*closed)(void *arg),
			    void *arg);

struct leap_qp_info {
	size_t size;
	uint16_t qid;
	uint16_t cntlid;	/* from the Connect response */
	uint32_t depth;		/* usable entries at once */
	uint32_t in_flight;
	uint32_t flags;		/* LEAP_QP_* in force */
	uint32_t max_data_bytes;	/* of one command by this transport */
	uint64_t submitted;
	uint64_t completed;
	uint64_t bounced;	/* commands whose payload was copied, as the far
				 * side does not reach it */
};

/* leap_qp_info - what it is and does. Context: owner. Returns: 0, -EINVAL */
LEAP_API int leap_qp_info(const struct leap_qp *qp, struct leap_qp_info *info);

#ifdef __cplusplus
}
#endif

#endif
