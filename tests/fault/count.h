/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * count.h - every allocation of the program, counted
 *
 * Ordinary builds define malloc and its family, so that calls out of libc and
 * of shared libraries count as well. Sanitizers want those names themselves:
 * there the linker wraps the calls of the library and the test.
 */
#ifndef LEAP_TESTS_COUNT_H
#define LEAP_TESTS_COUNT_H

#include <stdint.h>

/* Calls so far: malloc and family, free of something, mmap, munmap. */
uint64_t count_calls(void);
/* Blocks that are allocated now. */
int64_t count_blocks(void);
/* Fail the @nth allocation from now on, 1 = the next; 0 = none. Returns what
 * was left of the last call's: 0 when that has failed one. */
uint64_t count_fail(uint64_t nth);
/* Only those at which @when says 1 are counted for that; NULL = all. */
void count_when(int (*when)(void));
/* Only those of which @when says 1 are counted for that; NULL = all. */
void count_when(int (*when)(void));

#endif
