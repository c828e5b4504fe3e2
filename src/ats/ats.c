/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ats.c - the control side of an address space: ranges come and go
 *
 * Ranges live in immutable tables. A map publishes a new table, which a view
 * finds when a lookup misses in its own; unmap.c takes ranges out. Knows
 * nothing of queue pairs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/dmabuf.h>

#include "ats/ats.h"
#include "dmabuf/region.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/opts.h"

#define ATS_MAX_RANGES 65535u
#define ATS_IOTLB_DEFAULT 64u
#define ATS_IOTLB_MAX 4096u

int leap_ats_create(const struct leap_ats_opts *user, struct leap_ats **out)
{
	struct leap_ats_opts opts;
	struct leap_ats *ats;
	int err;

	*out = NULL;
	err = leap__opts_copy(&opts, sizeof(opts), user);
	if (err)
		return err;
	if (!opts.max_ranges)
		opts.max_ranges = ATS_MAX_RANGES;
	if (!opts.iotlb_entries)
		opts.iotlb_entries = ATS_IOTLB_DEFAULT;
	if (opts.max_ranges > ATS_MAX_RANGES)
		return leap__err(-EINVAL, "leap_ats_create: max_ranges %u "
				 "exceeds %u", opts.max_ranges, ATS_MAX_RANGES);
	if (opts.iotlb_entries > ATS_IOTLB_MAX ||
	    (opts.iotlb_entries & (opts.iotlb_entries - 1)))
		return leap__err(-EINVAL, "leap_ats_create: iotlb_entries %u "
				 "is not a power of two <= %u",
				 opts.iotlb_entries, ATS_IOTLB_MAX);
	ats = calloc(1, sizeof(*ats));
	if (!ats)
		return leap__err(-ENOMEM, "leap_ats_create: out of memory");
	ats->max_ranges = opts.max_ranges;
	ats->iotlb_entries = opts.iotlb_entries;
	ats->slots = calloc((opts.max_ranges + 63) / 64, sizeof(uint64_t));
	ats->table = leap__ats_table_new(0);
	if (!ats->slots || !ats->table) {
		free(ats->slots);
		free(ats->table);
		free(ats);
		return leap__err(-ENOMEM, "leap_ats_create: out of memory");
	}
	ats->table->refs = 1;
	/* Entries of an IOTLB that were never filled are of generation 0. */
	ats->gen = 1;
	pthread_mutex_init(&ats->lock, NULL);
	*out = ats;
	return 0;
}

static void range_free(struct leap__ats_range *range)
{
	leap_dmabuf_put(range->buf);
	free(range);
}

int leap_ats_destroy(struct leap_ats *ats)
{
	uint32_t i;

	if (!ats)
		return 0;
	pthread_mutex_lock(&ats->lock);
	if (ats->views || ats->nr_ranges != ats->table->nr) {
		pthread_mutex_unlock(&ats->lock);
		return leap__err(-EBUSY, "leap_ats_destroy: views are attached "
				 "or a range is being unmapped");
	}
	pthread_mutex_unlock(&ats->lock);
	for (i = 0; i < ats->table->nr; i++)
		range_free(ats->table->range[i]);
	pthread_mutex_destroy(&ats->lock);
	free(ats->table);
	free(ats->slots);
	free(ats);
	return 0;
}

struct leap__ats_table *leap__ats_table_new(uint32_t nr)
{
	struct leap__ats_table *table;

	table = malloc(sizeof(*table) +
		       nr * (sizeof(table->range[0]) + sizeof(uint64_t)));
	if (!table)
		return NULL;
	table->refs = 0;
	table->nr = nr;
	table->start = (uint64_t *)(void *)&table->range[nr];
	return table;
}

void leap__ats_table_put(struct leap__ats_table *table)
{
	if (--table->refs == 0)
		free(table);
}

void leap__ats_publish(struct leap_ats *ats, struct leap__ats_table *table)
{
	leap__ats_table_put(ats->table);
	table->refs = 1;
	ats->table = table;
	/* Views compare without the lock, then look again under it. */
	leap__store_release(&ats->gen, ats->gen + 1);
}

