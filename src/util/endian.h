/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wire integers inside the library: the conversions of <leapio/endian.h>
 * under internal names, and loads and stores at any alignment.
 *
 * The get/put helpers never require alignment and read no byte twice.  They
 * are for private memory: memory that another side may write goes through
 * util/atomic.h first.
 */
#ifndef LEAP__UTIL_ENDIAN_H
#define LEAP__UTIL_ENDIAN_H

#include <leapio/endian.h>

#include <stdint.h>
#include <string.h>

static inline uint16_t leap__le16_to_cpu(leap_le16 v)
{
	return leap_from_le16(v);
}

static inline uint32_t leap__le32_to_cpu(leap_le32 v)
{
	return leap_from_le32(v);
}

static inline uint64_t leap__le64_to_cpu(leap_le64 v)
{
	return leap_from_le64(v);
}

static inline leap_le16 leap__cpu_to_le16(uint16_t v)
{
	return leap_to_le16(v);
}

static inline leap_le32 leap__cpu_to_le32(uint32_t v)
{
	return leap_to_le32(v);
}

static inline leap_le64 leap__cpu_to_le64(uint64_t v)
{
	return leap_to_le64(v);
}

static inline uint16_t leap__get_le16(const void *p)
{
	leap_le16 v;

	memcpy(&v, p, sizeof(v));
	return leap__le16_to_cpu(v);
}

static inline uint32_t leap__get_le32(const void *p)
{
	leap_le32 v;

	memcpy(&v, p, sizeof(v));
	return leap__le32_to_cpu(v);
}

static inline uint64_t leap__get_le64(const void *p)
{
	leap_le64 v;

	memcpy(&v, p, sizeof(v));
	return leap__le64_to_cpu(v);
}

static inline void leap__put_le16(void *p, uint16_t v)
{
	leap_le16 w = leap__cpu_to_le16(v);

	memcpy(p, &w, sizeof(w));
}

static inline void leap__put_le32(void *p, uint32_t v)
{
	leap_le32 w = leap__cpu_to_le32(v);

	memcpy(p, &w, sizeof(w));
}

static inline void leap__put_le64(void *p, uint64_t v)
{
	leap_le64 w = leap__cpu_to_le64(v);

	memcpy(p, &w, sizeof(w));
}

#endif
