// SPDX-License-Identifier: Apache-2.0
/* The functions of templates (template.h), with the meaning that they have in Helm (sprig, text/template). One table:
 * name, fewest and most arguments, code. The piped value comes last, as in Go.
 */
#include <errno.h>

#include "install/template_impl.h"

struct call {
    struct run *run;
    struct arena *arena;
    struct node **args;
    size_t n;
    struct node **ret;
};

static struct view text_of(const struct call *c, size_t i)
{
    return node_text(c->args[i]);
}

static int give_buf(struct call *c, struct buf *b, int err)
{
    if (!err)
        *c->ret = node_str(c->arena, arena_view(c->arena, buf_read(b)));
    buf_done(b);
    return err;
}

/* A copy with the keys of all maps in order, as Go prints them. */
static struct node *sorted(struct arena *a, const struct node *n)
{
    if (!n)
        return node_new(a, NODE_NULL);
    struct node *out = node_new(a, (enum node_type)n->type);
    if (n->type != NODE_SEQ && n->type != NODE_MAP) {
        *out = *n;
        return out;
    }
    for (uint32_t i = 0; n->type == NODE_SEQ && i < n->n; i++)
        node_push(a, out, sorted(a, n->items[i]));
    for (uint32_t i = 0; n->type == NODE_MAP && i < n->n; i++)
        node_set(a, out, n->fields[i].key, sorted(a, n->fields[i].value));
    for (uint32_t i = 1; n->type == NODE_MAP && i < out->n; i++) /* few keys: by insertion */
        for (uint32_t k = i; k && view_cmp(out->fields[k].key, out->fields[k - 1].key) < 0; k--) {
            struct node_field swap = out->fields[k];
            out->fields[k] = out->fields[k - 1];
            out->fields[k - 1] = swap;
        }
    return out;
}

static int call_to_yaml(struct call *c)
{
    struct buf b = {0};
    node_print_yaml(sorted(c->arena, c->args[0]), &b);
    struct view text = buf_read(&b);
    while (text.n && text.p[text.n - 1] == '\n')
        text.n--;
    *c->ret = node_str(c->arena, arena_view(c->arena, text));
    buf_done(&b);
    return 0;
}

static int call_to_json(struct call *c)
{
    struct buf b = {0};
    node_print_json(sorted(c->arena, c->args[0]), &b);
    return give_buf(c, &b, 0);
}

static int call_from_yaml(struct call *c)
{
    struct pull_error why = {0};
    if (node_parse(c->arena, text_of(c, 0), c->ret, &why) < 0 || !node_is(*c->ret, NODE_MAP))
        return run_fail(c->run, "fromYaml: the text is no map");
    return 0;
}

static int indent_text(struct call *c, const char *before)
{
    int64_t n;
    if (node_i64(c->args[0], &n) < 0 || n < 0 || n > 80)
        return run_fail(c->run, "indent by what?");
    if (!node_is(c->args[1], NODE_STR))
        return run_fail(c->run, "indent of %s", c->args[1] ? node_type_name((enum node_type)c->args[1]->type) : "nil");
    struct buf b = {0};
    struct view rest = text_of(c, 1), line;
    bool first = true;
    buf_str(&b, before);
    while (first || rest.n || rest.p) {
        size_t at = view_find(rest, '\n');
        line = view_head(rest, at);
        if (!first)
            buf_char(&b, '\n');
        for (int64_t i = 0; i < n; i++)
            buf_char(&b, ' ');
        buf_view(&b, line);
        first = false;
        if (at >= rest.n)
            break;
        rest = view_from(rest, at + 1);
    }
    return give_buf(c, &b, 0);
}

static int call_indent(struct call *c)
{
    return indent_text(c, "");
}

static int call_nindent(struct call *c)
{
    return indent_text(c, "\n");
}

/* A text in double quotes that YAML and JSON read alike; nil gives nothing, as in sprig. */
static int call_quote(struct call *c)
{
    struct buf raw = {0}, b = {0};
    int err = 0;
    if (c->args[0] && c->args[0]->type != NODE_NULL) {
        err = value_print(c->run, c->args[0], &raw);
        if (!err)
            buf_json_str(&b, buf_read(&raw));
    }
    buf_done(&raw);
    return give_buf(c, &b, err);
}

static int call_default(struct call *c)
{
    *c->ret = value_true(c->args[1]) ? c->args[1] : c->args[0];
    return 0;
}

/* As Helm's: what is empty in `over` (false, 0, "" …) counts as absent. */
static struct node *merged(struct arena *a, const struct node *over, const struct node *under)
{
    struct node *out = node_copy(a, over);
    for (uint32_t i = 0; i < under->n; i++) {
        const struct node_field *f = &under->fields[i];
        struct node *mine = node_get(out, f->key);
        if (!value_true(mine))
            node_set(a, out, f->key, f->value);
        else if (mine->type == NODE_MAP && f->value->type == NODE_MAP)
            node_set(a, out, f->key, merged(a, mine, f->value));
    }
    return out;
}

static int call_merge(struct call *c)
{
    if (!node_is(c->args[0], NODE_MAP) || !node_is(c->args[1], NODE_MAP))
        return run_fail(c->run, "merge needs two maps");
    *c->ret = merged(c->arena, c->args[0], c->args[1]);
    return 0;
}

static int call_deep_copy(struct call *c)
{
    *c->ret = c->args[0] ? node_copy(c->arena, c->args[0]) : NULL;
    return 0;
}

static int call_eq(struct call *c)
{
    bool same = false;
    for (size_t i = 1; i < c->n; i++)
        same = same || (c->args[0] && c->args[i] && node_eq(c->args[0], c->args[i]));
    *c->ret = node_bool_new(c->arena, same);
    return 0;
}

