/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zoned.h - what the files of the zoned leaf share
 *
 * state.c is the state machine of zones, with their resources; zoned.c has the
 * bytes and the layer.
 */
#ifndef LEAP_BLOCK_ZONED_ZONED_H
#define LEAP_BLOCK_ZONED_ZONED_H

#include <leapio/plugin/bdev_ops.h>

struct leap__zone {
	uint32_t held;		/* exchanged: bytes are being copied */
	uint32_t wp;		/* blocks from its start; less than cap */
	uint32_t written;	/* what lies beyond reads as zeroes */
	uint8_t state;		/* LEAP_ZS_* */
	uint8_t attrs;		/* LEAP_ZA_* */
	uint8_t made_room;	/* was closed for the sake of others just now */
	uint8_t reserved;
	/* Opened implicitly, oldest first. */
	struct leap__zone *next, *prev;
};

/* All zones of a bdev. Everything but held is guarded by @held. */
struct leap__zones {
	uint32_t held;		/* exchanged; taken after that of a zone */
	uint32_t nr, cap;	/* zones; blocks that can be written of each */
	uint32_t blocks;	/* from one to the next */
	uint32_t max_active, max_open;	/* 0 = no limit */
	uint32_t nr_active, nr_open;
	struct leap__zone implicit;	/* head of the list */
	struct leap__zone *zone;
};

void leap__zone_lock(uint32_t *held);
void leap__zone_unlock(uint32_t *held);

/*
 * state.c. Context: the caller has zones->held. Status without DNR.
 */
void leap__zones_init(struct leap__zones *z);
/* May @nr blocks be written at @at of the zone; at its pointer, if it is an
 * append? Moves the pointer; *@where is where they go. */
leap_status_t leap__zone_write(struct leap__zones *z, struct leap__zone *zone,
			       uint32_t at, uint32_t nr, int append,
			       uint32_t *where);
/* One of LEAP_ZSA_CLOSE to _OFFLINE. */
leap_status_t leap__zone_action(struct leap__zones *z, struct leap__zone *zone,
				uint32_t action);
/* The same to all to which it applies. */
leap_status_t leap__zones_action(struct leap__zones *z, uint32_t action);
/* It becomes LEAP_ZS_READ_ONLY or _OFFLINE by itself. */
void leap__zone_break(struct leap__zones *z, struct leap__zone *zone,
		      uint8_t state);
/* Is it one that a report with filter LEAP_ZRASF_* has? */
int leap__zone_matches(const struct leap__zone *zone, uint32_t filter);
void leap__zone_describe(const struct leap__zones *z, uint32_t i,
			 struct leap_zone_desc *d);

/* zoned.c: a zone of the leaf breaks, and all users of the stack are told.
 * Context: owner of the pg it was opened with. 0, -EINVAL */
int leap__zoned_break(struct leap_bdev *bdev, uint32_t zone, uint8_t state);

extern const struct leap_bdev_ops leap__zoned_ops;

#endif
