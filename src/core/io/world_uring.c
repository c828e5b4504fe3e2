/* SPDX-License-Identifier: BSD-3-Clause */
#include "config.h"

#include "core/io/world_real.h"

#include <errno.h>

int leap__world_uring_create(struct leap__world **out)
{
	return -ENOSYS;
}
