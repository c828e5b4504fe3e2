/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of each thread's last failed control-path call.
 *
 * Lowest layer: everything above reports through leap__err(). The buffer is
 * fixed and belongs to the thread, so reporting never allocates and never
 * fails, and a pointer from leap_last_error() stays valid while the thread
 * lives. It must not know any noun of the library.
 */
#include "util/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 768	/* bytes; a message may name an NQN and a path */

static _Thread_local char last_error[TEXT_SIZE];

const char *leap_last_error(void)
{
	return last_error;
}

int leap__err(int err, const char *fmt, ...)
{
	int saved = errno;
	char text[TEXT_SIZE];
	va_list ap;

	/* Not straight into last_error: an argument may point there. */
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		strcpy(text, "(text could not be formatted)");
	va_end(ap);
	memcpy(last_error, text, sizeof(text));
	errno = saved;
	return err;
}
