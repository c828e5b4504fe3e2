/* SPDX-License-Identifier: BSD-3-Clause */
/* fields.h - read a JSON object into a struct by a table,
 * and refuse the rest */
#ifndef EXAMPLES_FIELDS_H
#define EXAMPLES_FIELDS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
	FIELD_STR,	/* const char *, borrowed from the object */
	FIELD_U32,	/* uint32_t */
	FIELD_SIZE,	/* uint64_t: a number, or text as "64M" */
	FIELD_BOOL,	/* uint32_t, 0 or 1 */
	FIELD_UUID,	/* uint8_t[16] from 8-4-4-4-12 hex digits */
	FIELD_ARRAY,	/* json_t *, borrowed; missing = NULL */
};

struct field {
	const char *name;
	enum field_kind kind;
	int required;
	size_t at;		/* offset in the struct */
	uint64_t max;		/* numbers and length of text; 0 = no limit */
};

struct field_error {
	const char *key;	/* whose value is wrong; NULL = the object's
				 * own; borrowed from object or table */
	char text[256];		/* what is wrong and what was expected */
};

/* 0 or -EINVAL and *err. Fields that are missing are left as they are. */
int fields_read(const json_t *object, const struct field *fields, void *out,
		struct field_error *err);

/*
 * "FIRST,key=value,..." or "key=value,..." as an object of strings and numbers
 * by the table, as the same object in a file would say it. @first names the
 * key of a leading bare word, or is NULL. The value of @last extends to the
 * end of the text. NULL and *err when it cannot be read.
 */
json_t *fields_from_text(const char *text, const struct field *fields,
			 const char *first, const char *last,
			 struct field_error *err);

/* "4096", "64k", "16M", "2G", "1T" (1024s). 0 or -EINVAL. */
int size_from_text(const char *text, uint64_t *bytes);

/* "16.0 MiB"; returns @text. */
const char *size_to_text(uint64_t bytes, char *text, size_t max);

/* "12.3us"; returns @text. */
const char *time_to_text(uint64_t ns, char *text, size_t max);

#endif
