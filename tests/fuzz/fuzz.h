/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz.h - what every fuzz target needs: libFuzzer's entry, checks that hold
 * with NDEBUG too, and inputs that are a row of operations
 */
#ifndef LEAP_FUZZ_H
#define LEAP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
		abort(); \
	} \
} while (0)

/* One operation of up to @n bytes; returns what it took, 0 = no more. */
typedef size_t fuzz_op_fn(const uint8_t *p, size_t n);

static inline void fuzz_operations(const uint8_t *p, size_t size,
				   fuzz_op_fn *op)
{
	size_t n;

	for (; size; p += n, size -= n) {
		n = op(p, size);
		if (!n || n > size)
			return;
	}
}

#endif
