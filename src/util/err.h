/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * err.h - one line to fail a control-path call: set the text, return the errno
 */
#ifndef LEAP_UTIL_ERR_H
#define LEAP_UTIL_ERR_H

#include <leapio/base.h>

/**
 * leap__err - record why a call failed
 *
 * @err: negative errno
 * @fmt: "call: what value limit", as "leap_x_create: depth 9 exceeds 8"
 *
 * Arguments may point into leap_last_error(), so that an outer call can wrap
 * the text of an inner one. Text that is too long is cut. Leaves errno alone.
 * Context: any thread, control path only
 * Returns: @err
 */
int leap__err(int err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold));

#endif
