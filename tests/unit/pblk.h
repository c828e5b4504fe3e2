/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pblk.h - a small host-side translation layer over an open-channel drive: a
 * log over all parallel units, a map in memory, garbage collection
 *
 * Written against the five things that such a drive does for its host; how they
 * get there is the caller's. Not for power cuts: the map is nowhere else.
 */
#ifndef LEAP_TESTS_PBLK_H
#define LEAP_TESTS_PBLK_H

#include <stdint.h>

#include <leapio/ocssd.h>

struct pblk_ops {
	/* Status without DNR; *@bad: a bit for each address that failed. */
	leap_status_t (*write)(void *arg, const uint64_t *at, uint32_t nr,
			       const void *data, uint64_t *bad);
	leap_status_t (*read)(void *arg, const uint64_t *at, uint32_t nr,
			      void *data, uint64_t *bad);
	leap_status_t (*copy)(void *arg, const uint64_t *from,
			      const uint64_t *to, uint32_t nr, uint64_t *bad);
	leap_status_t (*reset)(void *arg, const uint64_t *at, uint32_t nr,
			       uint64_t *bad);
};

struct pblk_stats {
	uint64_t written;	/* blocks of the user */
	uint64_t moved;		/* by garbage collection, through the host */
	uint64_t copied;	/* by the drive itself */
	uint64_t resets;
	uint32_t offline;	/* chunks that are no more */
};

struct pblk;

/* @user_blocks: what is offered; leave a good part of the drive to the log. */
struct pblk *pblk_new(const struct leap_ocssd_geometry *g, uint32_t block_bytes,
		      uint64_t user_blocks, const struct pblk_ops *ops,
		      void *arg);
void pblk_free(struct pblk *p);
/* 0, or what the drive said. */
leap_status_t pblk_write(struct pblk *p, uint64_t lba, const void *data);
leap_status_t pblk_read(struct pblk *p, uint64_t lba, void *data);
const struct pblk_stats *pblk_stats(const struct pblk *p);

#endif
