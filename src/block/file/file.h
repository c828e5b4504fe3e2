/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.h - what the two halves of the file leaf share
 */
#ifndef LEAP_BLOCK_FILE_H
#define LEAP_BLOCK_FILE_H

#include <leapio/dmabuf.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

#include "core/io/world.h"

/* One step of a bio: a 128 KiB PRP list, misaligned, and some more. */
#define LEAP__FILE_IOVS		36
#define LEAP__FILE_BOUNCE_BYTES	65536u
#define LEAP__FILE_BOUNCE_NR	8u

struct leap__file {
	struct leap_timer rescan;	/* first */
	struct leap_bdev *bdev;
	struct leap__world *world;
	struct leap__wfd *wfd;
	uint64_t rescan_ns;
	uint32_t block_bytes;
	uint32_t align;		/* of memory for O_DIRECT; 1 = buffered */
	uint32_t is_block;
	uint32_t readonly;
	char *path;		/* whose lock is held, absolute; NULL = none
				 * that a successor could trust */
	/* Set by any channel's thread, never cleared. */
	uint32_t sync_failed;	/* what was written may be gone */
	uint32_t no_discard;
};

struct leap__file_chan {
	struct leap__file *file;
	struct leap__world *world;
	struct leap__wfd *wfd;
	struct leap_bufpool *bounce;
	struct leap_bio *waiting;	/* for a bounce buffer, oldest first */
	struct leap_bio **tail;
};

struct leap__file_bio {
	struct leap__io io;
	struct iovec iov[LEAP__FILE_IOVS];
	struct leap_bio *next;
	unsigned char *bounce;		/* or NULL: straight from the pieces */
	uint64_t at_bytes;		/* done, from the start of the bio */
	uint64_t step_bytes;
	uint32_t piece;			/* the next, when there is no bounce */
};

void leap__file_submit(struct leap_chan *chan, struct leap_bio *bio);

#endif
