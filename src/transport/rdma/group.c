/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices and registered buffers of a poll group.
 *
 * A registration of the buffers is kept until the poll group goes or the device
 * does: registering pins memory and takes long, and hosts come and go. Knows
 * neither connections nor commands.
 */
#include "transport/rdma/group.h"

#include "core/io/dispatch.h"
#include "core/io/transport.h"
#include "util/atomic.h"
#include "util/err.h"

#include <errno.h>
#include <stdlib.h>

static void pool_free(struct leap__rdma_group *g, struct leap__rdma_pool *pool,
		      int pg_goes)
{
	struct leap__rdma_pool **at = &g->pools;

	while (*at != pool)
		at = &(*at)->next;
	*at = pool->next;
	leap__rdma_cache_free(pool->cache, pg_goes);
	if (pool->mr)
		pool->dev->v->mr_destroy(pool->mr);
	leap__rdma_dev_put(pool->dev);
	free(pool);
}

static void group_free(struct leap__pg_ext *ext)
{
	struct leap__rdma_group *g = (struct leap__rdma_group *)ext;

	while (g->pools)
		pool_free(g, g->pools, 1);
	free(g);
}

struct leap__rdma_group *leap__rdma_group(struct leap_pollgroup *pg)
{
	struct leap__rdma_group *g = (struct leap__rdma_group *)
		leap__pollgroup_ext(pg, &leap__rdma_transport);

	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->ext.key = &leap__rdma_transport;
	g->ext.free = group_free;
	g->pg = pg;
	g->v = leap__verbs_real();
	leap__pollgroup_add_ext(pg, &g->ext);
	return g;
}

int leap__rdma_use(struct leap_pollgroup *pg, const struct leap__verbs *v)
{
	struct leap__rdma_group *g = leap__rdma_group(pg);

	if (!g)
		return -ENOMEM;
	g->v = v;
	return 0;
}

const struct leap__verbs *leap__rdma_verbs(struct leap_pollgroup *pg,
					   const char *call)
{
	struct leap__rdma_group *g = leap__rdma_group(pg);

	if (!g) {
		leap__err(-ENOMEM, "%s: out of memory", call);
		return NULL;
	}
	if (!g->v)
		leap__err(-EPROTONOSUPPORT, "%s: no transport \"rdma\" in this "
			  "build, which found no libibverbs and librdmacm",
			  call);
	return g->v;
}

void leap__rdma_dev_put(struct leap__rdma_dev *d)
{
	if (!d || leap__fetch_add(&d->refs, (uint32_t)-1) != 1)
		return;
	if (d->pd)
		d->v->pd_destroy(d->pd);
	free(d);
}

static int dev_create(const struct leap__verbs *v, struct leap__v_dev *dev,
		      struct leap__rdma_dev **out)
{
	struct leap__rdma_dev *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->v = v;
	d->dev = dev;
	d->refs = 1;
	err = v->dev_caps(dev, &d->caps);
	if (!err)
		err = v->pd_create(dev, &d->pd);
	if (err) {
		leap__rdma_dev_put(d);
		return err;
	}
	*out = d;
	return 0;
}

int leap__rdma_pool_get(struct leap_pollgroup *pg, struct leap__v_dev *dev,
			struct leap__rdma_dev *d, struct leap__rdma_pool **out)
{
	struct leap__rdma_group *g = leap__rdma_group(pg);
	struct leap__rdma_pool *pool;
	int err = 0;

	if (!g || !dev)
		return g ? -ENODEV : -ENOMEM;
	for (pool = g->pools; pool; pool = pool->next)
		if (d ? pool->dev == d : pool->dev->dev == dev &&
		    !leap__load_relaxed(&pool->dev->gone)) {
			pool->users++;
			*out = pool;
			return 0;
		}
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	if (d)
		leap__fetch_add(&d->refs, 1u);
	else
		err = dev_create(g->v, dev, &d);
	if (err) {
		free(pool);
		return err;
	}
	pool->dev = d;
	pool->users = 1;
	pool->next = g->pools;
	g->pools = pool;
	*out = pool;
	return 0;
}

int leap__rdma_pool_bufs(struct leap_pollgroup *pg,
			 struct leap__rdma_pool *pool)
{
	struct leap__dispatch *dp = leap__dispatch(pg);
	struct leap__rdma_dev *d = pool->dev;
	struct leap__v_keys keys;
	int err;

	if (pool->mr)
		return 0;
	err = d->v->mr_create(d->pd, dp->bufs,
			      (uint64_t)dp->nr_bufs * dp->buf_bytes,
			      d->caps.remote_sink ? LEAP__V_REMOTE_WRITE : 0,
			      &keys, &pool->mr);
	if (!err)
		pool->lkey = keys.lkey;
	return err;
}

void leap__rdma_pool_put(struct leap_pollgroup *pg,
			 struct leap__rdma_pool *pool)
{
	if (!pool || --pool->users || !leap__load_relaxed(&pool->dev->gone))
		return;
	pool_free(leap__rdma_group(pg), pool, 0);
}
