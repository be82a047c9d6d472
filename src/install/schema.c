// SPDX-License-Identifier: Apache-2.0
/* values.schema.json in words (values_check of values.h). Helm checks the same file with a general validator; this one knows
 * what the file uses and refuses a schema that uses more, so that both always ask the same.
 */
#include <errno.h>

#include "base/diag.h"
#include "install/values.h"

enum { MAX_NAMES = 128, MAX_DEPTH = 32 };

struct check {
    struct arena *arena;
    struct view *ret_why;
    unsigned depth;
};

static int bad(struct check *c, struct view path, const char *fmt, ...) printf_like(3, 4);
static int bad(struct check *c, struct view path, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct view text = arena_vprintf(c->arena, fmt, args);
    va_end(args);
    *c->ret_why = arena_printf(c->arena, "%.*s%s%.*s", VIEW_ARGS(path), path.n ? ": " : "", VIEW_ARGS(text));
    return -EINVAL;
}

static bool is_type(const struct node *n, struct view type)
{
    static const struct {
        const char *name;
        enum node_type type;
    } types[] = {{"object", NODE_MAP},   {"array", NODE_SEQ},   {"string", NODE_STR},
                 {"boolean", NODE_BOOL}, {"integer", NODE_INT}, {"number", NODE_FLOAT}};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (view_is(type, types[i].name) && n->type == types[i].type)
            return true;
    return false;
}

static int check_type(struct check *c, const struct node *type, const struct node *n, struct view path)
{
    struct buf b = {0};
    bool fits = false;
    if (node_is(type, NODE_STR)) {
        fits = is_type(n, type->text);
        buf_view(&b, type->text);
    }
    for (uint32_t i = 0; node_is(type, NODE_SEQ) && i < type->n; i++) {
        fits = fits || is_type(n, node_text(type->items[i]));
        buf_printf(&b, "%s%.*s", i ? " or " : "", VIEW_ARGS(node_text(type->items[i])));
    }
    int err = fits ? 0
                   : bad(c, path, "%s, but it must be of type %.*s", node_type_name((enum node_type)n->type),
                         VIEW_ARGS(buf_read(&b)));
    buf_done(&b);
    return err;
}

static int check_enum(struct check *c, const struct node *allowed, const struct node *n, struct view path)
{
    struct buf b = {0};
    for (uint32_t i = 0; i < allowed->n; i++) {
        if (node_eq(allowed->items[i], n)) {
            buf_done(&b);
            return 0;
        }
        struct view text = node_text(allowed->items[i]);
        buf_printf(&b, "%s%.*s", i ? ", " : "", VIEW_ARGS(text.n ? text : VIEW("\"\"")));
    }
    int err = bad(c, path, "`%.*s` is none of %.*s", VIEW_ARGS(node_text(n)), VIEW_ARGS(buf_read(&b)));
    buf_done(&b);
    return err;
}

static int check_unknown(struct check *c, const struct node *properties, struct view path, struct view key)
{
    struct view names[MAX_NAMES], below = path.n ? arena_printf(c->arena, "%.*s.", VIEW_ARGS(path)) : VIEW_NONE;
    size_t n = 0;
    for (uint32_t i = 0; properties && i < properties->n && n < MAX_NAMES; i++)
        names[n++] = properties->fields[i].key;
    struct view near = diag_nearest(key, names, n);
    if (near.n)
        return bad(c, VIEW_NONE, "there is no value %.*s%.*s: did you mean %.*s%.*s?", VIEW_ARGS(below), VIEW_ARGS(key),
                   VIEW_ARGS(below), VIEW_ARGS(near));
    return bad(c, VIEW_NONE, "there is no value %.*s%.*s (`weft install --print-values` prints those that there are)",
               VIEW_ARGS(below), VIEW_ARGS(key));
}

static int check(struct check *c, const struct node *schema, const struct node *n, struct view path);

static int check_map(struct check *c, const struct node *schema, const struct node *n, struct view path)
{
    const struct node *properties = node_get(schema, VIEW("properties")),
                      *others = node_get(schema, VIEW("additionalProperties")),
                      *required = node_get(schema, VIEW("required"));
    int err = 0;
    for (uint32_t i = 0; i < n->n && !err; i++) {
        const struct node_field *f = &n->fields[i];
        const struct node *sub = node_get(properties, f->key);
        if (!sub && others && others->type == NODE_BOOL && !node_bool(others, true))
            return check_unknown(c, properties, path, f->key);
        if (!sub && node_is(others, NODE_MAP))
            sub = others;
        if (sub)
            err = check(c, sub, f->value,
                        arena_printf(c->arena, "%.*s%s%.*s", VIEW_ARGS(path), path.n ? "." : "", VIEW_ARGS(f->key)));
    }
    for (uint32_t i = 0; required && i < required->n && !err; i++)
        if (!node_get(n, node_text(required->items[i])))
            err = bad(c, path, "`%.*s` is missing", VIEW_ARGS(node_text(required->items[i])));
    return err;
}

/* A keyword that counts: minimum, maximum, minLength, minItems. */
static int check_bound(struct check *c, const struct node_field *keyword, const struct node *n, struct view path)
{
    int64_t bound, value = n->type == NODE_STR ? (int64_t)n->text.n : n->n;
    if (node_i64(keyword->value, &bound) < 0 || (n->type == NODE_INT && node_i64(n, &value) < 0))
        return bad(c, path, "no number that fits");
    if (view_is(keyword->key, "maximum") ? value <= bound : value >= bound)
        return 0;
    return bad(c, path, "%s %lld, and this is %lld", view_is(keyword->key, "maximum") ? "at most" : "at least",
               (long long)bound, (long long)value);
}

static int check(struct check *c, const struct node *schema, const struct node *n, struct view path)
{
    static const char *const elsewhere[] = {"properties", "additionalProperties", "required", "title",
                                            "$schema",    "description"};
    const struct node *type = node_get(schema, VIEW("type"));
    int err = type ? check_type(c, type, n, path) : 0;
    if (++c->depth > MAX_DEPTH)
        return bad(c, path, "too deep");
    for (uint32_t i = 0; i < schema->n && !err; i++) {
        const struct node_field *f = &schema->fields[i];
        bool other = view_is(f->key, "type");
        for (size_t k = 0; k < COUNT_OF(elsewhere); k++)
            other = other || view_is(f->key, elsewhere[k]);
        if (other)
            continue;
        if (view_is(f->key, "enum"))
            err = check_enum(c, f->value, n, path);
        else if (view_is(f->key, "minimum") || view_is(f->key, "maximum"))
            err = n->type == NODE_INT ? check_bound(c, f, n, path) : 0;
        else if (view_is(f->key, "minLength"))
            err = n->type == NODE_STR ? check_bound(c, f, n, path) : 0;
        else if (view_is(f->key, "minItems"))
            err = n->type == NODE_SEQ ? check_bound(c, f, n, path) : 0;
        else if (view_is(f->key, "items"))
            for (uint32_t k = 0; n->type == NODE_SEQ && k < n->n && !err; k++)
                err = check(c, f->value, n->items[k], arena_printf(c->arena, "%.*s[%u]", VIEW_ARGS(path), k));
        else
            err = bad(c, path, "the schema's `%.*s` is not known", VIEW_ARGS(f->key));
    }
    if (!err && n->type == NODE_MAP)
        err = check_map(c, schema, n, path);
    c->depth--;
    return err;
}

int values_check(struct arena *a, const struct node *schema, const struct node *values, struct view *ret_why)
{
    struct check c = {.arena = a, .ret_why = ret_why};
    return check(&c, schema, values, VIEW_NONE);
}
