// SPDX-License-Identifier: Apache-2.0
/* Evaluation of templates (template.h). What Go's templates let pass silently is an error here where it would make a
 * wrong manifest: printing nil, a range over a scalar, a field of a scalar, an include of what is not defined.
 */
#include <errno.h>
#include <stdarg.h>

#include "install/template_impl.h"

int run_fail(struct run *r, const char *fmt, ...)
{
    struct arena *a = r->set->arena;
    va_list args;
    va_start(args, fmt);
    struct view text = arena_vprintf(a, fmt, args);
    va_end(args);
    *r->ret_why = arena_printf(a, "%.*s:%u: %.*s", VIEW_ARGS(r->at->file), r->at->line, VIEW_ARGS(text));
    return -EINVAL;
}

bool value_true(const struct node *n)
{
    int64_t whole;
    double value;
    if (!n)
        return false;
    switch ((enum node_type)n->type) {
    case NODE_NULL:
        return false;
    case NODE_BOOL:
        return node_bool(n, false);
    case NODE_INT:
        return node_i64(n, &whole) < 0 || whole != 0;
    case NODE_FLOAT:
        return node_f64(n, &value) < 0 || value != 0;
    case NODE_STR:
        return n->text.n > 0;
    case NODE_SEQ:
    case NODE_MAP:
        break;
    }
    return n->n > 0;
}

int value_print(struct run *r, const struct node *n, struct buf *out)
{
    if (!n || n->type == NODE_NULL)
        return run_fail(r, "a value that is not set is printed");
    if (n->type == NODE_SEQ || n->type == NODE_MAP)
        return run_fail(r, "%s is printed as it is: use toYaml", node_type_name((enum node_type)n->type));
    if (n->type == NODE_BOOL || n->type == NODE_INT)
        node_print_json(n, out);
    else
        buf_view(out, n->text);
    return 0;
}

static int eval(struct run *r, const struct expr *e, struct node **ret);

static int eval_base(struct run *r, const struct expr *e, struct node **ret)
{
    if (e->inner)
        return eval(r, e->inner, ret);
    if (!e->base.n || view_is(e->base, "$")) {
        *ret = e->base.n ? r->root : r->dot;
        return 0;
    }
    for (const struct variable *v = r->variables; v; v = v->next)
        if (view_eq(v->name, e->base)) {
            *ret = v->value;
            return 0;
        }
    return run_fail(r, "no variable %.*s", VIEW_ARGS(e->base));
}

static int eval_path(struct run *r, const struct expr *e, struct node **ret)
{
    struct node *n;
    int err = eval_base(r, e, &n);
    for (size_t i = 0; i < e->n_fields && !err; i++) {
        if (!n || n->type == NODE_NULL)
            return run_fail(r, "`.%.*s` of a value that is not set", VIEW_ARGS(e->fields[i]));
        if (n->type != NODE_MAP)
            return run_fail(r, "`.%.*s` of %s", VIEW_ARGS(e->fields[i]), node_type_name((enum node_type)n->type));
        n = node_get(n, e->fields[i]);
    }
    if (!err)
        *ret = n;
    return err;
}

static int eval(struct run *r, const struct expr *e, struct node **ret)
{
    struct node *args[TEMPLATE_ARGS];
    int err;
    switch (e->type) {
    case EXPR_VALUE:
        *ret = e->value;
        return 0;
    case EXPR_PATH:
        return eval_path(r, e, ret);
    case EXPR_CALL:
        break;
    }
    if (e->n_args > TEMPLATE_ARGS)
        return run_fail(r, "%zu arguments", e->n_args);
    bool is_and = view_is(e->base, "and"), is_or = view_is(e->base, "or");
    for (size_t i = 0; i < e->n_args; i++) {
        if ((err = eval(r, e->args[i], &args[i])))
            return err;
        if ((is_and && !value_true(args[i])) || (is_or && value_true(args[i]))) { /* the rest is not evaluated */
            *ret = args[i];
            return 0;
        }
    }
    return function_call(r, e->base, args, e->n_args, ret);
}

