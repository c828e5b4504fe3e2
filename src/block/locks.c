/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which locks a stack holds: what somebody else must be able to take before
 * nothing of a killed process's operations is under way any more. Asks every
 * layer, knows none.
 */
#include "config.h"

#include <limits.h>

#include "block/bdev.h"
#include "util/err.h"

int leap_bdev_locks(const struct leap_bdev *bdev,
		    void (*tell)(void *arg, const char *path), void *arg)
{
	char path[PATH_MAX];
	int n = 0, rc = 0;
	uint32_t i;

	if (bdev->ops.lock_path)
		rc = bdev->ops.lock_path(bdev, path, sizeof(path));
	if (rc < 0)
		return leap__err(rc, "leap_bdev_locks: %s: no lock outlives "
				 "its operations", bdev->ops.name);
	if (rc) {
		tell(arg, path);
		n = 1;
	}
	for (i = 0; i < bdev->nr_children; i++) {
		rc = leap_bdev_locks(bdev->children[i], tell, arg);
		if (rc < 0)
			return rc;
		n += rc;
	}
	return n;
}
