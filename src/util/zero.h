/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zero.h - memory that has to be zero, and often is already
 */
#ifndef LEAP__UTIL_ZERO_H
#define LEAP__UTIL_ZERO_H

#include <stddef.h>

/*
 * leap__zero_fill - memset to zero, which stores nothing before the first
 * stretch that is not zero
 *
 * Somebody else may write to @at meanwhile; what he wrote may stay there.
 * Context: any, hot path
 */
void leap__zero_fill(void *at, size_t bytes);

#endif
