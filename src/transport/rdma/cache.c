/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registration cache of a device in a poll group: dmabufs that carry
 * payload, registered at first use and kept, because registering pins pages and
 * takes longer than the transfer.
 *
 * Bounded, and least recently used first out. A device that refuses one (out of
 * regions, or of lockable memory) is not asked again while the entry is there.
 * Knows nothing of what the memory is for.
 */
#include "transport/rdma/cache.h"

#include <stdlib.h>

struct leap__rdma_cache {
	const struct leap__verbs *v;
	uint64_t clock;
	uint32_t last;		/* hit last: most payload is in one buffer */
	struct leap__rdma_reg regs[LEAP__RDMA_REGS];
};

static void forget(struct leap__rdma_cache *cache, struct leap__rdma_reg *reg)
{
	if (reg->mr)
		cache->v->mr_destroy(reg->mr);
	leap_dmabuf_put(reg->buf);
	reg->mr = NULL;
	reg->buf = NULL;
}

void leap__rdma_cache_free(struct leap__rdma_cache *cache)
{
	uint32_t i;

	if (!cache)
		return;
	for (i = 0; i < LEAP__RDMA_REGS; i++)
		if (cache->regs[i].buf)
			forget(cache, &cache->regs[i]);
	free(cache);
}

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

struct leap__rdma_reg *leap__rdma_reg_get(struct leap__rdma_pool *pool,
					  struct leap_dmabuf *buf)
{
	struct leap__rdma_cache *cache = pool->cache;
	struct leap__rdma_reg *reg;

	if (!cache) {
		cache = calloc(1, sizeof(*cache));
		if (!cache)
			return NULL;
		cache->v = pool->dev->v;
		pool->cache = cache;
	}
	reg = find(cache, buf);
	if (!reg) {
		reg = make_room(cache);
		if (!reg)
			return NULL;
		reg->buf = leap_dmabuf_get(buf);
		if (cache->v->mr_create(pool->dev->pd, leap_dmabuf_addr(buf),
					leap_dmabuf_bytes(buf),
					LEAP__V_REMOTE_READ |
					LEAP__V_REMOTE_WRITE, &reg->keys,
					&reg->mr))
			reg->mr = NULL;
	}
	reg->used = ++cache->clock;
	if (!reg->mr)
		return NULL;
	reg->users++;
	return reg;
}

void leap__rdma_reg_drop(struct leap__rdma_pool *pool,
			 const struct leap_dmabuf *buf)
{
	struct leap__rdma_reg *reg = pool->cache ? find(pool->cache, buf) :
					NULL;

	if (reg && !reg->users)
		forget(pool->cache, reg);
}
