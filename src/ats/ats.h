/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ats.h - the inside of an address space and of its views
 */
#ifndef LEAP_ATS_ATS_H
#define LEAP_ATS_ATS_H

#include <leapio/ats.h>
#include <leapio/pollgroup.h>
#include <leapio/status.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "dmabuf/region.h"
#include "util/list.h"

/*
 * One mapping. Immutable while a table or an IOTLB points to it. What the hot
 * path reads comes first.
 */
struct leap__ats_range {
	uint64_t start;
	uint64_t last;			/* the last byte: may be 2^64 - 1 */
	uint8_t *base;			/* direct: address of start */
	struct leap_dmabuf *buf;	/* direct: a reference */
	uint64_t remote;		/* one-sided: address of start */
	uint32_t key;
	uint32_t perm;
	uint16_t slot;			/* names it in pins */
	uint16_t source;		/* enum leap_ats_source */
	struct leap_ats_ops ops;	/* callback, message */
	void *arg;
};

/* A snapshot: sorted by address. Counted; never changed once published. */
struct leap__ats_table {
	uint32_t refs;			/* under ats->lock */
	uint32_t nr;
	uint64_t *start;		/* of each range: what is searched */
	struct leap__ats_range *range[];
};

/* Counts only while the view's table is of the same generation. */
struct leap__ats_tlb {
	uint64_t gen;
	struct leap__ats_range *range;
};

struct leap_ats {
	pthread_mutex_t lock;		/* everything here but gen */
	uint64_t gen;			/* written under lock, read by views */
	struct leap__ats_table *table;
	struct leap_ats_view *views;
	uint64_t *slots;		/* bitmap of slots in use */
	uint32_t max_ranges;
	uint32_t nr_ranges;		/* and ranges that still drain */
	uint32_t iotlb_entries;
};

struct leap__ats_unmap;

/* One view's part of one unmap. */
struct leap__ats_leave {
	struct leap_msg msg;
	struct leap_ats_view *view;	/* NULL: detached since */
	struct leap__ats_unmap *unmap;
	struct leap__list link;		/* leaves, going or draining of view */
	bool here;			/* the view is of
					 * the unmapping thread */
};

struct leap__ats_unmap {
	struct leap_ats *ats;
	struct leap__ats_range *range;
	void (*done)(void *arg);
	void *arg;
	struct leap__dmabuf_recall recall;
	uint32_t nr_left;		/* views, and one for the caller */
	struct leap__ats_leave leave[];
};

struct leap_ats_view {
	struct leap_ats *ats;
	struct leap_pollgroup *pg;
	pthread_t thread;
	struct leap_ats_view *next;	/* under ats->lock */
	struct leap__ats_table *table;	/* a reference */
	uint64_t gen;			/* of that table */
	/* The range of the last hit, or leap__ats_nothing. */
	const struct leap__ats_range *last;
	struct leap__ats_tlb *iotlb;	/* by 2 MiB page */
	uint64_t iotlb_mask;
	uint32_t *pins;			/* by slot */
	uint64_t nr_pins;
	struct leap__list leaves;	/* not heard of yet; under ats->lock */
	struct leap__list draining;	/* unmaps that wait for pins */
	struct leap__list going;	/* hooks are to be told of them */
	struct leap__list hooks;
	struct leap__list *next_hook;	/* while they are being called */
	/* Of which they are told; NULL when ranges came. */
	const struct leap__ats_range *leaving;
	uint32_t nr_hooks;		/* under ats->lock */
	struct leap_msg came;		/* to call hooks of new ranges */
	bool came_sent;			/* under ats->lock */
	bool detached;			/* freed when came has run */
	uint8_t *sink;			/* where bit buckets of reads go */
	uint64_t hits;
	uint64_t misses;
	uint64_t faults;
};

#define LEAP__ATS_SINK_BYTES 65536u

/*
 * For users that hold pins for longer than a command does: the rings of a
 * queue. Without a hook such a pin keeps an unmap from ever ending.
 */
struct leap__ats_hook {
	struct leap__list link;
	/*
	 * A range is going. It translates no more (a new one in its place
	 * may); pins in it are to be given back, now or as soon as it can be
	 * done: the unmap waits for them.
	 */
	void (*going)(struct leap__ats_hook *hook, leap_gpa_t gpa,
		      uint64_t bytes);
	/* Ranges have come: what failed to translate may do so now. One call
	 * may stand for several ranges, which may have gone again. */
	void (*came)(struct leap__ats_hook *hook);
};

/*
 * Both are called on the view's thread, @going also from within leap_ats_unmap
 * when that is its thread, @came always from a poll of its group. They may
 * translate, release, add and remove hooks; not detach the view. Either
 * may be NULL. Add the hook first and translate then, so that no range slips
 * between the two.
 * Context: owner
 */
void leap__ats_hook_add(struct leap_ats_view *view,
			struct leap__ats_hook *hook);
void leap__ats_hook_del(struct leap_ats_view *view,
			struct leap__ats_hook *hook);

/* A range that no address is in. */
extern const struct leap__ats_range leap__ats_nothing;

/*
 * The range that holds @gpa, or NULL. Slow part of a lookup: takes over a newer
 * table when there is one.
 */
const struct leap__ats_range *leap__ats_lookup(struct leap_ats_view *view,
					       uint64_t gpa);

static inline int leap__ats_in(const struct leap__ats_range *range,
			       uint64_t gpa)
{
	return gpa >= range->start && gpa <= range->last;
}

static inline const struct leap__ats_range *
leap__ats_find(struct leap_ats_view *view, uint64_t gpa)
{
	const struct leap__ats_range *range = view->last;

	if (leap__ats_in(range, gpa)) {
		view->hits++;
		return range;
	}
	return leap__ats_lookup(view, gpa);
}

