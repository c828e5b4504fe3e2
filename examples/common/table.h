/* SPDX-License-Identifier: BSD-3-Clause */
/* table.h - aligned columns for people */
#ifndef EXAMPLES_TABLE_H
#define EXAMPLES_TABLE_H

#include <stddef.h>

#define TABLE_COLS 12
#define TABLE_CELL 160

struct table {
	char (*cells)[TABLE_CELL];
	size_t nr_cells;
	size_t max_cells;
	unsigned int cols;
	const char *align;	/* 'l' or 'r' for each column */
};

/* @align: as "llrr", one letter per column; @heads: that many words. */
void table_begin(struct table *t, const char *align, const char *const *heads);

/* The next cell, row by row. */
void table_cell(struct table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Print it and free it. */
void table_end(struct table *t);

#endif