static int run_body(struct run *r, const struct template_piece *body, struct buf *out);

static void bind(struct run *r, struct view name, struct node *value)
{
    struct variable *v = ARENA_NEW(r->set->arena, struct variable);
    *v = (struct variable){.name = name, .value = value, .next = r->variables};
    r->variables = v;
}

/* The body with another dot and perhaps variables; both end with it. */
static int run_inside(struct run *r, const struct template_piece *t, struct node *key, struct node *value,
                      struct buf *out)
{
    struct run inner = *r;
    if (t->type != PIECE_IF)
        inner.dot = value;
    if (t->key.n)
        bind(&inner, t->key, key);
    if (t->var.n)
        bind(&inner, t->var, value);
    return run_body(&inner, t->body, out);
}

static int run_range(struct run *r, const struct template_piece *t, struct node *over, struct buf *out)
{
    struct arena *a = r->set->arena;
    if (over->type != NODE_SEQ && over->type != NODE_MAP)
        return run_fail(r, "a range over %s", node_type_name((enum node_type)over->type));
    int err = 0;
    if (over->type == NODE_SEQ) {
        for (uint32_t i = 0; i < over->n && !err; i++)
            err = run_inside(r, t, node_int(a, i), over->items[i], out);
        return err;
    }
    struct view last = VIEW_NONE;
    for (uint32_t done = 0; done < over->n && !err; done++) { /* in the order of the keys, as Go does */
        const struct node_field *next = NULL;
        for (uint32_t i = 0; i < over->n; i++) {
            const struct node_field *f = &over->fields[i];
            if ((!done || view_cmp(f->key, last) > 0) && (!next || view_cmp(f->key, next->key) < 0))
                next = f;
        }
        must(next);
        last = next->key;
        err = run_inside(r, t, node_str(a, next->key), next->value, out);
    }
    return err;
}

static int run_piece(struct run *r, const struct template_piece *t, struct buf *out)
{
    struct node *value = NULL;
    if (t->type == PIECE_TEXT) {
        buf_view(out, t->text);
        return 0;
    }
    int err = eval(r, t->expr, &value);
    if (err)
        return err;
    switch (t->type) {
    case PIECE_TEXT:
        break;
    case PIECE_PRINT:
        return value_print(r, value, out);
    case PIECE_SET:
        bind(r, t->var, value);
        break;
    case PIECE_IF:
    case PIECE_WITH:
        return value_true(value) ? run_inside(r, t, NULL, value, out) : run_body(r, t->other, out);
    case PIECE_RANGE:
        return value_true(value) ? run_range(r, t, value, out) : run_body(r, t->other, out);
    }
    return 0;
}

static int run_body(struct run *r, const struct template_piece *body, struct buf *out)
{
    struct variable *before = r->variables;
    int err = 0;
    for (const struct template_piece *t = body; t && !err; t = t->next) {
        r->at = t;
        err = run_piece(r, t, out);
    }
    r->variables = before;
    return err;
}

int run_include(struct run *r, struct view name, struct node *dot, struct buf *out)
{
    if (r->depth >= TEMPLATE_DEPTH)
        return run_fail(r, "includes nest too deep");
    for (size_t i = 0; i < r->set->n_defines; i++) {
        const struct template_define *d = &r->set->defines[i];
        if (!view_eq(d->name, name))
            continue;
        struct run inner = *r;
        inner.root = inner.dot = dot;
        inner.variables = NULL;
        inner.depth++;
        return run_body(&inner, d->body, out);
    }
    return run_fail(r, "nothing is defined as \"%.*s\"", VIEW_ARGS(name));
}

int template_run(const struct template_set *set, struct view name, struct node *root, struct buf *out,
                 struct view *ret_why)
{
    struct run r = {.set = set, .root = root, .dot = root, .ret_why = ret_why};
    for (size_t i = 0; i < set->n_files; i++)
        if (view_eq(set->files[i].name, name))
            return run_body(&r, set->files[i].body, out);
    *ret_why = arena_printf(set->arena, "%.*s: no such template", VIEW_ARGS(name));
    return -ENOENT;
}
