/* SPDX-License-Identifier: BSD-3-Clause */
/* A seeded generator for tests: a failing run repeats. */
#ifndef LEAP__TEST_RAND_H
#define LEAP__TEST_RAND_H

#include <stdint.h>

struct test_rand {
	uint64_t s;
};

static inline uint64_t test_rand_next(struct test_rand *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0 .. n - 1 */
static inline uint32_t test_rand_below(struct test_rand *r, uint32_t n)
{
	return (uint32_t)((test_rand_next(r) >> 32) * n >> 32);
}

#endif
