/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack.h - the text of a stack (grammar in leapio/bdev.h), parsed
 *
 * One allocation holds everything: nodes, options and strings.
 */
#ifndef LEAP_BLOCK_STACK_H
#define LEAP_BLOCK_STACK_H

#include <stddef.h>
#include <stdint.h>

#define LEAP__STACK_MAX_BYTES	4096	/* of text, with NUL */
#define LEAP__STACK_MAX_LAYERS	64
#define LEAP__STACK_MAX_OPTIONS	128
#define LEAP__STACK_MAX_DEPTH	32

struct leap__option {
	struct leap__option *next;
	const char *key;
	const char *value;
	uint32_t known;		/* the layer has asked for it */
	uint32_t column;	/* from 1 */
};

struct leap__layer {
	struct leap__layer *child;	/* first */
	struct leap__layer *next;	/* of the same parent */
	struct leap__option *options;
	const char *name;
	const char *arg;		/* or NULL */
	uint32_t nr_children;
	uint32_t column;
	uint32_t in_parens;		/* children stand in (), not after -> */
};

struct leap__stack {
	struct leap__layer layers[LEAP__STACK_MAX_LAYERS];	/* [0] = top */
	struct leap__option options[LEAP__STACK_MAX_OPTIONS];
	uint32_t nr_layers;
	uint32_t nr_options;
	char text[LEAP__STACK_MAX_BYTES];
};

/*
 * Parse @text, at most LEAP__STACK_MAX_BYTES with its NUL. @call is named in
 * the error text, with the column. The caller frees *@out with free().
 * Returns: 0, -EINVAL, -ENOMEM
 */
int leap__stack_parse(const char *call, const char *text,
		      struct leap__stack **out);

/* Print @layer and all below. As snprintf: may return >= @max. */
int leap__stack_print(const struct leap__layer *layer, char *text, size_t max);

#endif
