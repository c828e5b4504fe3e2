/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options structs of callers that are older or newer than the library.
 *
 * Low layer, called first by every call that takes options. Knows of a struct
 * only that it opens with its size and that zero means default.
 */
#include "util/opts.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

int leap__opts_copy_for(const char *call, void *dst, size_t dst_size,
			const void *src)
{
	const unsigned char *bytes = src;
	size_t size, i;

	memset(dst, 0, dst_size);
	if (src) {
		memcpy(&size, src, sizeof(size));
		if (size < sizeof(size) || size > LEAP__OPTS_MAX_BYTES)
			return leap__err(-EINVAL,
				"%s: opts.size %zu is not from an INIT macro",
				call, size);
		for (i = dst_size; i < size; i++)
			if (bytes[i])
				return leap__err(-E2BIG,
					"%s: opts byte %zu set, of %zu known",
					call, i, dst_size);
		memcpy(dst, src, size < dst_size ? size : dst_size);
	}
	memcpy(dst, &dst_size, sizeof(dst_size));
	return 0;
}
