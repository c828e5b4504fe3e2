/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/crc32c.c: every way that this CPU has equals the bit-by-bit one. */
#include "unit.h"

/* Its own copy, to reach the ways that this CPU has but does not take. */
#define leap__crc32c inside_crc32c
#define leap__crc32c_copy inside_crc32c_copy
#include "util/crc32c.c"
#undef leap__crc32c
#undef leap__crc32c_copy

uint32_t leap__crc32c(uint32_t crc, const void *p, size_t n);
uint32_t leap__crc32c_copy(void *dst, const void *src, size_t n, uint32_t crc);

#include "util/crc32c_table.h"

#define MAX 12345	/* bytes; passes every lane length and ISA-L's limit */

static uint32_t bit_by_bit(uint32_t crc, const unsigned char *p, size_t n)
{
	int i;

	for (crc = ~crc; n; n--) {
		crc ^= *p++;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void fill(unsigned char *p, size_t n, uint32_t seed)
{
	for (; n; n--) {
		seed = seed * 1664525 + 1013904223;
		*p++ = (unsigned char)(seed >> 24);
	}
}

static void vectors(void **state)
{
	unsigned char buf[32];
	size_t i;

	assert_int_equal(leap__crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(leap__crc32c(0, NULL, 0), 0);
	/* RFC 3720 B.4 */
	memset(buf, 0, sizeof(buf));
	assert_int_equal(leap__crc32c(0, buf, 32), 0x8a9136aa);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(leap__crc32c(0, buf, 32), 0x62a8ab43);
	for (i = 0; i < 32; i++)
		buf[i] = (unsigned char)i;
	assert_int_equal(leap__crc32c(0, buf, 32), 0x46dd794e);
}

static void tables_are_right(void **state)
{
	unsigned char msg[8] = { 0 };
	unsigned b, k;
	/* No inversion: the remainder of b and k zero bytes. */
	for (k = 0; k < 8; k++)
		for (b = 0; b < 256; b++) {
			msg[0] = (unsigned char)b;
			assert_int_equal(~bit_by_bit(~0u, msg, k + 1),
					 crc32c_table[k][b]);
		}
}

static void check_way(uint32_t (*sum)(uint32_t, const unsigned char *, size_t),
		      uint32_t (*copy)(uint32_t, unsigned char *,
				       const unsigned char *, size_t))
{
	unsigned char *src = malloc(MAX), *dst = malloc(MAX);
	uint32_t want;
	size_t n;

	assert_non_null(src);
	assert_non_null(dst);
	fill(src, MAX, 7);
	for (n = 0; n <= MAX; n += n < 1100 ? 1 : 113) {
		want = ~bit_by_bit(~0x9abcdef0, src + MAX - n, n);
		assert_int_equal(sum(0x9abcdef0, src + MAX - n, n), want);
		if (!copy)
			continue;
		memset(dst, 0x5a, MAX);
		assert_int_equal(copy(0x9abcdef0, dst + MAX - n,
				      src + MAX - n, n), want);
		assert_memory_equal(dst + MAX - n, src + MAX - n, n);
	}
	free(src);
	free(dst);
}

static void each_way(void **state)
{
#ifndef __ARM_FEATURE_CRC32
	check_way(update_table, NULL);
#endif
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2") &&
	    __builtin_cpu_supports("pclmul"))
		check_way(sum_x86, copy_x86);
#endif
#ifdef LEAP_WITH_ISAL
	if (crc32_iscsi)
		check_way(sum_isal, copy_isal);
#endif
}

static void all_lengths(void **state)
{
	unsigned char *src = malloc(MAX), *dst = malloc(MAX);
	size_t n;
	uint32_t want;

	assert_non_null(src);
	assert_non_null(dst);
	fill(src, MAX, 1);
	for (n = 0; n <= MAX; n += n < 1100 ? 1 : 113) {
		/* At the end of the allocation, so that overruns show. */
		const unsigned char *p = src + MAX - n;
		unsigned char *d = dst + MAX - n;

		want = bit_by_bit(0x12345678, p, n);
		assert_int_equal(leap__crc32c(0x12345678, p, n), want);
		memset(dst, 0x5a, MAX);
		assert_int_equal(leap__crc32c_copy(d, p, n, 0x12345678), want);
		assert_memory_equal(d, p, n);
		assert_true(n == MAX || d[-1] == 0x5a);
	}
	free(src);
	free(dst);
}

static void all_alignments(void **state)
{
	unsigned char src[4300], dst[4300];
	size_t a, b;

	fill(src, sizeof(src), 2);
	for (a = 0; a < 16; a++)
		for (b = 0; b < 16; b++) {
			uint32_t want = bit_by_bit(0, src + a, 4097);

			assert_int_equal(leap__crc32c(0, src + a, 4097), want);
			assert_int_equal(leap__crc32c_copy(dst + b, src + a,
							   4097, 0), want);
			assert_memory_equal(dst + b, src + a, 4097);
		}
}

static void pieces_add_up(void **state)
{
	static const size_t cut[] = { 0, 1, 7, 8, 63, 503, 504, 505, 511, 512,
				      4079, 4080, 4081, 8000 };
	unsigned char src[9000], dst[9000];
	size_t i, n = sizeof(src);
	uint32_t want, got;

	fill(src, n, 3);
	want = leap__crc32c(0, src, n);
	assert_int_equal(want, bit_by_bit(0, src, n));
	for (i = 0; i < COUNT(cut); i++) {
		got = leap__crc32c(0, src, cut[i]);
		got = leap__crc32c(got, src + cut[i], n - cut[i]);
		assert_int_equal(got, want);
		got = leap__crc32c_copy(dst, src, cut[i], 0);
		got = leap__crc32c_copy(dst + cut[i], src + cut[i], n - cut[i],
					got);
		assert_int_equal(got, want);
		assert_memory_equal(dst, src, n);
	}
}

static void any_flipped_bit_shows(void **state)
{
	unsigned char src[600];
	uint32_t want;
	size_t i;

	fill(src, sizeof(src), 4);
	want = leap__crc32c(0, src, sizeof(src));
	for (i = 0; i < sizeof(src) * 8; i += 7) {
		src[i / 8] ^= (unsigned char)(1u << i % 8);
		assert_int_not_equal(leap__crc32c(0, src, sizeof(src)), want);
		src[i / 8] ^= (unsigned char)(1u << i % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(tables_are_right),
		cmocka_unit_test(each_way),
		cmocka_unit_test(all_lengths),
		cmocka_unit_test(all_alignments),
		cmocka_unit_test(pieces_add_up),
		cmocka_unit_test(any_flipped_bit_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
