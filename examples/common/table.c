/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.c - collects cells, then prints them under each other
 *
 * Text from a target may hold anything: bytes that would move a terminal's
 * cursor are shown as dots. Knows nothing of what the columns are.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

void table_cell(struct table *t, const char *fmt, ...)
{
	char (*cells)[TABLE_CELL];
	unsigned char *c;
	va_list ap;

	if (t->nr_cells == t->max_cells) {
		t->max_cells = t->max_cells ? 2 * t->max_cells : 64;
		cells = realloc(t->cells, t->max_cells * sizeof(*cells));
		if (!cells)
			abort();
		t->cells = cells;
	}
	va_start(ap, fmt);
	vsnprintf(t->cells[t->nr_cells], TABLE_CELL, fmt, ap);
	va_end(ap);
	for (c = (unsigned char *)t->cells[t->nr_cells]; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '.';
	t->nr_cells++;
}

void table_begin(struct table *t, const char *align, const char *const *heads)
{
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->cols = (unsigned int)strlen(align);
	t->align = align;
	for (i = 0; i < t->cols; i++)
		table_cell(t, "%s", heads[i]);
}

void table_end(struct table *t)
{
	int width[TABLE_COLS] = { 0 };
	size_t i;
	unsigned int col;
	int len;

	for (i = 0; i < t->nr_cells; i++) {
		len = (int)strlen(t->cells[i]);
		if (len > width[i % t->cols])
			width[i % t->cols] = len;
	}
	for (i = 0; i < t->nr_cells; i++) {
		col = (unsigned int)(i % t->cols);
		if (t->align[col] == 'r')
			printf("%*s", width[col], t->cells[i]);
		else if (col + 1 < t->cols)
			printf("%-*s", width[col], t->cells[i]);
		else
			printf("%s", t->cells[i]);
		printf(col + 1 < t->cols ? "  " : "\n");
	}
	free(t->cells);
}
