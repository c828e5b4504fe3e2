/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events: the requests a host leaves with us, what has happened
 * without one outstanding, and what it has been told but has not looked up
 * yet. An event is told once, and again only after its log page was read.
 *
 * Spec: NVMe Base 2.0 s5.2 (Asynchronous Event Request)
 */
#include "core/ctrl/admin.h"

#include "util/plant.h"

static const struct {
	uint8_t type, info, lid;
	uint32_t config;	/* bit of feature 0Bh */
} events[LEAP__EVENT_NR] = {
	[LEAP__EVENT_NS_CHANGED] = {
		LEAP_AER_TYPE_NOTICE, LEAP_AER_NOTICE_NS_CHANGED,
		LEAP_LID_CHANGED_NS, LEAP_AEC_NS_ATTR },
	[LEAP__EVENT_ZONE_CHANGED] = {
		LEAP_AER_TYPE_NOTICE, LEAP_AER_NOTICE_ZONE_DESC,
		LEAP_LID_CHANGED_ZONES, LEAP_AEC_ZONE_DESC },
	[LEAP__EVENT_DISCOVERY] = {
		LEAP_AER_TYPE_NOTICE, LEAP_AER_NOTICE_DISCOVERY,
		LEAP_LID_DISCOVERY, LEAP_AEC_DISCOVERY },
	[LEAP__EVENT_TEMPERATURE] = {
		LEAP_AER_TYPE_SMART, LEAP_AER_SMART_TEMPERATURE,
		LEAP_LID_SMART, LEAP_SMART_TEMPERATURE },
	/* Errors have no bit: they are always on. */
	[LEAP__EVENT_BAD_DB_REG] = {
		LEAP_AER_TYPE_ERROR, LEAP_AER_ERROR_BAD_DB_REG,
		LEAP_LID_ERROR, 0 },
	[LEAP__EVENT_BAD_DB_VALUE] = {
		LEAP_AER_TYPE_ERROR, LEAP_AER_ERROR_BAD_DB_VALUE,
		LEAP_LID_ERROR, 0 },
};

uint32_t leap__aer_oaes(const struct leap__ctrl *c)
{
	return c->ss->discovery ? LEAP_AEC_DISCOVERY :
	       LEAP_AEC_NS_ATTR | LEAP_AEC_ZONE_DESC;
}

static void tell(struct leap__ctrl *c)
{
	uint32_t ev;

	for (ev = 0; ev < LEAP__EVENT_NR && c->nr_aers; ev++) {
		struct leap_cmd *cmd;

		if (!(c->events & 1u << ev) || (c->masked & 1u << ev))
			continue;
		c->events &= ~(1u << ev);
		c->masked |= 1u << ev;
		cmd = c->aer[--c->nr_aers];
		cmd->result = LEAP_AER_DW0(events[ev].type, events[ev].info,
					   events[ev].lid);
		/* Whose log it is, DW1 says. */
		if (ev == LEAP__EVENT_ZONE_CHANGED)
			cmd->result |= (uint64_t)leap__zns_event_nsid(c) << 32;
		leap_cmd_complete(cmd, 0);
	}
}

void leap__aer_event(struct leap__ctrl *c, enum leap__event ev)
{
	if (c->dead || !(c->csts & LEAP_CSTS_RDY) || LEAP_PLANT(AER_LOST) ||
	    (events[ev].config &&
	     !(c->feat[LEAP__FEAT_ASYNC_EVENT] & events[ev].config)))
		return;
	c->events |= 1u << ev;
	tell(c);
}

void leap__aer_unmask(struct leap__ctrl *c, enum leap__event ev)
{
	c->masked &= ~(1u << ev);
	tell(c);
}

void leap__admin_aer(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	if (c->nr_aers == LEAP__NR_AERS) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_AER_LIMIT));
		return;
	}
	c->aer[c->nr_aers++] = cmd;
	tell(c);
}

void leap__aer_forget(struct leap__ctrl *c, leap_status_t status)
{
	while (c->nr_aers)
		leap_cmd_complete(c->aer[--c->nr_aers], status);
}

int leap__aer_abort(struct leap__ctrl *c, uint16_t cid)
{
	uint32_t i;

	for (i = 0; i < c->nr_aers; i++) {
		struct leap_cmd *cmd = c->aer[i];

		if (leap_from_le16(cmd->sqe.cid) != cid)
			continue;
		c->aer[i] = c->aer[--c->nr_aers];
		leap_cmd_complete(cmd, LEAP_SC_ABORT_REQUESTED);
		return 1;
	}
	return 0;
}

/* Into log 04h: ascending, each once. */
static void note_ns(struct leap__ctrl *c, uint32_t nsid)
{
	uint32_t i, n = c->nr_changed_ns;

	if (n > LEAP__NR_CHANGED_NS)
		return;
	for (i = 0; i < n && c->changed_ns[i] < nsid; i++)
		;
	if (i < n && c->changed_ns[i] == nsid)
		return;
	c->nr_changed_ns++;
	if (n == LEAP__NR_CHANGED_NS)
		return;		/* too many: the log says so */
	for (; n > i; n--)
		c->changed_ns[n] = c->changed_ns[n - 1];
	c->changed_ns[i] = nsid;
}

void leap__aer_ns_changed(struct leap_subsystem *ss, uint32_t nsid)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &ss->ctrls) {
		struct leap__ctrl *c =
			leap__list_entry(pos, struct leap__ctrl, link);

		if (c->dead)
			continue;
		note_ns(c, nsid);
		leap__aer_event(c, LEAP__EVENT_NS_CHANGED);
	}
}
