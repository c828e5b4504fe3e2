/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Physical addresses: the same page seen twice has one, different pages have
 * different ones, and what is not in memory has none. Who may not see them is
 * told why.
 */
#include "unit.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ats/pagemap.h"

#define PAGES 300u

static struct leap__pagemap *map;

static void test_open(void **state)
{
	int err = leap__pagemap_open(&map);

	(void)state;
	if (!err)
		return;
	/* Not for us, or not on this kernel: then with a word about it. */
	assert_null(map);
	assert_true(strlen(leap_last_error()) > 20);
	if (err == -EPERM)
		assert_last_error("CAP_SYS_ADMIN");
	else
		assert_last_error("/proc/self/pagemap");
}

static uint64_t phys_of(const uint8_t *addr)
{
	uint64_t phys = 0, run = 0;

	assert_int_equal(leap__pagemap_run(map, addr, 1, &phys, &run), 0);
	assert_int_equal(run, 1);
	return phys;
}

static void test_pages(void **state)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), phys, run, at;
	uint8_t *a, *b;
	FILE *file;
	uint32_t i;

	(void)state;
	if (!map)
		skip();
	file = tmpfile();
	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), (off_t)(PAGES * page)), 0);
	a = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED,
		 fileno(file), 0);
	b = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED,
		 fileno(file), 0);
	assert_true(a != MAP_FAILED && b != MAP_FAILED);
	assert_int_equal(leap__pagemap_run(map, a, 0, &phys, &run), -EINVAL);
	if (mlock(a, PAGES * page) || mlock(b, PAGES * page))
		skip();
	for (i = 0; i < PAGES; i++) {
		/* A sanitizer makes nothing of mlock. */
		((volatile uint8_t *)a)[i * page] = 1;
		((volatile uint8_t *)b)[i * page] = 1;
		assert_true(phys_of(a + i * page + 5) ==
			    phys_of(b + i * page + 5));
		assert_int_equal(phys_of(a + i * page + 5) % page, 5);
		assert_true(!i || phys_of(a + i * page) != phys_of(a));
	}
	/* Runs cover everything, and are what single pages say. */
	for (at = 3; at < PAGES * page; at += run) {
		assert_int_equal(leap__pagemap_run(map, a + at, PAGES * page -
						   at, &phys, &run), 0);
		assert_true(run > 0 && at + run <= PAGES * page);
		assert_true(phys_of(a + at + run - 1) == phys + run - 1);
		if (at + run < PAGES * page)
			assert_true(phys_of(a + at + run) != phys + run);
	}
	munmap(b, PAGES * page);
	munmap(a, PAGES * page);
	assert_int_equal(leap__pagemap_run(map, a, 1, &phys, &run), -EFAULT);
	assert_last_error("lock");
	fclose(file);
}

static int close_map(void **state)
{
	(void)state;
	leap__pagemap_close(map);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, close_map);
}
