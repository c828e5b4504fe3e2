/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The byte stream between the two halves of a controller: what decodes encodes
 * to what decodes to the same, and to no more than there is.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/link.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_link_msg one, two;
	uint8_t first[1024], second[1024];
	int n, a, b;

	while (size) {
		memset(&one, 0, sizeof(one));
		memset(&two, 0, sizeof(two));
		n = leap_link_decode(data, size, &one);
		if (n <= 0)
			return 0;
		if ((size_t)n > size)
			abort();
		a = leap_link_encode(&one, first, sizeof(first));
		if (a <= 0 || leap_link_decode(first, (size_t)a, &two) != a)
			abort();
		/* Not a byte less is a message. */
		if (leap_link_decode(first, (size_t)a - 1, &two) != 0)
			abort();
		b = leap_link_encode(&two, second, sizeof(second));
		if (a != b || memcmp(first, second, (size_t)a))
			abort();
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
