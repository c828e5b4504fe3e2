/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake-vdev.c - see fake-vdev.h
 */
#include "fake-vdev.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

static struct fake_vdev *of(const struct leap_vdev *vdev)
{
	return (struct fake_vdev *)(uintptr_t)vdev;
}

void fake_vdev_init(struct fake_vdev *v)
{
	uint32_t i;

	memset(v, 0, sizeof(*v));
	for (i = 0; i < sizeof(v->config); i++)
		v->config[i] = (uint8_t)(i * 7);
	for (i = 0; i < LEAP__VFU_MAX_VECTORS; i++)
		v->irq[i] = -1;
}

static void end_one(struct fake_vdev *v, struct fake_later *l, int err)
{
	if (l->map >= 0) {
		v->map_used[l->map] = err != 0;
		v->nr_maps -= !err;
	}
	if (l->done)
		l->done(l->arg, err);
}

static void later(struct fake_vdev *v, int map,
		  void (*done)(void *arg, int err), void *arg)
{
	struct fake_later l = { done, arg, map };

	if (!v->hold) {
		end_one(v, &l, 0);
		return;
	}
	if (v->nr_later < FAKE_LATER)
		v->later[v->nr_later++] = l;
}

void fake_vdev_end(struct fake_vdev *v, int err)
{
	struct fake_later l[FAKE_LATER];
	uint32_t i, n = v->nr_later;

	memcpy(l, v->later, sizeof(l));
	v->nr_later = 0;
	for (i = 0; i < n; i++)
		end_one(v, &l[i], err);
}

static void destroy(struct leap_vdev *vdev, void (*done)(void *arg), void *arg)
{
	of(vdev)->destroyed++;
	if (done)
		done(arg);
}

static int mem_add(struct leap_vdev *vdev, const struct leap_ats_range *range)
{
	struct fake_vdev *v = of(vdev);
	int i;

	if (v->mem_add_err && range->source == LEAP_ATS_FD)
		return leap__err(v->mem_add_err, "mem_add: the test said so");
	for (i = 0; i < FAKE_MAPS; i++)
		if (!v->map_used[i])
			break;
	if (i == FAKE_MAPS)
		return -ENOSPC;
	v->maps[i] = *range;
	if (range->ops)
		v->map_ops[i] = *range->ops;
	v->map_used[i] = 1;
	v->nr_maps++;
	return 0;
}

static void mem_sync(struct leap_vdev *vdev, void (*done)(void *arg, int err),
		     void *arg)
{
	later(of(vdev), -1, done, arg);
}

static int mem_del(struct leap_vdev *vdev, leap_gpa_t gpa, uint64_t bytes,
		   void (*done)(void *arg, int err), void *arg)
{
	struct fake_vdev *v = of(vdev);
	int i;

	if (v->mem_del_err)
		return v->mem_del_err;
	for (i = 0; i < FAKE_MAPS; i++)
		if (v->map_used[i] && v->maps[i].gpa.addr == gpa.addr &&
		    v->maps[i].bytes == bytes)
			break;
	if (i == FAKE_MAPS)
		return -ENOENT;
	later(v, i, done, arg);
	return 0;
}

static void config_read(struct leap_vdev *vdev, uint64_t offset, void *buf,
			uint32_t bytes)
{
	memcpy(buf, of(vdev)->config + offset, bytes);
}

static void config_write(struct leap_vdev *vdev, uint64_t offset,
			 const void *buf, uint32_t bytes)
{
	of(vdev)->writes++;
	memcpy(of(vdev)->config + offset, buf, bytes);
}

static void bar_read(struct leap_vdev *vdev, uint64_t offset, void *buf,
		     uint32_t bytes)
{
	memcpy(buf, of(vdev)->bar + offset, bytes);
}

static void bar_write(struct leap_vdev *vdev, uint64_t offset, const void *buf,
		      uint32_t bytes)
{
	of(vdev)->writes++;
	memcpy(of(vdev)->bar + offset, buf, bytes);
}

static void reset(struct leap_vdev *vdev, void (*done)(void *arg, int err),
		  void *arg)
{
	of(vdev)->resets++;
	later(of(vdev), -1, done, arg);
}

static int irq_fd(struct leap_vdev *vdev, uint32_t irq, uint32_t vector, int fd)
{
	struct fake_vdev *v = of(vdev);

	if (irq != LEAP_VDEV_MSIX || vector >= LEAP__VFU_MAX_VECTORS)
		return -EINVAL;
	if (v->irq_err)
		return v->irq_err;
	v->irq[vector] = fd;
	return 0;
}

static int intx_level(const struct leap_vdev *vdev)
{
	return of(vdev)->intx_level;
}

const struct leap__vfu_vdev_ops fake_vdev_ops = {
	.destroy = destroy,
	.mem_add = mem_add,
	.mem_sync = mem_sync,
	.mem_del = mem_del,
	.config_read = config_read,
	.config_write = config_write,
	.bar_read = bar_read,
	.bar_write = bar_write,
	.reset = reset,
	.irq_fd = irq_fd,
	.intx_level = intx_level,
};
