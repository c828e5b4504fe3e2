/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ats.h - the inside of an address space and of its views
 */
#ifndef LEAP_ATS_ATS_H
#define LEAP_ATS_ATS_H

#include <leapio/ats.h>
#include <leapio/pollgroup.h>
#include <leapio/status.h>

#include <pthread.h>
#include <stdbool.h>

#include "util/list.h"

/* One mapping. Immutable while a table or an IOTLB points to it. */
struct leap__ats_range {
	uint64_t start;
	uint64_t end;			/* first address behind it; 0 = 2^64 */
	uint8_t *base;			/* direct: address of start */
	uint64_t remote;		/* one-sided: address of start */
	struct leap_dmabuf *buf;	/* direct: a reference */
	uint32_t key;
	uint32_t perm;
	uint16_t slot;			/* names it in pins */
	uint16_t source;		/* enum leap_ats_source */
};

/* A snapshot: sorted by address. Counted; never changed once published. */
struct leap__ats_table {
	uint32_t refs;			/* under ats->lock */
	uint32_t nr;
	struct leap__ats_range *range[];
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
	bool here;			/* the view is of the unmapping thread */
};

struct leap__ats_unmap {
	struct leap_ats *ats;
	struct leap__ats_range *range;
	void (*done)(void *arg);
	void *arg;
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
	struct leap__ats_range *last;	/* the range of the last hit */
	struct leap__ats_range **iotlb;	/* by 2 MiB page */
	uint64_t iotlb_mask;
	uint32_t *pins;			/* by slot */
	uint64_t nr_pins;
	struct leap__list leaves;	/* not heard of yet; under ats->lock */
	struct leap__list draining;	/* unmaps that wait for pins */
	struct leap__list going;	/* hooks are to be told of them */
	struct leap__list hooks;
	struct leap__list *next_hook;	/* while they are being called */
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

/*
 * The range that holds @gpa, or NULL. Slow part of a lookup: takes over a newer
 * table when there is one.
 */
struct leap__ats_range *leap__ats_lookup(struct leap_ats_view *view,
					 uint64_t gpa);

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

/* Append to @pieces, merging with the last; 0, or -ENOBUFS. */
int leap__ats_append(struct leap_piece *pieces, uint32_t max, uint32_t *nr,
		     const struct leap_piece *piece);

/* leap_ats_translate that appends behind @nr pieces. 0 or -errno. */
int leap__ats_translate_more(struct leap_ats_view *view, uint64_t gpa,
			     uint64_t len, uint32_t perm,
			     struct leap_piece *pieces, uint32_t max,
			     uint32_t *nr, struct leap_pins *pins);

/* What the guest gets for an errno of a translation. */
leap_status_t leap__ats_status(int err);

#endif
