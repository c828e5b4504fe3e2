/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h - serving drives: targets, subsystems, namespaces, listeners
 *
 * A target is what a storage service runs: subsystems with namespaces, behind
 * listeners. Its home poll group accepts connections and runs the admin half
 * of every controller (identify, features, logs, events, keep alive); any
 * number of I/O poll groups, the home among them if it is the only one, run
 * the I/O half: queue pairs and the stacks behind the namespaces. The halves
 * exchange only link messages (link.h), so that they may sit in one process or
 * in two.
 *
 * All calls here are for the owner of the home poll group unless they say
 * otherwise. Changes take effect while I/O runs; hosts are told by events.
 */
#ifndef LEAPIO_TARGET_H
#define LEAPIO_TARGET_H

#include <leapio/bdev.h>
#include <leapio/nvmf.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_listener;
struct leap_pollgroup;
struct leap_subsystem;
struct leap_target;

struct leap_target_opts {
	size_t size;
	const char *name;	/* for loop://NAME; copied; NULL = "leapio" */
	uint32_t max_connections;	/* 0 = 4096 */
	uint32_t mdts_bytes;	/* largest transfer; 0 = 1 MiB; power of two */
	uint32_t max_io_queues;	/* per controller; 0 = 64 */
	uint32_t queue_depth;	/* entries of an I/O queue; 0 = 128 */
	uint32_t inline_bytes;	/* in-capsule data of I/O queues; 0 = 8192 */
};

#define LEAP_TARGET_OPTS_INIT LEAP_OPTS_INIT(struct leap_target_opts)

/**
 * leap_target_create - a target with a discovery service and no subsystems
 *
 * @home: serves I/O queues too until leap_target_add_group is called
 * Context: owner of @home
 * Returns: 0
 * Errors:  -EINVAL, -ENOMEM
 */
LEAP_API int leap_target_create(struct leap_pollgroup *home,
				const struct leap_target_opts *opts,
				struct leap_target **out);

/**
 * leap_target_add_group - another poll group serves I/O queues
 *
 * New I/O queues go round robin over the groups added. @pg is polled by its
 * own thread, which must keep polling until leap_target_destroy is done.
 * Context: owner of home, before the first listener
 * Returns: 0
 * Errors:  -EBUSY a listener exists, -EEXIST, -ENOSPC over 64 groups
 */
LEAP_API int leap_target_add_group(struct leap_target *target,
				   struct leap_pollgroup *pg);

/**
 * leap_target_drain - stop accepting, let commands finish, end connections
 *
 * @timeout_ms: connections with commands left after it are closed anyway
 * @drained: runs once, in poll; may be NULL
 * Context: owner of home
 */
LEAP_API void leap_target_drain(struct leap_target *target,
				uint32_t timeout_ms,
				void (*drained)(void *arg), void *arg);

/**
 * leap_target_destroy - close listeners, connections, subsystems, and free
 *
 * @done: runs once, in poll, when nothing of it is left; may be NULL
 * Context: owner of home
 */
LEAP_API void leap_target_destroy(struct leap_target *target,
				  void (*done)(void *arg), void *arg);

struct leap_subsystem_opts {
	size_t size;
	const char *nqn;	/* required */
	const char *serial;	/* <= 20 ASCII; NULL = derived from the NQN */
	const char *model;	/* <= 40 ASCII; NULL = "libleapio" */
	uint32_t allow_any_host;	/* 0 = only leap_subsystem_allow */
	uint32_t max_nsid;	/* highest; 0 = 1024 */
	uint32_t max_ctrls;	/* 0 = 1024 */
};

#define LEAP_SUBSYSTEM_OPTS_INIT LEAP_OPTS_INIT(struct leap_subsystem_opts)

/**
 * leap_subsystem_create - add a subsystem to a target
 *
 * Context: owner of home
 * Returns: 0
 * Errors:  -EINVAL NQN or strings, -EEXIST, -ENOMEM
 */
LEAP_API int leap_subsystem_create(struct leap_target *target,
				   const struct leap_subsystem_opts *opts,
				   struct leap_subsystem **out);

/**
 * leap_subsystem_destroy - end its controllers, remove its namespaces, free it
 *
 * @done: runs once, in poll; may be NULL
 * Context: owner of home
 */
