/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rig.h - a target on threads of its own, and host ends on the caller's
 */
#ifndef LEAP_TESTS_RIG_H
#define LEAP_TESTS_RIG_H

#include <leapio/pollgroup.h>
#include <leapio/qp.h>
#include <leapio/target.h>

#define RIG_NQN		"nqn.2026-01.org.example:conformance"
#define RIG_HOST	"nqn.2026-01.org.example:host"
#define RIG_MAX_QPS	64

struct rig {
	struct leap_pollgroup *pg;	/* of the hosts */
	struct leap_qp *admin;
	struct leap_qp *disc;		/* NULL: a drive behind registers */
	struct leap_qp *io[RIG_MAX_QPS];
	unsigned int nr_io;
	int registers;			/* what differs, differs */
	int lent;			/* and features are others' as well */
	struct rig_server *server;
	struct rig_server *far;		/* behind the relays */
};

/*
 * Start a target with a listener of @kind ("loop", "tcp", "shm", "vfio-user";
 * "vdev": its home on the caller's thread, as a drive in the same process
 * wants; "relay": loop, with namespaces that are relays over TCP to another
 * such target), home and @nr_groups more threads, and connect @nr_io I/O
 * queues.
 * Returns: 0; -EPROTONOSUPPORT: not in this build; another errno, said on
 * stderr
 */
int rig_start(struct rig *rig, const char *kind, unsigned int nr_io,
	      unsigned int nr_groups, uint32_t mdts_bytes);
/* 0, or the number of threads or objects that would not end. */
int rig_stop(struct rig *rig);

struct rig_req {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	int done;
};

/* One command to its end. 0, or what leap_qp_submit answered. */
int rig_run(struct rig *rig, struct leap_qp *qp, struct rig_req *r, void *buf,
	    uint32_t len);
/* The same in two steps: and several that are next to each other in a queue. */
void rig_prepare(struct rig_req *r, void *buf, uint32_t len);
int rig_run_all(struct rig *rig, struct leap_qp *qp, struct rig_req *const *r,
		unsigned int n);

#endif
