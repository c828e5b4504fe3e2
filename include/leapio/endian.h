/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * endian.h - conversions between host integers and little-endian wire integers
 */
#ifndef LEAPIO_ENDIAN_H
#define LEAPIO_ENDIAN_H

#include <leapio/base.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LEAP__SWAP16(x) (x)
#define LEAP__SWAP32(x) (x)
#define LEAP__SWAP64(x) (x)
#else
#define LEAP__SWAP16(x) __builtin_bswap16(x)
#define LEAP__SWAP32(x) __builtin_bswap32(x)
#define LEAP__SWAP64(x) __builtin_bswap64(x)
#endif

#ifdef __CHECKER__
#define LEAP__FORCE __attribute__((force))
#else
#define LEAP__FORCE
#endif

static inline uint16_t leap_from_le16(leap_le16 v)
{
	return LEAP__SWAP16((LEAP__FORCE uint16_t)v);
}

static inline uint32_t leap_from_le32(leap_le32 v)
{
	return LEAP__SWAP32((LEAP__FORCE uint32_t)v);
}

static inline uint64_t leap_from_le64(leap_le64 v)
{
	return LEAP__SWAP64((LEAP__FORCE uint64_t)v);
}

static inline leap_le16 leap_to_le16(uint16_t v)
{
	return (LEAP__FORCE leap_le16)LEAP__SWAP16(v);
}

static inline leap_le32 leap_to_le32(uint32_t v)
{
	return (LEAP__FORCE leap_le32)LEAP__SWAP32(v);
}

static inline leap_le64 leap_to_le64(uint64_t v)
{
	return (LEAP__FORCE leap_le64)LEAP__SWAP64(v);
}

#endif
