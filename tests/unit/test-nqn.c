/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/nqn.c: both forms, and names that no peer should send. */
#include "unit.h"

#include <leapio/nvmf.h>

static int check(const char *name)
{
	char *copy = exact_string(name);
	int err = leap_nqn_check(copy, strlen(name) + 1);

	free(copy);
	return err;
}

static void good_names(void **state)
{
	static const char *const good[] = {
		LEAP_NQN_DISCOVERY,
		"nqn.2024-01.com.example",
		"nqn.2024-12.com.example:disk1",
		"nqn.2024-01.com.example:",
		"nqn.2024-01.com.example:a b:c/\xc3\xa9\xe2\x82\xac",
		"nqn.2016-06.io.x-y_z.d2:cnode\xf0\x9f\x92\xbe",
		LEAP_NQN_UUID_PREFIX
		"12345678-9abc-def0-1234-56789abcDEF0",
		"nqn.2014-08.org.nvmexpress:NVMf:uuid:not-checked",
	};
	size_t i;

	for (i = 0; i < COUNT(good); i++)
		assert_int_equal(check(good[i]), 0);
}

static void bad_names(void **state)
{
	static const char *const bad[] = {
		"",
		"nqn",
		"nqn.2024-01",
		"nqn.2024-01.",
		"nqn.2024-01..com",
		"nqn.2024-01.com.",
		"nqn.2024-01.com.:x",
		"nqn.2024-01.:xxxx",
		"nqn.2024-01.com ex",
		"nqn.2024-00.com.example",
		"nqn.2024-13.com.example",
		"nqn.2024.01.com.example",
		"nqn.202a-01.com.example",
		"NQN.2024-01.com.example",
		"iqn.2024-01.com.example",
		"nqn.2024-01.com.example:\x01",
		"nqn.2024-01.com.example:\x7f",
		"nqn.2024-01.com.example:a\nb",
		"nqn.2024-01.com.example:\xc2\x85",	/* NEL */
		"nqn.2024-01.com.example:\x80",
		"nqn.2024-01.com.example:\xc3",		/* cut short */
		"nqn.2024-01.com.example:\xe2\x82",
		"nqn.2024-01.com.example:\xc3:",
		"nqn.2024-01.com.example:\xc0\xaf",	/* overlong */
		"nqn.2024-01.com.example:\xe0\x80\xaf",
		"nqn.2024-01.com.example:\xed\xa0\x80",	/* surrogate */
		"nqn.2024-01.com.example:\xf4\x90\x80\x80",
		"nqn.2024-01.com.example:\xff",
		"nqn.2014-08.org.nvmexpress:uuid:",
		LEAP_NQN_UUID_PREFIX
		"12345678-9abc-def0-1234-56789abcdefg",
		LEAP_NQN_UUID_PREFIX
		"12345678-9abc-def0-1234-56789abcdef01",
	};
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(check(bad[i]), -EINVAL);
		assert_last_error("leap_nqn_check: ");
	}
	assert_int_equal(leap_nqn_check(NULL, 256), -EINVAL);
}

static void length_limits(void **state)
{
	char name[LEAP_NQN_FIELD];

	memset(name, 'x', sizeof(name));
	memcpy(name, "nqn.2024-01.", 12);
	name[LEAP_NQN_MAX] = '\0';
	assert_int_equal(leap_nqn_check(name, sizeof(name)), 0);
	name[LEAP_NQN_MAX] = 'x';
	name[LEAP_NQN_MAX + 1] = '\0';
	assert_int_equal(leap_nqn_check(name, sizeof(name)), -EINVAL);
	assert_last_error("length 224");
}

static void nothing_is_read_past_max(void **state)
{
	const char name[] = "nqn.2024-01.com.example";
	size_t n;
	char *copy;

	for (n = 0; n < sizeof(name); n++) {
		copy = exact_copy(name, n);
		assert_int_equal(leap_nqn_check(copy, n), -EINVAL);
		assert_last_error("no NUL");
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_names),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(length_limits),
		cmocka_unit_test(nothing_is_read_past_max),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
