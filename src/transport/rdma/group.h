/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * group.h - what a poll group keeps of RDMA: the way to it, devices, and its
 * payload buffers as each device knows them
 */
#ifndef LEAP_RDMA_GROUP_H
#define LEAP_RDMA_GROUP_H

#include <leapio/plugin/transport_ops.h>

#include "core/io/pollgroup.h"
#include "core/io/transport.h"
#include "transport/rdma/verbs.h"

#include <pthread.h>

/*
 * A protection domain, and what its device can do. Queue pairs of one target
 * move between threads, so it counts its users across threads.
 *
 * Peers can guess keys, so whoever is given any is in a realm of its own, with
 * a domain of its own: what is given in one is out of reach in all others. The
 * realm of NULL is for those who are given none, LEAP__RDMA_HOSTS for host
 * ends, and each share is one.
 *
 * Nobody tells a poll group without connections that a device has gone, so
 * the last connection, in whichever group, takes the pools of all of them
 * along.
 */
struct leap__rdma_dev {
	const struct leap__verbs *v;
	struct leap__v_dev *dev;
	const void *realm;
	struct leap__v_pd *pd;
	struct leap__v_caps caps;
	uint32_t refs;
	uint32_t gone;		/* removed: nothing new on it */
	uint32_t conns;		/* connections, also of those who move */
	pthread_mutex_t lock;	/* of the lists */
	struct leap__rdma_pool *pools;	/* one for each poll group */
	struct leap__rdma_srq *srqs;
	struct leap__v_id *last_id;	/* what keeps it open for the pools */
	struct leap__v_chan *last_chan;
};

/* A device as one poll group uses it. */
struct leap__rdma_pool {
	struct leap__rdma_dev *dev;
	struct leap__v_mr *mr;	/* of the group's buffers; NULL = not yet */
	uint32_t lkey;
	uint32_t users;
	struct leap__rdma_cache *cache;	/* host ends' registrations, or NULL */
	struct leap__rdma_pool *next;	/* of the group */
	struct leap_pollgroup *pg;
	struct leap_msg idle;		/* look whether anybody needs it */
	/* Under the device's lock. */
	uint32_t told;			/* idle is on its way */
	uint32_t freed;			/* idle frees it */
	struct leap__rdma_pool *dev_next;
};

struct leap__rdma_group {
	struct leap__pg_ext ext;	/* first */
	struct leap_pollgroup *pg;
	const struct leap__verbs *v;	/* NULL = not in this build */
	struct leap__rdma_pool *pools;
	struct leap__farmem_lane *lanes;	/* farmem.c's */
};

#define LEAP__RDMA_HOSTS	((const void *)&leap__rdma_transport)

/* leap__rdma_group - of @pg, made when it is not there; NULL = no memory.
 * Context: owner */
struct leap__rdma_group *leap__rdma_group(struct leap_pollgroup *pg);

/* leap__rdma_use - instead of what is built in, for tests. 0, -ENOMEM.
 * Context: owner, before the first use */
int leap__rdma_use(struct leap_pollgroup *pg, const struct leap__verbs *v);

/* leap__rdma_verbs - the way to RDMA, or NULL with last error text. Context:
 * owner */
const struct leap__verbs *leap__rdma_verbs(struct leap_pollgroup *pg,
					   const char *call);

/* leap__rdma_dev_join - a connection begins. Context: any */
void leap__rdma_dev_join(struct leap__rdma_dev *d);

/*
 * leap__rdma_dev_leave - a connection ends; NULL: no-op
 *
 * @pool: its own, which it gives back after this
 * Context: any
 * Returns: 1 = @id and @chan are the device's now, to be destroyed behind what
 *          other poll groups have of it; else 0
 */
int leap__rdma_dev_leave(struct leap__rdma_dev *d,
			 const struct leap__rdma_pool *pool,
			 struct leap__v_id *id, struct leap__v_chan *chan);

/* leap__rdma_dev_gone - it has been removed; NULL: no-op. Context: any */
void leap__rdma_dev_gone(struct leap__rdma_dev *d);

/*
 * leap__rdma_pool_get - @dev as this poll group uses it
 *
 * @d: its domain when that is made already, in another group; or NULL
 * @realm: of that domain, if it is not
 * Context: owner
 * Returns: 0; -ENOMEM, -ENODEV and what the device answers
 */
int leap__rdma_pool_get(struct leap_pollgroup *pg, struct leap__v_dev *dev,
			struct leap__rdma_dev *d, const void *realm,
			struct leap__rdma_pool **out);
void leap__rdma_pool_put(struct leap_pollgroup *pg,
			 struct leap__rdma_pool *pool);

/* leap__rdma_pool_bufs - have the group's buffers registered. Context: owner */
int leap__rdma_pool_bufs(struct leap_pollgroup *pg,
			 struct leap__rdma_pool *pool);

/* cache.c; @pg_goes: its poll group is being destroyed */
void leap__rdma_cache_free(struct leap__rdma_cache *cache, int pg_goes);

#endif
