/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/version.c: the string is the one that configure was given. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <leapio/base.h>

static void version_is_ours(void **state)
{
	assert_string_equal(leap_version(), PACKAGE_VERSION);
}

static void version_has_three_numbers(void **state)
{
	unsigned int major, minor, patch;
	char rest;

	assert_int_equal(sscanf(leap_version(), "%u.%u.%u%c", &major, &minor,
				&patch, &rest), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_is_ours),
		cmocka_unit_test(version_has_three_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
