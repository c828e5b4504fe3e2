/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC-32C by the fastest way this CPU has: carry-less products of 512 bits,
 * ISA-L for long buffers, the crc32 instruction on three lanes at once, ARMv8's
 * crc32c, or tables.
 *
 * Lowest layer, called by transports on each PDU. Which way is taken is asked
 * of the compiler's CPU model on each call (one load and a test), so there is
 * no state to set up. All ways give the same value; the unit test holds them to
 * a bit-by-bit one. In here `state` is the register: the inverse of a digest.
 * A copy sums the bytes that it stored: the source may be changing meanwhile.
 */
#include "config.h"

#include "util/crc32c.h"

#include <string.h>

#include <leapio/endian.h>

#ifdef LEAP_WITH_ISAL
#include <isa-l/crc.h>
/* Some systems have no archive of it: a static program does without. */
#pragma weak crc32_iscsi
#endif

static inline uint64_t load64(const void *p)
{
	leap_le64 v;

	memcpy(&v, p, sizeof(v));
	return leap_from_le64(v);
}

#ifdef __ARM_FEATURE_CRC32

#include <arm_acle.h>

#define has_wide() 0

static uint32_t update(uint32_t state, unsigned char *dst,
		       const unsigned char *src, size_t n)
{
	if (dst)
		src = memcpy(dst, src, n);
	for (; n >= 8; src += 8, n -= 8)
		state = __crc32cd(state, load64(src));
	for (; n; src++, n--)
		state = __crc32cb(state, *src);
	return state;
}

#else

#include "util/crc32c_table.h"

static uint32_t update_table(uint32_t state, const unsigned char *src,
			     size_t n)
{
	const uint32_t (*t)[256] = crc32c_table;
	uint64_t v;

	for (; n >= 8; src += 8, n -= 8) {
		v = load64(src) ^ state;
		state = t[7][v & 0xff] ^ t[6][v >> 8 & 0xff] ^
			t[5][v >> 16 & 0xff] ^ t[4][v >> 24 & 0xff] ^
			t[3][v >> 32 & 0xff] ^ t[2][v >> 40 & 0xff] ^
			t[1][v >> 48 & 0xff] ^ t[0][v >> 56];
	}
	for (; n; src++, n--)
		state = state >> 8 ^ t[0][(state ^ *src) & 0xff];
	return state;
}

#if defined(__x86_64__) && !defined(__CHECKER__)

#include <immintrin.h>

#define X86_TARGET __attribute__((target("sse4.2,pclmul")))

/*
 * The crc32 instruction takes three cycles but one can start in each, so three
 * lanes of equal length are summed at once. To join them, the state of a lane
 * is multiplied by x^(8n) for the n bytes that follow it: a carry-less product
 * with k = x^(8n-33) mod P, added to the last eight bytes of the last lane,
 * whose own step supplies the missing x^32 (and x^1 from reflection).
 */
struct lane {
	size_t len;		/* bytes, a multiple of 8 */
	uint32_t k1;		/* x^(8 len - 33) */
	uint32_t k2;		/* x^(16 len - 33) */
};

/* Three of them fill 4 KiB but 16 bytes, and 512 bytes but 8. */
static const struct lane long_lane = { 1360, 0x3f70cc6f, 0x5aa1f3cf };
static const struct lane short_lane = { 168, 0x1b3d8f29, 0xa60ce07b };

X86_TARGET static inline uint64_t product(uint64_t state, uint32_t k)
{
	__m128i a = _mm_cvtsi64_si128((long long)state);
	__m128i b = _mm_cvtsi64_si128((long long)k);

	return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(a, b, 0));
}

X86_TARGET __attribute__((always_inline)) static inline uint64_t
step(uint64_t state, unsigned char *dst, const unsigned char *src, size_t at)
{
	uint64_t v;

	memcpy(&v, src + at, sizeof(v));
	if (dst)
		memcpy(dst + at, &v, sizeof(v));
	return _mm_crc32_u64(state, v);
}

