// SPDX-License-Identifier: Apache-2.0
/* Merging values and the language of --set (values.h), as Helm's strvals reads it. A path that runs into a scalar or a list
 * where a map is needed replaces nothing: it is refused, since it is a mistake.
 */
#include "install/values.h"

#include <errno.h>

enum { SET_MAX_INDEX = 256, SET_MAX_DEPTH = 32 };

struct node *values_merge(struct arena *a, const struct node *base, const struct node *over)
{
    struct node *out = node_copy(a, base);
    for (uint32_t i = 0; i < over->n; i++) {
        const struct node_field *f = &over->fields[i];
        struct node *mine = node_get(out, f->key);
        if (f->value->type == NODE_NULL)
            node_del(out, f->key);
        else if (mine && mine->type == NODE_MAP && f->value->type == NODE_MAP)
            node_set(a, out, arena_view(a, f->key), values_merge(a, mine, f->value));
        else
            node_set(a, out, arena_view(a, f->key), node_copy(a, f->value));
    }
    return out;
}

struct set {
    struct arena *arena;
    struct view rest, whole;
    struct view *ret_why;
};

static int bad(struct set *s, const char *what)
{
    *s->ret_why = arena_printf(s->arena, "--set %.*s: %s", VIEW_ARGS(s->whole), what);
    return -EINVAL;
}

/* Up to one of `stops` (which stays), without the backslashes. */
static struct view take(struct set *s, const char *stops, bool *ret_escaped)
{
    struct buf b = {0};
    *ret_escaped = false;
    while (s->rest.n && !memchr(stops, s->rest.p[0], strlen(stops))) {
        if (s->rest.p[0] == '\\' && s->rest.n > 1) {
            s->rest = view_from(s->rest, 1);
            *ret_escaped = true;
        }
        buf_char(&b, s->rest.p[0]);
        s->rest = view_from(s->rest, 1);
    }
    struct view text = arena_view(s->arena, buf_read(&b));
    buf_done(&b);
    return text;
}

static bool take_char(struct set *s, char c)
{
    if (!s->rest.n || s->rest.p[0] != c)
        return false;
    s->rest = view_from(s->rest, 1);
    return true;
}

static struct node *typed(struct arena *a, struct view text)
{
    struct view digits = view_starts(text, VIEW("-")) ? view_from(text, 1) : text;
    uint64_t number;
    if (view_is(text, "null"))
        return node_new(a, NODE_NULL);
    if (view_is(text, "true") || view_is(text, "false"))
        return node_bool_new(a, view_is(text, "true"));
    if (view_u64(digits, &number) == 0 && number <= INT32_MAX && (digits.n == 1 || digits.p[0] != '0'))
        return node_int(a, digits.n == text.n ? (int64_t)number : -(int64_t)number);
    return node_str(a, text);
}

static int take_value(struct set *s, struct node **ret)
{
    bool escaped;
    if (!take_char(s, '{')) {
        struct view text = take(s, ",", &escaped);
        *ret = escaped ? node_str(s->arena, text) : typed(s->arena, text);
        return 0;
    }
    *ret = node_new(s->arena, NODE_SEQ);
    while (!take_char(s, '}')) {
        struct view text = take(s, ",}", &escaped);
        node_push(s->arena, *ret, escaped ? node_str(s->arena, text) : typed(s->arena, text));
        if (!take_char(s, ',') && (!s->rest.n || s->rest.p[0] != '}'))
            return bad(s, "`{` without its `}`");
    }
    return 0;
}

static int take_index(struct set *s, uint64_t *ret)
{
    bool escaped;
    struct view text = take(s, "]", &escaped);
    if (!take_char(s, ']') || view_u64(text, ret) < 0 || *ret > SET_MAX_INDEX)
        return bad(s, "an index is a number in brackets, at most 256");
    return 0;
}

/* Where the path leads: a slot in a map or list, of which all but the last step are made. */
static int set_one(struct set *s, struct node *at)
{
    uint64_t index = 0;
    bool in_list = false, escaped;
    struct view key = take(s, ".[=,", &escaped);
    for (int depth = 0;; depth++) {
        if (depth > SET_MAX_DEPTH)
            return bad(s, "the path is too deep");
        if (!in_list && !key.n)
            return bad(s, "a name is missing");
        if (take_char(s, '='))
            break;
        bool list_next = take_char(s, '[');
        if (!list_next && !take_char(s, '.'))
            return bad(s, "`=` is missing");
        enum node_type want = list_next ? NODE_SEQ : NODE_MAP;
        struct node *next = in_list ? (index < at->n ? at->items[index] : NULL) : node_get(at, key);
        if (!next || next->type == NODE_NULL) {
            next = node_new(s->arena, want);
            while (in_list && at->n <= index)
                node_push(s->arena, at, node_new(s->arena, NODE_NULL));
            if (in_list)
                at->items[index] = next;
            else
                node_set(s->arena, at, key, next);
        }
        if (next->type != want)
            return bad(s, list_next ? "an index into what is no list" : "a name below what is no map");
        at = next;
        in_list = list_next;
        int err = list_next ? take_index(s, &index) : 0;
        if (err)
            return err;
        if (!list_next)
            key = take(s, ".[=,", &escaped);
    }
    struct node *value;
    int err = take_value(s, &value);
    if (err)
        return err;
    while (in_list && at->n <= index)
        node_push(s->arena, at, node_new(s->arena, NODE_NULL));
    if (in_list)
        at->items[index] = value;
    else if (value->type == NODE_NULL)
        node_del(at, key);
    else
        node_set(s->arena, at, key, value);
    return 0;
}

int values_set(struct arena *a, struct node *map, struct view text, struct view *ret_why)
{
    struct set s = {.arena = a, .rest = text, .whole = text, .ret_why = ret_why};
    int err;
    do {
        err = set_one(&s, map);
    } while (!err && take_char(&s, ','));
    if (!err && s.rest.n)
        err = bad(&s, "something stands behind the value");
    return err;
}