static int slot_get(struct leap_ats *ats)
{
	uint32_t i;

	for (i = 0; i < ats->max_ranges; i++) {
		if (ats->slots[i / 64] & (1ull << (i % 64)))
			continue;
		ats->slots[i / 64] |= 1ull << (i % 64);
		return (int)i;
	}
	return -ENOSPC;
}

static void slot_put(struct leap_ats *ats, uint32_t slot)
{
	ats->slots[slot / 64] &= ~(1ull << (slot % 64));
}

void leap__ats_range_free(struct leap_ats *ats, struct leap__ats_range *range)
{
	pthread_mutex_lock(&ats->lock);
	slot_put(ats, range->slot);
	ats->nr_ranges--;
	pthread_mutex_unlock(&ats->lock);
	range_free(range);
}

static int range_check(const struct leap_ats_range *r)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	uint64_t gpa = r->gpa.addr;

	if (!r->bytes || (gpa + r->bytes < gpa && gpa + r->bytes != 0))
		return leap__err(-EINVAL, "leap_ats_map: %#llx bytes at %#llx "
				 "are none or wrap", (unsigned long long)
				 r->bytes, (unsigned long long)gpa);
	if (!(r->perm & rw) || (r->perm & ~(rw | LEAP_PERM_UNSEALED)))
		return leap__err(-EINVAL, "leap_ats_map: perm %#x", r->perm);
	if (r->offset + r->bytes < r->offset)
		return leap__err(-EINVAL, "leap_ats_map: offset %#llx wraps",
				 (unsigned long long)r->offset);
	if (r->source == LEAP_ATS_DMABUF &&
	    (!r->buf || r->offset + r->bytes > leap_dmabuf_bytes(r->buf)))
		return leap__err(-EINVAL, "leap_ats_map: offset %#llx + %#llx "
				 "exceeds the dmabuf",
				 (unsigned long long)r->offset,
				 (unsigned long long)r->bytes);
	if (r->source > LEAP_ATS_CALLBACK)
		return leap__err(-EINVAL, "leap_ats_map: source %u", r->source);
	return 0;
}

static int ops_copy(const struct leap_ats_range *r, struct leap_ats_ops *ops)
{
	int err;

	if (!r->ops)
		return r->source != LEAP_ATS_CALLBACK ? 0 :
			leap__err(-EINVAL, "leap_ats_map: a callback range "
				  "without ops");
	err = leap__opts_copy(ops, sizeof(*ops), r->ops);
	if (err)
		return err;
	if (r->source == LEAP_ATS_CALLBACK && !ops->addr)
		return leap__err(-EINVAL, "leap_ats_map: a callback range "
				 "without addr");
	if (r->source == LEAP_ATS_MESSAGE && (!ops->read || !ops->write))
		return leap__err(-EINVAL, "leap_ats_map: a message range "
				 "without read or write");
	if (r->source == LEAP_ATS_REMOTE && !ops->move)
		return leap__err(-EINVAL, "leap_ats_map: a remote range with "
				 "ops, but without move");
	return 0;
}

/*
 * Memory of a guest is cut up by its firmware in small pages, whatever pages
 * the file is made of: what is mapped begins at one of those.
 */
static int map_fd(const struct leap_ats_range *r, struct leap__ats_range *range)
{
	uint64_t in = r->offset % leap__dmabuf_fd_page_bytes(r->fd);
	int err = leap_dmabuf_import(r->fd, r->offset - in, r->bytes + in,
				     r->perm, &range->buf);

	if (!err)
		range->base = (uint8_t *)leap_dmabuf_addr(range->buf) + in;
	return err;
}

static int range_make(const struct leap_ats_range *r,
		      struct leap__ats_range **out)
{
	struct leap__ats_range *range = calloc(1, sizeof(*range));
	int err;