X86_TARGET __attribute__((always_inline)) static inline uint64_t
three_lanes(uint64_t a, unsigned char *dst, const unsigned char *src,
	    const struct lane *l)
{
	size_t len = l->len, i;
	uint64_t b = 0, c = 0, v;

	for (i = 0; i + 8 < len; i += 8) {
		a = step(a, dst, src, i);
		b = step(b, dst, src, i + len);
		c = step(c, dst, src, i + 2 * len);
	}
	a = step(a, dst, src, i);
	b = step(b, dst, src, i + len);
	memcpy(&v, src + i + 2 * len, sizeof(v));
	if (dst)
		memcpy(dst + i + 2 * len, &v, sizeof(v));
	return _mm_crc32_u64(c, v ^ product(a, l->k2) ^ product(b, l->k1));
}

/* Inlined twice, once with dst a constant NULL. */
X86_TARGET __attribute__((always_inline)) static inline uint32_t
update_x86(uint64_t state, unsigned char *dst, const unsigned char *src,
	   size_t n)
{
	const struct lane *l;
	unsigned char byte;
	size_t i;

	while (n >= 3 * short_lane.len) {
		l = n >= 3 * long_lane.len ? &long_lane : &short_lane;
		state = three_lanes(state, dst, src, l);
		src += 3 * l->len;
		dst = dst ? dst + 3 * l->len : NULL;
		n -= 3 * l->len;
	}
	for (i = 0; i + 8 <= n; i += 8)
		state = step(state, dst, src, i);
	for (; i < n; i++) {
		byte = src[i];
		if (dst)
			dst[i] = byte;
		state = _mm_crc32_u8((uint32_t)state, byte);
	}
	return (uint32_t)state;
}

X86_TARGET static uint32_t sum_x86(uint32_t state, const unsigned char *src,
				   size_t n)
{
	return update_x86(state, NULL, src, n);
}

X86_TARGET static uint32_t copy_x86(uint32_t state, unsigned char *dst,
				    const unsigned char *src, size_t n)
{
	return update_x86(state, dst, src, n);
}

/*
 * Four registers of 64 bytes, each multiplied by x^2048 to make room for the
 * next 256 bytes: several times what the crc32 instruction can do. A product of
 * 128 bits by x^d is that of its halves by x^(d+31) and x^(d-33) mod P; the
 * rest is in the reflection. In the end the four become one, the four quarters
 * of that one, and the crc32 instruction reduces it.
 */
#define WIDE_TARGET __attribute__((target("avx512f,vpclmulqdq,sse4.2")))
#define WIDE_MIN 512	/* bytes; below, three lanes are as good */

static int has_wide(void)
{
	return __builtin_cpu_supports("vpclmulqdq") &&
	       __builtin_cpu_supports("avx512f");
}

WIDE_TARGET __attribute__((always_inline)) static inline __m512i
fold(__m512i x, __m512i k, __m512i next)
{
	return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, k, 0x00),
					 _mm512_clmulepi64_epi128(x, k, 0x11),
					 next, 0x96);
}

WIDE_TARGET __attribute__((always_inline)) static inline __m512i
take(unsigned char *dst, const unsigned char *src, size_t at)
{
	__m512i x = _mm512_loadu_si512(src + at);

	if (dst)
		_mm512_storeu_si512(dst + at, x);
	return x;
}

