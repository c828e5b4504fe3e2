/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Zeroes where there may be zeroes already. Payload that is used again and
 * again for the same answer lies in a cache as it was left: to look at it costs
 * half of what storing to it does, whose every line has to be written back, and
 * is not taken away from who has read it. What is found not to be zero ends the
 * search, so that memory with data in it costs one stretch more than a memset.
 *
 * Lowest layer; knows nothing of who asks. As in crc32c.c, the way is chosen on
 * each call and there is no state.
 */
#include "config.h"

#include "util/zero.h"

#include <stdint.h>
#include <string.h>

#define STRETCH 512u	/* bytes: shorter is more tests, longer more in vain */

#define BODY static inline __attribute__((always_inline))

BODY size_t count(const uint8_t *at, size_t bytes,
		  int (*is_zero)(const uint8_t *at))
{
	size_t n = 0;

	while (bytes - n >= STRETCH && is_zero(at + n))
		n += STRETCH;
	return n;
}

/* A register that every 64-bit CPU has. */
typedef uint64_t words __attribute__((vector_size(16), aligned(1), may_alias));

BODY int is_zero_any(const uint8_t *at)
{
	const words *w = (const words *)at, *end = w + STRETCH / sizeof(*w);
	words a = { 0 }, b = { 0 };

	for (; w != end; w += 4) {
		a |= w[0] | w[1];
		b |= w[2] | w[3];
	}
	a |= b;
	return !(a[0] | a[1]);
}

#if defined(__x86_64__) && !defined(__CHECKER__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 BODY __m256i load(const uint8_t *at)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

AVX2 BODY int is_zero_avx2(const uint8_t *at)
{
	const uint8_t *end = at + STRETCH;
	__m256i a = _mm256_setzero_si256(), b = a;

	for (; at != end; at += 128) {
		a |= load(at) | load(at + 32);
		b |= load(at + 64) | load(at + 96);
	}
	a |= b;
	return _mm256_testz_si256(a, a);
}

AVX2 static size_t count_avx2(const uint8_t *at, size_t bytes)
{
	return count(at, bytes, is_zero_avx2);
}

static size_t zeroes(const uint8_t *at, size_t bytes)
{
	return __builtin_cpu_supports("avx2") ? count_avx2(at, bytes) :
						count(at, bytes, is_zero_any);
}

#else

static size_t zeroes(const uint8_t *at, size_t bytes)
{
	return count(at, bytes, is_zero_any);
}

#endif

void leap__zero_fill(void *at, size_t bytes)
{
	size_t n = zeroes(at, bytes);

	if (n < bytes)
		memset((uint8_t *)at + n, 0, bytes - n);
}
