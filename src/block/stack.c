/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a stack: parse it, print it back.
 *
 * Sits on the control path only. The text may come from a configuration file
 * or over a management socket, so every read is bounded by the length taken
 * once, every table by its size, and nesting by a depth. Knows the grammar of
 * leapio/bdev.h and no layer's name.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/stack.h"
#include "util/err.h"

struct parser {
	const char *call;
	const char *text;
	size_t len;
	size_t pos;
	struct leap__stack *stack;
	size_t used;	/* of stack->text */
};

static int parse_stack(struct parser *p, unsigned int depth,
		       struct leap__layer **out);

static int fail_at(struct parser *p, size_t pos, const char *what)
{
	return leap__err(-EINVAL, "%s: column %zu: %s", p->call, pos + 1,
			 what);
}

static int fail(struct parser *p, const char *what)
{
	return fail_at(p, p->pos, what);
}

/* The character at @ahead of the position, or 0 beyond the end. */
static char peek(const struct parser *p, size_t ahead)
{
	return p->pos + ahead < p->len ? p->text[p->pos + ahead] : 0;
}

static void skip_blanks(struct parser *p)
{
	while (peek(p, 0) == ' ')
		p->pos++;
}

static int at_arrow(const struct parser *p)
{
	return peek(p, 0) == '-' && peek(p, 1) == '>';
}

static int accept_char(struct parser *p, char c)
{
	if (peek(p, 0) != c)
		return 0;
	p->pos++;
	return 1;
}

/* Strings and their NULs are never longer than the text and its NUL. */
static int store_char(struct parser *p, char c)
{
	if (p->used >= sizeof(p->stack->text))
		return fail(p, "text is too long");
	p->stack->text[p->used++] = c;
	return 0;
}

static int is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-';
}

static int needs_quotes(char c)
{
	return (unsigned char)c <= ' ' || c == 0x7f || strchr(",[]()\"\\", c);
}

static int parse_name(struct parser *p, const char *what, const char **out)
{
	size_t start = p->used;
	int err;

	while (is_name_char(peek(p, 0)) && !at_arrow(p)) {
		err = store_char(p, peek(p, 0));
		if (err)
			return err;
		p->pos++;
	}
	if (p->used == start)
		return fail(p, what);
	*out = p->stack->text + start;
	return store_char(p, 0);
}

static int parse_quoted(struct parser *p, const char **out)
{
	size_t start = p->used, open = p->pos++;
	char c;
	int err;

	for (;;) {
		if (p->pos >= p->len)
			return fail_at(p, open, "quote is not closed");
		c = p->text[p->pos++];
		if (c == '"')
			break;
		if (c == '\\') {
			c = peek(p, 0);
			if (c != '"' && c != '\\')
				return fail(p, "only \\\" and \\\\ are known");
			p->pos++;
		}
		err = store_char(p, c);
		if (err)
			return err;
	}
	*out = p->stack->text + start;
	return store_char(p, 0);
}

static int parse_value(struct parser *p, const char **out)
{
	size_t start = p->used;
	int err;

	if (peek(p, 0) == '"')
		return parse_quoted(p, out);
	while (p->pos < p->len && !needs_quotes(peek(p, 0)) && !at_arrow(p)) {
		err = store_char(p, peek(p, 0));
		if (err)
			return err;
		p->pos++;
	}
	if (p->used == start)
		return fail(p, "a value is missing");
	*out = p->stack->text + start;
	return store_char(p, 0);
}

static int parse_option(struct parser *p, struct leap__layer *layer,
			struct leap__option **last)
{
	struct leap__stack *s = p->stack;
	struct leap__option *opt, *other;
	int err;

	if (s->nr_options == LEAP__STACK_MAX_OPTIONS)
		return fail(p, "too many options");
	opt = &s->options[s->nr_options++];
	skip_blanks(p);
	opt->column = (uint32_t)p->pos + 1;
	err = parse_name(p, "the name of an option is missing", &opt->key);
	if (err)
		return err;
	for (other = layer->options; other; other = other->next)
		if (!strcmp(other->key, opt->key))
			return fail_at(p, opt->column - 1,
				       "the option stands here twice");
	if (!accept_char(p, '='))
		return fail(p, "'=' is missing");
	err = parse_value(p, &opt->value);
	if (err)
		return err;
	skip_blanks(p);
	if (*last)
		(*last)->next = opt;
	else
		layer->options = opt;
	*last = opt;
	return 0;
}

static int parse_options(struct parser *p, struct leap__layer *layer)
{
	struct leap__option *last = NULL;
	int err;

	do {
		err = parse_option(p, layer, &last);
		if (err)
			return err;
	} while (accept_char(p, ','));
	if (!accept_char(p, ']'))
		return fail(p, "',' or ']' is missing");
	return 0;
}

