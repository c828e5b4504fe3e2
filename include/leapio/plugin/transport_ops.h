/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugin/transport_ops.h - how to write a transport, and the controller end of
 * a queue pair
 *
 * A transport moves entries and payload across one kind of edge. Its host end
 * carries the commands of a leap_qp out; its controller end is a leap_vqp,
 * which brings commands in and hands each, copied and bounded, to whoever
 * stands behind it: a controller or a relay (the handler).
 *
 * The life of a command at a controller end:
 *
 *	leap_cmd_get -> fill sqe -> leap_vqp_deliver -> handler->execute
 *	  handler: leap_cmd_pull(len, ready)     payload in, or room for it
 *	           ... works with cmd->pieces ...
 *	           leap_cmd_complete(status)     payload out, completion entry
 *	transport: ops->complete, then leap_cmd_put when nothing of it is left
 *
 * Pushing payload is part of completing: on every transport the data goes out
 * right before the completion, in the same send, post or doorbell, and a
 * command that fails sends none.
 *
 * A vqp whose connection is gone is dead: it delivers nothing more, and stays
 * in memory until the last of its commands has come back from below. Those
 * commands are orphans; complete() is still called for them, and only frees.
 */
#ifndef LEAPIO_PLUGIN_TRANSPORT_OPS_H
#define LEAPIO_PLUGIN_TRANSPORT_OPS_H

#include <leapio/ats.h>
#include <leapio/pollgroup.h>
#include <leapio/qp.h>
#include <leapio/target.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_vqp;
struct leap_cmd;
struct leap_transport_ops;

#define LEAP_CMD_INLINE_PIECES 4

/* A predecessor may have executed it already. */
#define LEAP_CMD_AGAIN	1u

/*
 * A command that has arrived. Owned by the pool of its poll group; the handler
 * has it from execute to leap_cmd_complete.
 */
struct leap_cmd {
	struct leap_sqe sqe;	/* private copy; never changes */
	struct leap_vqp *vqp;
	/* Payload, from ready(success) to leap_cmd_complete. */
	struct leap_piece *pieces;
	uint32_t nr_pieces;
	uint32_t data_bytes;	/* as asked by leap_cmd_pull */
	void (*ready)(struct leap_cmd *cmd, leap_status_t status);
	uint64_t result;	/* DW0/DW1 of the completion */
	leap_status_t status;	/* set by leap_cmd_complete */
	uint16_t sqhd;		/* transport's: to report */
	uint32_t tag;		/* slot in the pool, stable */
	uint32_t state;		/* dispatcher's */
	uint32_t flags;		/* LEAP_CMD_* */
	struct leap_cmd *link[2];	/* of whoever has it now */
	void *owner;		/* handler's */
	uint64_t owner_priv[8];	/* handler's */
	struct leap_pins pins;	/* transports over an ats */
	uint64_t priv[8];	/* transport's */
	struct leap_piece inline_pieces[LEAP_CMD_INLINE_PIECES];
};

/* Who stands behind a controller end. Called on the vqp's thread, in poll. */
struct leap_vqp_handler {
	size_t size;
	/* A command arrived. The handler completes it once, now or later. */
	void (*execute)(struct leap_vqp *vqp, struct leap_cmd *cmd);
	/* The connection is gone; @err says why (0 = closed in order).
	 * Commands that the handler still has stay its own. */
	void (*lost)(struct leap_vqp *vqp, int err);
	/* The last command came back after lost; the vqp goes away now. */
	void (*gone)(struct leap_vqp *vqp);
};

/* Base of a transport's controller end; embed it first. */
struct leap_vqp {
	const struct leap_transport_ops *ops;
	struct leap_pollgroup *pg;
	const struct leap_vqp_handler *handler;
	void *handler_priv;
	struct leap_listener *listener;	/* that accepted it, or NULL */
	uint32_t nr_cmds;	/* with handler or transport */
	uint16_t qid;		/* set at Connect */
	uint16_t depth;		/* set at Connect: SQSIZE + 1 */
	uint8_t dead;
	uint8_t sq_flow_off;	/* set at Connect: CATTR bit 2 accepted */
	uint8_t starved;	/* dispatcher's: found the pool empty */
	uint8_t connected;	/* set at Connect: past it */
	uint32_t max_data_bytes;	/* what leap_cmd_pull may ask for */
	struct leap_vqp *link[2];	/* handler's list */
	struct leap_vqp *starved_link;
	char peer[64];		/* "127.0.0.1:51234", "pid 77" */
};

