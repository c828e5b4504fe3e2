/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fields.c - objects of options, from JSON or from a command line
 *
 * Config file, control requests and option texts describe the same things; one
 * table per thing says which keys it has. Unknown keys, wrong types and values
 * out of range are refused with words that say what was expected. Knows nothing
 * of what the options mean.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"

static int bad(struct field_error *err, const char *key, const char *expected)
{
	err->key = key;
	if (key)
		snprintf(err->text, sizeof(err->text), "\"%.64s\": expected %s",
			 key, expected);
	else
		snprintf(err->text, sizeof(err->text), "expected %s", expected);
	return -EINVAL;
}

static int bad_max(struct field_error *err, const struct field *f,
		   const char *what)
{
	char expected[80];

	snprintf(expected, sizeof(expected), "%s up to %llu", what,
		 (unsigned long long)f->max);
	return bad(err, f->name, expected);
}

int size_from_text(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "kMGT";
	const char *at;
	char *end;
	int shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		at = strchr(suffixes, *end == 'K' ? 'k' : *end);
		if (!at || end[1])
			return -EINVAL;
		shift = 10 * (int)(at - suffixes + 1);
	}
	if (*bytes > UINT64_MAX >> shift)
		return -EINVAL;
	*bytes <<= shift;
	return 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int uuid_from_text(const char *text, uint8_t uuid[16])
{
	int i;

	if (strlen(text) != 36)
		return -EINVAL;
	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (*text++ != '-')
				return -EINVAL;
		if (hex(text[0]) < 0 || hex(text[1]) < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(hex(text[0]) << 4 | hex(text[1]));
		text += 2;
	}
	return 0;
}

static int read_str(const json_t *v, const struct field *f, void *at,
		    struct field_error *err)
{
	if (!json_is_string(v))
		return bad(err, f->name, "text");
	if (f->max && json_string_length(v) > f->max)
		return bad_max(err, f, "text of a length");
	*(const char **)at = json_string_value(v);
	return 0;
}

static int read_number(const json_t *v, const struct field *f, void *at,
		       struct field_error *err)
{
	uint64_t max = f->max ? f->max : INT64_MAX;
	uint64_t n;

	if (f->kind == FIELD_SIZE && json_is_string(v)) {
		if (size_from_text(json_string_value(v), &n))
			return bad(err, f->name,
				   "a size: bytes, or a number with k, M, G "
				   "or T");
	} else if (json_is_integer(v) && json_integer_value(v) >= 0) {
		n = (uint64_t)json_integer_value(v);
	} else {
		return bad(err, f->name, f->kind == FIELD_SIZE ?
			   "a size: bytes, or text as \"64M\"" :
			   "a number that is not negative");
	}
	if (f->kind == FIELD_U32 && max > UINT32_MAX)
		max = UINT32_MAX;
	if (n > max) {
		struct field limited = *f;

		limited.max = max;
		return bad_max(err, &limited, "a number");
	}
	if (f->kind == FIELD_SIZE)
		*(uint64_t *)at = n;
	else
		*(uint32_t *)at = (uint32_t)n;
	return 0;
}

static int read_one(const json_t *v, const struct field *f, void *out,
		    struct field_error *err)
{
	void *at = (char *)out + f->at;

	switch (f->kind) {
	case FIELD_STR:
		return read_str(v, f, at, err);
	case FIELD_U32:
	case FIELD_SIZE:
		return read_number(v, f, at, err);
	case FIELD_BOOL:
		if (!json_is_boolean(v))
			return bad(err, f->name, "true or false");
		*(uint32_t *)at = json_is_true(v);
		return 0;
	case FIELD_UUID:
		if (!json_is_string(v) ||
		    uuid_from_text(json_string_value(v), at))
			return bad(err, f->name,
				   "a UUID of 8-4-4-4-12 hexadecimal digits");
		return 0;
	case FIELD_ARRAY:
		if (!json_is_array(v))
			return bad(err, f->name, "an array");
		*(const json_t **)at = v;
		return 0;
	}
	return -EINVAL;
}

static const struct field *find(const struct field *fields, const char *name,
				size_t len)
{
	for (; fields->name; fields++)
		if (strlen(fields->name) == len &&
		    !memcmp(fields->name, name, len))
			return fields;
	return NULL;
}

static int unknown(const struct field *fields, const char *key,
		   struct field_error *err)
{
	char names[160] = "";
	size_t len = 0;
	int n;

	for (; fields->name; fields++) {
		n = snprintf(names + len, sizeof(names) - len, "%s%s",
			     len ? ", " : "", fields->name);
		if (n < 0 || (size_t)n >= sizeof(names) - len)
			break;
		len += (size_t)n;
	}
	err->key = key;
	snprintf(err->text, sizeof(err->text),
		 "unknown key \"%.32s\", expected one of: %s", key, names);
	return -EINVAL;
}