LEAP_API void leap_subsystem_destroy(struct leap_subsystem *ss,
				     void (*done)(void *arg), void *arg);

/* leap_subsystem_find - by NQN, or NULL. Context: owner of home */
LEAP_API struct leap_subsystem *
leap_subsystem_find(const struct leap_target *target, const char *nqn);

/* leap_subsystem_next - walk them; NULL = first. Context: owner of home */
LEAP_API struct leap_subsystem *
leap_subsystem_next(const struct leap_target *target,
		    const struct leap_subsystem *after);

/* leap_subsystem_nqn - borrowed. Context: owner of home */
LEAP_API const char *leap_subsystem_nqn(const struct leap_subsystem *ss);

/**
 * leap_subsystem_allow - let a host connect
 *
 * Context: owner of home
 * Returns: 0; -EINVAL NQN, -ENOMEM
 */
LEAP_API int leap_subsystem_allow(struct leap_subsystem *ss,
				  const char *hostnqn);

/**
 * leap_subsystem_deny - no longer; ends that host's controllers
 *
 * Context: owner of home
 * Returns: 0, -ENOENT
 */
LEAP_API int leap_subsystem_deny(struct leap_subsystem *ss,
				 const char *hostnqn);

struct leap_ns_opts {
	size_t size;
	uint32_t nsid;		/* 0 = lowest free */
	uint32_t block_bytes;	/* LBA format; 0 = the stack's; else 512 or
				 * 4096, a multiple of the stack's */
	struct leap_bdev *bdev;	/* required; transferred on success */
	uint8_t uuid[16];	/* zeros = derived from NQN and NSID */
	uint8_t nguid[16];	/* zeros = derived */
	uint32_t read_only;
};

#define LEAP_NS_OPTS_INIT LEAP_OPTS_INIT(struct leap_ns_opts)

/**
 * leap_ns_add - add a namespace; connected hosts are told
 *
 * @added: runs once in poll, when every I/O group serves it: 0 or -errno (then
 *         the bdev has been closed); may be NULL
 * Context: owner of home
 * Returns: the NSID, > 0
 * Errors:  -EEXIST, -EINVAL, -ENOSPC; the bdev stays the caller's
 */
LEAP_API int leap_ns_add(struct leap_subsystem *ss,
			 const struct leap_ns_opts *opts,
			 void (*added)(int err, void *arg), void *arg);

/**
 * leap_ns_remove - refuse new commands, let old ones finish, close the stack
 *
 * @removed: runs once, in poll; may be NULL
 * Context: owner of home
 * Returns: 0
 * Errors:  -ENOENT, -EBUSY being removed
 */
LEAP_API int leap_ns_remove(struct leap_subsystem *ss, uint32_t nsid,
			    void (*removed)(int err, void *arg), void *arg);

/**
 * leap_ns_resize - leap_bdev_resize, and tell the hosts
 *
 * Context: owner of home
 * Returns: 0, or as leap_bdev_resize; -ENOENT
 */
LEAP_API int leap_ns_resize(struct leap_subsystem *ss, uint32_t nsid,
			    uint64_t bytes);

/* leap_ns_bdev - the top of its stack, borrowed, or NULL. Context: owner of
 * home */
LEAP_API struct leap_bdev *leap_ns_bdev(const struct leap_subsystem *ss,
					uint32_t nsid);

struct leap_ns_info {
	size_t size;
	uint32_t nsid;
	uint32_t block_bytes;	/* LBA format: what hosts see */
	uint64_t nr_blocks;	/* of that size */
	uint8_t uuid[16];
	uint8_t nguid[16];
	uint32_t read_only;
	uint32_t csi;		/* command set: LEAP_CSI_NVM, LEAP_CSI_ZNS */
	uint32_t zone_blocks;	/* of each zone; 0 = there are none */
};

/**
 * leap_ns_info - what hosts are told of a namespace
 *
 * Its blocks may be larger than those of its stack (leap_bdev_info).
 * Context: owner of home
 * Returns: 0 and @info; -ENOENT; -EINVAL size not set
 */
LEAP_API int leap_ns_info(const struct leap_subsystem *ss, uint32_t nsid,
			  struct leap_ns_info *info);

/* leap_ns_next - next NSID above @after, 0 at the end.
 * Context: owner of home */
