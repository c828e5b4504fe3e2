/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sha1.h - SHA-1, for name-based UUIDs (RFC 4122) only: not for security
 */
#ifndef LEAP_UTIL_SHA1_H
#define LEAP_UTIL_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define LEAP__SHA1_LEN 20

struct leap__sha1 {
	uint32_t h[5];
	uint64_t bytes;
	uint8_t block[64];
};

void leap__sha1_init(struct leap__sha1 *s);
void leap__sha1_add(struct leap__sha1 *s, const void *p, size_t n);
void leap__sha1_end(struct leap__sha1 *s, uint8_t out[LEAP__SHA1_LEN]);

#endif
