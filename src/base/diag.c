// SPDX-License-Identifier: Apache-2.0
/* Collecting and printing diagnostics (diag.h): the picture with the caret, JSON, and "did you mean". */
#include "base/diag.h"

#include <stdlib.h>
#include <string.h>

static const char *const severity_names[] = {[DIAG_ERROR] = "error", [DIAG_WARNING] = "warning", [DIAG_INFO] = "info"};
static const char *const severity_colors[] = {
    [DIAG_ERROR] = "\033[1;31m", [DIAG_WARNING] = "\033[1;33m", [DIAG_INFO] = "\033[1;36m"};

void diags_init(struct diags *d, struct arena *a)
{
    *d = (struct diags){.arena = a};
    list_init(&d->all);
}

static const struct {
    const char *code, *meaning;
} codes[] = {
#define DIAG(code, meaning) {#code, meaning},
#include "base/diag.def"
#undef DIAG
};

const char *diag_meaning(const char *code)
{
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].meaning;
    return NULL;
}

struct diag *diag_add(struct diags *d, enum diag_severity severity, const char *code, const struct origin *at)
{
    struct diag *one = ARENA_NEW(d->arena, struct diag);
    (void)odd(diag_meaning(code) != NULL); /* add it to diag.def */
    one->severity = severity;
    one->code = code;
    if (at)
        one->at = *at;
    list_push(&d->all, &one->link);
    d->n_errors += severity == DIAG_ERROR;
    d->n_warnings += severity == DIAG_WARNING;
    return one;
}

struct view diag_text(struct diags *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct view v = arena_vprintf(d->arena, fmt, args);
    va_end(args);
    return v;
}

/* "VirtualService default/reviews, spec.http[1]" */
static void print_object(const struct origin *at, struct buf *out)
{
    if (at->kind.n)
        buf_view(out, at->kind);
    if (at->name.n) {
        buf_char(out, ' ');
        if (at->ns.n) {
            buf_view(out, at->ns);
            buf_char(out, '/');
        }
        buf_view(out, at->name);
    }
    if (at->path.n) {
        if (at->kind.n || at->name.n)
            buf_str(out, ", ");
        buf_view(out, at->path);
    }
}

static void print_place(const struct origin *at, struct buf *out, int margin)
{
    struct buf object = {0};
    print_object(at, &object);
    buf_printf(out, "%*s--> ", margin + 1, "");
    if (at->file.n) {
        buf_view(out, at->file);
        if (at->line)
            buf_printf(out, ":%u:%u", at->line, at->col);
        if (buf_len(&object))
            buf_str(out, "   (");
    }
    buf_view(out, buf_read(&object));
    if (at->file.n && buf_len(&object))
        buf_char(out, ')');
    buf_char(out, '\n');
    buf_done(&object);
}

static void print_picture(const struct diag *d, struct buf *out, int margin)
{
    const struct origin *at = &d->at;
    buf_printf(out, "%*s |\n%*u | ", margin, "", margin, at->line);
    buf_view(out, d->source_line);
    buf_printf(out, "\n%*s | ", margin, "");
    for (uint32_t i = 1; i < at->col; i++)
        buf_char(out, i <= d->source_line.n && d->source_line.p[i - 1] == '\t' ? '\t' : ' ');
    for (uint32_t i = 0; i < (at->span ? at->span : 1); i++)
        buf_char(out, '^');
    if (d->label.n) {
        buf_char(out, ' ');
        buf_view(out, d->label);
    }
    buf_char(out, '\n');
}

static void print_note(struct buf *out, int margin, const char *what, struct view text)
{
    if (!text.n)
        return;
    buf_printf(out, "%*s = %s: ", margin, "", what);
    buf_view(out, text);
    buf_char(out, '\n');
}

void diag_print(const struct diag *d, struct buf *out, bool color)
{
    int margin = d->at.line >= 1000 ? 4 : d->at.line >= 100 ? 3 : 2;
    buf_printf(out, "%s%s[%s]%s: ", color ? severity_colors[d->severity] : "", severity_names[d->severity], d->code,
               color ? "\033[0m" : "");
    buf_view(out, d->title);
    buf_char(out, '\n');
    print_place(&d->at, out, margin);
    bool picture = d->source_line.n && d->at.line && d->at.col;
    if (picture)
        print_picture(d, out, margin);
    else
        print_note(out, margin, "cause", d->label);
    print_note(out, margin, "help", d->hint);
    print_note(out, margin, "effect", d->effect);
}

