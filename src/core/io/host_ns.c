/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The namespaces that a controller has: their list, and of each what Identify
 * says, one command after the other. Sits beside host_init.c, which asks for it
 * when the controller is enabled and when it says that they have changed.
 * Everything is checked before it is believed; what this side cannot use is
 * left out.
 */
#include "core/io/host.h"

#include <leapio/ocssd.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NS		65536u

static void scan_next(struct leap_host *h);

static void scan_end(struct leap_host *h)
{
	free(h->ns);
	h->ns = h->scan;
	h->nr_ns = h->nr_scan;
	h->scan = NULL;
	h->nr_scan = h->max_scan = 0;
	h->scanned(h);
}

static struct leap_host_ns *scan_add(struct leap_host *h)
{
	struct leap_host_ns *p;
	uint32_t max = h->max_scan ? h->max_scan * 2 : 16;

	if (h->nr_scan == h->max_scan) {
		p = realloc(h->scan, max * sizeof(*p));
		if (!p)
			return NULL;
		h->scan = p;
		h->max_scan = max;
	}
	p = &h->scan[h->nr_scan++];
	memset(p, 0, sizeof(*p));
	p->size = sizeof(*p);
	return p;
}

/* Not what this side can use after all. */
static void scan_drop(struct leap_host *h)
{
	h->nr_scan--;
	scan_next(h);
}

static void zns_ctrl_read(struct leap_host *h, struct leap__hadm *a,
			  leap_status_t status)
{
	if (!status)
		leap__host_ns_append(&h->scan[h->nr_scan - 1], a->data);
	scan_next(h);
}

/* A count that is 0's based, all ones without a limit; 0 = no limit. */
static uint32_t limit(leap_le32 v)
{
	uint32_t n = leap_from_le32(v);

	return n == LEAP_ZNS_NO_LIMIT ? 0 : n + 1;
}

int leap__host_ns_zones(struct leap_host_ns *ns,
			const struct leap_id_ns_zns *id)
{
	uint64_t zsze = leap_from_le64(id->lbafe[ns->format].zsze);

	if (!zsze || zsze > ns->nr_blocks)
		return -EINVAL;
	ns->csi = LEAP_CSI_ZNS;
	ns->zone_blocks = zsze;
	ns->max_active = limit(id->mar);
	ns->max_open = limit(id->mor);
	ns->read_across = !!(leap_from_le16(id->ozcs) & LEAP_OZCS_READ_CROSS);
	ns->variable_capacity = !!leap_from_le16(id->zoc);
	return 0;
}

void leap__host_ns_append(struct leap_host_ns *ns,
			  const struct leap_id_ctrl_zns *id)
{
	/* 0 is the limit of all transfers, and so is more than 31 bits. */
	if (id->zasl && id->zasl < 20)
		ns->append_bytes = 4096u << id->zasl;
}

static void zns_read(struct leap_host *h, struct leap__hadm *a,
		     leap_status_t status)
{
	struct leap_host_ns *ns = &h->scan[h->nr_scan - 1];

	if (status || leap__host_ns_zones(ns, a->data)) {
		scan_drop(h);
		return;
	}
	leap__host_identify(h, LEAP_CNS_CSI_CTRL, LEAP_CSI_ZNS, 0, a->data,
			    zns_ctrl_read);
}

static void desc_read(struct leap_host *h, struct leap__hadm *a,
		      leap_status_t status)
{
	struct leap_host_ns *ns = &h->scan[h->nr_scan - 1];
	const uint8_t *p = a->data, *end = p + LEAP_IDENTIFY_SIZE;

	/* Optional before 1.3, and a namespace may go at any moment. */
	while (!status && end - p > 4 && p[1] && p[1] <= end - p - 4) {
		if (p[0] == LEAP_NIDT_UUID && p[1] == LEAP_NIDL_UUID)
			memcpy(ns->uuid, p + 4, sizeof(ns->uuid));
		if (p[0] == LEAP_NIDT_CSI && p[1] == LEAP_NIDL_CSI)
			ns->csi = p[4];
		p += 4 + p[1];
	}
	if (ns->csi == LEAP_CSI_ZNS)
		leap__host_identify(h, LEAP_CNS_CSI_NS, LEAP_CSI_ZNS, ns->nsid,
				    a->data, zns_read);
	else if (ns->csi != LEAP_CSI_NVM)
		scan_drop(h);
	else
		scan_next(h);
}

