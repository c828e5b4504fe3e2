/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dispatch.h - what a poll group keeps for the two dispatchers
 *
 * One leap__dispatch a poll group: the pool of commands that are being served,
 * the payload buffers, the controller ends that wait for either, and the host
 * identity of its queue pairs. The poll group makes it at create and frees it
 * at destroy; the hot path finds it by one load.
 */
#ifndef LEAP_CORE_IO_DISPATCH_H
#define LEAP_CORE_IO_DISPATCH_H

#include <leapio/plugin/transport_ops.h>

#include "core/io/pollgroup.h"
#include "util/atomic.h"
#include "util/list.h"

#define LEAP__DISPATCH_PEERS 64

/* Commands that a controller end may always have, while a large pool has any
 * at all: more than those that wait for an event. */
#define LEAP__CMDS_EACH 8

/* Slots beside a large pool, of which a controller end that has no command may
 * always take one: so many connections cannot starve one more. */
#define LEAP__CMDS_SPARE 4096

struct leap__dispatch {
	struct leap_pollgroup *pg;
	/* Commands: free ones as a stack; those above nr_fresh were never
	 * used, and their memory was never touched. */
	struct leap_cmd *cmds;
	struct leap_cmd *free_cmd;
	uint32_t nr_cmds;	/* shared by all */
	uint32_t nr_slots;	/* with the spare ones: tags are below */
	uint32_t nr_fresh;
	uint32_t cmds_kept;	/* for those who have fewer than CMDS_EACH; 0
				 * in a small pool, which has no spare slots
				 * either */
	uint32_t cmds_in_use;
	uint32_t returned;	/* something came back since the last resume */
	/* Payload buffers, the same way. */
	char *bufs;
	struct leap_dmabuf *bufs_mem;	/* theirs, if they are shared */
	void **free_bufs;	/* stack of nr_free */
	uint32_t nr_bufs;
	uint32_t buf_bytes;
	uint32_t nr_bufs_fresh;
	uint32_t nr_free;
	uint32_t bufs_in_use;
	uint32_t nr_peers;
	uint64_t pool_empty;
	uint64_t bounced;
	/* Controller ends that wait for a pool, first come first served. */
	struct leap_vqp *starved;
	struct leap_vqp **starved_tail;
	/* Dead controller ends whose last command is back. */
	struct leap_vqp *reap;
	struct leap_poller poller;	/* on while starved or reap has any */
	uint32_t polling;
	uint32_t has_hostid;
	uint8_t hostid[16];
	/* Host ends' controllers behind registers: struct leap__regctrl. */
	struct leap__list regctrls;
	/* Groups that gave us a controller end: whose buffers may end here. */
	struct leap__dispatch *peers[LEAP__DISPATCH_PEERS];
};

static inline struct leap__dispatch *leap__dispatch(struct leap_pollgroup *pg)
{
	return pg->head.dispatch;
}

/* A command of host end @qp whose payload is copied to where the far side
 * reaches it. Admin commands are not worth counting. */
static inline void leap__qp_bounced(struct leap_qp *qp)
{
	qp->bounced++;
	if (!qp->opts.qid)
		return;
	leap__dispatch(qp->pg)->bounced++;
	if (qp->bounced_all)
		leap__fetch_add(qp->bounced_all, UINT64_C(1));
}

/* Payload buffers that nobody has. */
static inline uint32_t leap__bufs_free(const struct leap__dispatch *d)
{
	return d->nr_bufs - d->bufs_in_use;
}

/*
 * leap__bufs_take - payload buffers for @bytes, of which there are enough
 *
 * Context: owner, hot path
 * Returns: how many pieces @p are; leap_pollgroup_buf_put takes their addresses
 */
uint32_t leap__bufs_take(struct leap__dispatch *d, uint32_t bytes,
			 struct leap_piece *p);

/*
 * leap__dispatch_create - at the end of leap_pollgroup_create; sets
 * head.dispatch, and dispatch_free for leap_pollgroup_destroy
 *
 * Returns: 0, -ENOMEM
 */
int leap__dispatch_create(struct leap_pollgroup *pg);

/* leap__dispatch_stats - fills in what is counted here, from cmds_in_use on */
void leap__dispatch_stats(const struct leap__dispatch *d,
			  struct leap_pollgroup_stats *stats);

#endif
