/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * delay: holds operations back before they go on. An instrument.
 *
 *	delay[read_us=N,write_us=N,flush_us=N,jitter_us=N] -> STACK
 *
 * Turns a fast leaf into a slow disk, so that queues fill, timeouts come and
 * operations overtake each other. Time and chance are the poll group's, so a
 * simulated run repeats. Compares and verifies wait as reads; discards, write
 * zeroes and copies as writes.
 */
#include "config.h"

#include <string.h>

#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

#include "core/io/world.h"

#define US_MAX UINT64_C(3600000000)	/* an hour */

struct delay {
	uint64_t read_ns;
	uint64_t write_ns;
	uint64_t flush_ns;
	uint64_t jitter_ns;	/* 0 to this is added */
};

struct delay_bio {
	struct leap_timer timer;	/* first */
	struct leap_chan *chan;
	struct leap_bio *bio;
};

static int opt_us(struct leap_bdev *bdev, const char *key, uint64_t *ns)
{
	int err = leap_bdev_opt_u64(bdev, key, 0, US_MAX, ns);

	*ns *= 1000;
	return err;
}

static int delay_open(struct leap_bdev *bdev)
{
	struct delay *d = leap_bdev_priv(bdev);
	int err;

	err = opt_us(bdev, "read_us", &d->read_ns);
	if (!err)
		err = opt_us(bdev, "write_us", &d->write_ns);
	if (!err)
		err = opt_us(bdev, "flush_us", &d->flush_ns);
	if (!err)
		err = opt_us(bdev, "jitter_us", &d->jitter_ns);
	if (err)
		return err;
	/* The dispatcher would swallow flushes that nothing below needs. */
	if (d->flush_ns) {
		struct leap_bdev_info info = { sizeof(info) };

		leap_bdev_info(bdev, &info);
		leap_bdev_set(bdev, info.block_bytes, info.nr_blocks,
			      info.caps | LEAP_BDEV_FLUSH);
	}
	return 0;
}

static uint64_t delay_ns(const struct delay *d, struct leap_chan *chan,
			 const struct leap_bio *bio)
{
	struct leap__world *w;
	uint64_t ns = d->write_ns;

	if (bio->op == LEAP_BIO_READ || bio->op == LEAP_BIO_COMPARE ||
	    bio->op == LEAP_BIO_VERIFY || bio->op == LEAP_BIO_ZONE_REPORT)
		ns = d->read_ns;
	else if (bio->op == LEAP_BIO_FLUSH)
		ns = d->flush_ns;
	if (d->jitter_ns) {
		w = leap__pollgroup_world(leap_chan_pollgroup(chan));
		ns += w->ops->random(w) % (d->jitter_ns + 1);
	}
	return ns;
}

static void delay_done(struct leap_bio *child, leap_status_t status)
{
	struct leap_bio *bio = child->arg;

	bio->result = child->result;
	leap_bio_done(bio, status);
}

static void go_on(struct leap_chan *chan, struct leap_bio *bio)
{
	leap_bio_submit(leap_chan_child(chan, 0),
			leap_bio_child(bio, 0, 0, delay_done));
}

static void delay_over(struct leap_timer *timer)
{
	struct delay_bio *db = (struct delay_bio *)timer;

	go_on(db->chan, db->bio);
}

static void delay_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct delay_bio *db = leap_bio_priv(bio);
	uint64_t ns = delay_ns(leap_bdev_priv(leap_chan_bdev(chan)), chan,
			       bio);

	if (!ns) {
		go_on(chan, bio);
		return;
	}
	memset(db, 0, sizeof(*db));
	db->chan = chan;
	db->bio = bio;
	db->timer.run = delay_over;
	leap_timer_start(leap_chan_pollgroup(chan), &db->timer, ns);
}

const struct leap_bdev_ops leap__delay_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "delay",
	.help = "read_us=N    before a read, compare or verify\n"
		"write_us=N   before a write, discard, write zeroes or copy\n"
		"flush_us=N   before a flush\n"
		"jitter_us=N  0 to N more, by chance",
	.nr_children_min = 1,
	.nr_children_max = 1,
	.bdev_bytes = sizeof(struct delay),
	.bio_bytes = sizeof(struct delay_bio),
	.bio_children = 1,
	.open = delay_open,
	.submit = delay_submit,
};
