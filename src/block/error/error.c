/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * error: lets chosen operations fail. An instrument.
 *
 *	error[op=OP,after=N,every=N,rate=PPM,count=N,block=N,blocks=N,
 *	      status=NAME|SCT/SC,dnr=on|off,torn=on|off] -> STACK
 *
 * An operation is chosen when it is of kind OP and touches the range (a copy:
 * where it goes); of those, the first `after` pass, then every N-th or `rate`
 * in a million fail, `count` times at most. A chosen operation does not reach
 * the layer below; with torn=on the first part of a write does, as when power
 * fails in the middle.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <leapio/nvme.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

#include "core/io/world.h"
#include "util/atomic.h"
#include "util/err.h"

#define TORN_PIECES 8

struct error {
	uint64_t after;
	uint64_t every;
	uint64_t rate;		/* of a million */
	uint64_t count;		/* UINT64_MAX = no end */
	uint64_t block;
	uint64_t blocks;
	uint32_t ops;		/* bits of enum leap_bio_op */
	int torn;
	leap_status_t status;
	/* Shared by all channels. */
	uint64_t nr_seen;
	uint64_t nr_failed;
};

struct error_bio {
	struct leap_piece pieces[TORN_PIECES];
};

static const char *const op_names[] = {
	[LEAP_BIO_READ] = "read",
	[LEAP_BIO_WRITE] = "write",
	[LEAP_BIO_FLUSH] = "flush",
	[LEAP_BIO_WRITE_ZEROES] = "zeroes",
	[LEAP_BIO_DISCARD] = "discard",
	[LEAP_BIO_COMPARE] = "compare",
	[LEAP_BIO_RANGES] = "ranges",
	[LEAP_BIO_VERIFY] = "verify",
	[LEAP_BIO_COPY] = "copy",
	[LEAP_BIO_ZONE_APPEND] = "append",
	[LEAP_BIO_ZONE_SEND] = "zone",
	[LEAP_BIO_ZONE_REPORT] = "report",
	[LEAP_BIO_VECTOR] = "vector",
	[LEAP_BIO_COMPARE_WRITE] = "fused",
};

static const struct {
	const char *name;
	leap_status_t status;
} status_names[] = {
	{ "internal", LEAP_SC_INTERNAL },
	{ "read", LEAP_SC_UNRECOVERED_READ },
	{ "write", LEAP_SC_WRITE_FAULT },
	{ "capacity", LEAP_SC_CAPACITY_EXCEEDED },
	{ "interrupted", LEAP_SC_INTERRUPTED },
};

/* A name, or SCT/SC in hexadecimal as in "2/81". */
static int status_parse(const char *text, leap_status_t *out)
{
	unsigned int sct, sc;
	char rest;
	size_t i;

	for (i = 0; i < sizeof(status_names) / sizeof(*status_names); i++) {
		if (!strcmp(text, status_names[i].name)) {
			*out = status_names[i].status;
			return 0;
		}
	}
	if (sscanf(text, "%3x/%3x%c", &sct, &sc, &rest) == 2 && sct <= 7 &&
	    sc <= 255 && (sct || sc)) {
		*out = LEAP_STATUS(sct, sc);
		return 0;
	}
	return leap__err(-EINVAL,
			 "error: status \"%s\" is no name and no SCT/SC", text);
}

static int op_parse(const char *text, uint32_t *out)
{
	size_t i;

	*out = ~0u;
	if (!strcmp(text, "any"))
		return 0;
	for (i = 0; i < sizeof(op_names) / sizeof(*op_names); i++) {
		if (!strcmp(text, op_names[i])) {
			*out = 1u << i;
			/* To verify is to read. */
			if (i == LEAP_BIO_READ)
				*out |= 1u << LEAP_BIO_VERIFY;
			return 0;
		}
	}
	return leap__err(-EINVAL, "error: op \"%s\" is not known", text);
}

static int error_open(struct leap_bdev *bdev)
{
	struct error *e = leap_bdev_priv(bdev);
	const char *op, *status;
	const struct {
		const char *key;
		uint64_t fallback, max, *out;
	} numbers[] = {
		{ "after", 0, UINT64_MAX, &e->after },
		{ "every", 1, UINT64_MAX, &e->every },
		{ "rate", 1000000, 1000000, &e->rate },
		{ "count", UINT64_MAX, UINT64_MAX, &e->count },
		{ "block", 0, UINT64_MAX, &e->block },
		{ "blocks", UINT64_MAX, UINT64_MAX, &e->blocks },
	};
	int err, dnr, i;

	leap_bdev_opt_str(bdev, "op", "any", &op);
	leap_bdev_opt_str(bdev, "status", "internal", &status);
	err = op_parse(op, &e->ops);
	if (!err)
		err = status_parse(status, &e->status);
	for (i = 0; i < 6 && !err; i++)
		err = leap_bdev_opt_u64(bdev, numbers[i].key,
					numbers[i].fallback, numbers[i].max,
					numbers[i].out);
	if (!err)
		err = leap_bdev_opt_bool(bdev, "torn", 0, &e->torn);
	if (!err)
		err = leap_bdev_opt_bool(bdev, "dnr", 0, &dnr);
	if (err)
		return err;
	if (!e->every)
		return leap__err(-EINVAL, "error: every is 0");
	if (dnr)
		e->status |= LEAP_STATUS_DNR;
	return 0;
}

