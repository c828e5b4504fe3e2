/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy.h - the source ranges of a Copy command, as a copy of our own
 *
 * For layers with LEAP_BDEV_COPY and for whoever stands in for those without:
 * what is checked here is what is used afterwards, whatever becomes of the
 * payload.
 */
#ifndef LEAP_BLOCK_COPY_H
#define LEAP_BLOCK_COPY_H

#include <leapio/mem.h>
#include <leapio/nvme.h>

#define LEAP__COPY_MAX	256u

struct leap__copy_range {
	uint64_t block;
	uint32_t nr_blocks;
};

struct leap__copy_list {
	uint32_t nr;
	uint32_t nr_blocks;	/* of all: 256 times 65536 fit */
	struct leap__copy_range range[LEAP__COPY_MAX];
};

/*
 * Read the payload of @sqe, as long as CDW12's NR says, once.
 * @nr_blocks: of the bdev; every range has to lie in it
 * @bad:       out, when that is not so: the first range that does not
 * Context: any, hot path
 * Returns: 0, or a status with DNR
 */
leap_status_t leap__copy_list_read(const struct leap_sqe *sqe,
				   const struct leap_piece *pieces,
				   uint32_t nr_pieces, uint64_t nr_blocks,
				   struct leap__copy_list *list, uint32_t *bad);

#endif
