/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ocssd.h - what the files of the open-channel leaf share
 *
 * chunks.c is addresses and the states of chunks, ocssd.c the layer with its
 * bytes, admin.c what it tells of itself.
 */
#ifndef LEAP_BLOCK_OCSSD_OCSSD_H
#define LEAP_BLOCK_OCSSD_OCSSD_H

#include <leapio/ocssd.h>
#include <leapio/plugin/bdev_ops.h>

#define LEAP__OCSSD_NOTICES 64u

struct leap__oc_chunk {
	uint32_t wp;
	uint32_t resets;
	uint32_t planned;	/* of a command that is being looked at */
	uint8_t state;		/* LEAP_OCSSD_CS_* */
	uint8_t marked;		/* 1.2: what its host says of it */
};

/* A parallel unit. */
struct leap__oc_unit {
	uint32_t nr_open;
	uint32_t planned;	/* that a command being looked at opens */
};

struct leap__ocssd {
	uint32_t held;		/* exchanged: of everything below */
	uint32_t version;	/* 1 or 2 */
	uint32_t groups, pus, chunks, blocks;	/* of what is above each */
	uint32_t pu_shift, chunk_shift, group_shift;	/* block is lowest */
	uint32_t ws_min, ws_opt, cunits, maxoc, maxocpu, wear;
	uint32_t shift;		/* log2 of the block's bytes */
	uint32_t nr_open;
	struct leap__oc_unit *unit;	/* [groups * pus] */
	struct leap__oc_chunk *chunk;	/* in the order of addresses */
	uint32_t nr_chunks;
	uint64_t feedback, nr_notices;
	struct leap_ocssd_notice notice[LEAP__OCSSD_NOTICES];
	unsigned char *base;	/* by chunk, without holes */
};

/* ---- chunks.c; the caller has held ---- */

/* The chunk of an address and the block in it. NULL: a hole. */
struct leap__oc_chunk *leap__oc_find(struct leap__ocssd *o, uint64_t lba,
				     uint32_t *block);
uint64_t leap__oc_address(const struct leap__ocssd *o, uint32_t chunk);
/* May these be written, in this order? 0: they count as written now. *@bad: a
 * bit for each that may not. */
leap_status_t leap__oc_write(struct leap__ocssd *o, const uint64_t *at,
			     uint32_t nr, uint64_t *bad);
/* Is what was written there readable? */
leap_status_t leap__oc_readable(struct leap__ocssd *o, uint64_t lba);
leap_status_t leap__oc_reset(struct leap__ocssd *o, uint64_t lba);
/* 1.2: its host takes a block out of use, or back into it. */
leap_status_t leap__oc_mark(struct leap__ocssd *o, uint64_t lba, uint8_t mark);

/* ---- admin.c ---- */
leap_status_t leap__oc_admin(struct leap_bdev *bdev,
			     struct leap_bdev_admin *a);

extern const struct leap_bdev_ops leap__ocssd_ops;

#endif
