/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opts.h - the rule for options structs, in one place (see leapio/base.h)
 */
#ifndef LEAP_UTIL_OPTS_H
#define LEAP_UTIL_OPTS_H

#include <stddef.h>

/*
 * No options struct comes near this. A larger `size` was never set by an INIT
 * macro, and believing it would read far outside the caller's struct.
 */
#define LEAP__OPTS_MAX_BYTES 4096

/**
 * leap__opts_copy - take a caller's options struct of any age
 *
 * @dst:      our options struct; opens with `size_t size`
 * @dst_size: sizeof(*dst)
 * @src:      the caller's, or NULL for all defaults
 *
 * Fields that the caller does not have become zero, which is "default", and
 * dst->size becomes @dst_size. The calling function's name goes in the text.
 * Returns: 0; -E2BIG @src asks for what we do not know; -EINVAL no sane size
 */
#define leap__opts_copy(dst, dst_size, src) \
	leap__opts_copy_for(__func__, dst, dst_size, src)

int leap__opts_copy_for(const char *call, void *dst, size_t dst_size,
			const void *src);

#endif
