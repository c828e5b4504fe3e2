/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - reading what a trace layer has seen
 */
#ifndef LEAP_BLOCK_TRACE_H
#define LEAP_BLOCK_TRACE_H

#include <leapio/bdev.h>

struct leap__trace_entry {
	uint64_t start_ns;
	uint64_t ns;		/* how long it took */
	uint64_t block;
	uint64_t tag;		/* the submitter's */
	uint32_t nr_blocks;
	leap_status_t status;
	uint8_t op;		/* enum leap_bio_op */
	uint8_t flags;
};

/*
 * The last operations of every channel of @bdev, oldest end first. What is
 * being overwritten at this moment is left out.
 * Context: any
 * Returns: entries written, -EINVAL when @bdev is not a trace layer
 */
int leap__trace_read(struct leap_bdev *bdev, struct leap__trace_entry *entries,
		     uint32_t max);

#endif
