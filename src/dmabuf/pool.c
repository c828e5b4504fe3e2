/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Equal buffers in one dmabuf, for one thread.
 *
 * Sits on the data path wherever payload needs a home. A stack of pointers is
 * all there is: get pops, put pushes, the hottest buffer comes out first. Knows
 * nothing of who uses the buffers.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <leapio/dmabuf.h>

#include "util/err.h"
#include "util/opts.h"

#define ALIGN_DEFAULT	64u
#define ALIGN_MAX	4096u

struct leap_bufpool {
	struct leap_dmabuf *buf;
	unsigned char *first;
	unsigned char *end;
	uint32_t nr;
	uint32_t nr_free;
	void *free[];
};

static int opts_check(const struct leap_bufpool_opts *o)
{
	if (!o->elem_bytes || o->elem_bytes > UINT32_MAX - ALIGN_MAX)
		return leap__err(-EINVAL,
			"leap_bufpool_create: elem_bytes %u is out of range",
			o->elem_bytes);
	if (!o->nr || o->nr > (1u << 24))
		return leap__err(-EINVAL,
			"leap_bufpool_create: nr %u is not 1 to 2^24", o->nr);
	if (o->align_bytes > ALIGN_MAX ||
	    o->align_bytes & (o->align_bytes - 1))
		return leap__err(-EINVAL,
				 "leap_bufpool_create: align_bytes %u is not a "
				 "power of two <= %u",
				 o->align_bytes, ALIGN_MAX);
	return 0;
}

int leap_bufpool_create(const struct leap_bufpool_opts *opts,
				 struct leap_bufpool **out)
{
	struct leap_dmabuf_opts mem = LEAP_DMABUF_OPTS_INIT;
	struct leap_bufpool_opts o;
	struct leap_bufpool *pool;
	uint64_t stride;
	uint32_t align, i;
	int err;

	err = leap__opts_copy(&o, sizeof(o), opts);
	if (!err)
		err = opts_check(&o);
	if (err)
		return err;
	align = o.align_bytes ? o.align_bytes : ALIGN_DEFAULT;
	stride = ((uint64_t)o.elem_bytes + align - 1) & ~(uint64_t)(align - 1);
	pool = calloc(1, sizeof(*pool) + (size_t)o.nr * sizeof(void *));
	if (!pool)
		return leap__err(-ENOMEM, "leap_bufpool_create: nr %u", o.nr);
	mem.bytes = stride * o.nr;
	mem.huge = o.huge;
	mem.name = "leapio-pool";
	err = leap_dmabuf_create(&mem, &pool->buf);
	if (err) {
		free(pool);
		return err;
	}
	pool->first = leap_dmabuf_addr(pool->buf);
	pool->end = pool->first + mem.bytes;
	pool->nr = pool->nr_free = o.nr;
	/* The first buffer on top: a quiet pool touches few pages. */
	for (i = 0; i < o.nr; i++)
		pool->free[i] = pool->first + stride * (o.nr - 1 - i);
	*out = pool;
	return 0;
}

int leap_bufpool_destroy(struct leap_bufpool *pool)
{
	if (!pool)
		return 0;
	if (pool->nr_free != pool->nr)
		return leap__err(-EBUSY,
			"leap_bufpool_destroy: %u of %u buffers are out",
			pool->nr - pool->nr_free, pool->nr);
	leap_dmabuf_put(pool->buf);
	free(pool);
	return 0;
}

void *leap_bufpool_get(struct leap_bufpool *pool)
{
	if (!pool->nr_free)
		return NULL;
	return pool->free[--pool->nr_free];
}

void leap_bufpool_put(struct leap_bufpool *pool, void *elem)
{
	assert((unsigned char *)elem >= pool->first &&
	       (unsigned char *)elem < pool->end);
	assert(pool->nr_free < pool->nr);
	pool->free[pool->nr_free++] = elem;
}

struct leap_dmabuf *leap_bufpool_dmabuf(const struct leap_bufpool *pool)
{
	return pool->buf;
}

uint32_t leap_bufpool_free(const struct leap_bufpool *pool)
{
	return pool->nr_free;
}
