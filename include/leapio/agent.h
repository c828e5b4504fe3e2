/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent.h - a controller in two processes: who owns it, and who serves it
 *
 * The agent owns what a guest must not lose: the hypervisor's socket, the
 * guest's memory, interrupts, the whole PCI function, admin queue and the
 * record of commands in flight. A runtime borrows the I/O queues and serves
 * them with its stacks. It may be killed, upgraded or hang: the guest waits,
 * and the next runtime continues where it was.
 *
 *	agent:    leap_target + subsystems without namespaces + leap_vdevs
 *	             | Unix socket: link messages (link.h) with descriptors
 *	runtime:  leap_target + subsystems of the same NQNs with namespaces
 *
 * No successful fence, no failover: before another runtime gets anything, and
 * before a reset or an unmap is answered while a runtime does not respond, the
 * old one is killed by its pidfd, and its exit and the release of the locks of
 * its files are awaited. Those files the agent must be able to open for
 * reading, at the paths that they have in the runtime.
 *
 * All calls are for the owner of the target's home poll group, and all
 * callbacks run there, in poll.
 */
#ifndef LEAPIO_AGENT_H
#define LEAPIO_AGENT_H

#include <leapio/target.h>
#include <leapio/vdev.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the agent ---- */

struct leap_agent;

enum leap_agent_state {
	LEAP_AGENT_NONE = 0,	/* no runtime: guests wait */
	LEAP_AGENT_STARTING = 1,	/* one opens its stacks,
					 * gets the queues */
	LEAP_AGENT_SERVED = 2,
	LEAP_AGENT_HANDOFF = 3,	/* the old one drains */
	LEAP_AGENT_FENCING = 4,	/* the old one must be gone first */
	LEAP_AGENT_UNFENCED = 5,	/* it is not, and time is up: trying */
};

struct leap_agent_opts {
	size_t size;
	const char *path;	/* Unix socket on which runtimes attach */
	uint32_t mode;		/* of the socket; 0 = 0600 */
	/* How long a reset or an unmap may wait for a runtime and its fence.
	 * After that it is answered with an error, the controller shows CFS,
	 * its memory is kept, and the fence is tried further. 0 = 2000 */
	uint32_t fence_ms;
	/* A runtime is asked this often whether it lives; one that does not
	 * answer in fence_ms / 2 is fenced. While a reset or unmap waits, and
	 * when another runtime attaches, it is asked at once. 0 = 10000,
	 * UINT32_MAX = never by the clock */
	uint32_t keepalive_ms;
	/* Without a runtime I/O waits for the next one. 0: for ever. Else:
	 * after so long all controllers show CFS, whose guests then reset them
	 * and see errors; and again after so long,
	 * while there is still none. */
	uint32_t no_runtime_ms;
	/* The state changed, a runtime came or went. May be NULL. */
	void (*changed)(void *arg);
	/*
	 * NULL: runtimes are processes of this machine that the agent may
	 * kill; others are refused. Else: have runtime @pid stop for good,
	 * wait until none of its writes can come any more, then call
	 * leap_agent_fenced.
	 */
	void (*fence)(void *arg, int64_t pid);
	void *arg;
};

#define LEAP_AGENT_OPTS_INIT LEAP_OPTS_INIT(struct leap_agent_opts)

/**
 * leap_agent_create - the I/O of @target is served by runtimes from now on
 *
 * Namespaces come from the runtime for the subsystems that exist here, and stay
 * visible without it.
 * @target: without namespaces, other groups or listeners so far
 * Context: owner of home
 * Returns: 0
 * Errors:  -EBUSY the target has them, -EINVAL, -ENOMEM, what bind answers
 */
LEAP_API int leap_agent_create(struct leap_target *target,
			       const struct leap_agent_opts *opts,
			       struct leap_agent **out);

/**
 * leap_agent_destroy - free it, after its target; NULL is a no-op
 *
 * Its runtimes see the connection end.
 * Context: owner of home
 * Returns: 0, or -EBUSY while the target exists
 */
LEAP_API int leap_agent_destroy(struct leap_agent *agent);

/**
 * leap_agent_handoff - the standby runtime takes over from the one that serves
 *
 * The old one drains its queues, closes its stacks and is then fenced as any
 * other, the new one opens its own and continues.
 * @done: runs once: 0 = the new one serves; -errno = no, see info; may be NULL
 * Context: owner of home
 * Returns: 0
 * Errors:  -ENOENT no standby, -ENOTCONN nobody serves, -EBUSY in progress
 */
LEAP_API int leap_agent_handoff(struct leap_agent *agent,
				void (*done)(void *arg, int err), void *arg);

/* leap_agent_fenced - what opts.fence was to do is done (0) or failed for good
 * (-errno; it is called again later). Context: owner of home */
LEAP_API void leap_agent_fenced(struct leap_agent *agent, int err);

