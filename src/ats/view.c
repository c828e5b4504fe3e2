/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * view.c - translate, pin, copy: what the data path asks of an address space
 *
 * Runs on the thread of the view's poll group. The last range that was hit is
 * looked at first; a guest's memory is a few huge ranges, so that is nearly
 * always the answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/nvme.h>

#include "ats/ats.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/plant.h"

#define IOTLB_SHIFT 21

const struct leap__ats_range leap__ats_nothing = { .start = 1, .last = 0 };

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
	view->last = &leap__ats_nothing;
	view->iotlb = calloc(ats->iotlb_entries, sizeof(*view->iotlb));
	view->pins = calloc(ats->max_ranges, sizeof(*view->pins));
	leap__list_init(&view->leaves);
	leap__list_init(&view->going);
	leap__list_init(&view->draining);
	leap__list_init(&view->hooks);
	view->came.run = leap__ats_view_came;
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

/* Under ats->lock: those who have not been heard of yet need not wait. */
static void leave_all(struct leap_ats_view *view)
{
	struct leap__list *at;

	while ((at = leap__list_pop(&view->leaves)) != NULL)
		leap__list_entry(at, struct leap__ats_leave, link)->view = NULL;
}

int leap_ats_detach(struct leap_ats_view *view)
{
	struct leap_ats_view **at;
	struct leap_ats *ats;
	bool came_sent;

	if (!view)
		return 0;
	ats = view->ats;
	if (view->nr_pins)
		return leap__err(-EBUSY, "leap_ats_detach: %llu pins are held",
				 (unsigned long long)view->nr_pins);
	pthread_mutex_lock(&ats->lock);
	leave_all(view);
	for (at = &ats->views; *at != view; at = &(*at)->next)
		;
	*at = view->next;
	leap__ats_table_put(view->table);
	came_sent = view->came_sent;
	pthread_mutex_unlock(&ats->lock);
	free(view->iotlb);
	free(view->pins);
	free(view->sink);
	/* The message is on its way and lies in the view: it frees it. */
	view->detached = true;
	if (!came_sent)
		free(view);
	return 0;
}

/* The range that begins last at or before @gpa. Without branches, because what
 * is asked for is not to be foretold. */
static struct leap__ats_range *search(const struct leap__ats_table *table,
				      uint64_t gpa)
{
	const uint64_t *at = table->start;
	uint32_t n = table->nr, half;
	struct leap__ats_range *range;

	if (!n)
		return NULL;
	while (n > 1) {
		half = n / 2;
		at += gpa >= at[half] ? half : 0;
		n -= half;
	}
	range = table->range[at - table->start];
	return leap__ats_in(range, gpa) ? range : NULL;
}

void leap__ats_forget(struct leap_ats_view *view)
{
	uint64_t i;

	view->last = &leap__ats_nothing;
	for (i = 0; i <= view->iotlb_mask; i++)
		view->iotlb[i].gen = 0;
}

const struct leap__ats_range *leap__ats_lookup(struct leap_ats_view *view,
					       uint64_t gpa)
{
	struct leap__ats_tlb *tlb =
		&view->iotlb[gpa >> IOTLB_SHIFT & view->iotlb_mask];
	struct leap__ats_range *range;

	if (tlb->gen == view->gen && leap__ats_in(tlb->range, gpa)) {
		view->hits++;
		view->last = tlb->range;
		return tlb->range;
	}
	view->misses++;
	range = search(view->table, gpa);
	/* A hole in a table that is not the newest: it may be filled there. */
	if (!range && leap__load_acquire(&view->ats->gen) != view->gen) {
		leap__ats_refresh(view);
		range = search(view->table, gpa);
	}
	if (!range) {
		view->faults++;
		return NULL;
	}
	tlb->range = range;
	tlb->gen = view->gen;
	view->last = range;
	return range;
}

/* Few guests have remote memory, and those few ranges of it. */
static const struct leap__ats_range *of_slot(struct leap_ats_view *view,
					     uint32_t slot)
{
	uint32_t i;

	if (view->last != &leap__ats_nothing && view->last->slot == slot)
		return view->last;
	for (i = 0; i < view->table->nr; i++)
		if (view->table->range[i]->slot == slot)
			return view->table->range[i];
	return NULL;
}