int leap__host_ns_set(struct leap_host_ns *ns, uint32_t nsid,
		      const struct leap_id_ns *id)
{
	uint32_t format = (id->flbas & 0xfu) | (id->flbas >> 5 & 3u) << 4;
	uint8_t shift = format <= id->nlbaf ? id->lbaf[format].lbads : 0;

	if (shift < 9 || shift > 16 || !leap_from_le64(id->nsze))
		return -EINVAL;
	ns->nsid = nsid;
	ns->block_bytes = 1u << shift;
	ns->nr_blocks = leap_from_le64(id->nsze);
	memcpy(ns->nguid, id->nguid, sizeof(ns->nguid));
	memcpy(ns->eui64, id->eui64, sizeof(ns->eui64));
	ns->dlfeat = id->dlfeat;
	ns->nsattr = id->nsattr;
	ns->format = (uint8_t)format;
	ns->open_channel = id->vs[0] == LEAP_OCSSD_NS_VENDOR;
	ns->metadata_bytes = leap_from_le16(id->lbaf[format].ms);
	ns->metadata_inline = !!(id->flbas & LEAP_FLBAS_EXTENDED);
	ns->pi_type = LEAP_GET(id->dps, LEAP_DPS_TYPE);
	ns->msrc = id->msrc;
	ns->mssrl = leap_from_le16(id->mssrl);
	ns->mcl = leap_from_le32(id->mcl);
	return 0;
}

static void ns_read(struct leap_host *h, struct leap__hadm *a,
		    leap_status_t status)
{
	uint32_t nsid = leap_from_le32(h->list->nsid[h->list_at - 1]);
	struct leap_host_ns ns = { .size = sizeof(ns) }, *p;

	/* Gone meanwhile, or nothing that this side can use. */
	if (status || leap__host_ns_set(&ns, nsid, a->data)) {
		scan_next(h);
		return;
	}
	p = scan_add(h);
	if (!p) {
		leap__host_fail(h, LEAP_SC_PATH_HOST, -ENOMEM);
		return;
	}
	*p = ns;
	leap__host_identify(h, LEAP_CNS_NS_DESC, LEAP_CSI_NVM, nsid, a->data,
			    desc_read);
}

static void list_read(struct leap_host *h, struct leap__hadm *a,
		      leap_status_t status)
{
	if (status) {
		leap__host_fail(h, status, 0);
		return;
	}
	h->list_at = 0;
	scan_next(h);
}

static void ask_list(struct leap_host *h, uint32_t after)
{
	leap__host_identify(h, LEAP_CNS_NS_ACTIVE, LEAP_CSI_NVM, after,
			    h->list, list_read);
}

static void scan_next(struct leap_host *h)
{
	uint32_t last = h->list_at ?
		leap_from_le32(h->list->nsid[h->list_at - 1]) : 0;
	uint32_t nsid;

	if (h->list_at == LEAP_NS_LIST_MAX) {
		ask_list(h, last);
		return;
	}
	nsid = leap_from_le32(h->list->nsid[h->list_at]);
	/* Ascending, or the list would never end. */
	if (!nsid || nsid <= last || nsid >= LEAP_NSID_ALL - 1 ||
	    h->nr_scan >= MAX_NS) {
		scan_end(h);
		return;
	}
	h->list_at++;
	leap__host_identify(h, LEAP_CNS_NS, LEAP_CSI_NVM, nsid, h->adm.data,
			    ns_read);
}

void leap__host_scan(struct leap_host *h, void (*scanned)(struct leap_host *h))
{
	free(h->scan);
	h->scan = NULL;
	h->nr_scan = h->max_scan = 0;
	h->scanned = scanned;
	ask_list(h, 0);
}
