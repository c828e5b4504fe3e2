/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base.h - what every other header of libleapio stands on
 *
 * Address types that cannot be mixed, little-endian wire integers, the rule
 * for options structs, and the text of the last failed call.
 */
#ifndef LEAPIO_BASE_H
#define LEAPIO_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEAP_VERSION_MAJOR 0
#define LEAP_VERSION_MINOR 1
#define LEAP_VERSION_PATCH 0

#define LEAP_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define LEAP_STATIC_ASSERT(cond) static_assert(cond, #cond)
#else
#define LEAP_STATIC_ASSERT(cond) _Static_assert(cond, #cond)
#endif
/* Wire structs: byte size, and byte offset of a field. */
#define LEAP_ASSERT_SIZE(type, size) \
	LEAP_STATIC_ASSERT(sizeof(type) == (size))
#define LEAP_ASSERT_AT(type, field, off) \
	LEAP_STATIC_ASSERT(offsetof(type, field) == (off))

/*
 * Address spaces. Each is a type of its own, so that an address of one space
 * does not convert to an address of another, nor to a pointer.
 */

/* What a guest or a peer calls an address: PRPs and SGLs hold these. */
typedef struct { uint64_t addr; } leap_gpa_t;

/* What a physical device or its IOMMU calls an address. */
typedef struct { uint64_t addr; } leap_iova_t;

/* A physical address of this machine (pagemap; no-IOMMU drivers only). */
typedef struct { uint64_t addr; } leap_hpa_t;

/*
 * Integers as they stand on the wire and in guest memory: little-endian.
 * Read and write them only through the conversions below.
 */
#ifdef __CHECKER__
#define LEAP_BITWISE __attribute__((bitwise))
#else
#define LEAP_BITWISE
#endif
typedef uint16_t LEAP_BITWISE leap_le16;
typedef uint32_t LEAP_BITWISE leap_le32;
typedef uint64_t LEAP_BITWISE leap_le64;

/*
 * Options structs open with `size`, set by their LEAP_*_OPTS_INIT; zero means
 * "default" for every other field. Fields are only ever appended. A call given
 * a larger struct than it knows refuses it with -E2BIG when a field that it
 * does not know is not zero; a smaller struct means defaults for the rest.
 * The struct is borrowed for the call, and strings in it are copied; objects
 * that it names are borrowed for as long as the field says. Structs that calls
 * fill in have their `size` set by the caller in the same way.
 */
#ifdef __cplusplus
#define LEAP_OPTS_INIT(type) { sizeof(type) }
#else
#define LEAP_OPTS_INIT(type) { .size = sizeof(type) }
#endif

/**
 * leap_last_error - the text of this thread's last failed control-path call
 *
 * Names the call, the value and the limit, as in "leap_pollgroup_create:
 * nr_cmds 70000 exceeds 65535". Never NULL; "" when nothing has failed yet.
 * The text lives in a fixed buffer of the calling thread until its next
 * failing call.
 * Context: any
 */
LEAP_API const char *leap_last_error(void);

/**
 * leap_version - the version of the library that is running, as "0.1.0"
 *
 * Context: any
 */
LEAP_API const char *leap_version(void);

#ifdef __cplusplus
}
#endif

#endif
