/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leap-perf's patterns against a drive that does each kind of wrong: every one
 * must be found and named, and nothing that is right may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../examples/leap-perf/perf.h"

#define BLOCKS	16
#define BB	512

struct drive {
	struct verify *v;
	char media[BLOCKS][BB];
	char buf[BLOCKS * BB];
};

static void begin(struct drive *d)
{
	memset(d, 0, sizeof(*d));
	d->v = verify_create(BLOCKS, BB, 42);
	assert_non_null(d->v);
}

static void write_blocks(struct drive *d, uint64_t lba, uint32_t nr)
{
	verify_write_start(d->v, lba, nr, d->buf);
	memcpy(d->media[lba], d->buf, (size_t)nr * BB);
	verify_write_end(d->v, lba, nr, 1);
}

static unsigned int read_blocks(struct drive *d, uint64_t lba, uint32_t nr)
{
	uint32_t floor[BLOCKS];

	verify_read_start(d->v, lba, nr, floor);
	return verify_read_end(d->v, lba, nr, d->media[lba], floor);
}

static void expect(struct drive *d, enum fault f, uint64_t lba)
{
	assert_int_equal(read_blocks(d, lba, 1), 1);
	assert_int_equal(verify_faults(d->v, f), 1);
	verify_destroy(d->v);
}

static void test_good(void **state)
{
	struct drive d;

	begin(&d);
	memset(d.media, 0x77, sizeof(d.media));
	assert_int_equal(read_blocks(&d, 0, BLOCKS), 0);
	write_blocks(&d, 0, 8);
	write_blocks(&d, 4, 8);
	assert_int_equal(read_blocks(&d, 0, BLOCKS), 0);
	assert_true(verify_is_written(d.v, 11));
	assert_false(verify_is_written(d.v, 12));
	verify_destroy(d.v);
}

static void test_in_flight(void **state)
{
	uint32_t floor[1];
	struct drive d;
	char old[BB];

	begin(&d);
	write_blocks(&d, 3, 1);
	memcpy(old, d.media[3], BB);
	verify_read_start(d.v, 3, 1, floor);
	assert_true(verify_may_write(d.v, 3, 1));
	verify_write_start(d.v, 3, 1, d.buf);
	assert_false(verify_may_write(d.v, 2, 4));
	/* Sent before the write is acknowledged: old and new are both right. */
	assert_int_equal(verify_read_end(d.v, 3, 1, old, floor), 0);
	assert_int_equal(verify_read_end(d.v, 3, 1, d.buf, floor), 0);
	verify_write_end(d.v, 3, 1, 0);
	assert_int_equal(verify_read_end(d.v, 3, 1, old, floor), 0);
	assert_true(verify_may_write(d.v, 2, 4));
	verify_destroy(d.v);
}

static void test_stale(void **state)
{
	struct drive d;
	char old[BB];

	begin(&d);
	write_blocks(&d, 3, 1);
	memcpy(old, d.media[3], BB);
	write_blocks(&d, 3, 1);
	memcpy(d.media[3], old, BB);
	expect(&d, FAULT_STALE, 3);
}

static void test_lost(void **state)
{
	struct drive d;

	begin(&d);
	write_blocks(&d, 3, 1);
	memset(d.media[3], 0, BB);
	expect(&d, FAULT_LOST, 3);
}

static void test_torn(void **state)
{
	struct drive d;
	char old[BB];

	begin(&d);
	write_blocks(&d, 3, 1);
	memcpy(old, d.media[3], BB);
	write_blocks(&d, 3, 1);
	memcpy(d.media[3] + 256, old + 256, 256);
	expect(&d, FAULT_TORN, 3);
	/* In the header itself. */
	begin(&d);
	write_blocks(&d, 3, 1);
	d.media[3][20] ^= 1;
	expect(&d, FAULT_TORN, 3);
	/* One bit, at the very end. */
	begin(&d);
	write_blocks(&d, 3, 1);
	d.media[3][BB - 1] ^= 1;
	expect(&d, FAULT_TORN, 3);
}

static void test_misplaced(void **state)
{
	struct drive d;

	begin(&d);
	write_blocks(&d, 3, 2);
	memcpy(d.media[4], d.media[3], BB);
	expect(&d, FAULT_MISPLACED, 4);
}

static void test_future(void **state)
{
	char ahead[BB];
	struct drive d;

	begin(&d);
	write_blocks(&d, 3, 1);
	write_blocks(&d, 3, 1);
	memcpy(ahead, d.media[3], BB);
	verify_destroy(d.v);
	begin(&d);
	write_blocks(&d, 3, 1);
	memcpy(d.media[3], ahead, BB);
	expect(&d, FAULT_FUTURE, 3);
}

static void test_percentiles(void **state)
{
	struct hist *h = calloc(1, sizeof(*h));
	uint64_t i, p;

	for (i = 1; i <= 100000; i++)
		hist_add(h, i * 10);
	p = hist_percentile(h, 50);
	assert_in_range(p, 480000, 501000);
	p = hist_percentile(h, 99.9);
	assert_in_range(p, 960000, 1000000);
	assert_int_equal(h->max, 1000000);
	assert_int_equal(h->min, 10);
	hist_add(h, UINT64_MAX / 2);
	assert_int_equal(h->max, UINT64_MAX / 2);
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_misplaced),
		cmocka_unit_test(test_future),
		cmocka_unit_test(test_percentiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
