/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pagemap.h - physical addresses of this process's own pinned memory
 *
 * Only for drivers of devices that no IOMMU stands before. The memory has to
 * be locked (mlock) and, because the kernel may still move a locked page,
 * in huge pages or on a machine that does not compact.
 */
#ifndef LEAP_ATS_PAGEMAP_H
#define LEAP_ATS_PAGEMAP_H

#include <stdint.h>

struct leap__pagemap;

/*
 * leap__pagemap_open - for this process
 *
 * Context: any
 * Errors:  -EPERM the kernel does not show frame numbers to this process,
 *          -ENOMEM, -errno of the open
 */
int leap__pagemap_open(struct leap__pagemap **out);
void leap__pagemap_close(struct leap__pagemap *map);

/*
 * leap__pagemap_run - where @addr is, and for how long it goes on
 *
 * @bytes: how many are of interest
 * @phys:  out: the physical address of @addr
 * Returns: 0 and *@run, 1..@bytes: physically contiguous from @addr on
 * Errors:  -EFAULT not in memory now, -EINVAL no bytes, -EIO, -EPERM
 */
int leap__pagemap_run(struct leap__pagemap *map, const void *addr,
		      uint64_t bytes, uint64_t *phys, uint64_t *run);

#endif