static void json_field(struct buf *out, const char *key, struct view value)
{
    if (!value.n)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_json_str(out, value);
}

void diag_print_json(const struct diag *d, struct buf *out)
{
    const struct origin *at = &d->at;
    buf_printf(out, "{\"code\":\"%s\",\"severity\":\"%s\",\"title\":", d->code, severity_names[d->severity]);
    buf_json_str(out, d->title);
    buf_str(out, ",\"object\":{\"apiVersion\":");
    buf_json_str(out, at->api_version);
    json_field(out, "kind", at->kind);
    json_field(out, "namespace", at->ns);
    json_field(out, "name", at->name);
    buf_char(out, '}');
    json_field(out, "path", at->path);
    json_field(out, "file", at->file);
    if (at->line)
        buf_printf(out, ",\"line\":%u,\"col\":%u,\"span\":%u", at->line, at->col, at->span);
    json_field(out, "cause", d->label);
    json_field(out, "effect", d->effect);
    json_field(out, "hint", d->hint);
    buf_char(out, '}');
}

static int by_severity_then_place(const void *a, const void *b)
{
    const struct diag *x = *(const struct diag *const *)a, *y = *(const struct diag *const *)b;
    if (x->severity != y->severity)
        return x->severity < y->severity ? -1 : 1;
    int c = view_cmp(x->at.file, y->at.file);
    if (c)
        return c;
    return x->at.line != y->at.line ? (x->at.line < y->at.line ? -1 : 1)
                                    : (x->at.col > y->at.col) - (x->at.col < y->at.col);
}

static const struct diag **sorted(const struct diags *d, size_t *ret_n)
{
    size_t n = 0, i = 0;
    LIST_EACH (&d->all, struct diag, link, one)
        n++;
    const struct diag **order = mem_alloc(n * sizeof(struct diag *));
    LIST_EACH (&d->all, struct diag, link, one)
        order[i++] = one;
    if (n)
        qsort(order, n, sizeof(*order), by_severity_then_place);
    *ret_n = n;
    return order;
}

void diags_print(const struct diags *d, struct buf *out, bool color)
{
    enum { SHOWN = 20 };
    size_t n;
    const struct diag **order = sorted(d, &n);
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        diag_print(order[i], out, color);
        buf_char(out, '\n');
    }
    if (n > SHOWN)
        buf_printf(out, "and %zu more (-o json shows all)\n", n - SHOWN);
    if (n)
        buf_printf(out, "%u error%s, %u warning%s\n", d->n_errors, d->n_errors == 1 ? "" : "s", d->n_warnings,
                   d->n_warnings == 1 ? "" : "s");
    mem_free((void *)order);
}

void diags_print_json(const struct diags *d, struct buf *out)
{
    size_t n;
    const struct diag **order = sorted(d, &n);
    buf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(out, ',');
        diag_print_json(order[i], out);
    }
    buf_str(out, "]\n");
    mem_free((void *)order);
}

/* Levenshtein distance, capped: words longer than the table are never near. */
static unsigned distance(struct view a, struct view b)
{
    enum { MOST = 64 };
    unsigned row[MOST + 1];
    if (a.n > MOST || b.n > MOST)
        return MOST;
    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned up = row[j], cost = (a.p[i - 1] | 0x20) == (b.p[j - 1] | 0x20) ? 0 : 1;
            unsigned best = diagonal + cost;
            best = best < up + 1 ? best : up + 1;
            best = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[b.n];
}

struct view diag_nearest(struct view word, const struct view *known, size_t n_known)
{
    unsigned limit = word.n / 3 > 2 ? (unsigned)word.n / 3 : 2, best = limit + 1;
    struct view nearest = VIEW_NONE;
    for (size_t i = 0; i < n_known; i++) {
        unsigned d = distance(word, known[i]);
        if (d < best && d < word.n) {
            best = d;
            nearest = known[i];
        }
    }
    return nearest;
}
