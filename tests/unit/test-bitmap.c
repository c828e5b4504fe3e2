/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/bitmap.h: against an array of bools, at word borders and beyond. */
#include "unit.h"

#include "util/bitmap.h"

#define MAX 200

static size_t naive_next(const unsigned char *bits, size_t n, size_t from,
			 unsigned char want)
{
	for (; from < n; from++)
		if (bits[from] == want)
			return from;
	return n;
}

static void equals_an_array_of_bools(void **state)
{
	static const size_t sizes[] = { 1, 63, 64, 65, 127, 128, 129, MAX };
	unsigned char bits[MAX];
	uint32_t seed = 7;
	size_t s, n, i, step, weight;

	for (s = 0; s < COUNT(sizes); s++) {
		n = sizes[s];
		/* Its own allocation: a scan past the last word shows. */
		uint64_t *map = malloc(LEAP__BITMAP_WORDS(n) * 8);

		assert_non_null(map);
		leap__bitmap_zero(map, n);
		memset(bits, 0, sizeof(bits));
		for (step = 0; step < 400; step++) {
			seed = seed * 1664525 + 1013904223;
			i = (seed >> 8) % n;
			bits[i] = seed >> 30 != 0;
			if (bits[i])
				leap__bitmap_set(map, i);
			else
				leap__bitmap_clear(map, i);
			assert_int_equal(leap__bitmap_test(map, i), bits[i]);
			i = seed % (n + 2);
			assert_int_equal(leap__bitmap_next_zero(map, n, i),
					 i > n ? n : naive_next(bits, n, i, 0));
			assert_int_equal(leap__bitmap_next_set(map, n, i),
					 i > n ? n : naive_next(bits, n, i, 1));
			assert_int_equal(leap__bitmap_first_zero(map, n),
					 naive_next(bits, n, 0, 0));
		}
		for (i = weight = 0; i < n; i++)
			weight += bits[i];
		assert_int_equal(leap__bitmap_weight(map, n), weight);
		free(map);
	}
}

static void full_and_empty(void **state)
{
	uint64_t map[LEAP__BITMAP_WORDS(130)];
	size_t i;

	leap__bitmap_zero(map, 130);
	assert_int_equal(leap__bitmap_first_zero(map, 130), 0);
	assert_int_equal(leap__bitmap_next_set(map, 130, 0), 130);
	for (i = 0; i < 130; i++)
		leap__bitmap_set(map, i);
	assert_int_equal(leap__bitmap_first_zero(map, 130), 130);
	assert_int_equal(leap__bitmap_weight(map, 130), 130);
	leap__bitmap_clear(map, 129);
	assert_int_equal(leap__bitmap_first_zero(map, 130), 129);
	assert_int_equal(leap__bitmap_next_zero(map, 129, 0), 129);
	assert_int_equal(leap__bitmap_first_zero(map, 0), 0);
}

static void bits_outside_do_not_count(void **state)
{
	uint64_t map[1] = { ~(uint64_t)0 };

	assert_int_equal(leap__bitmap_weight(map, 10), 10);
	map[0] = ~(uint64_t)0x3ff;
	assert_int_equal(leap__bitmap_weight(map, 10), 0);
	assert_int_equal(leap__bitmap_next_set(map, 10, 0), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_an_array_of_bools),
		cmocka_unit_test(full_and_empty),
		cmocka_unit_test(bits_outside_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
