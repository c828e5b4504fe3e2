/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * where.c - from a path of keys and indexes to a line of the file
 *
 * The JSON library gives lines for broken syntax only. What is wrong with a
 * good JSON text is found later, by its place in the tree; this walks the text
 * once more to that place. The text has been parsed before, so this does not
 * check, but it never runs past the end of anything.
 */
#include <string.h>

#include "where.h"

struct walk {
	const char *at;
	int line;
};

static void blanks(struct walk *w)
{
	for (; *w->at && strchr(" \t\r\n", *w->at); w->at++)
		w->line += *w->at == '\n';
}

/* The raw text between the quotes. */
static size_t text(struct walk *w, const char **start)
{
	size_t len;

	*start = ++w->at;
	while (*w->at && *w->at != '"')
		w->at += *w->at == '\\' && w->at[1] ? 2 : 1;
	len = (size_t)(w->at - *start);
	w->at += *w->at == '"';
	return len;
}

/* Over one value, whatever it is. */
static void skip(struct walk *w)
{
	const char *start;
	int depth = 0;

	do {
		blanks(w);
		if (*w->at == '"') {
			text(w, &start);
		} else if (*w->at == '{' || *w->at == '[') {
			depth++;
			w->at++;
		} else if (*w->at == '}' || *w->at == ']') {
			depth--;
			w->at++;
		} else if (*w->at == ',' || *w->at == ':') {
			w->at++;
		} else {
			w->at += strcspn(w->at, " \t\r\n,:]}");
		}
	} while (*w->at && depth > 0);
}

static int enter_key(struct walk *w, const char *key)
{
	const char *name;
	size_t len;

	if (*w->at != '{')
		return 0;
	for (w->at++; blanks(w), *w->at == '"'; ) {
		len = text(w, &name);
		blanks(w);
		w->at += *w->at == ':';
		if (len == strlen(key) && !memcmp(name, key, len))
			return 1;
		skip(w);
		blanks(w);
		w->at += *w->at == ',';
	}
	return 0;
}

static int enter_index(struct walk *w, int index)
{
	if (*w->at != '[')
		return 0;
	for (w->at++; blanks(w), index-- > 0 && *w->at != ']' && *w->at; ) {
		skip(w);
		blanks(w);
		w->at += *w->at == ',';
	}
	return *w->at && *w->at != ']';
}

int where_line(const char *json, const struct where_step *path)
{
	struct walk w = { json, 1 };
	int line;

	blanks(&w);
	for (line = w.line; path->key || path->index >= 0; path++) {
		if (path->key ? !enter_key(&w, path->key) :
				!enter_index(&w, path->index))
			break;
		blanks(&w);
		line = w.line;
	}
	return line;
}
