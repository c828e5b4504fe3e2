/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registration cache of a device in a poll group: dmabufs that carry
 * payload, registered at first use and kept, because registering pins pages and
 * takes longer than the transfer.
 *
 * Bounded, and least recently used first out. Memory that somebody wants back,
 * or that nobody else has any more, is let go when no command in flight names
 * it: then no key reaches it. A device that refuses one (out of regions, or of
 * lockable memory) is not asked again while the entry is there. Knows nothing
 * of what the memory is for.
 */
#include "transport/rdma/cache.h"

#include "util/atomic.h"

#include <stdlib.h>

struct leap__rdma_cache {
	const struct leap__verbs *v;
	struct leap_pollgroup *pg;
	struct leap_msg recall;
	uint32_t sent;		/* recall is on its way; any thread sets it */
	uint32_t gone;		/* recall frees it */
	uint64_t clock;
	uint32_t last;		/* hit last: most payload is in one buffer */
	struct leap__rdma_reg regs[LEAP__RDMA_REGS];
};

static void forget(struct leap__rdma_cache *cache, struct leap__rdma_reg *reg)
{
	struct leap_dmabuf *buf = reg->buf;

	if (reg->mr)
		cache->v->mr_destroy(reg->mr);
	reg->mr = NULL;
	reg->buf = NULL;
	leap__dmabuf_unhold(buf, &reg->holder);
	reg->wanted = 0;
	leap_dmabuf_put(buf);
}

/* ---- memory that somebody wants back ---- */

/* Any thread, under the buffer's lock: we are here until that is ours. */
static void wanted(struct leap__dmabuf_holder *holder)
{
	struct leap__rdma_reg *reg =
		leap__list_entry(holder, struct leap__rdma_reg, holder);
	struct leap__rdma_cache *cache = reg->cache;

	leap__store_release(&reg->wanted, 1u);
	if (!leap__exchange(&cache->sent, 1u))
		leap_pollgroup_send(cache->pg, &cache->recall);
}

static void recall_run(struct leap_msg *msg)
{
	struct leap__rdma_cache *cache =
		leap__list_entry(msg, struct leap__rdma_cache, recall);
	uint32_t i;

	if (cache->gone) {
		free(cache);
		return;
	}
	/* Before the look: what is wanted after it sends another. */
	leap__exchange(&cache->sent, 0u);
	for (i = 0; i < LEAP__RDMA_REGS; i++) {
		struct leap__rdma_reg *reg = &cache->regs[i];

		if (reg->buf && !reg->users &&
		    leap__load_acquire(&reg->wanted))
			forget(cache, reg);
	}
}

void leap__rdma_reg_put(struct leap__rdma_reg *reg)
{
	if (!--reg->users && leap__load_acquire(&reg->wanted))
		forget(reg->cache, reg);
}

void leap__rdma_cache_free(struct leap__rdma_cache *cache, int pg_goes)
{
	uint32_t i;

	if (!cache)
		return;
	for (i = 0; i < LEAP__RDMA_REGS; i++)
		if (cache->regs[i].buf)
			forget(cache, &cache->regs[i]);
	/* Nobody sends it any more, but it may be on its way. */
	if (!pg_goes && leap__load_acquire(&cache->sent))
		cache->gone = 1;
	else
		free(cache);
}

/* ---- use ---- */

static struct leap__rdma_reg *find(struct leap__rdma_cache *cache,
				   const struct leap_dmabuf *buf)
{
	uint32_t i;

	if (cache->regs[cache->last].buf == buf)
		return &cache->regs[cache->last];
	for (i = 0; i < LEAP__RDMA_REGS; i++)
		if (cache->regs[i].buf == buf) {
			cache->last = i;
			return &cache->regs[i];
		}
	return NULL;
}

/* A free entry, or the one that has been idle for longest; NULL: none is. */
static struct leap__rdma_reg *make_room(struct leap__rdma_cache *cache)
{
	struct leap__rdma_reg *best = NULL, *reg;
	uint32_t i;

	for (i = 0; i < LEAP__RDMA_REGS; i++) {
		reg = &cache->regs[i];
		if (!reg->buf)
			return reg;
		if (!reg->users && (!best || reg->used < best->used))
			best = reg;
	}
	if (best)
		forget(cache, best);
	return best;
}

static struct leap__rdma_cache *make(struct leap_pollgroup *pg,
				     struct leap__rdma_pool *pool)
{
	struct leap__rdma_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->v = pool->dev->v;
	cache->pg = pg;
	cache->recall.run = recall_run;
	pool->cache = cache;
	return cache;
}

static int try_mr(struct leap__rdma_reg *reg, const struct leap__rdma_dev *dev,
		  uint32_t how)
{
	int err = dev->v->mr_create(dev->pd, leap_dmabuf_addr(reg->buf),
				    leap_dmabuf_bytes(reg->buf), how |
				    LEAP__V_REMOTE_READ | LEAP__V_REMOTE_WRITE,
				    &reg->keys, &reg->mr);

	if (err)
		reg->mr = NULL;
	return err;
}

static void fill(struct leap__rdma_cache *cache, struct leap__rdma_reg *reg,
		 const struct leap__rdma_dev *dev, struct leap_dmabuf *buf)
{
	reg->buf = leap_dmabuf_get(buf);
	reg->cache = cache;
	reg->holder.wanted = wanted;
	leap__dmabuf_hold(buf, &reg->holder);
	/* Unpinned where the device can; not of every memory. */
	if (!dev->caps.on_demand || try_mr(reg, dev, LEAP__V_ON_DEMAND))
		try_mr(reg, dev, 0);
}

struct leap__rdma_reg *leap__rdma_reg_get(struct leap_pollgroup *pg,
					  struct leap__rdma_pool *pool,
					  struct leap_dmabuf *buf)
{
	struct leap__rdma_cache *cache = pool->cache;
	struct leap__rdma_reg *reg;

	if (!cache)
		cache = make(pg, pool);
	if (!cache)
		return NULL;
	reg = find(cache, buf);
	if (!reg) {
		reg = make_room(cache);
		if (!reg)
			return NULL;
		fill(cache, reg, pool->dev, buf);
	}
	reg->used = ++cache->clock;
	/* Wanted back: it would never be free while it is used again. */
	if (!reg->mr || leap__load_relaxed(&reg->wanted))
		return NULL;
	reg->users++;
	return reg;
}
