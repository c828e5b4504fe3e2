/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * state.c - the state machine of zones and the resources they share
 *
 *	empty --write--> implicitly open --close--> closed --write--> implicitly
 *	  |  --open--> explicitly open     finish|    |       open
 *	  ^                    \___________ full <----+
 *	  +------------------------reset----- any of these
 *
 * A zone is active while it is open or closed; there may be few active ones and
 * fewer open ones. When an open one is wanted and none may be, the one that was
 * opened implicitly longest ago is closed. Knows zones by number and blocks
 * within them, not bytes, commands or threads.
 *
 * Spec: NVMe ZNS Command Set 1.1 s2.1.1 (zone states), s3.4 (zone commands)
 */
#include "block/zoned/zoned.h"

static int is_open(const struct leap__zone *zone)
{
	return zone->state == LEAP_ZS_IMPLICIT_OPEN ||
	       zone->state == LEAP_ZS_EXPLICIT_OPEN;
}

static int is_active(const struct leap__zone *zone)
{
	return is_open(zone) || zone->state == LEAP_ZS_CLOSED;
}

/* The one place where a zone changes its state. */
static void enter(struct leap__zones *z, struct leap__zone *zone,
		  uint8_t state)
{
	z->nr_open -= (uint32_t)is_open(zone);
	z->nr_active -= (uint32_t)is_active(zone);
	if (zone->state == LEAP_ZS_IMPLICIT_OPEN) {
		zone->prev->next = zone->next;
		zone->next->prev = zone->prev;
	}
	zone->state = state;
	if (state == LEAP_ZS_IMPLICIT_OPEN) {
		zone->next = &z->implicit;
		zone->prev = z->implicit.prev;
		zone->prev->next = zone;
		z->implicit.prev = zone;
	}
	z->nr_open += (uint32_t)is_open(zone);
	z->nr_active += (uint32_t)is_active(zone);
}

static void close_zone(struct leap__zones *z, struct leap__zone *zone)
{
	enter(z, zone, zone->wp ? LEAP_ZS_CLOSED : LEAP_ZS_EMPTY);
}

/* @active: of one that is not active yet. */
static leap_status_t make_room(struct leap__zones *z, int active)
{
	if (active && z->max_active && z->nr_active >= z->max_active)
		return LEAP_SC_ZONE_TOO_MANY_ACTIVE;
	if (!z->max_open || z->nr_open < z->max_open)
		return 0;
	if (z->implicit.next == &z->implicit)
		return LEAP_SC_ZONE_TOO_MANY_OPEN;
	close_zone(z, z->implicit.next);
	return 0;
}

static leap_status_t make_open(struct leap__zones *z, struct leap__zone *zone,
			       uint8_t state)
{
	leap_status_t status = 0;

	if (!is_open(zone))
		status = make_room(z, !is_active(zone));
	if (!status)
		enter(z, zone, state);
	return status;
}

void leap__zones_init(struct leap__zones *z)
{
	uint32_t i;

	z->implicit.next = z->implicit.prev = &z->implicit;
	for (i = 0; i < z->nr; i++)
		z->zone[i].state = LEAP_ZS_EMPTY;
}

static leap_status_t check_write(const struct leap__zones *z,
				 const struct leap__zone *zone, uint32_t at,
				 uint32_t nr)
{
	switch (zone->state) {
	case LEAP_ZS_FULL:
		return LEAP_SC_ZONE_FULL;
	case LEAP_ZS_READ_ONLY:
		return LEAP_SC_ZONE_READ_ONLY;
	case LEAP_ZS_OFFLINE:
		return LEAP_SC_ZONE_OFFLINE;
	}
	if (at != zone->wp)
		return LEAP_SC_ZONE_INVALID_WRITE;
	return nr > z->cap - zone->wp ? LEAP_SC_ZONE_BOUNDARY : 0;
}

leap_status_t leap__zone_write(struct leap__zones *z, struct leap__zone *zone,
			       uint32_t at, uint32_t nr, int append,
			       uint32_t *where)
{
	leap_status_t status;

	status = check_write(z, zone, append ? zone->wp : at, nr);
	if (!status && !is_open(zone))
		status = make_open(z, zone, LEAP_ZS_IMPLICIT_OPEN);
	if (status)
		return status;
	*where = zone->wp;
	zone->wp += nr;
	zone->written = zone->wp;
	if (zone->wp == z->cap)
		enter(z, zone, LEAP_ZS_FULL);
	return 0;
}

static leap_status_t action_open(struct leap__zones *z,
				 struct leap__zone *zone)
{
	if (zone->state != LEAP_ZS_EMPTY && !is_active(zone))
		return LEAP_SC_ZONE_TRANSITION;
	if (zone->state == LEAP_ZS_EXPLICIT_OPEN)
		return 0;
	return make_open(z, zone, LEAP_ZS_EXPLICIT_OPEN);
}

static leap_status_t action_finish(struct leap__zones *z,
				   struct leap__zone *zone)
{
	if (zone->state == LEAP_ZS_READ_ONLY || zone->state == LEAP_ZS_OFFLINE)
		return LEAP_SC_ZONE_TRANSITION;
	zone->wp = z->cap;
	enter(z, zone, LEAP_ZS_FULL);
	return 0;
}

