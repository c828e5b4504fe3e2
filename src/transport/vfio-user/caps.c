/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * caps.c - capabilities: the JSON of a VERSION message
 *
 * Knows as much of JSON as it takes to walk over all of it and to pick the
 * numbers and booleans of one object out: {"capabilities": {NAME: VALUE}}.
 * What it does not know by name it checks and skips. Bounded in depth by
 * MAX_DEPTH and in length by its text; allocates nothing.
 */
#include "transport/vfio-user/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 8
#define NAME_MAX_BYTES 32

enum kind { BAD, NUMBER, BOOLEAN, OTHER };

struct text {
	const char *p;
	const char *end;	/* at the NUL */
};

struct value {
	enum kind kind;
	uint64_t number;
};

static enum kind walk(struct text *t, int depth, struct value *v,
		      struct leap__vfu_caps *caps, int level);

static void blanks(struct text *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' ||
				 *t->p == '\n' || *t->p == '\r'))
		t->p++;
}

static bool take(struct text *t, char c)
{
	blanks(t);
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool hex4(struct text *t)
{
	int i;

	for (i = 0; i < 4; i++, t->p++)
		if (t->p == t->end || !*t->p ||
		    !strchr("0123456789abcdefABCDEF", *t->p))
			return false;
	return true;
}

/* A name that is too long, or has escapes, is none that we look for. */
static bool string(struct text *t, char *name)
{
	size_t n = 0;
	bool plain = true;

	if (!take(t, '"'))
		return false;
	for (; t->p < t->end && *t->p != '"'; n++) {
		if ((unsigned char)*t->p < 0x20)
			return false;
		if (*t->p != '\\') {
			if (n < NAME_MAX_BYTES - 1)
				name[n] = *t->p;
			t->p++;
			continue;
		}
		plain = false;
		if (++t->p == t->end || !*t->p ||
		    !strchr("\"\\/bfnrtu", *t->p))
			return false;
		if (*t->p++ == 'u' && !hex4(t))
			return false;
	}
	name[plain && n < NAME_MAX_BYTES ? n : 0] = 0;
	if (t->p == t->end)
		return false;
	t->p++;
	return true;
}

static bool digits(struct text *t)
{
	const char *start = t->p;

	while (t->p < t->end && *t->p >= '0' && *t->p <= '9')
		t->p++;
	return t->p > start;
}

/* Numbers that are no unsigned integers are right, and not for us. */
static enum kind number(struct text *t, struct value *v)
{
	const char *start = t->p, *p;
	bool whole = true;

	if (*t->p == '-') {
		whole = false;
		t->p++;
	}
	p = t->p;
	if (!digits(t) || (*p == '0' && t->p > p + 1))
		return BAD;
	for (v->number = 0, p = start; whole && p < t->p; p++)
		if (__builtin_mul_overflow(v->number, 10, &v->number) ||
		    __builtin_add_overflow(v->number, (uint64_t)(*p - '0'),
					   &v->number))
			return BAD;
	if (t->p < t->end && *t->p == '.') {
		whole = false;
		t->p++;
		if (!digits(t))
			return BAD;
	}
	if (t->p < t->end && (*t->p == 'e' || *t->p == 'E')) {
		whole = false;
		t->p++;
		if (t->p < t->end && (*t->p == '+' || *t->p == '-'))
			t->p++;
		if (!digits(t))
			return BAD;
	}
	return whole ? NUMBER : OTHER;
}

static bool word(struct text *t, const char *w)
{
	size_t n = strlen(w);

	if ((size_t)(t->end - t->p) < n || memcmp(t->p, w, n))
		return false;
	t->p += n;
	return true;
}

/* A wrong type for a known name is as wrong as text that is no JSON. */
static bool keep(struct leap__vfu_caps *caps, const char *name,
		 const struct value *v)
{
	uint64_t *to;

	if (!strcmp(name, "write_multiple")) {
		caps->write_multiple = v->kind == BOOLEAN && v->number;
		return v->kind == BOOLEAN;
	}
	if (!strcmp(name, "max_msg_fds"))
		to = &caps->max_msg_fds;
	else if (!strcmp(name, "max_data_xfer_size"))
		to = &caps->max_data_xfer_size;
	else if (!strcmp(name, "pgsizes"))
		to = &caps->pgsizes;
	else if (!strcmp(name, "max_dma_maps"))
		to = &caps->max_dma_maps;
	else
		return true;
	*to = v->number;
	return v->kind == NUMBER;
}

/* @level: 0 the outermost object, 1 the one named "capabilities", else -1. */
static bool member(struct text *t, int depth, struct leap__vfu_caps *caps,
		   int level)
{
	char name[NAME_MAX_BYTES];
	struct value v = { 0 };
	int inner = -1;

	if (!string(t, name) || !take(t, ':'))
		return false;
	if (level == 0 && !strcmp(name, "capabilities"))
		inner = 1;
	v.kind = walk(t, depth + 1, &v, caps, inner);
	if (v.kind == BAD)
		return false;
	return level != 1 || keep(caps, name, &v);
}

static enum kind object(struct text *t, int depth, struct leap__vfu_caps *caps,
			int level)
{
	if (take(t, '}'))
		return OTHER;
	do {
		if (!member(t, depth, caps, level))
			return BAD;
	} while (take(t, ','));
	return take(t, '}') ? OTHER : BAD;
}

static enum kind array(struct text *t, int depth)
{
	struct value v;

	if (take(t, ']'))
		return OTHER;
	do {
		if (walk(t, depth + 1, &v, NULL, -1) == BAD)
			return BAD;
	} while (take(t, ','));
	return take(t, ']') ? OTHER : BAD;
}

static enum kind walk(struct text *t, int depth, struct value *v,
		      struct leap__vfu_caps *caps, int level)
{
	char name[NAME_MAX_BYTES];

	blanks(t);
	if (depth > MAX_DEPTH || t->p == t->end)
		return BAD;
	if (take(t, '{'))
		return object(t, depth, caps, level);
	/* What is named "capabilities" has to be an object. */
	if (level >= 0)
		return BAD;
	if (take(t, '['))
		return array(t, depth);
	if (*t->p == '"')
		return string(t, name) ? OTHER : BAD;
	v->number = *t->p == 't';
	if (word(t, "true") || word(t, "false"))
		return BOOLEAN;
	if (word(t, "null"))
		return OTHER;
	return number(t, v);
}

int leap__vfu_caps_parse(const char *text, size_t bytes,
			 struct leap__vfu_caps *caps)
{
	struct text t = { text, text };
	struct value v;

	*caps = (struct leap__vfu_caps){
		.max_msg_fds = 1,
		.max_data_xfer_size = 1u << 20,
		.pgsizes = LEAP__VFU_PAGE,
		.max_dma_maps = 65535,
	};
	if (!bytes)
		return 0;
	t.end += bytes - 1;
	if (bytes > LEAP__VFU_MAX_JSON || *t.end || memchr(text, 0, bytes - 1))
		return -EINVAL;
	if (walk(&t, 0, &v, caps, 0) == BAD)
		return -EINVAL;
	blanks(&t);
	return t.p == t.end ? 0 : -EINVAL;
}

int leap__vfu_caps_print(char *text, size_t max,
			 const struct leap__vfu_caps *caps)
{
	int n = snprintf(text, max, "{\"capabilities\":{\"max_msg_fds\":%llu,"
		"\"max_data_xfer_size\":%llu,\"pgsizes\":%llu,"
		"\"max_dma_maps\":%llu,\"write_multiple\":%s}}",
		(unsigned long long)caps->max_msg_fds,
		(unsigned long long)caps->max_data_xfer_size,
		(unsigned long long)caps->pgsizes,
		(unsigned long long)caps->max_dma_maps,
		caps->write_multiple ? "true" : "false");

	return n < 0 || (size_t)n >= max ? -ENOSPC : n + 1;
}
