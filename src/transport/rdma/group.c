/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices and registered buffers of a poll group.
 *
 * A registration of the buffers is kept while the device has connections, be it
 * in other groups: registering pins memory and takes long, and hosts come and
 * go. Knows neither connections nor commands.
 */
#include "transport/rdma/group.h"

#include "core/io/dispatch.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/list.h"

#include <errno.h>
#include <stdlib.h>

static void dev_put(struct leap__rdma_dev *d)
{
	if (leap__fetch_add(&d->refs, (uint32_t)-1) != 1)
		return;
	if (d->pd)
		d->v->pd_destroy(d->pd);
	if (d->last_id)
		d->v->id_destroy(d->last_id);
	if (d->last_chan)
		d->v->chan_destroy(d->last_chan);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* 1 = its message is on its way, and frees it */
static int dev_del_pool(struct leap__rdma_dev *d, struct leap__rdma_pool *pool)
{
	struct leap__rdma_pool **at = &d->pools;
	int told;

	pthread_mutex_lock(&d->lock);
	while (*at != pool)
		at = &(*at)->dev_next;
	*at = pool->dev_next;
	told = (int)pool->told;
	pool->freed = 1;
	pthread_mutex_unlock(&d->lock);
	return told;
}

static void pool_free(struct leap__rdma_group *g, struct leap__rdma_pool *pool,
		      int pg_goes)
{
	struct leap__rdma_pool **at = &g->pools;
	int told = dev_del_pool(pool->dev, pool);

	while (*at != pool)
		at = &(*at)->next;
	*at = pool->next;
	leap__rdma_cache_free(pool->cache, pg_goes);
	if (pool->mr)
		pool->dev->v->mr_destroy(pool->mr);
	dev_put(pool->dev);
	if (!told || pg_goes)
		free(pool);
}

/* Of no use to anybody: no connection, or none that could be. */
static int is_idle(const struct leap__rdma_pool *pool)
{
	return !pool->users && (!leap__load_acquire(&pool->dev->conns) ||
				leap__load_relaxed(&pool->dev->gone));
}

static void idle_run(struct leap_msg *msg)
{
	struct leap__rdma_pool *pool =
		leap__list_entry(msg, struct leap__rdma_pool, idle);

	if (pool->freed) {
		free(pool);
		return;
	}
	pthread_mutex_lock(&pool->dev->lock);
	pool->told = 0;
	pthread_mutex_unlock(&pool->dev->lock);
	if (is_idle(pool))
		pool_free(leap__rdma_group(pool->pg), pool, 0);
}

/* The lock is held: none of them goes meanwhile, and so no poll group. */
static int tell_pools(struct leap__rdma_dev *d,
		      const struct leap__rdma_pool *but)
{
	struct leap__rdma_pool *pool;
	int others = 0;

	for (pool = d->pools; pool; pool = pool->dev_next) {
		others += pool != but;
		if (pool != but && !pool->told) {
			pool->told = 1;
			leap_pollgroup_send(pool->pg, &pool->idle);
		}
	}
	return others;
}

void leap__rdma_dev_join(struct leap__rdma_dev *d)
{
	leap__fetch_add(&d->refs, 1u);
	leap__fetch_add(&d->conns, 1u);
}

int leap__rdma_dev_leave(struct leap__rdma_dev *d,
			 const struct leap__rdma_pool *pool,
			 struct leap__v_id *id, struct leap__v_chan *chan)
{
	int kept = 0;

	if (!d)
		return 0;
	if (leap__fetch_add(&d->conns, (uint32_t)-1) == 1) {
		pthread_mutex_lock(&d->lock);
		kept = tell_pools(d, pool) && !d->last_id;
		if (kept) {
			d->last_id = id;
			d->last_chan = chan;
		}
		pthread_mutex_unlock(&d->lock);
	}
	dev_put(d);
	return kept;
}

void leap__rdma_dev_gone(struct leap__rdma_dev *d)
{
	if (!d || leap__exchange(&d->gone, 1u))
		return;
	pthread_mutex_lock(&d->lock);
	tell_pools(d, NULL);
	pthread_mutex_unlock(&d->lock);
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

static int dev_create(const struct leap__verbs *v, struct leap__v_dev *dev,
		      const void *realm, struct leap__rdma_dev **out)
{
	struct leap__rdma_dev *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->v = v;
	d->dev = dev;
	d->realm = realm;
	d->refs = 1;
	pthread_mutex_init(&d->lock, NULL);
	err = v->dev_caps(dev, &d->caps);
	if (!err)
		err = v->pd_create(dev, &d->pd);
	if (err) {
		dev_put(d);
		return err;
	}
	*out = d;
	return 0;
}

static int is_dev(const struct leap__rdma_dev *d,
		  const struct leap__v_dev *dev, const void *realm)
{
	return d->dev == dev && d->realm == realm &&
	       !leap__load_relaxed(&d->gone);
}

int leap__rdma_pool_get(struct leap_pollgroup *pg, struct leap__v_dev *dev,
			struct leap__rdma_dev *d, const void *realm,
			struct leap__rdma_pool **out)
{
	struct leap__rdma_group *g = leap__rdma_group(pg);
	struct leap__rdma_pool *pool;
	int err = 0;

	if (!g || !dev)
		return g ? -ENODEV : -ENOMEM;
	for (pool = g->pools; pool; pool = pool->next)
		if (d ? pool->dev == d : is_dev(pool->dev, dev, realm)) {
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
		err = dev_create(g->v, dev, realm, &d);
	if (err) {
		free(pool);
		return err;
	}
	pool->dev = d;
	pool->users = 1;
	pool->pg = pg;
	pool->idle.run = idle_run;
	pool->next = g->pools;
	g->pools = pool;
	pthread_mutex_lock(&d->lock);
	pool->dev_next = d->pools;
	d->pools = pool;
	pthread_mutex_unlock(&d->lock);
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
	if (!pool)
		return;
	pool->users--;
	if (is_idle(pool))
		pool_free(leap__rdma_group(pg), pool, 0);
}
