/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bitmap.h - bits in an array of uint64_t, as for free slots and NSIDs
 *
 * Not atomic: one owner. Callers keep @bit below @nbits.
 */
#ifndef LEAP_UTIL_BITMAP_H
#define LEAP_UTIL_BITMAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Array length for @nbits. */
#define LEAP__BITMAP_WORDS(nbits)	(((size_t)(nbits) + 63) / 64)

static inline void leap__bitmap_zero(uint64_t *map, size_t nbits)
{
	memset(map, 0, LEAP__BITMAP_WORDS(nbits) * sizeof(*map));
}

static inline void leap__bitmap_set(uint64_t *map, size_t bit)
{
	map[bit / 64] |= (uint64_t)1 << bit % 64;
}

static inline void leap__bitmap_clear(uint64_t *map, size_t bit)
{
	map[bit / 64] &= ~((uint64_t)1 << bit % 64);
}

static inline int leap__bitmap_test(const uint64_t *map, size_t bit)
{
	return map[bit / 64] >> bit % 64 & 1;
}

/* First bit at or after @from whose word, xored with @flip, has it set. */
static inline size_t leap__bitmap_scan(const uint64_t *map, size_t nbits,
				       size_t from, uint64_t flip)
{
	uint64_t word;
	size_t i, bit;

	if (from >= nbits)
		return nbits;
	word = (map[from / 64] ^ flip) & ~(uint64_t)0 << from % 64;
	for (i = from / 64; !word; word = map[i] ^ flip)
		if (++i == LEAP__BITMAP_WORDS(nbits))
			return nbits;
	bit = i * 64 + (size_t)__builtin_ctzll(word);
	return bit < nbits ? bit : nbits;
}

/* The first clear bit at or after @from, or @nbits. */
static inline size_t leap__bitmap_next_zero(const uint64_t *map, size_t nbits,
					    size_t from)
{
	return leap__bitmap_scan(map, nbits, from, ~(uint64_t)0);
}

/* The first set bit at or after @from, or @nbits. */
static inline size_t leap__bitmap_next_set(const uint64_t *map, size_t nbits,
					   size_t from)
{
	return leap__bitmap_scan(map, nbits, from, 0);
}

static inline size_t leap__bitmap_first_zero(const uint64_t *map, size_t nbits)
{
	return leap__bitmap_next_zero(map, nbits, 0);
}

/* How many bits are set; bits past @nbits in the last word do not count. */
static inline size_t leap__bitmap_weight(const uint64_t *map, size_t nbits)
{
	size_t i, sum = 0;

	for (i = 0; i < nbits / 64; i++)
		sum += (size_t)__builtin_popcountll(map[i]);
	if (nbits % 64)
		sum += (size_t)__builtin_popcountll(
			map[i] & (((uint64_t)1 << nbits % 64) - 1));
	return sum;
}

#endif
