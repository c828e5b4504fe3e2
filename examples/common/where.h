/* SPDX-License-Identifier: BSD-3-Clause */
/* where.h - the line of a value in a JSON text that is known to be good */
#ifndef EXAMPLES_WHERE_H
#define EXAMPLES_WHERE_H

#include <jansson.h>

/* One step from the top: a key of an object, or (key NULL) a place in an
 * array. A path ends with an index < 0 and no key. */
struct where_step {
	const char *key;
	int index;
};

/* The line, from 1; of the last step found when the rest is not there. */
int where_line(const char *text, const struct where_step *path);

#endif
