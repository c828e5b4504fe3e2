/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large the machine is. A peer's file may have any length without a page
 * behind it, and addresses for it are taken from those of this process: what
 * bounds that is asked here, by whoever maps what a peer has sent. Asked each
 * time, because memory comes and goes. Knows nothing of peers.
 */
#include "util/machine.h"

#include <sys/sysinfo.h>

uint64_t leap__machine_bytes(void)
{
	struct sysinfo si;

	if (sysinfo(&si))
		return UINT64_MAX;
	return ((uint64_t)si.totalram + si.totalswap) * si.mem_unit;
}
