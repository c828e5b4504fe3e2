/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma.c - what a vfio-user client has mapped
 *
 * The vdev's address space is what decides; the list here is what makes "unmap
 * all" and the end of a client possible. Must not know how memory is used.
 */
#include "transport/vfio-user/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/maplimit.h"

/* Index of the first range that does not end below @addr. */
static uint32_t place(const struct leap__vfu_dev *dev, uint64_t addr)
{
	uint32_t lo = 0, hi = dev->nr_maps, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (dev->maps[mid].addr + (dev->maps[mid].bytes - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int grow(struct leap__vfu_dev *dev)
{
	uint32_t n = dev->max_maps ? dev->max_maps * 2 : 64;
	struct leap__vfu_map *maps;

	if (dev->nr_maps < dev->max_maps)
		return 0;
	if (dev->nr_maps >= LEAP__VFU_MAX_MAPS)
		return -ENOSPC;
	maps = realloc(dev->maps, n * sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	dev->maps = maps;
	dev->max_maps = n;
	return 0;
}

/*
 * Reached by messages at best: queues cannot lie in it. ROMs and video memory
 * of a virtual machine come like this and nobody does I/O to them; a guest
 * whose memory does cannot use the drive, and has to be told.
 */
static int add_by_message(struct leap__vfu_dev *dev,
			   struct leap_ats_range *range, const char *why)
{
	struct leap_ats_ops ops;

	if (!dev->warned && range->perm & LEAP_PERM_WRITE)
		leap__pg_log(dev->pg, LEAP_LOG_WARN, "%s: memory of the client "
			     "at %#llx cannot be mapped: %s; if it is the "
			     "guest's RAM, the drive will not work: start QEMU "
			     "with -object memory-backend-memfd,id=m,size=..,"
			     "share=on -machine memory-backend=m", dev->name,
			     (unsigned long long)range->gpa.addr, why);
	if (range->perm & LEAP_PERM_WRITE)
		dev->warned = true;
	leap__vfu_dma_ops(dev, &ops);
	range->source = LEAP_ATS_MESSAGE;
	range->fd = -1;
	range->offset = 0;
	range->ops = &ops;
	range->arg = dev;
	return dev->ops->mem_add(dev->vdev, range);
}

static int add(struct leap__vfu_dev *dev, struct leap_ats_range *range)
{
	char why[160];
	int err;

	if (range->fd < 0)
		return add_by_message(dev, range, "it came without a file "
				      "descriptor");
	err = dev->ops->mem_add(dev->vdev, range);
	if (err != -EACCES)
		return err;
	snprintf(why, sizeof(why), "%s (trust_memory takes it all the same)",
		 leap_last_error());
	return add_by_message(dev, range, why);
}

/* What it takes of the addresses of this process, which are for others too. */
static uint64_t takes(const struct leap__vfu_map *m)
{
	return m->by_message ? 0 : m->bytes;
}

static bool has_room(const struct leap__vfu_dev *dev, uint64_t bytes)
{
	uint64_t all = leap__map_limit();

	return dev->mapped <= all && bytes <= all - dev->mapped;
}

int leap__vfu_map(struct leap__vfu_dev *dev,
		  const struct leap__vfu_dma_map *map, int fd)
{
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;
	uint32_t at = place(dev, map->addr);
	int err;

	if (at < dev->nr_maps &&
	    dev->maps[at].addr <= map->addr + (map->bytes - 1))
		return -EEXIST;
	err = fd < 0 || has_room(dev, map->bytes) ? grow(dev) : -ENOSPC;
	if (err)
		return err;
	range.gpa.addr = map->addr;
	range.bytes = map->bytes;
	range.source = LEAP_ATS_FD;
	range.fd = fd;
	range.offset = fd < 0 ? 0 : map->offset;
	if (dev->trust_memory && fd >= 0)
		range.perm |= LEAP_PERM_UNSEALED;
	if (map->flags & LEAP__VFU_MAP_READ)
		range.perm |= LEAP_PERM_READ;
	if (map->flags & LEAP__VFU_MAP_WRITE)
		range.perm |= LEAP_PERM_WRITE;
	err = add(dev, &range);
	if (err)
		return err;
	memmove(dev->maps + at + 1, dev->maps + at,
		(dev->nr_maps - at) * sizeof(*dev->maps));
	dev->maps[at] = (struct leap__vfu_map){
		.addr = map->addr, .bytes = map->bytes, .perm = range.perm,
		.by_message = range.source == LEAP_ATS_MESSAGE,
	};
	dev->mapped += takes(&dev->maps[at]);
	dev->nr_maps++;
	return 0;
}

int leap__vfu_remap(struct leap__vfu_dev *dev, const struct leap__vfu_map *m)
{
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;
	int err = grow(dev);

	/* They come in the order in which they were kept. */
	if (!err && dev->nr_maps && m->addr <= dev->maps[dev->nr_maps - 1].addr)
		err = -EPROTO;
	if (!err && m->by_message) {
		range.gpa.addr = m->addr;
		range.bytes = m->bytes;
		range.perm = m->perm;
		dev->warned = true;	/* by the predecessor */
		err = add_by_message(dev, &range, "");
	}
	if (err)
		return err;
	dev->mapped += takes(m);
	dev->maps[dev->nr_maps++] = *m;
	return 0;
}

/* Index, or -1. */
static int64_t find(const struct leap__vfu_dev *dev, uint64_t addr,
		    uint64_t bytes)
{
	uint32_t at = place(dev, addr);

	if (at == dev->nr_maps || dev->maps[at].addr != addr ||
	    dev->maps[at].bytes != bytes)
		return -1;
	return at;
}

void leap__vfu_unmapped(struct leap__vfu_dev *dev,
			const struct leap__vfu_dma_unmap *unmap)
{
	int64_t at = find(dev, unmap->addr, unmap->bytes);

	if (at < 0)
		return;
	dev->mapped -= takes(&dev->maps[at]);
	dev->nr_maps--;
	memmove(dev->maps + at, dev->maps + at + 1,
		(dev->nr_maps - (uint32_t)at) * sizeof(*dev->maps));
}

static int del(struct leap__vfu_dev *dev, uint64_t addr, uint64_t bytes)
{
	leap_gpa_t gpa = { addr };
	int err;

	leap__vfu_dev_part(dev);
	err = dev->ops->mem_del(dev->vdev, gpa, bytes, leap__vfu_dev_end, dev);
	if (err)
		leap__vfu_dev_end(dev, err);
	return err;
}

int leap__vfu_unmap(struct leap__vfu_dev *dev,
		    const struct leap__vfu_dma_unmap *unmap)
{
	int err;

	if (unmap->flags & LEAP__VFU_UNMAP_ALL) {
		leap__vfu_unmap_all(dev);
		return 0;
	}
	if (find(dev, unmap->addr, unmap->bytes) < 0)
		return -ENOENT;
	err = del(dev, unmap->addr, unmap->bytes);
	/* It did not get through the first time, and did since. */
	if (err == -ENOENT)
		leap__vfu_unmapped(dev, unmap);
	return err;
}

void leap__vfu_unmap_all(struct leap__vfu_dev *dev)
{
	uint32_t i, n = dev->nr_maps;

	dev->nr_maps = 0;
	dev->mapped = 0;
	for (i = 0; i < n; i++)
		del(dev, dev->maps[i].addr, dev->maps[i].bytes);
}
