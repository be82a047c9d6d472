// SPDX-License-Identifier: Apache-2.0
/* Walking a tree by tables (decode.h): which field is which, what is unknown, missing or not a map, and where that is.
 * Single values are read in decode_value.c. Recursion is as deep as the tables nest, which is fixed.
 */
#include "mesh/decode.h"

#include <stdio.h>

#include "mesh/decode_value.h"

enum { MANY_FIELDS = 128 }; /* the most that any table has: for the nearest name */

static void print_place(const struct place *at, struct buf *out)
{
    if (!at)
        return;
    print_place(at->up, out);
    if (!at->key.p) {
        buf_printf(out, "[%lld]", (long long)at->index);
    } else if (at->quoted) {
        buf_char(out, '[');
        buf_view(out, at->key);
        buf_char(out, ']');
    } else {
        if (buf_len(out))
            buf_char(out, '.');
        buf_view(out, at->key);
    }
}

struct view place_path(struct arena *a, const struct place *at)
{
    struct buf b = {0};
    print_place(at, &b);
    struct view path = arena_view(a, buf_read(&b));
    buf_done(&b);
    return path;
}

struct origin decode_origin(struct decoder *d, const struct node *n, const struct place *at)
{
    struct origin o = d->object->at;
    if (n && n->line) {
        o.line = n->line;
        o.col = n->col;
        o.span = n->type == NODE_MAP || n->type == NODE_SEQ ? 1 : n->span;
    }
    o.path = place_path(d->arena, at);
    return o;
}

struct view object_line(const struct object *o, uint32_t line)
{
    struct view rest = o->source, text;
    for (uint32_t i = o->source_line; i <= line && view_cut(&rest, '\n', &text); i++)
        if (i == line)
            return text.n && text.p[text.n - 1] == '\r' ? view_head(text, text.n - 1) : text;
    return VIEW_NONE;
}

static struct diag *error_at(struct decoder *d, const char *code, const struct origin *at)
{
    struct diag *one = diag_add(d->diags, DIAG_ERROR, code, at);
    one->effect = VIEW("the object is rejected; what was applied before stays in force");
    if (d->object->kind != KIND_SECRET) /* its lines are nobody's to print */
        one->source_line = object_line(d->object, at->line);
    d->errors++;
    return one;
}

struct diag *decode_error(struct decoder *d, const char *code, const struct node *n, const struct place *at)
{
    struct origin o = decode_origin(d, n, at);
    return error_at(d, code, &o);
}

static struct view object_name(struct decoder *d)
{
    const struct origin *at = &d->object->at;
    return at->name.n ? diag_text(d->diags, "%.*s `%.*s`", VIEW_ARGS(at->kind), VIEW_ARGS(at->name)) : at->kind;
}

static void fill(struct decoder *d, struct diag *one, const char *fmt, va_list args) printf_like(3, 0);
static void fill(struct decoder *d, struct diag *one, const char *fmt, va_list args)
{
    struct view what = arena_vprintf(d->diags->arena, fmt, args), name = object_name(d);
    one->title = diag_text(d->diags, "%.*s: %.*s", VIEW_ARGS(name), VIEW_ARGS(what));
}

struct diag *decode_bad(struct decoder *d, const struct node *n, const struct place *at, const char *fmt, ...)
{
    struct diag *one = decode_error(d, "IST0106", n, at);
    va_list args;
    va_start(args, fmt);
    fill(d, one, fmt, args);
    va_end(args);
    return one;
}

struct diag *decode_bad_field(struct decoder *d, const struct node *n, const struct place *at, const char *name,
                              const char *fmt, ...)
{
    const struct node *value = node_get(n, view_of(name));
    struct place here = {.up = at, .key = view_of(name)};
    struct diag *one = decode_error(d, "IST0106", value ? value : n, value ? &here : at);
    va_list args;
    va_start(args, fmt);
    fill(d, one, fmt, args);
    va_end(args);
    return one;
}

struct origin part_field(struct arena *a, const struct part *p, const char *path)
{
    struct origin o = p->at;
    const struct node *n = node_at(p->node, path);
    if (n && n->line) {
        o.line = n->line;
        o.col = n->col;
        o.span = n->type == NODE_MAP || n->type == NODE_SEQ ? 1 : n->span;
    }
    struct buf b = {0};
    struct view rest = view_of(path), word;
    buf_view(&b, o.path);
    while (view_cut(&rest, '.', &word)) {
        uint64_t index;
        bool is_index = view_u64(word, &index) == 0;
        buf_str(&b, is_index ? "[" : buf_len(&b) ? "." : "");
        buf_view(&b, word);
        buf_str(&b, is_index ? "]" : "");
    }
    o.path = arena_view(a, buf_read(&b));
    buf_done(&b);
    return o;
}

static void unknown_field(struct decoder *d, const struct message *m, const struct node_field *f,
                          const struct place *at)
{
    struct view known[MANY_FIELDS];
    size_t n = 0;
    must(m->n_fields <= MANY_FIELDS);
    for (unsigned i = 0; i < m->n_fields; i++)
        known[n++] = view_of(m->fields[i].name);
    struct origin o = decode_origin(d, NULL, at);
    if (f->line) {
        o.line = f->line;
        o.col = f->col;
        o.span = (uint32_t)f->key.n;
    }
    struct diag *one = error_at(d, "WEFT0004", &o);
    struct view name = object_name(d), near = diag_nearest(f->key, known, n);
    one->title = diag_text(d->diags, "%.*s: unknown field `%.*s`", VIEW_ARGS(name), VIEW_ARGS(f->key));
    one->label = diag_text(d->diags, "%s has no field of this name", m->name);
    if (near.n)
        one->hint = diag_text(d->diags, "did you mean `%.*s`?", VIEW_ARGS(near));
}