/* Base of a transport's host end; embed it first. */
struct leap_qp {
	const struct leap_transport_ops *ops;
	struct leap_pollgroup *pg;
	struct leap_qp_opts opts;	/* strings copied */
	uint16_t cntlid;
	uint8_t state;		/* dispatcher's */
	uint8_t reserved;
	uint32_t depth;
	uint32_t in_flight;
	uint32_t max_data_bytes;
	uint32_t flags;		/* LEAP_QP_* in force */
	uint64_t submitted;
	uint64_t completed;
	void *core;		/* dispatcher's */
	uint64_t bounced;	/* transports count: payload that was copied
				 * because the far side cannot reach it */
	uint64_t *bounced_all;	/* dispatcher's: atomic, or NULL */
};

struct leap_transport_ops {
	size_t size;
	const char *name;	/* scheme of its URLs */
	uint8_t trtype;		/* discovery log; 0 = not listed */
	uint32_t qp_bytes;	/* of the struct that embeds leap_qp, zeroed */
	uint32_t listener_bytes;	/* private memory of a listener,
					 * zeroed */

	/*
	 * Host end. @address is the URL without scheme and NQN. connect starts
	 * the transport's own hand-shake and ends in leap_qp_transport_up or
	 * leap_qp_transport_down, later, in poll. The dispatcher then sends the
	 * Connect command through submit. submit fills DPTR and CID of each
	 * request and takes 0..n of them; the answer comes by leap_qp_complete.
	 * A batch that begins with a first fused command has the second behind
	 * it: both are taken, next to each other and told at once, or none.
	 * lib[1] of a request is its payload in bytes, lib[0] the transport's.
	 * close ends everything, returns every request by leap_qp_complete and
	 * then calls leap_qp_closed, in a later poll.
	 */
	int (*qp_connect)(struct leap_qp *qp, const char *address);
	int (*qp_submit)(struct leap_qp *qp, struct leap_req *const *reqs,
			 unsigned int n);
	void (*qp_kick)(struct leap_qp *qp);
	void (*qp_close)(struct leap_qp *qp);

	/*
	 * Controller end; listen is NULL where only hosts go. It starts
	 * accepting; every connection becomes a vqp by leap_vqp_init and
	 * leap_listener_accepted. @bound is the address for
	 * leap_listener_url.
	 */
	int (*listen)(struct leap_listener *listener, const char *address,
		      char *bound, size_t bound_max);
	void (*unlisten)(struct leap_listener *listener);
	/*
	 * Make cmd->pieces the payload: for a command that sends data, filled;
	 * for one that receives, room for it. Answer by leap_cmd_ready, now or
	 * later. @len_bytes has been checked against max_data_bytes and is not
	 * 0; whether it agrees with DPTR is for the transport to check.
	 */
	void (*cmd_pull)(struct leap_cmd *cmd, uint32_t len_bytes);
	/* Send payload (success and a receiving command) and completion; free
	 * what the command held; leap_cmd_put now or later. vqp may be dead. */
	void (*cmd_complete)(struct leap_cmd *cmd);
	/* A command or buffer pool has room again: deliver what waits. */
	void (*vqp_resume)(struct leap_vqp *vqp);
	/* Move to another poll group: detach on the old thread (no commands
	 * out but Connect), attach on the new one; vqp->pg set between. */
	void (*vqp_detach)(struct leap_vqp *vqp);
	int (*vqp_attach)(struct leap_vqp *vqp);
	/* End the connection after what has been completed is sent; then
	 * leap_vqp_lost. */
	void (*vqp_close)(struct leap_vqp *vqp);
	/* The last command is back and lost was told: free it. */
	void (*vqp_destroy)(struct leap_vqp *vqp);
	/* Optional. 1 when the peer has closed its side, whatever is still
	 * unread: such a vqp is ended without executing the rest. After
	 * vqp_close nothing more may be delivered, in any case. */
	int (*vqp_peer_closed)(struct leap_vqp *vqp);
	/* Optional. "HOST:PORT" or "[HOST]:PORT" of our end, for the discovery
	 * log of a wildcard listener. 0, or negative errno. */
	int (*vqp_local)(struct leap_vqp *vqp, char *text, size_t max);
	/* Optional. A host end's command with more than one address: put the
	 * lists where the controller reads them, and submit. 1, 0, -ENOTCONN */
	int (*qp_submit_lists)(struct leap_qp *qp, struct leap_req *req,
			       const struct leap_req_lists *lists);
};

/* leap_qp_transport_up - Connect may be sent now. Context: owner */
LEAP_API void leap_qp_transport_up(struct leap_qp *qp);

/* leap_qp_transport_down - could not connect, or connection lost; every request
 * must have been completed. Context: owner */
LEAP_API void leap_qp_transport_down(struct leap_qp *qp, int sys_errno);

/* leap_qp_closed - after ops->qp_close: free it. Context: owner */
LEAP_API void leap_qp_closed(struct leap_qp *qp);

/**
 * leap_qp_complete - a request has ended; req->cqe is set
 *
 * Runs req->done: call it from poll only. Context: owner, hot path
 */
LEAP_API void leap_qp_complete(struct leap_qp *qp, struct leap_req *req);

