// SPDX-License-Identifier: Apache-2.0
/* Columns as wide as their widest cell (table.h). The last column is never padded, so lines have no trailing spaces. */
#include "cli/table.h"

#include <string.h>

static size_t width(struct view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.n; i++)
        n += ((unsigned char)v.p[i] & 0xc0) != 0x80;
    return n;
}

void table_init(struct table *t, struct arena *a, const char *titles)
{
    *t = (struct table){.arena = a};
    for (const char *p = titles; *p; p += strlen(p) + 1)
        *ARENA_PUSH(a, t->titles, t->n_titles) = view_of(p);
}

void table_title(struct table *t, const char *title)
{
    *ARENA_PUSH(t->arena, t->titles, t->n_titles) = view_of(title);
}

void table_view(struct table *t, struct view v)
{
    *ARENA_PUSH(t->arena, t->cells, t->n_cells) = v.n ? arena_view(t->arena, v) : VIEW("<none>");
}

void table_cell(struct table *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct view v = arena_vprintf(t->arena, fmt, args);
    va_end(args);
    *ARENA_PUSH(t->arena, t->cells, t->n_cells) = v;
}

static void print_row(const struct table *t, const struct view *cells, const size_t *widths, FILE *to)
{
    for (size_t i = 0; i < t->n_titles; i++) {
        bool right = t->titles[i].p[0] == '>', last = i + 1 == t->n_titles;
        struct view v = cells[i];
        if (cells == t->titles && right)
            v = view_from(v, 1);
        int pad = (int)(widths[i] - width(v));
        fprintf(to, "%*s%.*s%*s%s", right ? pad : 0, "", VIEW_ARGS(v), right || last ? 0 : pad, "",
                last ? "\n" : "   ");
    }
}

void table_print(const struct table *t, FILE *to)
{
    size_t *widths = ARENA_ARRAY(t->arena, size_t, t->n_titles);
    for (size_t i = 0; i < t->n_titles; i++)
        widths[i] = width(t->titles[i]) - (t->titles[i].p[0] == '>');
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t w = width(t->cells[i]), *most = &widths[i % t->n_titles];
        *most = w > *most ? w : *most;
    }
    print_row(t, t->titles, widths, to);
    for (size_t i = 0; i + t->n_titles <= t->n_cells; i += t->n_titles)
        print_row(t, t->cells + i, widths, to);
}
