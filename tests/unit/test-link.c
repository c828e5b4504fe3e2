/* SPDX-License-Identifier: BSD-3-Clause */
/* Link messages: every type there and back, byte images, hostile streams. */
#include <errno.h>
#include <string.h>

#include <leapio/link.h>

#include "unit.h"

static uint32_t seed = 7;

static uint8_t next_byte(void)
{
	seed = seed * 1103515245u + 12345u;
	return (uint8_t)(seed >> 16);
}

static void fill(struct leap_link_msg *m, uint16_t type)
{
	uint8_t *u = (uint8_t *)&m->u;
	size_t i;

	memset(m, 0, sizeof(*m));
	for (i = 0; i < sizeof(m->u); i++)
		u[i] = next_byte();
	m->type = type;
	m->flags = type % 2 ? LEAP_LINK_REPLY : 0;
	m->id = 0x01020304;
	m->err = -type;
	m->cntlid = 0x1234;
}

static void test_round_trip(void **state)
{
	struct leap_link_msg m, got;
	uint8_t a[512], b[512];
	uint16_t type;
	int n;

	for (type = LEAP_LINK_HELLO; type <= LEAP_LINK_FATAL; type++) {
		fill(&m, type);
		n = leap_link_encode(&m, a, sizeof(a));
		assert_true(n >= 20);
		assert_int_equal(leap_link_encode(&m, b, (size_t)n - 1),
				 -ENOSPC);
		assert_int_equal(leap_link_decode(a, (size_t)n, &got), n);
		assert_int_equal(got.type, type);
		assert_int_equal(got.flags, m.flags);
		assert_int_equal(got.id, m.id);
		assert_int_equal(got.err, m.err);
		assert_int_equal(got.cntlid, m.cntlid);
		assert_int_equal(leap_link_encode(&got, b, sizeof(b)), n);
		assert_memory_equal(a, b, (size_t)n);
	}
}

static void test_byte_image(void **state)
{
	static const uint8_t image[] = {
		28, 0, 0, 0, 18, 0, 1, 0, 4, 3, 2, 1, 0xfe, 0xff, 0xff, 0xff,
		9, 0, 0, 0, 5, 0, 7, 0, 1, 0, 0, 0,
	};
	struct leap_link_msg m = {
		.type = LEAP_LINK_ABORT, .flags = LEAP_LINK_REPLY,
		.id = 0x01020304, .err = -ENOENT, .cntlid = 9,
		.u.abort = { 5, 7, 1 },
	};
	uint8_t buf[64];

	assert_int_equal(leap_link_encode(&m, buf, sizeof(buf)), sizeof(image));
	assert_memory_equal(buf, image, sizeof(image));
}

static void test_parts_and_lies(void **state)
{
	struct leap_link_msg m, got;
	uint8_t buf[512], bad[512];
	size_t i;
	int n;

	fill(&m, LEAP_LINK_QP_ADD);
	n = leap_link_encode(&m, buf, sizeof(buf));
	for (i = 0; i < (size_t)n; i++) {
		uint8_t *part = exact_copy(buf, i);

		assert_int_equal(leap_link_decode(part, i, &got), 0);
		free(part);
	}
	/* Every bit of the head's length, type,
	 * flags and err that is turned. */
	for (i = 0; i < 20 * 8; i++) {
		int r;

		memcpy(bad, buf, sizeof(bad));
		bad[i / 8] ^= (uint8_t)(1u << i % 8);
		r = leap_link_decode(bad, (size_t)n, &got);
		if (i / 8 < 4)
			assert_true(r == -EPROTO || r == 0);
		assert_true(r == -EPROTO || r == 0 || r == n);
	}
	m.type = 0;
	assert_int_equal(leap_link_encode(&m, bad, sizeof(bad)), -EINVAL);
	memcpy(bad, buf, sizeof(bad));
	bad[4] = 99;
	assert_int_equal(leap_link_decode(bad, (size_t)n, &got), -EPROTO);
	memcpy(bad, buf, sizeof(bad));
	bad[18] = 1;
	assert_int_equal(leap_link_decode(bad, (size_t)n, &got), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_byte_image),
		cmocka_unit_test(test_parts_and_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