static int touches(const struct error *e, const struct leap_bio *bio)
{
	if (!(e->ops >> bio->op & 1))
		return 0;
	/* Ranges in a payload are not looked at. */
	if (bio->op == LEAP_BIO_FLUSH || bio->op == LEAP_BIO_RANGES)
		return 1;
	return bio->block < e->block ? e->block - bio->block < bio->nr_blocks :
	       bio->block - e->block < e->blocks;
}

static int chosen(struct error *e, struct leap_chan *chan,
		  const struct leap_bio *bio)
{
	struct leap__world *w;
	uint64_t n;

	if (!touches(e, bio))
		return 0;
	n = leap__fetch_add(&e->nr_seen, UINT64_C(1));
	if (n < e->after || (n - e->after + 1) % e->every)
		return 0;
	if (e->rate < 1000000) {
		w = leap__pollgroup_world(leap_chan_pollgroup(chan));
		if (w->ops->random(w) % 1000000 >= e->rate)
			return 0;
	}
	return leap__fetch_add(&e->nr_failed, UINT64_C(1)) < e->count;
}

static void pass_done(struct leap_bio *child, leap_status_t status)
{
	struct leap_bio *bio = child->arg;

	bio->result = child->result;
	leap_bio_done(bio, status);
}

static void torn_done(struct leap_bio *child, leap_status_t status)
{
	struct leap_bio *bio = child->arg;
	struct error *e = leap_bdev_priv(leap_chan_bdev(bio->chan));

	leap_bio_done(bio, e->status);
}

/* Write about half of @bio, in whole blocks; 0 when there is no half. */
static int tear(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap_bdev_info info = { sizeof(info) };
	struct error_bio *eb = leap_bio_priv(bio);
	uint64_t want, got = 0, n, cut;
	struct leap_piece *piece;
	struct leap_bio *child;
	uint16_t nr = 0;

	leap_bdev_info(leap_chan_bdev(chan), &info);
	want = (uint64_t)(bio->nr_blocks / 2) * info.block_bytes;
	for (; nr < TORN_PIECES && nr < bio->nr_pieces && got < want; nr++) {
		eb->pieces[nr] = bio->pieces[nr];
		got += bio->pieces[nr].len_bytes;
	}
	/* More than half, or not a whole number of blocks: cut the end off. */
	if (got < want)
		want = got - got % info.block_bytes;
	for (n = got - want; n; n -= cut) {
		piece = &eb->pieces[nr - 1];
		cut = piece->len_bytes < n ? piece->len_bytes : n;
		piece->len_bytes -= (uint32_t)cut;
		if (!piece->len_bytes)
			nr--;
	}
	if (!want)
		return 0;
	child = leap_bio_child(bio, 0, 0, torn_done);
	child->pieces = eb->pieces;
	child->nr_pieces = nr;
	child->nr_blocks = (uint32_t)(want / info.block_bytes);
	leap_bio_submit(leap_chan_child(chan, 0), child);
	return 1;
}

static void error_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct error *e = leap_bdev_priv(leap_chan_bdev(chan));

	if (!chosen(e, chan, bio))
		leap_bio_submit(leap_chan_child(chan, 0),
				leap_bio_child(bio, 0, 0, pass_done));
	else if (!e->torn || bio->op != LEAP_BIO_WRITE || !tear(chan, bio))
		leap_bio_done(bio, e->status);
}

const struct leap_bdev_ops leap__error_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "error",
	.help = "op=any|read|write|flush|zeroes|discard|compare|verify|copy\n"
		"block=N,blocks=N  only operations that touch these\n"
		"after=N,every=N   let N of them pass, then every N-th; 0, 1\n"
		"rate=PPM,count=N  so many in a million of those, N in all\n"
		"status=NAME|T/C   internal, read, write, capacity,\n"
		"                  interrupted, or SCT/SC in hexadecimal\n"
		"dnr=on, torn=on   do not retry; half of a write gets through",
	.nr_children_min = 1,
	.nr_children_max = 1,
	.bdev_bytes = sizeof(struct error),
	.bio_bytes = sizeof(struct error_bio),
	.bio_children = 1,
	.open = error_open,
	.submit = error_submit,
};
