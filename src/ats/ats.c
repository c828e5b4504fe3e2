/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ats.c - the control side of an address space: ranges come and go
 *
 * Ranges live in immutable tables. A map publishes a new table, which a view
 * finds when a lookup misses in its own. An unmap publishes one too and sends
 * each view a message; the view drops what it has cached, waits for its pins in
 * the range, and the last view to do so frees the range and tells the caller.
 * Knows nothing of queue pairs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/dmabuf.h>

#include "ats/ats.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/opts.h"
#include "util/plant.h"

#define ATS_MAX_RANGES 65535u
#define ATS_IOTLB_DEFAULT 64u
#define ATS_IOTLB_MAX 4096u
#define IOTLB_SHIFT 21

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
	ats->table = calloc(1, sizeof(*ats->table));
	if (!ats->slots || !ats->table) {
		free(ats->slots);
		free(ats->table);
		free(ats);
		return leap__err(-ENOMEM, "leap_ats_create: out of memory");
	}
	ats->table->refs = 1;
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

/* Under ats->lock. */
static void table_put(struct leap__ats_table *table)
{
	if (--table->refs == 0)
		free(table);
}

/* Under ats->lock: @table becomes the one that lookups take over. */
static void publish(struct leap_ats *ats, struct leap__ats_table *table)
{
	table_put(ats->table);
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

static int range_check(const struct leap_ats_range *r)
{
	uint64_t gpa = r->gpa.addr;

	if (!r->bytes || (gpa + r->bytes < gpa && gpa + r->bytes != 0))
		return leap__err(-EINVAL, "leap_ats_map: %#llx bytes at %#llx "
				 "are none or wrap", (unsigned long long)
				 r->bytes, (unsigned long long)gpa);
	if (!(r->perm & (LEAP_PERM_READ | LEAP_PERM_WRITE)) ||
	    (r->perm & ~(uint32_t)(LEAP_PERM_READ | LEAP_PERM_WRITE)))
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
	if (r->source > LEAP_ATS_MESSAGE)
		return leap__err(-EINVAL, "leap_ats_map: source %u", r->source);
	return 0;
}

static int range_make(const struct leap_ats_range *r,
		      struct leap__ats_range **out)
{
	struct leap__ats_range *range = calloc(1, sizeof(*range));
	int err;

	if (!range)
		return leap__err(-ENOMEM, "leap_ats_map: out of memory");
	range->start = r->gpa.addr;
	range->end = r->gpa.addr + r->bytes;
	range->perm = r->perm;
	range->source = (uint16_t)r->source;
	switch (r->source) {
	case LEAP_ATS_FD:
		err = leap_dmabuf_import(r->fd, r->offset, r->bytes, r->perm,
					 &range->buf);
		if (err) {
			free(range);
			return err;
		}
		range->base = leap_dmabuf_addr(range->buf);
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

	while (i < table->nr && table->range[i]->start < range->start)
		i++;
	if (i > 0 && table->range[i - 1]->end - 1 >= range->start)
		return -EEXIST;
	if (i < table->nr && table->range[i]->start <= range->end - 1)
		return -EEXIST;
	return (int)i;
}

/* Under ats->lock. */
static int insert(struct leap_ats *ats, struct leap__ats_range *range)
{
	struct leap__ats_table *old = ats->table, *table;
	int at = place(old, range), slot;

	if (at < 0)
		return leap__err(-EEXIST, "leap_ats_map: %#llx..%#llx overlaps "
				 "a range", (unsigned long long)range->start,
				 (unsigned long long)(range->end - 1));
	slot = slot_get(ats);
	if (slot < 0)
		return leap__err(-ENOSPC, "leap_ats_map: more than %u ranges",
				 ats->max_ranges);
	table = malloc(sizeof(*table) + (old->nr + 1) * sizeof(range));
	if (!table) {
		slot_put(ats, (uint32_t)slot);
		return leap__err(-ENOMEM, "leap_ats_map: out of memory");
	}
	range->slot = (uint16_t)slot;
	table->nr = old->nr + 1;
	memcpy(table->range, old->range, (size_t)at * sizeof(range));
	table->range[at] = range;
	memcpy(table->range + at + 1, old->range + at,
	       (old->nr - (uint32_t)at) * sizeof(range));
	ats->nr_ranges++;
	publish(ats, table);
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
	pthread_mutex_unlock(&ats->lock);
	if (err)
		range_free(range);
	return err;
}

/* One of those who had to let go has: the last one ends the unmap. */
static void unmap_step(struct leap__ats_unmap *unmap)
{
	struct leap_ats *ats = unmap->ats;
	void (*done)(void *arg) = unmap->done;
	void *arg = unmap->arg;

	if (leap__fetch_add(&unmap->nr_left, (uint32_t)-1) != 1)
		return;
	pthread_mutex_lock(&ats->lock);
	slot_put(ats, unmap->range->slot);
	ats->nr_ranges--;
	pthread_mutex_unlock(&ats->lock);
	range_free(unmap->range);
	free(unmap);
	done(arg);
}

/* On the view's thread: forget every cached range. */
static void view_refresh(struct leap_ats_view *view)
{
	struct leap_ats *ats = view->ats;

	pthread_mutex_lock(&ats->lock);
	table_put(view->table);
	view->table = ats->table;
	view->table->refs++;
	view->gen = ats->gen;
	pthread_mutex_unlock(&ats->lock);
	if (LEAP_PLANT(STALE_TRANSLATION))
		return;
	view->last = NULL;
	memset(view->iotlb, 0, (view->iotlb_mask + 1) * sizeof(*view->iotlb));
}

/* On the view's thread: the range is going; wait for what is pinned in it. */
static void view_leave(struct leap__ats_leave *leave)
{
	struct leap_ats_view *view = leave->view;

	view_refresh(view);
	if (view->pins[leave->unmap->range->slot]) {
		leave->next = view->draining;
		view->draining = leave;
		return;
	}
	leap__fetch_add(&view->nr_leaves, (uint32_t)-1);
	unmap_step(leave->unmap);
}

static void view_leave_msg(struct leap_msg *msg)
{
	view_leave((struct leap__ats_leave *)msg);
}

/* Under ats->lock: a table without range @at; NULL = out of memory. */
static struct leap__ats_table *without(const struct leap__ats_table *old,
				       uint32_t at)
{
	struct leap__ats_table *table;

	table = malloc(sizeof(*table) + old->nr * sizeof(old->range[0]));
	if (!table)
		return NULL;
	table->nr = old->nr - 1;
	memcpy(table->range, old->range, at * sizeof(old->range[0]));
	memcpy(table->range + at, old->range + at + 1,
	       (old->nr - at - 1) * sizeof(old->range[0]));
	return table;
}

/* Under ats->lock: take the range out, make one leave for each view. */
static int unmap_begin(struct leap_ats *ats, uint32_t at,
		       struct leap__ats_unmap **out)
{
	struct leap__ats_unmap *unmap;
	struct leap__ats_table *table;
	struct leap_ats_view *view;
	uint32_t nr = 0;

	for (view = ats->views; view; view = view->next)
		nr++;
	unmap = calloc(1, sizeof(*unmap) + nr * sizeof(unmap->leave[0]));
	table = without(ats->table, at);
	if (!unmap || !table) {
		free(unmap);
		free(table);
		return leap__err(-ENOMEM, "leap_ats_unmap: out of memory");
	}
	unmap->ats = ats;
	unmap->range = ats->table->range[at];
	unmap->nr_left = nr + 1;
	publish(ats, table);
	nr = 0;
	for (view = ats->views; view; view = view->next) {
		unmap->leave[nr].msg.run = view_leave_msg;
		unmap->leave[nr].unmap = unmap;
		unmap->leave[nr++].view = view;
		leap__fetch_add(&view->nr_leaves, 1);
	}
	*out = unmap;
	return (int)nr;
}

static int find_exact(const struct leap_ats *ats, uint64_t gpa, uint64_t bytes)
{
	uint32_t i;

	for (i = 0; i < ats->table->nr; i++)
		if (ats->table->range[i]->start == gpa &&
		    ats->table->range[i]->end == gpa + bytes)
			return (int)i;
	return leap__err(-ENOENT, "leap_ats_unmap: no range of %#llx bytes at "
			 "%#llx", (unsigned long long)bytes,
			 (unsigned long long)gpa);
}

int leap_ats_unmap(struct leap_ats *ats, leap_gpa_t gpa, uint64_t bytes,
		   void (*done)(void *arg), void *arg)
{
	struct leap__ats_unmap *unmap = NULL;
	int at, nr, i;

	pthread_mutex_lock(&ats->lock);
	at = find_exact(ats, gpa.addr, bytes);
	nr = at < 0 ? at : unmap_begin(ats, (uint32_t)at, &unmap);
	pthread_mutex_unlock(&ats->lock);
	if (nr < 0)
		return nr;
	unmap->done = done;
	unmap->arg = arg;
	for (i = 0; i < nr; i++) {
		struct leap_ats_view *view = unmap->leave[i].view;

		if (pthread_equal(view->thread, pthread_self()))
			view_leave(&unmap->leave[i]);
		else
			leap_pollgroup_send(view->pg, &unmap->leave[i].msg);
	}
	unmap_step(unmap);
	return 0;
}

int leap_ats_attach(struct leap_ats *ats, struct leap_pollgroup *pg,
		    struct leap_ats_view **out)
{
	struct leap_ats_view *view = calloc(1, sizeof(*view));

	*out = NULL;
	if (!view)
		return leap__err(-ENOMEM, "leap_ats_attach: out of memory");
	view->ats = ats;
	view->pg = pg;
	view->thread = pthread_self();
	view->iotlb_mask = ats->iotlb_entries - 1;
	view->iotlb = calloc(ats->iotlb_entries, sizeof(*view->iotlb));
	view->pins = calloc(ats->max_ranges, sizeof(*view->pins));
	view->sink = malloc(LEAP__ATS_SINK_BYTES);
	if (!view->iotlb || !view->pins || !view->sink) {
		free(view->iotlb);
		free(view->pins);
		free(view->sink);
		free(view);
		return leap__err(-ENOMEM, "leap_ats_attach: out of memory");
	}
	pthread_mutex_lock(&ats->lock);
	view->table = ats->table;
	view->table->refs++;
	view->gen = ats->gen;
	view->next = ats->views;
	ats->views = view;
	pthread_mutex_unlock(&ats->lock);
	*out = view;
	return 0;
}

int leap_ats_detach(struct leap_ats_view *view)
{
	struct leap_ats_view **at;
	struct leap_ats *ats;

	if (!view)
		return 0;
	ats = view->ats;
	pthread_mutex_lock(&ats->lock);
	if (view->nr_pins || leap__load_acquire(&view->nr_leaves)) {
		pthread_mutex_unlock(&ats->lock);
		return leap__err(-EBUSY, "leap_ats_detach: %llu pins are held "
				 "or an unmap is under way",
				 (unsigned long long)view->nr_pins);
	}
	for (at = &ats->views; *at != view; at = &(*at)->next)
		;
	*at = view->next;
	table_put(view->table);
	pthread_mutex_unlock(&ats->lock);
	free(view->iotlb);
	free(view->pins);
	free(view->sink);
	free(view);
	return 0;
}

/* The binary search of a view's table. */
static struct leap__ats_range *search(const struct leap__ats_table *table,
				      uint64_t gpa)
{
	uint32_t lo = 0, hi = table->nr;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct leap__ats_range *range = table->range[mid];

		if (gpa < range->start)
			hi = mid;
		else if (gpa > range->end - 1)
			lo = mid + 1;
		else
			return range;
	}
	return NULL;
}

struct leap__ats_range *leap__ats_lookup(struct leap_ats_view *view,
					 uint64_t gpa)
{
	struct leap__ats_range **cached, *range;

	cached = &view->iotlb[gpa >> IOTLB_SHIFT & view->iotlb_mask];
	range = *cached;
	if (range && gpa >= range->start && gpa <= range->end - 1) {
		view->hits++;
		view->last = range;
		return range;
	}
	view->misses++;
	range = search(view->table, gpa);
	/* A hole in a table that is not the newest: it may be filled there. */
	if (!range && leap__load_acquire(&view->ats->gen) != view->gen) {
		view_refresh(view);
		range = search(view->table, gpa);
	}
	if (!range) {
		view->faults++;
		return NULL;
	}
	*cached = range;
	view->last = range;
	return range;
}

void leap_ats_release(struct leap_ats_view *view, struct leap_pins *pins)
{
	struct leap__ats_leave **at, *leave;
	uint32_t i;

	view->nr_pins -= pins->nr;
	for (i = 0; i < pins->nr; i++)
		view->pins[pins->range[i]]--;
	pins->nr = 0;
	for (at = &view->draining; (leave = *at) != NULL;) {
		if (view->pins[leave->unmap->range->slot]) {
			at = &leave->next;
			continue;
		}
		*at = leave->next;
		leap__fetch_add(&view->nr_leaves, (uint32_t)-1);
		unmap_step(leave->unmap);
	}
}

int leap_ats_view_stats(const struct leap_ats_view *view,
			struct leap_ats_stats *stats)
{
	struct leap_ats_stats now = { sizeof(now) };
	size_t size = stats->size;

	if (size < sizeof(size) || size > sizeof(now))
		return leap__err(-EINVAL, "leap_ats_view_stats: size %zu",
				 size);
	now.nr_ranges = view->table->nr;
	now.hits = view->hits;
	now.misses = view->misses;
	now.faults = view->faults;
	now.pins = view->nr_pins;
	memcpy(stats, &now, size);
	stats->size = size;
	return 0;
}