/* leap_qp_fail - the same with a path status made from @sys_errno (host
 * aborted: -ECANCELED). Context: owner */
LEAP_API void leap_qp_fail(struct leap_qp *qp, struct leap_req *req,
			   int sys_errno);

/* leap_vqp_init - set up the base: ops, pg, listener; the transport has filled
 * max_data_bytes and peer. Context: owner */
LEAP_API void leap_vqp_init(struct leap_vqp *vqp,
			    const struct leap_transport_ops *ops,
			    struct leap_pollgroup *pg,
			    struct leap_listener *listener);

/* leap_listener_room - before anything is made for a connection that is asked
 * for: 0, or -EBUSY: leap_listener_accepted would refuse it. Context: owner */
LEAP_API int leap_listener_room(const struct leap_listener *listener);

/* leap_listener_accepted - a new vqp awaits its Connect command. 0, or -errno:
 * the target refuses, destroy it. Context: owner */
LEAP_API int leap_listener_accepted(struct leap_listener *listener,
				    struct leap_vqp *vqp);

/* leap_listener_priv - its listener_bytes. Context: owner */
LEAP_API void *leap_listener_priv(struct leap_listener *listener);

/* leap_listener_pollgroup - home of its target. Context: any */
LEAP_API struct leap_pollgroup *
leap_listener_pollgroup(const struct leap_listener *listener);

/* leap_listener_subsystem - the one that its URL names, NULL = none. Context:
 * owner */
LEAP_API struct leap_subsystem *
leap_listener_subsystem(const struct leap_listener *listener);

/* leap_listener_opts - borrowed. Context: owner */
LEAP_API const struct leap_listener_opts *
leap_listener_opts(const struct leap_listener *listener);

/* leap_listener_target_opts - of its target, defaults filled in; borrowed.
 * Context: owner */
LEAP_API const struct leap_target_opts *
leap_listener_target_opts(const struct leap_listener *listener);

/**
 * leap_cmd_get - a command slot, or NULL: pool empty or this vqp has its share
 * of it; wait for vqp_resume
 *
 * Context: owner, hot path
 */
LEAP_API struct leap_cmd *leap_cmd_get(struct leap_vqp *vqp);

/* leap_vqp_deliver - cmd->sqe is filled; runs the handler. Context: owner, hot
 * path */
LEAP_API void leap_vqp_deliver(struct leap_vqp *vqp, struct leap_cmd *cmd);

/**
 * leap_cmd_pull - the handler wants the payload, or room for it
 *
 * @len_bytes: what the command means; 0 is ready at once without pieces. More
 *             than max_data_bytes, or in disagreement with the descriptor:
 *             @ready gets the status for the host
 * @ready:     runs once, perhaps before this returns; not at all if the vqp
 *             dies first while the payload is on its way (then the command has
 *             been freed)
 * Context: owner, hot path
 */
LEAP_API void leap_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes,
			    void (*ready)(struct leap_cmd *cmd,
					  leap_status_t status));

/* leap_cmd_ready - the transport's answer to cmd_pull. Context: owner, hot
 * path */
LEAP_API void leap_cmd_ready(struct leap_cmd *cmd, leap_status_t status);

/**
 * leap_cmd_complete - the handler is done; cmd->result is set
 *
 * Context: owner, hot path
 */
LEAP_API void leap_cmd_complete(struct leap_cmd *cmd, leap_status_t status);

/* leap_cmd_put - the transport is done with it. Context: owner, hot path */
LEAP_API void leap_cmd_put(struct leap_cmd *cmd);

/**
 * leap_vqp_lost - the connection is gone
 *
 * Commands that wait for payload (between cmd_pull and leap_cmd_ready) are the
 * transport's: it has put them, or will as soon as nobody moves their bytes any
 * more, and they are never ready. Destroys the vqp now or when the last of its
 * commands is back.
 * @err: 0 closed in order, else negative errno
 * Context: owner
 */
LEAP_API void leap_vqp_lost(struct leap_vqp *vqp, int err);

/* leap_vqp_close - ask the transport to end the connection. Context: owner */
LEAP_API void leap_vqp_close(struct leap_vqp *vqp);

/* Payload buffers of a poll group (buf_bytes each), for transports whose
 * payload is a message. NULL = none free: wait for vqp_resume, after
 * leap_vqp_starved. Context: owner, hot path */
LEAP_API void *leap_pollgroup_buf_get(struct leap_pollgroup *pg);
LEAP_API void leap_pollgroup_buf_put(struct leap_pollgroup *pg, void *buf);
LEAP_API uint32_t leap_pollgroup_buf_bytes(const struct leap_pollgroup *pg);

/* leap_vqp_starved - call vqp_resume when a command or buffer comes back.
 * Context: owner */
LEAP_API void leap_vqp_starved(struct leap_vqp *vqp);

#ifdef __cplusplus
}
#endif

#endif
