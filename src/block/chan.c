/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Channels: what a stack has for one poll group. A channel for each layer, from
 * the leaves up, and the memory of all the bios that can be under way in them,
 * which the top one has. The way of a bio through them is bdev.c's; nothing
 * here runs for each of them but the first use of its memory.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "block/bdev.h"
#include "core/io/pollgroup.h"
#include "util/err.h"

#define NR_BIOS_MAX	131072u

void *leap_chan_priv(const struct leap_chan *chan)
{
	return chan->priv;
}

struct leap_bdev *leap_chan_bdev(const struct leap_chan *chan)
{
	return chan->bdev;
}

struct leap_pollgroup *leap_chan_pollgroup(const struct leap_chan *c)
{
	return c->pg;
}

struct leap_chan *leap_chan_child(const struct leap_chan *chan, uint32_t i)
{
	assert(i < chan->bdev->nr_children);
	return chan->children[i];
}

static void chan_free(struct leap_chan *chan)
{
	if (chan->zeroes)
		munmap(chan->zeroes, LEAP__PART_BYTES);
	if (chan->sink)
		munmap(chan->sink, LEAP__PART_BYTES);
	free(chan->bios);
	free(chan->free);
	free(chan->children);
	free(chan->priv);
	free(chan);
}

/* Until it is written to, all of it is the kernel's zero page, or nothing. */
static void *part_memory(int prot)
{
	void *p = mmap(NULL, LEAP__PART_BYTES, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static struct leap_chan *chan_alloc(struct leap_bdev *bdev,
				    struct leap_pollgroup *pg)
{
	struct leap_chan *chan = calloc(1, sizeof(*chan));

	if (!chan)
		return NULL;
	chan->bdev = bdev;
	chan->pg = pg;
	chan->priv = calloc(1, bdev->ops.chan_bytes + 1);
	chan->children = calloc(bdev->nr_children + 1,
				sizeof(*chan->children));
	if (!chan->priv || !chan->children)
		goto fail;
	if (!(bdev->caps & LEAP_BDEV_WRITE_ZEROES)) {
		chan->zeroes = part_memory(PROT_READ);
		if (!chan->zeroes)
			goto fail;
	}
	if (!(bdev->caps & LEAP_BDEV_VERIFY)) {
		chan->sink = part_memory(PROT_READ | PROT_WRITE);
		if (!chan->sink)
			goto fail;
	}
	return chan;
fail:
	chan_free(chan);
	return NULL;
}

static void chan_close(struct leap_chan *chan)
{
	struct leap_bdev *bdev = chan->bdev;
	uint32_t i;

	bdev->ops.chan_close(chan);
	pthread_mutex_lock(&bdev->lock);
	leap__chan_retire(chan);
	leap__list_remove(&chan->link);
	pthread_mutex_unlock(&bdev->lock);
	for (i = 0; i < bdev->nr_children; i++)
		chan_close(chan->children[i]);
	chan_free(chan);
}

static int chan_open(struct leap_bdev *bdev, struct leap_pollgroup *pg,
		     struct leap_chan **out)
{
	struct leap_chan *chan = chan_alloc(bdev, pg);
	uint32_t i;
	int err = 0;

	if (!chan)
		return leap__err(-ENOMEM, "leap_chan_open: out of memory");
	for (i = 0; i < bdev->nr_children && !err; i++)
		err = chan_open(bdev->children[i], pg, &chan->children[i]);
	if (!err)
		err = bdev->ops.chan_open(chan);
	if (err) {
		for (i = 0; i < bdev->nr_children; i++)
			if (chan->children[i])
				chan_close(chan->children[i]);
		chan_free(chan);
		return err;
	}
	pthread_mutex_lock(&bdev->lock);
	leap__list_push_back(&bdev->chans, &chan->link);
	pthread_mutex_unlock(&bdev->lock);
	*out = chan;
	return 0;
}

static int bios_alloc(struct leap_chan *chan, uint32_t nr_bios)
{
	uint32_t total = chan->bdev->bio_total;

	/* The places of those that were never used hold NULL. */
	chan->free = calloc(nr_bios, sizeof(*chan->free));
	chan->bios = aligned_alloc(LEAP__BIO_ALIGN, (size_t)nr_bios * total);
	if (!chan->free || !chan->bios)
		return leap__err(-ENOMEM,
				 "leap_chan_open: nr_bios %u of %u bytes",
				 nr_bios, total);
	chan->nr_bios = chan->nr_free = nr_bios;
	return 0;
}

/* One that was never used: until now its memory was not even touched. */
struct leap_bio *leap__bio_fresh(struct leap_chan *chan)
{
	uint32_t total = chan->bdev->bio_total;
	void *bio = chan->bios + (size_t)chan->nr_fresh++ * total;

	assert(chan->nr_fresh <= chan->nr_bios);
	return memset(bio, 0, total);
}

int leap_chan_open(struct leap_bdev *bdev, struct leap_pollgroup *pg,
		   uint32_t nr_bios, struct leap_chan **out)
{
	struct leap_chan *chan;
	int err;

	if (!bdev || !pg)
		return leap__err(-EINVAL, "leap_chan_open: bdev or pg is NULL");
	if (!nr_bios || nr_bios > NR_BIOS_MAX)
		return leap__err(-EINVAL,
			"leap_chan_open: nr_bios %u is not 1 to %u", nr_bios,
			NR_BIOS_MAX);
	err = chan_open(bdev, pg, &chan);
	if (err)
		return err;
	chan->is_top = 1;
	leap__pollgroup_hold(pg);
	err = bios_alloc(chan, nr_bios);
	if (err) {
		leap__pollgroup_release(pg);
		chan_close(chan);
		return err;
	}
	*out = chan;
	return 0;
}

int leap_chan_close(struct leap_chan *chan)
{
	if (!chan)
		return 0;
	if (!chan->is_top)
		return leap__err(-EINVAL,
			"leap_chan_close: belongs to the layer above");
	if (chan->nr_free != chan->nr_bios)
		return leap__err(-EBUSY, "leap_chan_close: %u bios are out",
				 chan->nr_bios - chan->nr_free);
	leap__pollgroup_release(chan->pg);
	chan_close(chan);
	return 0;
}

void leap__chan_let_go(struct leap_chan *chan, const struct leap_dmabuf *buf)
{
	uint32_t i;

	if (chan->bdev->ops.let_go)
		chan->bdev->ops.let_go(chan, buf);
	for (i = 0; i < chan->bdev->nr_children; i++)
		leap__chan_let_go(chan->children[i], buf);
}