int leap__ats_piece(struct leap_ats_view *view, const struct leap_piece *piece,
		    leap_gpa_t *gpa)
{
	const struct leap__ats_range *range;

	gpa->addr = piece->remote;
	if (piece->reach == LEAP_REACH_MESSAGE) {
		range = leap__ats_find(view, piece->remote);
		return range && (range->source != LEAP_ATS_MESSAGE ||
				 range->ops.read) ? 0 : -EAGAIN;
	}
	range = of_slot(view, piece->range);
	if (!range || range->source != LEAP_ATS_REMOTE ||
	    range->key != piece->key || piece->remote < range->remote ||
	    piece->remote - range->remote > range->last - range->start)
		return -EFAULT;
	gpa->addr = range->start + (piece->remote - range->remote);
	return range->ops.move ? 0 : -EAGAIN;
}

int leap__ats_pin(struct leap_ats_view *view, struct leap_pins *pins,
		  const struct leap__ats_range *range)
{
	uint32_t i;

	for (i = 0; i < pins->nr; i++)
		if (pins->range[i] == range->slot)
			return 0;
	if (pins->nr == LEAP_PINS_MAX)
		return -ENOBUFS;
	pins->range[pins->nr++] = range->slot;
	view->pins[range->slot]++;
	view->nr_pins++;
	return 0;
}

static int append(struct leap__ats_walk *w, const struct leap_piece *piece)
{
	struct leap_piece *last = w->nr ? &w->pieces[w->nr - 1] : NULL;

	if (last && last->buf == piece->buf && last->reach == piece->reach &&
	    last->key == piece->key && last->range == piece->range &&
	    last->len_bytes + (uint64_t)piece->len_bytes <= UINT32_MAX &&
	    (piece->addr ?
	     (uint8_t *)last->addr + last->len_bytes == piece->addr :
	     last->remote + last->len_bytes == piece->remote)) {
		last->len_bytes += piece->len_bytes;
		return 0;
	}
	if (w->nr == w->max)
		return -ENOBUFS;
	w->pieces[w->nr++] = *piece;
	return 0;
}

/*
 * Where @gpa lies in this process. How many bytes from there on, @len at the
 * most, or -EFAULT.
 */
static int64_t direct(const struct leap__ats_range *range, uint64_t gpa,
		      uint64_t len, uint32_t perm, uint8_t **addr)
{
	uint64_t at = gpa - range->start;
	void *where = NULL;
	int64_t n;

	if (len - 1 > range->last - gpa)
		len = range->last - gpa + 1;
	if (len > UINT32_MAX)
		len = UINT32_MAX;
	if (range->source != LEAP_ATS_CALLBACK) {
		*addr = range->base + at;
		return (int64_t)len;
	}
	n = range->ops.addr(range->arg, at, len, perm, &where);
	if (n <= 0 || !where)
		return -EFAULT;
	*addr = where;
	return n > (int64_t)len ? (int64_t)len : n;
}

/* The piece for what of @len bytes at @gpa lies in @range in one piece. */
static int64_t piece_in(const struct leap__ats_range *range, uint64_t gpa,
			uint64_t len, uint32_t perm, struct leap_piece *piece)
{
	uint64_t at = gpa - range->start;
	uint8_t *addr = NULL;
	int64_t n;

	*piece = (struct leap_piece){ .buf = range->buf };
	switch (range->source) {
	case LEAP_ATS_REMOTE:
		piece->reach = LEAP_REACH_ONE_SIDED;
		piece->remote = range->remote + at;
		piece->key = range->key;
		piece->range = range->slot;
		break;
	case LEAP_ATS_MESSAGE:
		piece->reach = LEAP_REACH_MESSAGE;
		piece->remote = gpa;
		break;
	default:
		n = direct(range, gpa, len, perm, &addr);
		piece->addr = addr;
		piece->len_bytes = n > 0 ? (uint32_t)n : 0;
		return n;
	}
	if (len - 1 > range->last - gpa)
		len = range->last - gpa + 1;
	piece->len_bytes = (uint32_t)len;
	return (int64_t)len;
}

