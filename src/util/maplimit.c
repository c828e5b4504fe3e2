/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of one peer's memory may be mapped here. A file may have any length
 * without a page behind it, and addresses for it are taken from those of this
 * process, which are for others too. Several times what the machine has, as
 * virtual machines may be promised more than there is. Asked each time, because
 * memory comes and goes. Knows nothing of peers.
 */
#include "util/maplimit.h"

#include <sys/sysinfo.h>

#define OVERCOMMIT	4u

uint64_t leap__map_limit(void)
{
	struct sysinfo si;

	if (sysinfo(&si))
		return UINT64_MAX;
	return ((uint64_t)si.totalram + si.totalswap) * si.mem_unit *
	       OVERCOMMIT;
}
