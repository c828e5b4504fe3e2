/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace: remembers the last operations of each channel. An instrument.
 *
 *	trace[depth=N] -> STACK
 *
 * Passes everything on and changes nothing. An operation is written to a ring
 * when it ends; leap__trace_read copies the rings from any thread. Each entry
 * is guarded by its sequence number, so the data path waits for no reader.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

#include "block/trace.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/list.h"

#define DEPTH_DEFAULT	256
#define DEPTH_MAX	65536
#define WORDS		(sizeof(struct leap__trace_entry) / sizeof(uint64_t))

_Static_assert(sizeof(struct leap__trace_entry) % sizeof(uint64_t) == 0,
	       "entries are copied in words");

struct slot {
	uint64_t seq;		/* from 1; 0 = being written */
	uint64_t words[WORDS];
};

struct trace {
	pthread_mutex_t lock;	/* of the list; control path only */
	struct leap__list chans;
	uint64_t depth;
};

struct trace_chan {
	struct leap__list link;
	struct slot *ring;
	uint64_t depth;		/* power of two */
	uint64_t seq;		/* of the last entry */
};

static int trace_open(struct leap_bdev *bdev)
{
	struct trace *t = leap_bdev_priv(bdev);
	uint64_t depth;
	int err;

	err = leap_bdev_opt_u64(bdev, "depth", DEPTH_DEFAULT, DEPTH_MAX,
				&depth);
	if (err)
		return err;
	if (!depth)
		return leap__err(-EINVAL, "trace: depth is 0");
	for (t->depth = 1; t->depth < depth;)
		t->depth *= 2;
	pthread_mutex_init(&t->lock, NULL);
	leap__list_init(&t->chans);
	return 0;
}

static void trace_close(struct leap_bdev *bdev)
{
	struct trace *t = leap_bdev_priv(bdev);

	pthread_mutex_destroy(&t->lock);
}

static int trace_chan_open(struct leap_chan *chan)
{
	struct trace *t = leap_bdev_priv(leap_chan_bdev(chan));
	struct trace_chan *tc = leap_chan_priv(chan);

	tc->depth = t->depth;
	tc->ring = calloc(tc->depth, sizeof(*tc->ring));
	if (!tc->ring)
		return leap__err(-ENOMEM, "trace: depth %llu",
				 (unsigned long long)tc->depth);
	pthread_mutex_lock(&t->lock);
	leap__list_push_back(&t->chans, &tc->link);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static void trace_chan_close(struct leap_chan *chan)
{
	struct trace *t = leap_bdev_priv(leap_chan_bdev(chan));
	struct trace_chan *tc = leap_chan_priv(chan);

	pthread_mutex_lock(&t->lock);
	leap__list_remove(&tc->link);
	pthread_mutex_unlock(&t->lock);
	free(tc->ring);
}

static void trace_done(struct leap_bio *child, leap_status_t status)
{
	struct leap_bio *bio = child->arg;
	struct trace_chan *tc = leap_chan_priv(bio->chan);
	struct slot *slot = &tc->ring[tc->seq++ & (tc->depth - 1)];
	struct leap__trace_entry e = {
		.start_ns = bio->start_ns,
		.block = bio->block,
		.tag = bio->tag,
		.nr_blocks = bio->nr_blocks,
		.status = status,
		.op = bio->op,
		.flags = bio->flags,
	};
	uint64_t words[WORDS];
	unsigned int i;

	e.ns = leap_pollgroup_now_ns(leap_chan_pollgroup(bio->chan)) -
	       e.start_ns;
	memcpy(words, &e, sizeof(words));
	leap__store_relaxed(&slot->seq, UINT64_C(0));
	/* Pairs with the observe in slot_read: the 0 is there before words. */
	leap__dma_publish();
	for (i = 0; i < WORDS; i++)
		leap__store_relaxed(&slot->words[i], words[i]);
	/* Pairs with the acquire in slot_read. */
	leap__store_release(&slot->seq, tc->seq);
	bio->result = child->result;
	leap_bio_done(bio, status);
}

static void trace_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	leap_bio_submit(leap_chan_child(chan, 0),
			leap_bio_child(bio, 0, 0, trace_done));
}

/* 1 when the slot held a whole entry all the time. */
static int slot_read(const struct slot *slot, struct leap__trace_entry *e)
{
	uint64_t seq = leap__load_acquire(&slot->seq);
	uint64_t words[WORDS];
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		words[i] = leap__load_relaxed(&slot->words[i]);
	leap__dma_observe();
	if (!seq || leap__load_relaxed(&slot->seq) != seq)
		return 0;
	memcpy(e, words, sizeof(*e));
	return 1;
}

static int by_end(const void *a, const void *b)
{
	const struct leap__trace_entry *x = a, *y = b;
	uint64_t ex = x->start_ns + x->ns, ey = y->start_ns + y->ns;

	return ex < ey ? -1 : ex > ey;
}

int leap__trace_read(struct leap_bdev *bdev, struct leap__trace_entry *entries,
		     uint32_t max)
{
	struct leap_bdev_info info = { sizeof(info) };
	struct leap__trace_entry *all;
	struct leap__list *pos;
	struct trace *t;
	size_t nr = 0, i, most = 0;

	if (leap_bdev_info(bdev, &info) || strcmp(info.name, "trace"))
		return leap__err(-EINVAL,
				 "leap__trace_read: not a trace layer");
	t = leap_bdev_priv(bdev);
	pthread_mutex_lock(&t->lock);
	leap__list_for_each(pos, &t->chans)
		most += t->depth;
	all = calloc(most + 1, sizeof(*all));
	if (all) {
		leap__list_for_each(pos, &t->chans)
			for (i = 0; i < t->depth; i++)
				nr += (size_t)slot_read(&leap__list_entry(pos,
					struct trace_chan, link)->ring[i],
					&all[nr]);
	}
	pthread_mutex_unlock(&t->lock);
	if (!all)
		return leap__err(-ENOMEM, "leap__trace_read: out of memory");
	qsort(all, nr, sizeof(*all), by_end);
	if (nr < max)
		max = (uint32_t)nr;
	memcpy(entries, all + nr - max, max * sizeof(*all));
	free(all);
	return (int)max;
}

const struct leap_bdev_ops leap__trace_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "trace",
	.help = "depth=N  operations remembered per channel; 256",
	.nr_children_min = 1,
	.nr_children_max = 1,
	.bdev_bytes = sizeof(struct trace),
	.chan_bytes = sizeof(struct trace_chan),
	.bio_children = 1,
	.open = trace_open,
	.close = trace_close,
	.chan_open = trace_chan_open,
	.chan_close = trace_chan_close,
	.submit = trace_submit,
};