/*
 * leap__ats_piece - the guest address of a piece that is not direct
 *
 * Returns: 0; -EAGAIN nobody can reach it, -EFAULT its range is gone
 */
int leap__ats_piece(struct leap_ats_view *view, const struct leap_piece *piece,
		    leap_gpa_t *gpa);

/* Hold @range. 0, or -ENOBUFS when @pins is full. */
int leap__ats_pin(struct leap_ats_view *view, struct leap_pins *pins,
		  const struct leap__ats_range *range);

/* Hits and misses begin again: every cached translation is forgotten. */
void leap__ats_forget(struct leap_ats_view *view);

/* Under ats->lock: give back a reference to a table. */
void leap__ats_table_put(struct leap__ats_table *table);

/* Under ats->lock: @table becomes the one that lookups take over. */
void leap__ats_publish(struct leap_ats *ats, struct leap__ats_table *table);

/* Nothing points to @range any more. */
void leap__ats_range_free(struct leap_ats *ats, struct leap__ats_range *range);

/* On the view's thread: take over the newest table, forget what is cached. */
void leap__ats_refresh(struct leap_ats_view *view);

/* The view of @leaves has let go. What is told of it may unmap and release in
 * its turn, and detach the view. */
void leap__ats_end(struct leap__list *leaves);

/* leap_ats_view.came: on the view's thread. */
void leap__ats_view_came(struct leap_msg *msg);

/*
 * A table with room for @nr ranges. Under ats->lock when it is published.
 * NULL: out of memory.
 */
struct leap__ats_table *leap__ats_table_new(uint32_t nr);

/* What becomes of the addresses of one command. */
struct leap__ats_walk {
	struct leap_ats_view *view;
	struct leap_piece *pieces;
	struct leap_pins *pins;
	/* Direct, with @perm, pinned, and there is a piece already. */
	const struct leap__ats_range *range;
	uint32_t perm;
	uint32_t max;
	uint32_t nr;
};

/* One range of guest addresses more. 0, or the errno of leap_ats_translate. */
int leap__ats_add_slow(struct leap__ats_walk *w, uint64_t gpa, uint64_t len);

static inline int leap__ats_add(struct leap__ats_walk *w, uint64_t gpa,
				uint64_t len)
{
	const struct leap__ats_range *range = w->range;
	struct leap_piece *last;
	uint8_t *addr;

	/* No address is in leap__ats_nothing, so that nr is not 0 below. */
	if (!leap__ats_in(range, gpa) || len - 1 > range->last - gpa)
		return leap__ats_add_slow(w, gpa, len);
	w->view->hits++;
	addr = range->base + (gpa - range->start);
	last = &w->pieces[w->nr - 1];
	if ((uint8_t *)last->addr + last->len_bytes == addr &&
	    last->buf == range->buf && last->len_bytes + len <= UINT32_MAX) {
		last->len_bytes += (uint32_t)len;
		return 0;
	}
	if (w->nr == w->max || len > UINT32_MAX)
		return -ENOBUFS;
	w->pieces[w->nr++] = (struct leap_piece){
		.addr = addr, .buf = range->buf, .len_bytes = (uint32_t)len };
	return 0;
}

/*
 * The ranges as they are now, one call each.
 * Context: the control thread of the address space
 */
void leap__ats_ranges(struct leap_ats *ats,
		      void (*one)(void *arg,
				  const struct leap__ats_range *range),
		      void *arg);

/*
 * What most commands have: @len bytes in one piece, in the range of the last
 * hit, and nothing pinned yet. False: nothing was done, walk.
 */
static inline bool leap__ats_one(struct leap_ats_view *view, uint64_t gpa,
				 uint64_t len, uint32_t perm,
				 struct leap_piece *piece,
				 struct leap_pins *pins)
{
	const struct leap__ats_range *range = view->last;

	/* Only what is direct has a base. len 0 fails here too. */
	if (!leap__ats_in(range, gpa) || len - 1 > range->last - gpa ||
	    len > UINT32_MAX || !range->base || pins->nr ||
	    (range->perm & perm) != perm)
		return false;
	view->hits++;
	view->nr_pins++;
	view->pins[range->slot]++;
	pins->range[0] = range->slot;
	pins->nr = 1;
	*piece = (struct leap_piece){
		.addr = range->base + (gpa - range->start), .buf = range->buf,
		.len_bytes = (uint32_t)len };
	return true;
}

/* The same of a PRP1 that is enough, and of a descriptor that is the SGL. */
static inline bool leap__ats_one_prp(struct leap_ats_view *view, uint64_t prp1,
				     uint64_t len, uint32_t page_bytes,
				     uint32_t perm, struct leap_piece *piece,
				     struct leap_pins *pins)
{
	return !(prp1 & 3) && len <= page_bytes - (prp1 & (page_bytes - 1)) &&
	       leap__ats_one(view, prp1, len, perm, piece, pins);
}

static inline bool leap__ats_one_sgl(struct leap_ats_view *view,
				     const struct leap_sgl_desc *desc,
				     uint64_t len, uint32_t perm,
				     struct leap_piece *piece,
				     struct leap_pins *pins)
{
	return desc->type == LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
					 LEAP_SGL_SUB_ADDRESS) &&
	       leap_from_le32(desc->len) == len &&
	       leap__ats_one(view, leap_from_le64(desc->addr), len, perm,
			     piece, pins);
}

/* What the guest gets for an errno of a translation. */
leap_status_t leap__ats_status(int err);

#endif
