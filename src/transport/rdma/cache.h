/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cache.h - registrations of other people's memory, a bounded number of them
 */
#ifndef LEAP_RDMA_CACHE_H
#define LEAP_RDMA_CACHE_H

#include <leapio/dmabuf.h>

#include "dmabuf/region.h"
#include "transport/rdma/group.h"

#define LEAP__RDMA_REGS	64u

/* All of a dmabuf, for the device of one poll group. */
struct leap__rdma_reg {
	struct leap_dmabuf *buf;	/* a reference; NULL = free */
	struct leap__v_mr *mr;		/* NULL = the device refuses it */
	struct leap__v_keys keys;
	struct leap__dmabuf_holder holder;
	struct leap__rdma_cache *cache;
	uint32_t wanted;		/* back; any thread sets it */
	uint32_t users;			/* commands in flight */
	uint64_t used;			/* when, for whom to let go */
};

/*
 * leap__rdma_reg_get - @buf's registration, made when it is not there
 *
 * The oldest that nobody uses makes room. NULL: the device refuses, or all are
 * in use: the caller copies.
 * Context: owner
 */
struct leap__rdma_reg *leap__rdma_reg_get(struct leap_pollgroup *pg,
					  struct leap__rdma_pool *pool,
					  struct leap_dmabuf *buf);

/* leap__rdma_reg_put - a command is done with it. Context: owner */
void leap__rdma_reg_put(struct leap__rdma_reg *reg);

#endif