int leap__ats_add_slow(struct leap__ats_walk *w, uint64_t gpa, uint64_t len)
{
	const struct leap__ats_range *range;
	struct leap_piece piece;
	int64_t part;
	int err;

	if (!len || len > UINT32_MAX)
		return -EINVAL;
	if (gpa + len - 1 < gpa)
		return -EFAULT;
	while (len) {
		range = leap__ats_find(w->view, gpa);
		if (!range)
			return -EFAULT;
		if ((range->perm & w->perm) != w->perm)
			return -EACCES;
		err = leap__ats_pin(w->view, w->pins, range);
		if (err)
			return err;
		part = piece_in(range, gpa, len, w->perm, &piece);
		if (part < 0)
			return (int)part;
		err = append(w, &piece);
		if (err && LEAP_PLANT(PIN_LEAK))
			w->pins->nr = 0;
		if (err)
			return err;
		w->range = range->base ? range : &leap__ats_nothing;
		gpa += (uint64_t)part;
		len -= (uint64_t)part;
	}
	return 0;
}

int leap_ats_translate(struct leap_ats_view *view, leap_gpa_t gpa,
		       uint64_t len_bytes, uint32_t perm,
		       struct leap_piece *pieces, uint32_t max,
		       struct leap_pins *pins)
{
	struct leap__ats_walk w = {
		.view = view, .pieces = pieces, .pins = pins, .perm = perm,
		.max = max, .range = &leap__ats_nothing,
	};
	int err = leap__ats_add_slow(&w, gpa.addr, len_bytes);

	return err ? err : (int)w.nr;
}

/* Pins have gone: end the unmaps that waited for them alone. */
static void end_drained(struct leap_ats_view *view)
{
	struct leap__list *at, *next, ended;

	leap__list_init(&ended);
	leap__list_for_each_safe(at, next, &view->draining) {
		struct leap__ats_leave *leave =
			leap__list_entry(at, struct leap__ats_leave, link);

		if (view->pins[leave->unmap->range->slot])
			continue;
		leap__list_remove(at);
		leap__list_push_back(&ended, at);
	}
	leap__ats_end(&ended);
}

void leap_ats_release(struct leap_ats_view *view, struct leap_pins *pins)
{
	uint32_t i;

	view->nr_pins -= pins->nr;
	for (i = 0; i < pins->nr; i++)
		view->pins[pins->range[i]]--;
	pins->nr = 0;
	if (!leap__list_empty(&view->draining))
		end_drained(view);
}

/* One direct part of a copy: how many bytes at @gpa are in one range. */
static int64_t copy_part(struct leap_ats_view *view, uint64_t gpa,
			 uint64_t len, uint32_t perm, uint8_t **at)
{
	const struct leap__ats_range *range = leap__ats_find(view, gpa);

	if (!range)
		return -EFAULT;
	if ((range->perm & perm) != perm)
		return -EACCES;
	if (range->source == LEAP_ATS_MESSAGE ||
	    range->source == LEAP_ATS_REMOTE)
		return -EAGAIN;
	return direct(range, gpa, len, perm, at);
}

int leap_ats_copy_in(struct leap_ats_view *view, void *dst, leap_gpa_t src,
		     uint64_t len_bytes)
{
	uint8_t *to = dst, *from;

	if (len_bytes && src.addr + len_bytes - 1 < src.addr)
		return -EFAULT;
	while (len_bytes) {
		int64_t part = copy_part(view, src.addr, len_bytes,
					 LEAP_PERM_READ, &from);

		if (part < 0)
			return (int)part;
		leap__copy_from_shared(to, from, (size_t)part);
		to += part;
		src.addr += (uint64_t)part;
		len_bytes -= (uint64_t)part;
	}
	return 0;
}

int leap_ats_copy_out(struct leap_ats_view *view, leap_gpa_t dst,
		      const void *src, uint64_t len_bytes)
{
	const uint8_t *from = src;
	uint8_t *to;

	if (len_bytes && dst.addr + len_bytes - 1 < dst.addr)
		return -EFAULT;
	while (len_bytes) {
		int64_t part = copy_part(view, dst.addr, len_bytes,
					 LEAP_PERM_WRITE, &to);

		if (part < 0)
			return (int)part;
		leap__copy_to_shared(to, from, (size_t)part);
		from += part;
		dst.addr += (uint64_t)part;
		len_bytes -= (uint64_t)part;
	}
	return 0;
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

leap_status_t leap__ats_status(int err)
{
	if (!err)
		return LEAP_SC_SUCCESS;
	/* A hole, no permission, or memory that cannot be reached. */
	return LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR;
}
