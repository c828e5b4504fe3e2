/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/opts.c: callers older and newer than the library. */
#include "unit.h"

#include "util/opts.h"

struct opts {
	size_t size;
	uint32_t depth;
	uint32_t flags;
	uint64_t bytes;
};

struct newer_opts {
	struct opts ours;
	uint64_t unknown;
};

static int take_opts(struct opts *dst, const void *src)
{
	return leap__opts_copy(dst, sizeof(*dst), src);
}

static void null_means_defaults(void **state)
{
	struct opts dst;

	memset(&dst, 0xff, sizeof(dst));
	assert_int_equal(take_opts(&dst, NULL), 0);
	assert_int_equal(dst.size, sizeof(dst));
	assert_int_equal(dst.depth, 0);
	assert_int_equal(dst.flags, 0);
	assert_int_equal(dst.bytes, 0);
}

static void same_age_is_copied(void **state)
{
	struct opts src = { sizeof(src), 1, 2, 3 }, dst;

	assert_int_equal(take_opts(&dst, &src), 0);
	assert_memory_equal(&dst, &src, sizeof(src));
}

static void older_caller_gets_defaults(void **state)
{
	struct opts src = { offsetof(struct opts, flags), 7, 99, 99 }, dst;
	void *old = exact_copy(&src, src.size);

	assert_int_equal(take_opts(&dst, old), 0);
	assert_int_equal(dst.size, sizeof(dst));
	assert_int_equal(dst.depth, 7);
	assert_int_equal(dst.flags, 0);
	assert_int_equal(dst.bytes, 0);
	free(old);
}

static void newer_caller_with_zeroes_is_fine(void **state)
{
	struct newer_opts src = { { sizeof(src), 1, 2, 3 }, 0 };
	struct opts dst;

	assert_int_equal(take_opts(&dst, &src), 0);
	assert_int_equal(dst.size, sizeof(dst));
	assert_int_equal(dst.bytes, 3);
}

static void newer_caller_with_a_wish_is_refused(void **state)
{
	struct newer_opts src = { { sizeof(src), 1, 2, 3 }, 0 };
	struct opts dst;
	size_t i;

	for (i = 0; i < sizeof(src.unknown); i++) {
		src.unknown = 0;
		((unsigned char *)&src.unknown)[i] = 1;
		assert_int_equal(take_opts(&dst, &src), -E2BIG);
		assert_last_error("take_opts: opts byte");
	}
}

static void size_out_of_reason_is_refused(void **state)
{
	const size_t bad[] = { 0, 1, sizeof(size_t) - 1,
			       LEAP__OPTS_MAX_BYTES + 1, SIZE_MAX };
	struct opts dst;
	size_t i;
	void *src;

	for (i = 0; i < COUNT(bad); i++) {
		src = exact_copy(&bad[i], sizeof(bad[i]));
		assert_int_equal(take_opts(&dst, src), -EINVAL);
		assert_last_error("take_opts: opts.size");
		free(src);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_means_defaults),
		cmocka_unit_test(same_age_is_copied),
		cmocka_unit_test(older_caller_gets_defaults),
		cmocka_unit_test(newer_caller_with_zeroes_is_fine),
		cmocka_unit_test(newer_caller_with_a_wish_is_refused),
		cmocka_unit_test(size_out_of_reason_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
