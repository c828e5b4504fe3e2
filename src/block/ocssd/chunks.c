/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chunks.c - addresses of an open-channel drive, and the states of its chunks
 *
 *	free --write--> open --all written--> closed
 *	  ^               |                      |
 *	  +----- reset ---+----------------------+---- worn out --> offline
 *
 * A chunk is written from its start, in multiples of WS_MIN, and read up to
 * MW_CUNITS behind its pointer until it is closed. A command is looked at as a
 * whole before any of it counts. Knows neither bytes nor threads.
 */
#include <string.h>

#include "block/ocssd/ocssd.h"

#define FAULT	LEAP_SC_WRITE_FAULT

struct leap__oc_chunk *leap__oc_find(struct leap__ocssd *o, uint64_t lba,
				     uint32_t *block)
{
	uint64_t group = lba >> o->group_shift, pu, chunk, at;

	pu = lba >> o->pu_shift & ((1ull << (o->group_shift - o->pu_shift)) -
				   1);
	chunk = lba >> o->chunk_shift &
		((1ull << (o->pu_shift - o->chunk_shift)) - 1);
	at = lba & ((1ull << o->chunk_shift) - 1);
	if (group >= o->groups || pu >= o->pus || chunk >= o->chunks ||
	    at >= o->blocks)
		return NULL;
	*block = (uint32_t)at;
	return &o->chunk[(group * o->pus + pu) * o->chunks + chunk];
}

uint64_t leap__oc_address(const struct leap__ocssd *o, uint32_t chunk)
{
	uint64_t unit = chunk / o->chunks;

	return unit / o->pus << o->group_shift |
	       unit % o->pus << o->pu_shift |
	       (uint64_t)(chunk % o->chunks) << o->chunk_shift;
}

static struct leap__oc_unit *unit_of(const struct leap__ocssd *o,
				     const struct leap__oc_chunk *c)
{
	return &o->unit[(uint32_t)(c - o->chunk) / o->chunks];
}

static void enter(struct leap__ocssd *o, struct leap__oc_chunk *c,
		  uint8_t state)
{
	uint32_t was = c->state == LEAP_OCSSD_CS_OPEN;
	uint32_t is = state == LEAP_OCSSD_CS_OPEN;

	c->state = state;
	o->nr_open += is - was;
	unit_of(o, c)->nr_open += is - was;
}

/* ---- writing ---- */

/* One address more of a command; @fresh: chunks it has to open so far. */
static leap_status_t plan_one(struct leap__ocssd *o, uint64_t lba,
			      uint32_t *fresh)
{
	struct leap__oc_chunk *c;
	struct leap__oc_unit *unit;
	uint32_t block;

	c = leap__oc_find(o, lba, &block);
	if (!c)
		return LEAP_SC_LBA_RANGE;
	unit = unit_of(o, c);
	if (c->state == LEAP_OCSSD_CS_OFFLINE || c->marked)
		return LEAP_SC_OCSSD_OFFLINE;
	if (c->state == LEAP_OCSSD_CS_CLOSED)
		return FAULT;
	if (block != c->wp + c->planned)
		return LEAP_SC_OCSSD_ORDER;
	if (c->state == LEAP_OCSSD_CS_FREE && !c->planned) {
		if ((o->maxoc && o->nr_open + *fresh >= o->maxoc) ||
		    (o->maxocpu && unit->nr_open + unit->planned >= o->maxocpu))
			return FAULT;
		++*fresh;
		unit->planned++;
	}
	c->planned++;
	return 0;
}

static leap_status_t plan(struct leap__ocssd *o, const uint64_t *at,
			  uint32_t nr, uint64_t *bad)
{
	leap_status_t status = 0, one;
	struct leap__oc_chunk *c;
	uint32_t i, block, fresh = 0;

	for (i = 0; i < nr; i++) {
		one = plan_one(o, at[i], &fresh);
		if (!one)
			continue;
		*bad |= 1ull << i;
		status = status ? status : one;
	}
	/* Whole units of each chunk. */
	for (i = 0; i < nr && !status; i++) {
		c = leap__oc_find(o, at[i], &block);
		if (c->planned % o->ws_min)
			*bad |= 1ull << i;
	}
	return status ? status : *bad ? LEAP_SC_INVALID_FIELD : 0;
}

leap_status_t leap__oc_write(struct leap__ocssd *o, const uint64_t *at,
			     uint32_t nr, uint64_t *bad)
{
	leap_status_t status = plan(o, at, nr, bad);
	struct leap__oc_chunk *c;
	uint32_t i, block;

	for (i = 0; i < nr; i++) {
		c = leap__oc_find(o, at[i], &block);
		if (!c)
			continue;
		c->planned = 0;
		unit_of(o, c)->planned = 0;
		if (status)
			continue;
		if (c->state == LEAP_OCSSD_CS_FREE)
			enter(o, c, LEAP_OCSSD_CS_OPEN);
		if (++c->wp == o->blocks)
			enter(o, c, LEAP_OCSSD_CS_CLOSED);
	}
	return status;
}

/* ---- the others ---- */

leap_status_t leap__oc_readable(struct leap__ocssd *o, uint64_t lba)
{
	struct leap__oc_chunk *c;
	uint32_t block, end;

	c = leap__oc_find(o, lba, &block);
	if (!c)
		return LEAP_SC_LBA_RANGE;
	if (c->state == LEAP_OCSSD_CS_OFFLINE)
		return LEAP_SC_OCSSD_OFFLINE;
	end = c->wp;
	if (c->state == LEAP_OCSSD_CS_OPEN)
		end = end > o->cunits ? end - o->cunits : 0;
	return block < end ? 0 : LEAP_SC_UNRECOVERED_READ;
}

static void notice(struct leap__ocssd *o, uint64_t lba)
{
	struct leap_ocssd_notice *n =
		&o->notice[o->nr_notices++ % LEAP__OCSSD_NOTICES];

	memset(n, 0, sizeof(*n));
	n->nc = leap_to_le64(o->nr_notices);
	n->lba = leap_to_le64(lba);
	n->state = leap_to_le16(LEAP_OCSSD_WORN_OUT);
	n->mask = LEAP_OCSSD_OF_CHUNK;
	n->nlb = leap_to_le16((uint16_t)(o->blocks - 1));
}

leap_status_t leap__oc_reset(struct leap__ocssd *o, uint64_t lba)
{
	struct leap__oc_chunk *c;
	uint32_t block;

	c = leap__oc_find(o, lba, &block);
	if (!c)
		return LEAP_SC_LBA_RANGE;
	if (c->state == LEAP_OCSSD_CS_OFFLINE || c->marked)
		return LEAP_SC_OCSSD_OFFLINE;
	/* 2.0: MCCAP does not say that it may be done twice. */
	if (c->state == LEAP_OCSSD_CS_FREE && o->version == 2)
		return LEAP_SC_OCSSD_RESET;
	c->wp = 0;
	if (o->wear && ++c->resets >= o->wear) {
		enter(o, c, LEAP_OCSSD_CS_OFFLINE);
		notice(o, lba - block);
		return LEAP_SC_OCSSD_OFFLINE;
	}
	enter(o, c, LEAP_OCSSD_CS_FREE);
	return 0;
}

leap_status_t leap__oc_mark(struct leap__ocssd *o, uint64_t lba, uint8_t mark)
{
	struct leap__oc_chunk *c;
	uint32_t block;

	c = leap__oc_find(o, lba, &block);
	if (!c)
		return LEAP_SC_LBA_RANGE;
	c->marked = mark;
	return 0;
}
