/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c - what is wrong, and argument lists
 *
 * Problems are kept until all checks ran, so that a user sees them together.
 * Knows nothing of what is checked.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook.h"

void report_add(struct report *r, const char *code, int fatal,
		const char *fmt, ...)
{
	struct problem *p;
	va_list ap;

	if (fatal)
		r->nr_fatal++;
	if (r->nr == MAX_PROBLEMS)
		return;
	p = &r->problems[r->nr++];
	p->code = code;
	p->fatal = fatal;
	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
}

void args_add(struct args *a, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	if (a->nr == MAX_ARGS || vasprintf(&text, fmt, ap) < 0)
		a->failed = 1;
	else
		a->v[a->nr++] = text;
	va_end(ap);
}

void args_free(struct args *a)
{
	while (a->nr)
		free(a->v[--a->nr]);
}

/* Nothing in it that a shell would read otherwise. */
static int plain(const char *arg)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%";

	return *arg && strspn(arg, safe) == strlen(arg);
}

static void quote(FILE *f, const char *arg)
{
	if (plain(arg)) {
		fputs(arg, f);
		return;
	}
	putc('\'', f);
	for (; *arg; arg++) {
		if (*arg == '\'')
			fputs("'\\''", f);
		else
			putc(*arg, f);
	}
	putc('\'', f);
}

char *args_quoted(const struct args *a)
{
	char *text = NULL;
	unsigned int i;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (i = 0; i < a->nr; i++) {
		if (i)
			putc(' ', f);
		quote(f, a->v[i]);
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
