/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bdev.h - layers and channels as the block files see them
 *
 * Layers themselves use leapio/plugin/bdev_ops.h and nothing of this; the
 * controller uses leap__bdev_use.
 */
#ifndef LEAP_BLOCK_BDEV_H
#define LEAP_BLOCK_BDEV_H

#include <assert.h>
#include <pthread.h>

#include <leapio/plugin/bdev_ops.h>

#include "block/stack.h"
#include "util/atomic.h"
#include "util/list.h"

/* Of one kind of operation, in one channel: written by its thread alone. */
struct leap__op_stats {
	uint64_t ops;
	uint64_t bytes;
	uint64_t errors;
	uint64_t hist[LEAP_HIST_BUCKETS];
};

struct leap_bdev {
	struct leap_bdev_ops ops;	/* copy, with defaults filled in */
	const struct leap_bdev_ops *table;	/* what was copied */
	struct leap_pollgroup *pg;
	struct leap_bdev *parent;
	struct leap_bdev **children;
	struct leap__layer *layer;	/* text: name, argument, options */
	struct leap__stack *stack;	/* the top owns it */
	void *priv;
	uint32_t nr_children;
	uint32_t opened;	/* by ops.open */
	/* Read by every channel's thread; changed by leap_bdev_set. */
	uint32_t block_bytes;
	uint32_t caps;
	uint64_t nr_blocks;
	uint32_t block_shift;
	uint32_t optimal_blocks;
	struct leap_bdev_zones zones;	/* zone_blocks 0: it has none */
	/* Layout of a bio of this layer. */
	uint32_t bio_total;	/* with all scratch below */
	uint32_t *child_off;	/* [nr_children]: its first child bio */

	pthread_mutex_t lock;	/* of what follows; control path only */
	struct leap__list chans;
	struct leap__list users;
	struct leap__op_stats retired[LEAP_BDEV_STAT_NR];
};

/* Of write zeroes and verify, where a layer has them done in parts. */
#define LEAP__PART_BYTES	65536u

struct leap_chan {
	struct leap_bdev *bdev;
	struct leap_pollgroup *pg;
	struct leap_chan **children;
	void *priv;
	/* LEAP__PART_BYTES each, or NULL. */
	void *zeroes;		/* to write, where a layer cannot by itself */
	void *sink;		/* to read into, where it cannot verify */
	struct leap__list link;	/* bdev->chans */
	uint32_t is_top;
	/* Of a top channel: its bios. */
	uint32_t nr_bios;
	uint32_t nr_free;
	uint32_t nr_fresh;	/* bios from here on were never used */
	unsigned char *bios;
	struct leap_bio **free;
	struct leap__op_stats stats[LEAP_BDEV_STAT_NR];
};

/* chan.c: ops.let_go of every layer from @chan down. Context: owner */
void leap__chan_let_go(struct leap_chan *chan, const struct leap_dmabuf *buf);

/* Somebody above a stack who wants to know of a new size. */
struct leap__bdev_user {
	/* On the control thread of the stack. */
	void (*resized)(struct leap__bdev_user *user);
	/* The same; NULL = does not matter. */
	void (*zone_changed)(struct leap__bdev_user *user, uint64_t block);
	struct leap__list link;
};

#define LEAP__BIO_ALIGN		64u
#define LEAP__BIO_TOTAL_MAX	65536u	/* with the scratch of all layers */

static inline uint32_t leap__bio_align(uint32_t n)
{
	return (n + LEAP__BIO_ALIGN - 1) & ~(LEAP__BIO_ALIGN - 1);
}

/* Of a bio and the dispatcher's part, before the layer's. */
uint32_t leap__bio_head_bytes(void);

/* Pin @bdev (leap_bdev_close answers -EBUSY) and hear of its size. */
void leap__bdev_use(struct leap_bdev *bdev, struct leap__bdev_user *user);
void leap__bdev_unuse(struct leap_bdev *bdev, struct leap__bdev_user *user);

/* registry.c: the layers of this build, NULL-terminated. */
const struct leap_bdev_ops *const *leap__bdev_builtin(void);

static inline void leap__count_add(uint64_t *word, uint64_t n)
{
	leap__store_relaxed(word, *word + n);
}

LEAP_STATIC_ASSERT((int)LEAP_BIO_READ == (int)LEAP_BDEV_STAT_READ &&
		   (int)LEAP_BIO_WRITE == (int)LEAP_BDEV_STAT_WRITE &&
		   (int)LEAP_BIO_FLUSH == (int)LEAP_BDEV_STAT_FLUSH &&
		   LEAP_BDEV_STAT_OTHER == 3);

/* chan.c: the first use of its memory. */
struct leap_bio *leap__bio_fresh(struct leap_chan *chan);

/* leap_bio_get for those who set every field but the dispatcher's: nothing is
 * zeroed. Context: owner, hot path */
static inline struct leap_bio *leap__bio_take(struct leap_chan *chan)
{
	struct leap_bio *bio;

	if (__builtin_expect(!chan->nr_free, 0))
		return NULL;
	bio = chan->free[--chan->nr_free];
	return __builtin_expect(bio != NULL, 1) ? bio : leap__bio_fresh(chan);
}

/* leap_bio_put of one that is done. Context: owner, hot path */
static inline void leap__bio_return(struct leap_chan *chan,
				    struct leap_bio *bio)
{
	assert(chan->nr_free < chan->nr_bios);
	chan->free[chan->nr_free++] = bio;
}

/* One finished operation. Context: owner of @chan, hot path */
static inline void leap__chan_count(struct leap_chan *chan, unsigned int op,
				    uint64_t bytes, uint64_t ns, int failed)
{
	struct leap__op_stats *s = &chan->stats[op < LEAP_BDEV_STAT_OTHER ?
						op : LEAP_BDEV_STAT_OTHER];
	unsigned int bucket = 63 - (unsigned int)__builtin_clzll(ns | 1);

	if (bucket >= LEAP_HIST_BUCKETS)
		bucket = LEAP_HIST_BUCKETS - 1;
	leap__count_add(&s->ops, 1);
	if (__builtin_expect(failed, 0))
		leap__count_add(&s->errors, 1);
	else
		leap__count_add(&s->bytes, bytes);
	leap__count_add(&s->hist[bucket], 1);
}

/* stats.c: a channel goes away. */
void leap__chan_retire(struct leap_chan *chan);

/* options.c: 0, or -EINVAL when an option was not asked for by the layer. */
int leap__bdev_opts_known(const struct leap_bdev *bdev);

/* check.c: 0, or what the bio ends with. */
leap_status_t leap__check_vector(const struct leap_bdev *bdev,
				 struct leap_bio *bio, uint32_t caps);
leap_status_t leap__check_zone(const struct leap_bdev *bdev,
			       const struct leap_bio *bio, uint32_t caps);

#endif
