// SPDX-License-Identifier: Apache-2.0
/* Tables as kubectl prints them: upper-case titles, columns as wide as their widest cell, three spaces between.
 *
 *   struct table t; table_init(&t, &arena, "NAMESPACE\0NAME\0READY\0");
 *   table_cell(&t, "%.*s", VIEW_ARGS(ns)); table_cell(…); table_cell(…);   // a row is full when every column has a cell
 *   table_print(&t, stdout);
 *
 * A column whose title starts with '>' is aligned right. Width counts characters, not bytes (UTF-8).
 */
#pragma once

#include <stdio.h>

#include "base/arena.h"

struct table {
    struct arena *arena;
    struct view *titles;
    size_t n_titles;
    struct view *cells;
    size_t n_cells;
};

void table_init(struct table *t, struct arena *a,
                const char *titles);                  /* each ends in a NUL, an empty one ends the list */
void table_title(struct table *t, const char *title); /* one more column, before the first cell */
void table_cell(struct table *t, const char *fmt, ...) printf_like(2, 3);
void table_view(struct table *t, struct view v); /* empty: <none> */
void table_print(const struct table *t, FILE *to);
