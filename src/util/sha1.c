/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SHA-1 (FIPS 180-4), as version 5 UUIDs need it.
 *
 * Lowest layer; used at set-up time by uuid.c and nothing else. It is broken as
 * a signature and must not be used where somebody gains by a collision.
 */
#include "util/sha1.h"

#include <string.h>

static uint32_t rotl(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static void store_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* The round function and constant of FIPS 180-4 s4.1.1 and s4.2.1. */
static uint32_t mix(unsigned t, const uint32_t v[5])
{
	uint32_t b = v[1], c = v[2], d = v[3];

	if (t < 20)
		return ((b & c) | (~b & d)) + 0x5a827999;
	if (t < 40)
		return (b ^ c ^ d) + 0x6ed9eba1;
	if (t < 60)
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	return (b ^ c ^ d) + 0xca62c1d6;
}

static void compress(struct leap__sha1 *s)
{
	uint32_t w[80], v[5], next;
	unsigned t;

	for (t = 0; t < 16; t++)
		w[t] = load_be32(s->block + 4 * t);
	for (; t < 80; t++)
		w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	memcpy(v, s->h, sizeof(v));
	for (t = 0; t < 80; t++) {
		next = rotl(v[0], 5) + mix(t, v) + v[4] + w[t];
		v[4] = v[3];
		v[3] = v[2];
		v[2] = rotl(v[1], 30);
		v[1] = v[0];
		v[0] = next;
	}
	for (t = 0; t < 5; t++)
		s->h[t] += v[t];
}

void leap__sha1_init(struct leap__sha1 *s)
{
	static const uint32_t start[5] = {
		0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0,
	};

	memcpy(s->h, start, sizeof(start));
	s->bytes = 0;
}

void leap__sha1_add(struct leap__sha1 *s, const void *p, size_t n)
{
	const uint8_t *src = p;
	size_t at, part;

	while (n) {
		at = s->bytes % sizeof(s->block);
		part = sizeof(s->block) - at;
		if (part > n)
			part = n;
		memcpy(s->block + at, src, part);
		s->bytes += part;
		src += part;
		n -= part;
		if (at + part == sizeof(s->block))
			compress(s);
	}
}

void leap__sha1_end(struct leap__sha1 *s, uint8_t out[LEAP__SHA1_LEN])
{
	static const uint8_t zero[64];
	uint64_t bits = s->bytes * 8;
	uint8_t len[8];
	unsigned i;

	leap__sha1_add(s, "\x80", 1);
	/* Zeroes so that the length ends the block: at 56 of 64. */
	leap__sha1_add(s, zero, (56 + 64 - s->bytes % 64) % 64);
	store_be32(len, (uint32_t)(bits >> 32));
	store_be32(len + 4, (uint32_t)bits);
	leap__sha1_add(s, len, sizeof(len));
	for (i = 0; i < 5; i++)
		store_be32(out + 4 * i, s->h[i]);
}
