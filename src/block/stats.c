/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters and latency histograms of a layer.
 *
 * Counting is on the data path (leap__chan_count in bdev.h): plain adds to
 * words that only the channel's thread writes, stored untorn so that a reader
 * on another thread may sum them. Reading takes the lock of the list of
 * channels, never anything that a data path waits for.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "block/bdev.h"
#include "util/atomic.h"
#include "util/err.h"

/* The fields of both structs are uint64_t, in the same order. */
static void sum(void *to, const struct leap__op_stats *from)
{
	const uint64_t *src = (const uint64_t *)from;
	uint64_t *dst = to;
	size_t i;

	for (i = 0; i < sizeof(*from) / sizeof(*src); i++)
		dst[i] += leap__load_relaxed(&src[i]);
}

_Static_assert(sizeof(struct leap__op_stats) ==
	       sizeof(struct leap_bdev_op_stats), "see sum()");

/* With bdev->lock held. */
void leap__chan_retire(struct leap_chan *chan)
{
	unsigned int i;

	for (i = 0; i < LEAP_BDEV_STAT_NR; i++)
		sum(&chan->bdev->retired[i], &chan->stats[i]);
}

int leap_bdev_stats(const struct leap_bdev *bdev, struct leap_bdev_stats *out)
{
	struct leap_bdev *b = (struct leap_bdev *)bdev;
	struct leap_bdev_stats all = { sizeof(all) };
	struct leap__list *pos;
	unsigned int i;

	if (!bdev || !out || out->size < sizeof(out->size))
		return leap__err(-EINVAL,
				 "leap_bdev_stats: stats.size is not set");
	pthread_mutex_lock(&b->lock);
	for (i = 0; i < LEAP_BDEV_STAT_NR; i++) {
		sum(&all.op[i], &b->retired[i]);
		leap__list_for_each(pos, &b->chans)
			sum(&all.op[i], &leap__list_entry(pos,
				struct leap_chan, link)->stats[i]);
	}
	pthread_mutex_unlock(&b->lock);
	if (out->size > sizeof(all))
		memset((char *)out + sizeof(all), 0, out->size - sizeof(all));
	else
		all.size = out->size;
	memcpy(out, &all, all.size);
	return 0;
}
