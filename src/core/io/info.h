/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * info.h - filling structs that callers give us, of any age
 */
#ifndef LEAP_CORE_IO_INFO_H
#define LEAP_CORE_IO_INFO_H

#include <errno.h>
#include <string.h>

#include "util/err.h"

/*
 * leap__info_copy - as much of @full as the caller's struct holds
 *
 * @dst opens with its size, which stays. Returns: 0, -EINVAL
 */
static inline int leap__info_copy(const char *call, void *dst,
				  const void *full, size_t full_bytes)
{
	size_t size;

	memcpy(&size, dst, sizeof(size));
	if (size < sizeof(size))
		return leap__err(-EINVAL, "%s: size %zu is not set", call,
				 size);
	if (size > full_bytes)
		size = full_bytes;
	memcpy((char *)dst + sizeof(size), (const char *)full + sizeof(size),
	       size - sizeof(size));
	return 0;
}

#endif
