/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The version that configure was given. Lowest layer; knows nothing of the rest
 * of the library.
 */
#include "config.h"

#include <leapio/base.h>

const char *leap_version(void)
{
	return PACKAGE_VERSION;
}
