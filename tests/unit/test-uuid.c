/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/uuid.c: text, and identifiers that may never change. */
#include "unit.h"

#include "util/uuid.h"

static const uint8_t bytes[LEAP__UUID_LEN] = {
	0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
	0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
};

static void text_and_back(void **state)
{
	char text[LEAP__UUID_TEXT];
	uint8_t out[LEAP__UUID_LEN];

	leap__uuid_format(bytes, text);
	assert_string_equal(text, "12345678-9abc-def0-0123-456789abcdef");
	assert_int_equal(leap__uuid_parse(text, out), 0);
	assert_memory_equal(out, bytes, sizeof(bytes));
	assert_int_equal(
		leap__uuid_parse("12345678-9ABC-DEF0-0123-456789aBcDeF", out),
		0);
	assert_memory_equal(out, bytes, sizeof(bytes));
}

static void bad_texts(void **state)
{
	static const char good[] = "12345678-9abc-def0-0123-456789abcdef";
	static const char *const bad[] = {
		"",
		"123456789abcdef00123456789abcdef",
		"{12345678-9abc-def0-0123-456789abcdef}",
		"12345678-9abc-def0-0123-456789abcdef0",
		"12345678-9abc-def0-0123-456789abcdef ",
		"12345678-9abc-def0-0123_456789abcdef",
		"1234567-89abc-def0-0123-456789abcdef",
	};
	uint8_t out[LEAP__UUID_LEN], same[LEAP__UUID_LEN];
	char *copy;
	size_t i;

	memset(out, 0x5a, sizeof(out));
	memset(same, 0x5a, sizeof(same));
	for (i = 0; i < COUNT(bad); i++) {
		copy = exact_string(bad[i]);
		assert_int_equal(leap__uuid_parse(copy, out), -EINVAL);
		assert_last_error("is not a UUID");
		free(copy);
	}
	/* Every prefix, and every character replaced by a wrong one. */
	for (i = 0; i < sizeof(good) - 1; i++) {
		copy = exact_string(good);
		copy[i] = 'g';
		assert_int_equal(leap__uuid_parse(copy, out), -EINVAL);
		free(copy);
		copy = exact_copy(good, i + 1);
		copy[i] = '\0';
		assert_int_equal(leap__uuid_parse(copy, out), -EINVAL);
		free(copy);
	}
	assert_memory_equal(out, same, sizeof(out));
}

/* Computed with another implementation of version 5 UUIDs. */
static void identifiers_never_change(void **state)
{
	static const uint8_t nguid[16] = {
		0x47, 0x85, 0x92, 0x58, 0x69, 0x8e, 0x9f, 0x0c,
		0xfe, 0x1a, 0x22, 0x07, 0x4c, 0xc1, 0xc4, 0x82,
	};
	static const uint8_t eui64[8] = {
		0x2e, 0x2c, 0x9c, 0xcd, 0x6e, 0x6e, 0x93, 0x93,
	};
	char text[LEAP__UUID_TEXT];
	struct leap__ns_ids ids;

	leap__ns_ids_derive("nqn.2024-01.com.example:disk1", 1, &ids);
	leap__uuid_format(ids.uuid, text);
	assert_string_equal(text, "51d9e762-e82d-50b1-9505-6f088431bf2b");
	assert_memory_equal(ids.nguid, nguid, sizeof(nguid));
	assert_memory_equal(ids.eui64, eui64, sizeof(eui64));
}

static void identifiers_differ(void **state)
{
	struct leap__ns_ids a, b;
	char nqn[64] = "nqn.2024-01.com.example:disk1";
	uint32_t nsid;

	leap__ns_ids_derive(nqn, 1, &a);
	for (nsid = 0; nsid < 300; nsid++) {
		leap__ns_ids_derive(nqn, nsid == 1 ? UINT32_MAX : nsid, &b);
		assert_memory_not_equal(a.uuid, b.uuid, 16);
		assert_memory_not_equal(a.nguid, b.nguid, 16);
		assert_memory_not_equal(a.eui64, b.eui64, 8);
		assert_memory_not_equal(b.uuid, b.nguid, 8);
		assert_int_equal(b.uuid[6] >> 4, 5);
		assert_int_equal(b.uuid[8] >> 6, 2);
		assert_int_equal(b.nguid[8] & 3, 2);
		assert_int_equal(b.eui64[0] & 3, 2);
	}
	nqn[28] = '2';
	leap__ns_ids_derive(nqn, 1, &b);
	assert_memory_not_equal(a.uuid, b.uuid, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(bad_texts),
		cmocka_unit_test(identifiers_never_change),
		cmocka_unit_test(identifiers_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
