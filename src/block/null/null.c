/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * null: forgets what is written, reads zeroes. A leaf.
 *
 *	null:SIZE[block=512|4096]		null:1G, null:64G[block=4096]
 *
 * What everything above costs is measured over it. It is also the leaf to copy
 * when you write your own: it uses the public headers only, and a leaf needs no
 * more than these two functions and the table.
 */
#include "config.h"

#include <errno.h>

#include <leapio/plugin/bdev_ops.h>

#include "util/err.h"
#include "util/zero.h"

#define CAPS (LEAP_BDEV_FUA | LEAP_BDEV_DISCARD | LEAP_BDEV_WRITE_ZEROES | \
	      LEAP_BDEV_ZERO_DISCARD)

static int null_open(struct leap_bdev *bdev)
{
	uint64_t bytes, block;
	int err;

	/* A key of NULL is the argument: what stands after "null:". */
	err = leap_bdev_opt_u64(bdev, NULL, UINT64_C(1) << 30,
				UINT64_C(1) << 60, &bytes);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "block", 512, 4096, &block);
	if (err)
		return err;
	if (block != 512 && block != 4096)
		return leap__err(-EINVAL, "null: block %llu is not 512 or 4096",
				 (unsigned long long)block);
	if (!bytes || bytes % block)
		return leap__err(-EINVAL,
			"null: size %llu is not a multiple of block %llu",
			(unsigned long long)bytes, (unsigned long long)block);
	leap_bdev_set(bdev, (uint32_t)block, bytes / block, CAPS);
	return 0;
}

static void null_read(struct leap_bio *bio)
{
	uint32_t i;

	for (i = 0; i < bio->nr_pieces; i++)
		leap__zero_fill(bio->pieces[i].addr, bio->pieces[i].len_bytes);
	leap_bio_done(bio, 0);
}

static void null_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	if (bio->op == LEAP_BIO_READ)
		null_read(bio);
	else
		leap_bio_done(bio, 0);
}

static int null_resize(struct leap_bdev *bdev, uint64_t bytes)
{
	struct leap_bdev_info info = { sizeof(info) };

	leap_bdev_info(bdev, &info);
	leap_bdev_set(bdev, info.block_bytes, bytes / info.block_bytes,
		      info.caps);
	return 0;
}

const struct leap_bdev_ops leap__null_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "null",
	.help = "null:SIZE       reads zeroes, forgets writes\n"
		"block=512|4096  block size",
	.open = null_open,
	.submit = null_submit,
	.resize = null_resize,
};
