/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers of VFIO that end with capabilities: a chain of structs, each with the
 * place of the next. The kernel is asked again when it needs more room. Knows
 * nothing of what is done with the answers.
 *
 * Spec: <linux/vfio.h>
 */
#include "config.h"

#include "transport/pcie/vfio.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#define INFO_MAX	65536u	/* bytes of an answer */

void *leap__vfio_info(const struct leap__vfio_link *l, int fd,
		      unsigned long request, uint32_t index, uint32_t min,
		      int *err)
{
	uint32_t bytes = min, *p = NULL;
	void *grown;
	int tries;

	for (tries = 0; tries < 2; tries++) {
		grown = realloc(p, bytes);
		if (!grown) {
			*err = -ENOMEM;
			break;
		}
		p = grown;
		memset(p, 0, bytes);
		/* All begin with argsz and flags; regions go on with index. */
		p[0] = bytes;
		if (request == VFIO_DEVICE_GET_REGION_INFO)
			p[2] = index;
		*err = l->calls->ioctl(l->arg, fd, request, p);
		if (*err < 0)
			break;
		if (p[0] <= bytes)
			return p;
		*err = -EPROTO;
		if (p[0] > INFO_MAX)
			break;
		bytes = p[0];
	}
	free(p);
	return NULL;
}

/* The capability @id in an answer of argsz bytes, whose chain is at @at. */
static const void *find_cap(const void *info, uint32_t at, uint16_t id,
			    size_t need)
{
	const uint8_t *p = info;
	struct vfio_info_cap_header h;
	uint32_t bytes, left = 32;

	memcpy(&bytes, p, sizeof(bytes));
	while (at && left-- && bytes >= sizeof(h) && at <= bytes - sizeof(h)) {
		memcpy(&h, p + at, sizeof(h));
		if (h.id == id)
			return need <= bytes - at ? p + at : NULL;
		at = h.next;
	}
	return NULL;
}

uint64_t leap__vfio_mappable(const struct vfio_region_info *r)
{
	const struct vfio_region_info_cap_sparse_mmap *s;
	uint32_t i;

	if (!(r->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return 0;
	if (!(r->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return r->size;
	s = find_cap(r, r->cap_offset, VFIO_REGION_INFO_CAP_SPARSE_MMAP,
		     sizeof(*s));
	if (!s)
		return r->size;
	for (i = 0; i < s->nr_areas; i++) {
		const uint8_t *end = (const uint8_t *)r + r->argsz;

		if ((const uint8_t *)&s->areas[i + 1] > end)
			break;
		if (!s->areas[i].offset)
			return s->areas[i].size < r->size ?
				s->areas[i].size : r->size;
	}
	return 0;
}

void leap__vfio_read_ranges(struct leap__vfio_link *l)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	struct vfio_iommu_type1_info *info;
	uint32_t i;
	int err;

	if (l->no_iommu)
		return;
	info = leap__vfio_info(l, l->container, VFIO_IOMMU_GET_INFO, 0,
			       sizeof(*info), &err);
	if (!info)
		return;
	cap = NULL;
	if (info->flags & VFIO_IOMMU_INFO_CAPS)
		cap = find_cap(info, info->cap_offset,
			       VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
			       sizeof(*cap));
	for (i = 0; cap && i < cap->nr_iovas && i < LEAP__VFIO_RANGES; i++) {
		if ((const uint8_t *)&cap->iova_ranges[i + 1] >
		    (const uint8_t *)info + info->argsz)
			break;
		l->ranges[i].first = cap->iova_ranges[i].start;
		l->ranges[i].last = cap->iova_ranges[i].end;
		l->nr_ranges = i + 1;
	}
	free(info);
}
