/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a stack: whatever it is, parsing it is safe; what parses prints,
 * and what was printed parses and prints as itself.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "block/stack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as the text, so that a read beyond it is seen. */
	char *text = malloc(size + 1);
	static char first[65536], second[65536];
	struct leap__stack *stack;
	int len;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (leap__stack_parse("fuzz", text, &stack)) {
		free(text);
		return 0;
	}
	free(text);
	len = leap__stack_print(&stack->layers[0], first, sizeof(first));
	free(stack);
	if (len < 1 || (size_t)len != strlen(first))
		abort();
	/* Blanks and quotes may have made it longer than a text may be. */
	if (len >= LEAP__STACK_MAX_BYTES)
		return 0;
	if (leap__stack_parse("fuzz", first, &stack))
		abort();
	leap__stack_print(&stack->layers[0], second, sizeof(second));
	free(stack);
	if (strcmp(first, second))
		abort();
	return 0;
}