static void refused_field(struct decoder *d, const struct field *f, const struct node_field *nf, const struct place *at)
{
    struct origin o = decode_origin(d, NULL, at);
    if (nf->line) {
        o.line = nf->line;
        o.col = nf->col;
        o.span = (uint32_t)nf->key.n;
    }
    struct diag *one = error_at(d, "WEFT0005", &o);
    struct view name = object_name(d);
    one->title = diag_text(d->diags, "%.*s: field `%s` is not supported yet", VIEW_ARGS(name), f->name);
    one->label = VIEW("weft does not honour this field, so it does not accept it");
    one->hint = f->why ? view_of(f->why) : VIEW("remove the field");
}

static void decode_list(struct decoder *d, const struct field *f, void *base, const struct node *n,
                        const struct place *at)
{
    if (n->type != NODE_SEQ) {
        value_wrong_type(d, n, at, "a list");
        return;
    }
    char *items = n->n ? arena_alloc(d->arena, f->msg->size * n->n) : NULL;
    for (uint32_t i = 0; i < n->n; i++) {
        struct place here = {.up = at, .index = i};
        decode_message(d, f->msg, items + f->msg->size * i, n->items[i], &here);
    }
    memcpy((char *)base + f->at, &items, sizeof(items));
    memcpy((char *)base + f->count_at, &n->n, sizeof(n->n));
}

static void decode_keyed(struct decoder *d, const struct field *f, void *base, const struct node *n,
                         const struct place *at)
{
    if (n->type != NODE_MAP) {
        value_wrong_type(d, n, at, "a map");
        return;
    }
    char *items = n->n ? arena_alloc(d->arena, f->msg->size * n->n) : NULL;
    for (uint32_t i = 0; i < n->n; i++) {
        const struct node_field *nf = &n->fields[i];
        struct place here = {.up = at, .key = nf->key, .quoted = true};
        char *item = items + f->msg->size * i;
        memcpy(item + f->msg->key_at, &nf->key, sizeof(nf->key));
        decode_message(d, f->msg, item, nf->value, &here);
    }
    memcpy((char *)base + f->at, &items, sizeof(items));
    memcpy((char *)base + f->count_at, &n->n, sizeof(n->n));
}

static void decode_field(struct decoder *d, const struct field *f, void *base, const struct node_field *nf,
                         const struct place *at)
{
    const struct node *n = nf->value;
    if (f->type == FIELD_ANY)
        return;
    if (f->type == FIELD_REFUSED) {
        refused_field(d, f, nf, at);
        return;
    }
    if (n->type == NODE_NULL) /* null is absent, as in JSON of Kubernetes */
        return;
    if (f->type == FIELD_MSG) {
        void *msg = arena_alloc(d->arena, f->msg->size);
        decode_message(d, f->msg, msg, n, at);
        memcpy((char *)base + f->at, &msg, sizeof(msg));
    } else if (f->type == FIELD_EMBED) {
        decode_message(d, f->msg, (char *)base + f->at, n, at);
    } else if (f->type == FIELD_INLINE) {
        decode_message(d, f->msg, base, n, at);
    } else if (f->type == FIELD_LIST) {
        decode_list(d, f, base, n, at);
    } else if (f->type == FIELD_KEYED) {
        decode_keyed(d, f, base, n, at);
    } else if (f->type == FIELD_CUSTOM) {
        f->custom(d, base, n, at);
    } else {
        value_decode(d, f, (char *)base + f->at, f->count_at ? (char *)base + f->count_at : NULL, n, at);
    }
}

static bool is_missing(const struct node *n)
{
    return !n || n->type == NODE_NULL || ((n->type == NODE_SEQ || n->type == NODE_MAP) && !n->n) ||
           (n->type == NODE_STR && !n->text.n);
}

static const struct field *find_field(const struct message *m, struct view name)
{
    for (unsigned i = 0; i < m->n_fields; i++)
        if (view_is(name, m->fields[i].name))
            return &m->fields[i];
    return NULL;
}

void decode_message(struct decoder *d, const struct message *m, void *msg, const struct node *n, const struct place *at)
{
    unsigned before = d->errors;
    if (m->part) {
        struct part *p = msg;
        p->at = decode_origin(d, n, at);
        p->node = n;
    }
    if (m->init)
        m->init(msg);
    if (n->type != NODE_MAP) {
        if (n->type != NODE_NULL || at)
            value_wrong_type(d, n, at, "a map");
        return;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        const struct field *f = find_field(m, n->fields[i].key);
        struct place here = {.up = at, .key = f ? view_of(f->name) : n->fields[i].key};
        if (f)
            decode_field(d, f, msg, &n->fields[i], &here);
        else
            unknown_field(d, m, &n->fields[i], &here);
    }
    for (unsigned i = 0; i < m->n_fields; i++)
        if (m->fields[i].required && is_missing(node_get(n, view_of(m->fields[i].name)))) {
            struct diag *one = decode_bad_field(d, n, at, m->fields[i].name, "`%s` is required", m->fields[i].name);
            one->label = diag_text(d->diags, "this %s needs `%s`", m->name, m->fields[i].name);
        }
    if (m->check && d->errors == before)
        m->check(d, msg, n, at);
}
