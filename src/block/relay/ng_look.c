/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ng_look.c - what a namespace is that the kernel drives: its Identify pages,
 * those of zones too, and what the kernel takes as one command
 *
 * When the leaf is opened, on the control thread. Knows nothing of commands
 * that are under way.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/relay/ng.h"
#include "core/io/host.h"
#include "util/err.h"

#define MAX_BYTES	(256u << 10)
/* Where the kernel does not say: what it takes behind an IOMMU, too. */
#define SAFE_BYTES	(128u << 10)
#define SAFE_SEGMENTS	127u

static int identify_csi(const struct leap__ng_kernel *kernel, void *dev,
			uint32_t cns, uint32_t csi, uint32_t nsid, void *data)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = LEAP_ADM_IDENTIFY;
	sqe.nsid = leap_to_le32(nsid);
	sqe.cdw10 = leap_to_le32(cns);
	sqe.cdw11 = leap_to_le32(LEAP_PUT(csi, LEAP_IDENTIFY_CDW11_CSI));
	memset(data, 0, LEAP_IDENTIFY_SIZE);
	return kernel->admin(dev, &sqe, data, LEAP_IDENTIFY_SIZE);
}

static int identify(const struct leap__ng_kernel *kernel, void *dev,
		    uint32_t cns, uint32_t nsid, void *data)
{
	return identify_csi(kernel, dev, cns, 0, nsid, data);
}

/* The namespace's command set; those before there were several have none. */
static uint8_t command_set(const struct leap__ng_kernel *kernel, void *dev,
			   uint32_t nsid, uint8_t *page)
{
	const uint8_t *p = page, *end = page + LEAP_IDENTIFY_SIZE;

	if (identify(kernel, dev, LEAP_CNS_NS_DESC, nsid, page))
		return LEAP_CSI_NVM;
	for (; end - p > 4 && p[1] && p[1] <= end - p - 4; p += 4 + p[1])
		if (p[0] == LEAP_NIDT_CSI && p[1] == LEAP_NIDL_CSI)
			return p[4];
	return LEAP_CSI_NVM;
}

/* A piece that begins and ends anywhere has two segments more than pages. */
static void set_limits(const struct leap__ng_kernel *kernel,
		       struct leap__relay *relay)
{
	uint32_t bytes = SAFE_BYTES, segments = SAFE_SEGMENTS, pages, n;

	kernel->limits(relay->url, &bytes, &segments);
	if (bytes > MAX_BYTES)
		bytes = MAX_BYTES;
	if (bytes / 4096 > segments / 2)
		bytes = segments / 2 * 4096;
	if (bytes < 4096)
		bytes = 4096;
	if (relay->far.max_bytes > bytes)
		relay->far.max_bytes = bytes;
	pages = relay->far.max_bytes / 4096;
	n = segments > pages ? (segments - pages) / 2 : 1;
	relay->far.max_pieces = !n ? 1 :
		n < LEAP__NG_IOVS ? n : LEAP__NG_IOVS;
}

/* Pages of the zoned command set. */
static int ask_zones(const struct leap__ng_kernel *kernel,
		     struct leap__relay *relay, struct leap_host_ns *ns,
		     uint8_t *page)
{
	if (identify_csi(kernel, relay->dev, LEAP_CNS_CSI_NS, LEAP_CSI_ZNS,
			 relay->nsid, page) ||
	    leap__host_ns_zones(ns, (const void *)page))
		return leap__err(-EOPNOTSUPP, "ng: %s: zones of which nothing "
				 "is said", relay->url);
	if (!identify_csi(kernel, relay->dev, LEAP_CNS_CSI_CTRL, LEAP_CSI_ZNS,
			  0, page))
		leap__host_ns_append(ns, (const void *)page);
	return 0;
}

static int ask(const struct leap__ng_kernel *kernel, struct leap__relay *relay,
	       uint8_t *pages)
{
	struct leap_id_ctrl *id = (struct leap_id_ctrl *)(void *)pages;
	struct leap_id_ns *id_ns = (struct leap_id_ns *)(void *)(pages + 4096);
	struct leap_id_ctrl_nvm *nvm =
		(struct leap_id_ctrl_nvm *)(void *)(pages + 8192);
	struct leap_host_ns ns = { .size = sizeof(ns) };
	uint8_t csi;
	int rc;

	rc = identify(kernel, relay->dev, LEAP_CNS_CTRL, 0, id);
	if (!rc)
		rc = identify(kernel, relay->dev, LEAP_CNS_NS, relay->nsid,
			      id_ns);
	if (rc)
		return leap__err(rc < 0 ? rc : -EIO, "ng: %s: Identify "
				 "answered %s %d", relay->url, rc < 0 ?
				 "error" : "status", rc < 0 ? -rc : rc);
	csi = command_set(kernel, relay->dev, relay->nsid, pages + 8192);
	if (csi != LEAP_CSI_NVM && csi != LEAP_CSI_ZNS)
		return leap__err(-EOPNOTSUPP, "ng: %s: the namespace has "
				 "another command set than NVM or zones",
				 relay->url);
	if (leap__host_ns_set(&ns, relay->nsid, id_ns))
		return leap__err(-EOPNOTSUPP, "ng: %s: a format that is none",
				 relay->url);
	if (csi == LEAP_CSI_ZNS)
		rc = ask_zones(kernel, relay, &ns, pages + 8192);
	if (rc)
		return rc;
	if (identify(kernel, relay->dev, LEAP_CNS_CSI_CTRL, 0, nvm))
		memset(nvm, 0, sizeof(*nvm));
	leap__relay_far(id, nvm, &ns, &relay->far);
	/* The kernel keeps no two commands together. */
	relay->far.caps &= ~LEAP_BDEV_COMPARE_WRITE;
	set_limits(kernel, relay);
	return 0;
}

int leap__ng_look(const struct leap__ng_kernel *kernel,
		  struct leap__relay *relay, int lock)
{
	bool read_only = false;
	uint8_t *pages;
	int rc;

	rc = kernel->open(relay->url, &read_only, &relay->dev);
	if (rc)
		return leap__err(rc, "ng: %s: %s", relay->url, strerror(-rc));
	rc = kernel->nsid(relay->dev);
	if (rc <= 0)
		return leap__err(rc ? rc : -ENOTTY, "ng: %s is not the node of "
				 "an NVMe namespace", relay->url);
	relay->nsid = (uint32_t)rc;
	if (lock && kernel->hold(relay->dev, relay->url) == -EBUSY)
		return leap__err(-EBUSY, "ng: %s: the namespace is mounted or "
				 "otherwise in use", relay->url);
	pages = aligned_alloc(4096, 3 * 4096);
	if (!pages)
		return leap__err(-ENOMEM, "ng: out of memory");
	rc = ask(kernel, relay, pages);
	free(pages);
	if (read_only)
		relay->far.caps |= LEAP_BDEV_READONLY;
	return rc;
}