	if (!range)
		return leap__err(-ENOMEM, "leap_ats_map: out of memory");
	range->start = r->gpa.addr;
	range->last = r->gpa.addr + (r->bytes - 1);
	range->perm = r->perm & (LEAP_PERM_READ | LEAP_PERM_WRITE);
	range->source = (uint16_t)r->source;
	range->arg = r->arg;
	err = ops_copy(r, &range->ops);
	if (err) {
		free(range);
		return err;
	}
	switch (r->source) {
	case LEAP_ATS_FD:
		err = map_fd(r, range);
		if (err) {
			free(range);
			return err;
		}
		break;
	case LEAP_ATS_DMABUF:
		range->buf = leap_dmabuf_get(r->buf);
		range->base = (uint8_t *)leap_dmabuf_addr(r->buf) + r->offset;
		break;
	case LEAP_ATS_REMOTE:
		range->remote = r->offset;
		range->key = r->key;
		break;
	default:
		break;
	}
	*out = range;
	return 0;
}

/* Where @range goes in @table; -EEXIST when it overlaps. Ends are compared as
 * last bytes, so that a range may reach the top of the address space. */
static int place(const struct leap__ats_table *table,
		 const struct leap__ats_range *range)
{
	uint32_t i = 0;

	while (i < table->nr && table->start[i] < range->start)
		i++;
	if (i > 0 && table->range[i - 1]->last >= range->start)
		return -EEXIST;
	if (i < table->nr && table->range[i]->start <= range->last)
		return -EEXIST;
	return (int)i;
}

/* Under ats->lock, as a view that is not in the list may be gone. */
static void tell_came(struct leap_ats *ats)
{
	struct leap_ats_view *view;

	for (view = ats->views; view; view = view->next) {
		if (view->came_sent || !view->nr_hooks)
			continue;
		view->came_sent = true;
		leap_pollgroup_send(view->pg, &view->came);
	}
}

/* Under ats->lock. */
static int insert(struct leap_ats *ats, struct leap__ats_range *range)
{
	struct leap__ats_table *old = ats->table, *table;
	int at = place(old, range), slot;
	uint32_t i;

	if (at < 0)
		return leap__err(-EEXIST, "leap_ats_map: %#llx..%#llx overlaps "
				 "a range", (unsigned long long)range->start,
				 (unsigned long long)range->last);
	slot = slot_get(ats);
	if (slot < 0)
		return leap__err(-ENOSPC, "leap_ats_map: more than %u ranges",
				 ats->max_ranges);
	table = leap__ats_table_new(old->nr + 1);
	if (!table) {
		slot_put(ats, (uint32_t)slot);
		return leap__err(-ENOMEM, "leap_ats_map: out of memory");
	}
	range->slot = (uint16_t)slot;
	memcpy(table->range, old->range, (size_t)at * sizeof(range));
	table->range[at] = range;
	memcpy(table->range + at + 1, old->range + at,
	       (old->nr - (uint32_t)at) * sizeof(range));
	for (i = 0; i < table->nr; i++)
		table->start[i] = table->range[i]->start;
	ats->nr_ranges++;
	leap__ats_publish(ats, table);
	return 0;
}

int leap_ats_map(struct leap_ats *ats, const struct leap_ats_range *user)
{
	struct leap__ats_range *range = NULL;
	struct leap_ats_range r;
	int err;

	err = leap__opts_copy(&r, sizeof(r), user);
	if (err)
		return err;
	err = range_check(&r);
	if (err)
		return err;
	err = range_make(&r, &range);
	if (err)
		return err;
	pthread_mutex_lock(&ats->lock);
	err = insert(ats, range);
	if (!err)
		tell_came(ats);
	pthread_mutex_unlock(&ats->lock);
	if (err)
		range_free(range);
	return err;
}

void leap__ats_ranges(struct leap_ats *ats,
		      void (*one)(void *arg,
				  const struct leap__ats_range *range),
		      void *arg)
{
	uint32_t i;

	/* Only the control thread puts another table in its place. */
	for (i = 0; i < ats->table->nr; i++)
		one(arg, ats->table->range[i]);
}