static int call_ne(struct call *c)
{
    int err = call_eq(c);
    *c->ret = node_bool_new(c->arena, !value_true(*c->ret));
    return err;
}

static int call_not(struct call *c)
{
    *c->ret = node_bool_new(c->arena, !value_true(c->args[0]));
    return 0;
}

/* and, or: run_piece's eval stopped where it could, so the last value is the answer. */
static int call_last(struct call *c)
{
    *c->ret = c->args[c->n - 1];
    return 0;
}

static int call_index(struct call *c)
{
    struct node *n = c->args[0];
    for (size_t i = 1; i < c->n; i++) {
        if (!node_is(n, NODE_MAP) || !node_is(c->args[i], NODE_STR))
            return run_fail(c->run, "index needs a map and names");
        n = node_get(n, text_of(c, i));
    }
    *c->ret = n;
    return 0;
}

static int call_printf(struct call *c)
{
    struct buf b = {0};
    struct view format = text_of(c, 0);
    size_t next = 1;
    int err = 0;
    for (size_t i = 0; i < format.n && !err; i++) {
        if (format.p[i] != '%') {
            buf_char(&b, format.p[i]);
        } else if (++i >= format.n || (format.p[i] != 's' && format.p[i] != 'd' && format.p[i] != 'v')) {
            err = run_fail(c->run, "printf knows %%s, %%d and %%v");
        } else if (next >= c->n) {
            err = run_fail(c->run, "printf: too few arguments");
        } else {
            err = value_print(c->run, c->args[next++], &b);
        }
    }
    if (!err && next != c->n)
        err = run_fail(c->run, "printf: too many arguments");
    return give_buf(c, &b, err);
}

static int call_list(struct call *c)
{
    *c->ret = node_new(c->arena, NODE_SEQ);
    for (size_t i = 0; i < c->n; i++)
        node_push(c->arena, *c->ret, c->args[i] ? c->args[i] : node_new(c->arena, NODE_NULL));
    return 0;
}

static int call_dict(struct call *c)
{
    *c->ret = node_new(c->arena, NODE_MAP);
    if (c->n % 2)
        return run_fail(c->run, "dict needs keys and values");
    for (size_t i = 0; i < c->n; i += 2)
        node_set(c->arena, *c->ret, text_of(c, i), c->args[i + 1] ? c->args[i + 1] : node_new(c->arena, NODE_NULL));
    return 0;
}

static int call_has(struct call *c)
{
    bool found = false;
    for (uint32_t i = 0; node_is(c->args[1], NODE_SEQ) && i < c->args[1]->n; i++)
        found = found || (c->args[0] && node_eq(c->args[0], c->args[1]->items[i]));
    *c->ret = node_bool_new(c->arena, found);
    return 0;
}

static int call_int(struct call *c)
{
    int64_t n = 0;
    if (c->args[0] && node_i64(c->args[0], &n) < 0)
        return run_fail(c->run, "int of what is no whole number");
    *c->ret = node_int(c->arena, n);
    return 0;
}

static int call_lower(struct call *c)
{
    char *text = arena_str(c->arena, text_of(c, 0));
    for (char *p = text; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    *c->ret = node_str(c->arena, view_of(text));
    return 0;
}

static int call_fail(struct call *c)
{
    return run_fail(c->run, "%.*s", VIEW_ARGS(text_of(c, 0)));
}

static int call_include(struct call *c)
{
    struct buf b = {0};
    return give_buf(c, &b, run_include(c->run, text_of(c, 0), c->args[1], &b));
}

static const struct function {
    const char *name;
    size_t fewest, most;
    int (*fn)(struct call *c);
} template_functions[] = {
    {"include", 2, 2, call_include},
    {"toYaml", 1, 1, call_to_yaml},
    {"fromYaml", 1, 1, call_from_yaml},
    {"toJson", 1, 1, call_to_json},
    {"indent", 2, 2, call_indent},
    {"nindent", 2, 2, call_nindent},
    {"quote", 1, 1, call_quote},
    {"default", 2, 2, call_default},
    {"merge", 2, 2, call_merge},
    {"deepCopy", 1, 1, call_deep_copy},
    {"eq", 2, TEMPLATE_ARGS, call_eq},
    {"ne", 2, 2, call_ne},
    {"not", 1, 1, call_not},
    {"and", 1, TEMPLATE_ARGS, call_last},
    {"or", 1, TEMPLATE_ARGS, call_last},
    {"index", 2, TEMPLATE_ARGS, call_index},
    {"printf", 1, TEMPLATE_ARGS, call_printf},
    {"list", 0, TEMPLATE_ARGS, call_list},
    {"dict", 0, TEMPLATE_ARGS, call_dict},
    {"has", 2, 2, call_has},
    {"int", 1, 1, call_int},
    {"lower", 1, 1, call_lower},
    {"fail", 1, 1, call_fail},
};

static const struct function *function_find(struct view name)
{
    for (size_t i = 0; i < COUNT_OF(template_functions); i++)
        if (view_is(name, template_functions[i].name))
            return &template_functions[i];
    return NULL;
}

bool function_known(struct view name)
{
    return function_find(name) != NULL;
}

int function_call(struct run *r, struct view name, struct node **args, size_t n, struct node **ret)
{
    const struct function *f = function_find(name);
    must(f); /* the parser asked */
    if (n < f->fewest || n > f->most)
        return run_fail(r, "`%s` has %zu arguments", f->name, n);
    struct call c = {.run = r, .arena = r->set->arena, .args = args, .n = n, .ret = ret};
    return f->fn(&c);
}