/* @n is a multiple of 256, and not 0. Inlined twice, as update_x86. */
WIDE_TARGET __attribute__((always_inline)) static inline uint32_t
update_wide(uint32_t state, unsigned char *dst, const unsigned char *src,
	    size_t n)
{
	const __m512i k256 = _mm512_broadcast_i32x4(
		_mm_set_epi64x(0xb9e02b86, 0xdcb17aa4));
	const __m512i k64 = _mm512_broadcast_i32x4(
		_mm_set_epi64x(0x9e4addf8, 0x740eef02));
	const __m512i k16 = _mm512_set_epi64(0, 0, 0x493c7d27, 0xf20c0dfe,
					     0xba4fc28e, 0x3da6d0cb,
					     0xddc0152b, 0x1c291d04);
	__m512i a = take(dst, src, 0), b = take(dst, src, 64);
	__m512i c = take(dst, src, 128), d = take(dst, src, 192);
	__m128i x;
	size_t at;

	a = _mm512_xor_si512(a, _mm512_set_epi64(0, 0, 0, 0, 0, 0, 0, state));
	for (at = 256; at < n; at += 256) {
		a = fold(a, k256, take(dst, src, at));
		b = fold(b, k256, take(dst, src, at + 64));
		c = fold(c, k256, take(dst, src, at + 128));
		d = fold(d, k256, take(dst, src, at + 192));
	}
	d = fold(fold(fold(a, k64, b), k64, c), k64, d);
	/* The last quarter stays as it is: its constants are 0. */
	a = fold(d, k16, _mm512_maskz_mov_epi64(0xc0, d));
	x = _mm_xor_si128(_mm_xor_si128(_mm512_extracti32x4_epi32(a, 0),
					_mm512_extracti32x4_epi32(a, 1)),
			  _mm_xor_si128(_mm512_extracti32x4_epi32(a, 2),
					_mm512_extracti32x4_epi32(a, 3)));
	return (uint32_t)_mm_crc32_u64(
		_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(x)),
		(uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(x, 8)));
}

WIDE_TARGET static uint32_t sum_wide(uint32_t state, const unsigned char *src,
				     size_t n)
{
	return update_wide(state, NULL, src, n);
}

WIDE_TARGET static uint32_t copy_wide(uint32_t state, unsigned char *dst,
				      const unsigned char *src, size_t n)
{
	return update_wide(state, dst, src, n);
}

static uint32_t update(uint32_t state, unsigned char *dst,
		       const unsigned char *src, size_t n)
{
	size_t wide = n & ~(size_t)255;

	if (n >= WIDE_MIN && has_wide()) {
		state = dst ? copy_wide(state, dst, src, wide) :
			      sum_wide(state, src, wide);
		dst = dst ? dst + wide : NULL;
		src += wide;
		n -= wide;
	}
	if (__builtin_cpu_supports("sse4.2") &&
	    __builtin_cpu_supports("pclmul"))
		return dst ? copy_x86(state, dst, src, n) :
			     sum_x86(state, src, n);
	if (dst)
		src = memcpy(dst, src, n);
	return update_table(state, src, n);
}

#else

static uint32_t update(uint32_t state, unsigned char *dst,
		       const unsigned char *src, size_t n)
{
	if (dst)
		src = memcpy(dst, src, n);
	return update_table(state, src, n);
}

#define has_wide() 0
#endif
#endif

#ifdef LEAP_WITH_ISAL

#define ISAL_MIN 512	/* bytes; below, the call costs more than it saves */
/* A copy is summed piece by piece while the piece is still in the L1 cache. */
#define ISAL_PIECE 4096

static uint32_t sum_isal(uint32_t state, const unsigned char *src, size_t n)
{
	/* Its length is an int; it does not write to the buffer. */
	const size_t max = 1u << 30;
	size_t part;

	for (; n; src += part, n -= part) {
		part = n < max ? n : max;
		state = crc32_iscsi((unsigned char *)(uintptr_t)src, (int)part,
				    state);
	}
	return state;
}

static uint32_t copy_isal(uint32_t state, unsigned char *dst,
			  const unsigned char *src, size_t n)
{
	size_t part;

	for (; n; src += part, dst += part, n -= part) {
		part = n < ISAL_PIECE ? n : ISAL_PIECE;
		memcpy(dst, src, part);
		state = sum_isal(state, dst, part);
	}
	return state;
}

#endif

uint32_t leap__crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef LEAP_WITH_ISAL
	if (n >= ISAL_MIN && crc32_iscsi && !has_wide())
		return ~sum_isal(~crc, p, n);
#endif
	return ~update(~crc, NULL, p, n);
}

uint32_t leap__crc32c_copy(void *dst, const void *src, size_t n, uint32_t crc)
{
	if (!n)
		return crc;
#ifdef LEAP_WITH_ISAL
	if (n >= ISAL_MIN && crc32_iscsi && !has_wide())
		return ~copy_isal(~crc, dst, src, n);
#endif
	return ~update(~crc, dst, src, n);
}