leap_status_t leap__zone_action(struct leap__zones *z, struct leap__zone *zone,
				uint32_t action)
{
	switch (action) {
	case LEAP_ZSA_CLOSE:
		if (zone->state == LEAP_ZS_CLOSED)
			return 0;
		if (!is_open(zone))
			return LEAP_SC_ZONE_TRANSITION;
		close_zone(z, zone);
		return 0;
	case LEAP_ZSA_FINISH:
		return action_finish(z, zone);
	case LEAP_ZSA_OPEN:
		return action_open(z, zone);
	case LEAP_ZSA_RESET:
		if (zone->state == LEAP_ZS_READ_ONLY ||
		    zone->state == LEAP_ZS_OFFLINE)
			return LEAP_SC_ZONE_TRANSITION;
		zone->wp = 0;
		zone->written = 0;
		zone->attrs = 0;
		enter(z, zone, LEAP_ZS_EMPTY);
		return 0;
	default:	/* LEAP_ZSA_OFFLINE */
		if (zone->state == LEAP_ZS_READ_ONLY)
			enter(z, zone, LEAP_ZS_OFFLINE);
		return zone->state == LEAP_ZS_OFFLINE ? 0 :
		       LEAP_SC_ZONE_TRANSITION;
	}
}

/* ---- all of them ---- */

static int applies(const struct leap__zone *zone, uint32_t action)
{
	switch (action) {
	case LEAP_ZSA_CLOSE:
		return is_open(zone);
	case LEAP_ZSA_FINISH:
		return is_active(zone);
	case LEAP_ZSA_OPEN:
		return zone->state == LEAP_ZS_CLOSED;
	case LEAP_ZSA_RESET:
		return is_active(zone) || zone->state == LEAP_ZS_FULL;
	default:
		return zone->state == LEAP_ZS_READ_ONLY;
	}
}

/* Opening all that are closed: all or none. Those open implicitly may go. */
static leap_status_t room_for_all(const struct leap__zones *z)
{
	const struct leap__zone *i;
	uint32_t implicit = 0;

	for (i = z->implicit.next; i != &z->implicit; i = i->next)
		implicit++;
	if (z->max_open && z->nr_active - implicit > z->max_open)
		return LEAP_SC_ZONE_TOO_MANY_OPEN;
	return 0;
}

static leap_status_t open_all(struct leap__zones *z)
{
	leap_status_t status = room_for_all(z);
	uint32_t i, left = z->nr_active - z->nr_open;

	for (i = 0; i < z->nr; i++)
		z->zone[i].made_room = 0;
	while (!status && z->max_open && z->nr_open + left > z->max_open) {
		z->implicit.next->made_room = 1;
		close_zone(z, z->implicit.next);
	}
	for (i = 0; i < z->nr && !status; i++)
		if (z->zone[i].state == LEAP_ZS_CLOSED &&
		    !z->zone[i].made_room)
			status = action_open(z, &z->zone[i]);
	return status;
}

leap_status_t leap__zones_action(struct leap__zones *z, uint32_t action)
{
	leap_status_t status = 0;
	uint32_t i;

	if (action == LEAP_ZSA_OPEN)
		return open_all(z);
	for (i = 0; i < z->nr && !status; i++)
		if (applies(&z->zone[i], action))
			status = leap__zone_action(z, &z->zone[i], action);
	return status;
}

void leap__zone_break(struct leap__zones *z, struct leap__zone *zone,
		      uint8_t state)
{
	enter(z, zone, state);
}

/* ---- reports ---- */

int leap__zone_matches(const struct leap__zone *zone, uint32_t filter)
{
	static const uint8_t states[] = {
		[LEAP_ZRASF_EMPTY] = LEAP_ZS_EMPTY,
		[LEAP_ZRASF_IMPLICIT_OPEN] = LEAP_ZS_IMPLICIT_OPEN,
		[LEAP_ZRASF_EXPLICIT_OPEN] = LEAP_ZS_EXPLICIT_OPEN,
		[LEAP_ZRASF_CLOSED] = LEAP_ZS_CLOSED,
		[LEAP_ZRASF_FULL] = LEAP_ZS_FULL,
		[LEAP_ZRASF_READ_ONLY] = LEAP_ZS_READ_ONLY,
		[LEAP_ZRASF_OFFLINE] = LEAP_ZS_OFFLINE,
	};

	return filter == LEAP_ZRASF_ALL || zone->state == states[filter];
}

void leap__zone_describe(const struct leap__zones *z, uint32_t i,
			 struct leap_zone_desc *d)
{
	const struct leap__zone *zone = &z->zone[i];
	uint64_t start = (uint64_t)i * z->blocks;
	int has_wp = zone->state != LEAP_ZS_FULL &&
		     zone->state != LEAP_ZS_READ_ONLY &&
		     zone->state != LEAP_ZS_OFFLINE;

	*d = (struct leap_zone_desc){
		.zt = LEAP_ZT_SEQ_WRITE,
		.zs = (uint8_t)(zone->state << 4),
		.za = zone->attrs,
		.zcap = leap_to_le64(z->cap),
		.zslba = leap_to_le64(start),
		.wp = leap_to_le64(has_wp ? start + zone->wp : UINT64_MAX),
	};
}
