/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/zero.c: all of it becomes zero, nothing else does, and what is zero
 * already is not stored to; by every way that this CPU has. */
#include "unit.h"

#include <sys/mman.h>

/* Its own copy, to reach the way that this CPU has but does not take. */
#define leap__zero_fill inside_zero_fill
#include "util/zero.c"
#undef leap__zero_fill

void leap__zero_fill(void *at, size_t bytes);

#define MAX 2600u
#define GUARD 64u

static uint8_t mem[GUARD + MAX + GUARD];

static void is_filled(size_t from, size_t bytes)
{
	size_t i;

	for (i = 0; i < sizeof(mem); i++)
		assert_int_equal(mem[i], i >= from && i < from + bytes ? 0 :
				 0xa5);
}

/* @bytes of zeroes, but for one at @odd if that is among them. */
static void lay(size_t from, size_t bytes, size_t odd)
{
	memset(mem, 0xa5, sizeof(mem));
	memset(mem + from, 0, bytes);
	if (odd < bytes)
		mem[from + odd] = (uint8_t)(1u << odd % 8);
}

static void all_lengths(void **state)
{
	size_t n;

	for (n = 0; n <= MAX; n += n < 70 ? 1 : 37) {
		memset(mem, 0xa5, sizeof(mem));
		leap__zero_fill(mem + GUARD, n);
		is_filled(GUARD, n);
		lay(GUARD, n, SIZE_MAX);
		leap__zero_fill(mem + GUARD, n);
		is_filled(GUARD, n);
	}
}

static void any_byte_is_found(void **state)
{
	size_t odd;

	for (odd = 0; odd < MAX; odd++) {
		lay(GUARD + odd % 64, MAX - 64, odd);
		leap__zero_fill(mem + GUARD + odd % 64, MAX - 64);
		is_filled(GUARD + odd % 64, MAX - 64);
	}
}

static void ways_agree(void **state)
{
	size_t odd, want;

	for (odd = 0; odd < MAX; odd++) {
		lay(GUARD + odd % 64, MAX - 64, odd);
		want = (odd < MAX - 64 ? odd : MAX - 64) / STRETCH * STRETCH;
		assert_int_equal(zeroes(mem + GUARD + odd % 64, MAX - 64),
				 want);
		assert_int_equal(count(mem + GUARD + odd % 64, MAX - 64,
				       is_zero_any), want);
	}
}

static void zeroes_are_left_alone(void **state)
{
	uint8_t *ro = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	assert_ptr_not_equal(ro, MAP_FAILED);
	leap__zero_fill(ro, 65536);
	leap__zero_fill(ro + 4, 4096);
	munmap(ro, 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_lengths),
		cmocka_unit_test(any_byte_is_found),
		cmocka_unit_test(ways_agree),
		cmocka_unit_test(zeroes_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
