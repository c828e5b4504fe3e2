/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin half of namespaces with zones: what is identified of them, who may
 * see them, and zones that changed by themselves. From descriptions only; what
 * zones are doing is the I/O half's.
 *
 * Spec: NVMe ZNS Command Set 1.1 s4.1.5 (Identify), s4.1.4 (Changed Zone List)
 */
#include "core/ctrl/admin.h"

#include <string.h>

int leap__zns_visible(const struct leap__ctrl *c, const struct leap__ns *ns)
{
	return ns->desc.csi == LEAP_CSI_NVM ||
	       LEAP_GET(c->cc, LEAP_CC_CSS) == LEAP_CC_CSS_ALL;
}

/* A count that is 0's based, all ones without a limit. */
static leap_le32 limit(uint32_t n)
{
	return leap_to_le32(n ? n - 1 : LEAP_ZNS_NO_LIMIT);
}

void leap__zns_id_ns(const struct leap__ns *ns, uint8_t *buf)
{
	struct leap_id_ns_zns *id = (struct leap_id_ns_zns *)(void *)buf;
	const struct leap_ns_desc *d = &ns->desc;
	/* By the index of the format, as FLBAS has it. */
	struct leap_lbafe *f = &id->lbafe[d->block_bytes == 4096];

	if (d->read_across)
		id->ozcs = leap_to_le16(LEAP_OZCS_READ_CROSS);
	id->mar = limit(d->max_active);
	id->mor = limit(d->max_open);
	f->zsze = leap_to_le64(d->zone_blocks);
}

/* The smallest limit of all: a power of two of pages, 0 = MDTS. */
void leap__zns_id_ctrl(const struct leap__ctrl *c, uint8_t *buf)
{
	struct leap_id_ctrl_zns *id = (struct leap_id_ctrl_zns *)(void *)buf;
	uint64_t least = 0, bytes;
	uint32_t nsid = 0;

	while ((nsid = leap_ns_next(c->ss, nsid))) {
		const struct leap_ns_desc *d = &c->ss->ns[nsid]->desc;

		bytes = (uint64_t)d->append_blocks * d->block_bytes;
		if (bytes && (!least || bytes < least))
			least = bytes;
	}
	while (id->zasl < 63 && least >= UINT64_C(8192) << id->zasl)
		id->zasl++;
}

/* ---- zones that changed ---- */

static void note(struct leap__ctrl *c, uint32_t nsid, uint64_t zslba)
{
	uint32_t i;

	for (i = 0; i < c->nr_changed_zones; i++)
		if (c->changed_zones[i].nsid == nsid &&
		    c->changed_zones[i].zslba == zslba)
			return;
	if (i == LEAP__NR_CHANGED_ZONES) {
		c->zones_lost = nsid;
		return;
	}
	c->changed_zones[i].nsid = nsid;
	c->changed_zones[i].zslba = zslba;
	c->nr_changed_zones++;
}

void leap__zns_changed(const struct leap__ns *ns, uint64_t zslba)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &ns->ss->ctrls) {
		struct leap__ctrl *c =
			leap__list_entry(pos, struct leap__ctrl, link);

		if (c->dead || !leap__zns_visible(c, ns))
			continue;
		note(c, ns->desc.nsid, zslba);
		leap__aer_event(c, LEAP__EVENT_ZONE_CHANGED);
	}
}

uint32_t leap__zns_event_nsid(const struct leap__ctrl *c)
{
	return c->nr_changed_zones ? c->changed_zones[0].nsid : 0;
}

void leap__zns_forget(struct leap__ctrl *c)
{
	c->nr_changed_zones = 0;
	c->zones_lost = 0;
}

/* Those of one namespace, which are told with that, and then forgotten. */
void leap__zns_changed_log(struct leap__ctrl *c, uint32_t nsid, int forget,
			   uint8_t *buf)
{
	struct leap_log_changed_zones *log =
		(struct leap_log_changed_zones *)(void *)buf;
	uint32_t i, n = 0, kept = 0, lost = c->zones_lost;

	for (i = 0; i < c->nr_changed_zones; i++) {
		if (c->changed_zones[i].nsid == nsid)
			log->zslba[n++] =
				leap_to_le64(c->changed_zones[i].zslba);
		if (c->changed_zones[i].nsid != nsid || !forget)
			c->changed_zones[kept++] = c->changed_zones[i];
	}
	c->nr_changed_zones = kept;
	log->nrzid = leap_to_le16((uint16_t)n);
	/* Which of several namespaces had too many is not known. */
	if (lost) {
		memset(log, 0, sizeof(*log));
		log->nrzid = leap_to_le16(0xffff);
		if (forget && !kept)
			c->zones_lost = 0;
	}
	if (forget && kept)
		leap__aer_event(c, LEAP__EVENT_ZONE_CHANGED);
}