static int parse_children(struct parser *p, struct leap__layer *layer,
			  unsigned int depth)
{
	struct leap__layer **link = &layer->child;
	int err;

	layer->in_parens = 1;
	do {
		err = parse_stack(p, depth + 1, link);
		if (err)
			return err;
		link = &(*link)->next;
		layer->nr_children++;
	} while (accept_char(p, ','));
	if (!accept_char(p, ')'))
		return fail(p, "',' or ')' is missing");
	return 0;
}

static int parse_layer(struct parser *p, struct leap__layer *layer,
		       unsigned int depth)
{
	int err;

	layer->column = (uint32_t)p->pos + 1;
	err = parse_name(p, "the name of a layer is missing", &layer->name);
	if (!err && accept_char(p, ':'))
		err = parse_value(p, &layer->arg);
	if (!err && accept_char(p, '['))
		err = parse_options(p, layer);
	if (!err && accept_char(p, '('))
		err = parse_children(p, layer, depth);
	return err;
}

/* One chain of layers; leaves the position at what ends it. */
static int parse_stack(struct parser *p, unsigned int depth,
		       struct leap__layer **out)
{
	struct leap__layer *layer;
	int err;

	for (;; depth++) {
		if (depth > LEAP__STACK_MAX_DEPTH)
			return fail(p, "layers are nested too deep");
		if (p->stack->nr_layers == LEAP__STACK_MAX_LAYERS)
			return fail(p, "too many layers");
		skip_blanks(p);
		layer = &p->stack->layers[p->stack->nr_layers++];
		*out = layer;
		err = parse_layer(p, layer, depth);
		if (err)
			return err;
		skip_blanks(p);
		if (!at_arrow(p))
			return 0;
		if (layer->in_parens)
			return fail(p, "children stand in () or after ->, "
				    "not both");
		p->pos += 2;
		layer->nr_children = 1;
		out = &layer->child;
	}
}

int leap__stack_parse(const char *call, const char *text,
		      struct leap__stack **out)
{
	struct leap__layer *top;
	struct parser p = { call };
	int err;

	if (!text)
		return leap__err(-EINVAL, "%s: stack is NULL", call);
	p.text = text;
	p.len = strnlen(text, LEAP__STACK_MAX_BYTES);
	if (p.len == LEAP__STACK_MAX_BYTES)
		return leap__err(-EINVAL, "%s: stack exceeds %d bytes", call,
				 LEAP__STACK_MAX_BYTES - 1);
	p.stack = calloc(1, sizeof(*p.stack));
	if (!p.stack)
		return leap__err(-ENOMEM, "%s: out of memory", call);
	err = parse_stack(&p, 1, &top);
	if (!err && p.pos < p.len)
		err = fail(&p, "'->' or the end is expected");
	if (err) {
		free(p.stack);
		return err;
	}
	*out = p.stack;
	return 0;
}

struct printer {
	char *text;
	size_t max;
	size_t len;
};

static void put(struct printer *w, char c)
{
	if (w->len + 1 < w->max)
		w->text[w->len] = c;
	w->len++;
}

static void puts_plain(struct printer *w, const char *s)
{
	while (*s)
		put(w, *s++);
}

static void puts_value(struct printer *w, const char *s)
{
	const char *c;
	int quote = !*s || strstr(s, "->");

	for (c = s; *c && !quote; c++)
		quote = needs_quotes(*c);
	if (!quote) {
		puts_plain(w, s);
		return;
	}
	put(w, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			put(w, '\\');
		put(w, *s);
	}
	put(w, '"');
}

static void print_layer(struct printer *w, const struct leap__layer *layer)
{
	const struct leap__option *opt;
	const struct leap__layer *child;

	puts_plain(w, layer->name);
	if (layer->arg) {
		put(w, ':');
		puts_value(w, layer->arg);
	}
	for (opt = layer->options; opt; opt = opt->next) {
		put(w, opt == layer->options ? '[' : ',');
		puts_plain(w, opt->key);
		put(w, '=');
		puts_value(w, opt->value);
	}
	if (layer->options)
		put(w, ']');
	if (!layer->child)
		return;
	puts_plain(w, layer->in_parens ? "(" : " -> ");
	for (child = layer->child; child; child = child->next) {
		if (child != layer->child)
			puts_plain(w, ", ");
		print_layer(w, child);
	}
	if (layer->in_parens)
		put(w, ')');
}

int leap__stack_print(const struct leap__layer *layer, char *text, size_t max)
{
	struct printer w = { text, max, 0 };

	print_layer(&w, layer);
	if (max)
		text[w.len < max ? w.len : max - 1] = 0;
	return (int)w.len;
}
