/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crc32c.h - CRC-32C (Castagnoli), the digest of NVMe/TCP
 */
#ifndef LEAP_UTIL_CRC32C_H
#define LEAP_UTIL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/**
 * leap__crc32c - digest of @n bytes that follow what @crc covers
 *
 * @crc: 0 to start, else what the last call returned
 *
 * leap__crc32c(0, "123456789", 9) is E3069283h; nothing gives 0.
 * Context: any, hot path
 */
uint32_t leap__crc32c(uint32_t crc, const void *p, size_t n);

/**
 * leap__crc32c_copy - copy and take the digest in one pass over memory
 *
 * @dst, @src: do not overlap
 * @crc:       as for leap__crc32c()
 *
 * Context: any, hot path
 */
uint32_t leap__crc32c_copy(void *dst, const void *src, size_t n, uint32_t crc);

#endif