int fields_read(const json_t *object, const struct field *fields, void *out,
		struct field_error *err)
{
	const struct field *f;
	const char *key;
	json_t *v;
	int rc;

	if (!json_is_object(object))
		return bad(err, NULL, "an object");
	json_object_foreach((json_t *)object, key, v) {
		f = find(fields, key, strlen(key));
		rc = f ? read_one(v, f, out, err) : unknown(fields, key, err);
		if (rc)
			return rc;
	}
	for (f = fields; f->name; f++) {
		if (!f->required || json_object_get(object, f->name))
			continue;
		snprintf(err->text, sizeof(err->text),
			 "expected \"%s\", which is missing", f->name);
		err->key = NULL;
		return -EINVAL;
	}
	return 0;
}

/* The value of one key as the JSON that a file would have. */
static json_t *text_value(const struct field *f, const char *text, size_t len)
{
	char number[24];
	char *end;
	long long n;

	if (f->kind == FIELD_BOOL) {
		if ((len == 1 && *text == '1') ||
		    (len == 4 && !memcmp(text, "true", 4)) ||
		    (len == 2 && !memcmp(text, "on", 2)))
			return json_true();
		if ((len == 1 && *text == '0') ||
		    (len == 5 && !memcmp(text, "false", 5)) ||
		    (len == 3 && !memcmp(text, "off", 3)))
			return json_false();
	}
	if (f->kind == FIELD_U32 && len && len < sizeof(number)) {
		memcpy(number, text, len);
		number[len] = 0;
		errno = 0;
		n = strtoll(number, &end, 10);
		if (!errno && !*end)
			return json_integer(n);
	}
	return json_stringn(text, len);
}

static int bad_pair(struct field_error *err, const char *text, int len,
		    const char *last)
{
	err->key = NULL;
	snprintf(err->text, sizeof(err->text), "\"%.*s\": expected key=value "
		 "pairs%s%s", len < 64 ? len : 64, text,
		 last ? ", at the end " : "", last ? last : "");
	if (last)
		strncat(err->text, "=...",
			sizeof(err->text) - strlen(err->text) - 1);
	return -EINVAL;
}

static int text_pair(json_t *object, const struct field *fields,
		     const char **text, const char *first, const char *last,
		     struct field_error *err)
{
	size_t key_len = strcspn(*text, "=,");
	const struct field *f;
	const char *value;
	char key[32];
	size_t len;

	if ((*text)[key_len] == '=') {
		value = *text + key_len + 1;
		f = find(fields, *text, key_len);
	} else {
		value = *text;
		f = first ? find(fields, first, strlen(first)) : NULL;
		if (!f)
			return bad_pair(err, *text, (int)key_len, last);
	}
	if (!f) {
		snprintf(key, sizeof(key), "%.*s", (int)key_len, *text);
		unknown(fields, key, err);
		err->key = NULL;
		return -EINVAL;
	}
	len = last && !strcmp(f->name, last) ? strlen(value) :
					       strcspn(value, ",");
	if (json_object_get(object, f->name))
		return bad(err, f->name, "to be given once");
	if (json_object_set_new(object, f->name, text_value(f, value, len)))
		return bad(err, f->name, "UTF-8 text");
	*text = value + len;
	return 0;
}

json_t *fields_from_text(const char *text, const struct field *fields,
			 const char *first, const char *last,
			 struct field_error *err)
{
	json_t *object = json_object();

	while (object && *text) {
		if (text_pair(object, fields, &text, first, last, err)) {
			json_decref(object);
			return NULL;
		}
		first = NULL;
		if (*text == ',' && !*++text) {
			bad(err, NULL, "a key after the last comma");
			json_decref(object);
			return NULL;
		}
	}
	if (!object)
		bad(err, NULL, "memory");
	return object;
}

const char *size_to_text(uint64_t bytes, char *text, size_t max)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB",
					     "PiB", "EiB" };
	double n = (double)bytes;
	int i = 0;

	while (n >= 1024 && i < 6) {
		n /= 1024;
		i++;
	}
	snprintf(text, max, i ? "%.1f %s" : "%.0f %s", n, units[i]);
	return text;
}

const char *time_to_text(uint64_t ns, char *text, size_t max)
{
	if (ns < 1000)
		snprintf(text, max, "%lluns", (unsigned long long)ns);
	else if (ns < 1000000)
		snprintf(text, max, "%.1fus", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, max, "%.1fms", (double)ns / 1e6);
	else
		snprintf(text, max, "%.1fs", (double)ns / 1e9);
	return text;
}