LEAP_API uint32_t leap_ns_next(const struct leap_subsystem *ss,
			       uint32_t after);

struct leap_listener_opts {
	size_t size;
	/* Required. "tcp://0.0.0.0:4420", "tcp://[::]:4420", port 0 = a free
	 * one, "rdma://192.0.2.1:4420", "shm:/run/leap.sock", "loop://";
	 * "vfio-user:/run/vm.sock/NQN" is one drive of that subsystem, for one
	 * virtual machine at a time */
	const char *url;
	const char *advertise;	/* "HOST:PORT" in the discovery log; NULL = the
				 * address bound; copied */
	uint32_t backlog;	/* 0 = 128 */
	uint32_t mode;		/* of a Unix socket; 0 = 0600 */
	uint32_t set_owner;	/* 1: give the Unix socket to these */
	uint32_t uid;		/* UINT32_MAX = leave */
	uint32_t gid;
	/*
	 * 1: memory of virtual machines may come as files that could be cut
	 * short (memory-backend-file), because whoever connects is trusted not
	 * to do so: it would end this process.
	 */
	uint32_t trust_memory;
	uint32_t irqs;		/* of "vfio-user:": leap_vdev_irqs (vdev.h) */
	/*
	 * Of "rdma:": receives that all I/O queues over a device share, up to
	 * 65536, where the device can; 0 = each queue has its own. A host whose
	 * command finds none sends it again after 160 us, without an error.
	 */
	uint32_t srq;
};

#define LEAP_LISTENER_OPTS_INIT LEAP_OPTS_INIT(struct leap_listener_opts)

/**
 * leap_listener_create - start accepting connections to a target
 *
 * Context: owner of home
 * Returns: 0
 * Errors:  -EINVAL URL, -EPROTONOSUPPORT transport not in this build,
 *          -EADDRINUSE, -EACCES and what else bind answers
 */
LEAP_API int leap_listener_create(struct leap_target *target,
				  const struct leap_listener_opts *opts,
				  struct leap_listener **out);

/* leap_listener_destroy - stop accepting; connections stay. Context: owner of
 * home */
LEAP_API void leap_listener_destroy(struct leap_listener *listener);

/* leap_listener_url - with the port that was bound; borrowed. Context: owner of
 * home */
LEAP_API const char *leap_listener_url(const struct leap_listener *listener);

/* leap_listener_next - walk them; NULL = first. Context: owner of home */
LEAP_API struct leap_listener *
leap_listener_next(const struct leap_target *target,
		   const struct leap_listener *after);

/* One connected controller, for listings. */
struct leap_ctrl_info {
	size_t size;
	uint16_t cntlid;
	uint16_t nr_io_queues;
	uint32_t kato_ms;
	char hostnqn[LEAP_NQN_FIELD];
	uint8_t hostid[16];
	char peer[64];		/* transport address of the admin queue */
	uint64_t age_ns;
};

/**
 * leap_ctrl_next - walk the controllers of a subsystem (or, with @ss NULL, of
 * the discovery service)
 *
 * @after: 0 for the first, else the cntlid of the previous
 * Context: owner of home
 * Returns: 0 and @info, -ENOENT at the end
 */
LEAP_API int leap_ctrl_next(const struct leap_target *target,
			    const struct leap_subsystem *ss, uint32_t after,
			    struct leap_ctrl_info *info);

/**
 * leap_ctrl_disconnect - end one controller and its connections
 *
 * A virtual machine's drive is pulled out; what its hypervisor is served after
 * that is up to who made it (vfio-user: the next client has a new one).
 * Context: owner of home
 * Returns: 0, -ENOENT
 */
LEAP_API int leap_ctrl_disconnect(struct leap_subsystem *ss, uint16_t cntlid);

struct leap_target_stats {
	size_t size;
	uint64_t connections;	/* now */
	uint64_t accepted;
	uint64_t protocol_errors;	/* connections ended for them */
	uint64_t keep_alive_expired;
	uint64_t orphans;	/* commands in leaves whose host is gone, now */
	uint64_t held;		/* commands that wait for orphans, now */
};

/* leap_target_stats - counters. Context: owner of home. Returns: 0, -EINVAL */
LEAP_API int leap_target_stats(const struct leap_target *target,
			       struct leap_target_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