struct leap_agent_info {
	size_t size;
	uint32_t state;		/* enum leap_agent_state */
	uint32_t nr_standby;	/* runtimes that wait for their turn */
	int64_t pid;		/* of the runtime; 0 = none */
	uint64_t since_ns;	/* it attached, clock of the home poll group */
	uint32_t nr_ctrls;	/* lent to it */
	uint32_t nr_queues;
	uint64_t attached;	/* runtimes that ever served */
	uint64_t fenced;	/* that were killed or found dead */
	uint64_t unfenced;	/* times a fence was not done in time */
	uint64_t bad_messages;	/* links ended for them */
	uint64_t pause_ns;	/* the last time from loss to served again */
	/* Slots of all records at the last loss or handoff, by enum
	 * leap_record_state. */
	uint64_t slots[4];
	char standby[64];	/* pids, as text */
	char error[128];	/* the last thing that went wrong */
};

/* leap_agent_info - Context: owner of home. Returns: 0, -EINVAL */
LEAP_API int leap_agent_info(const struct leap_agent *agent,
			     struct leap_agent_info *info);

/* ---- the runtime ---- */

struct leap_runtime;

struct leap_runtime_opts {
	size_t size;
	const char *agent;	/* its socket */
	/* 1: attach also while another runtime serves, and wait for a handoff
	 * or its end. 0: refused then, unless that one is found dead. */
	uint32_t standby;
	uint32_t retry_ms;	/* between attempts to connect; 0 = 100 */
	/*
	 * It is our turn: open stacks, which takes their locks, add them to the
	 * target's subsystems, then call leap_runtime_ready.
	 */
	void (*go)(void *arg);
	/*
	 * Another takes over, and nothing is in our stacks any more: close
	 * them, then call leap_runtime_stopped. The agent ends this process
	 * afterwards.
	 */
	void (*stop)(void *arg);
	/* The agent is gone, or refused us (-EBUSY another serves, -EPERM,
	 * -EPROTO): its queues have been dropped; retried by itself. */
	void (*lost)(void *arg, int err);
	void *arg;
};

#define LEAP_RUNTIME_OPTS_INIT LEAP_OPTS_INIT(struct leap_runtime_opts)

/**
 * leap_runtime_create - serve the drives of an agent with @target's namespaces
 *
 * Connects by itself, again and again. A drive whose NQN has no subsystem here
 * gets one without namespaces.
 * @target: all its groups have been added
 * Context: owner of home
 * Returns: 0
 * Errors:  -EINVAL, -ENOMEM
 */
LEAP_API int leap_runtime_create(struct leap_target *target,
				 const struct leap_runtime_opts *opts,
				 struct leap_runtime **out);

/* leap_runtime_ready - after go: 0 = the stacks are open, -errno = they cannot
 * be; then go comes again after a while. Context: owner of home */
LEAP_API void leap_runtime_ready(struct leap_runtime *runtime, int err);

/* leap_runtime_stopped - after stop: the stacks are closed. Context: owner of
 * home */
LEAP_API void leap_runtime_stopped(struct leap_runtime *runtime);

/**
 * leap_runtime_destroy - give all queues back and free it; before its target
 *
 * What is in a stack is waited for; the agent waits for the next runtime.
 * @done: runs once, in poll; may be NULL
 * Context: owner of home
 */
LEAP_API void leap_runtime_destroy(struct leap_runtime *runtime,
				   void (*done)(void *arg), void *arg);

struct leap_runtime_info {
	size_t size;
	uint32_t connected;
	uint32_t active;	/* it is our turn */
	uint32_t nr_ctrls;
	uint32_t nr_queues;
	uint64_t mem_bytes;	/* of guests, mapped here */
	int64_t agent_pid;
};

/* leap_runtime_info - Context: owner of home. Returns: 0, -EINVAL */
LEAP_API int leap_runtime_info(const struct leap_runtime *runtime,
			       struct leap_runtime_info *info);

/* A controller that the agent has lent to this runtime. */
struct leap_runtime_ctrl_info {
	size_t size;
	uint16_t cntlid;	/* the agent's number */
	uint16_t nr_queues;
	uint32_t reserved;
	uint64_t mem_bytes;
	char nqn[LEAP_NQN_FIELD];
};

/* leap_runtime_ctrl_next - the one with the lowest cntlid above @after.
 * Context: owner of home. Returns: 0, -ENOENT, -EINVAL */
LEAP_API int leap_runtime_ctrl_next(const struct leap_runtime *runtime,
				    uint32_t after,
				    struct leap_runtime_ctrl_info *info);

/**
 * leap_runtime_inspect - as leap_vdev_inspect, for what this runtime has
 *
 * Its own mappings, IOTLBs, I/O queues and their slots. Shadow doorbells and
 * the admin queue are shown by the agent.
 * Context: owner of home
 * Returns: 0, and @ops->done runs once, later
 * Errors:  -ENOENT no such controller, or it is going back; as there
 */
LEAP_API int leap_runtime_inspect(struct leap_runtime *runtime, uint16_t cntlid,
				  const struct leap_vdev_inspect_ops *ops,
				  void *arg);

#ifdef __cplusplus
}
#endif

#endif
