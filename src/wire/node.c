// SPDX-License-Identifier: Apache-2.0
/* Trees of YAML and JSON (node.h): built from pull events, asked by key or path, made and changed. Printing is in
 * node_print.c.
 *
 * Building recurses: the readers bound the depth. An alias is the anchor's node again, so a tree may be a graph without
 * cycles (an anchor is known only once it is complete); `weight` bounds what walking it costs.
 */
#include "wire/node.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "wire/json.h"
#include "wire/yaml.h"

enum { MANY_KEYS = 16 }; /* from here on duplicates are looked up in a hash map */

struct builder {
    struct arena *arena;
    struct pull *in;
    struct map anchors; /* complete ones, of this document */
};

static int fail(struct builder *b, const struct pull_event *at, int err, struct view text)
{
    b->in->error = (struct pull_error){.line = at->line, .col = at->col, .text = text};
    return err;
}

static int build(struct builder *b, const struct pull_event *e, struct node **ret);

static struct node *new_at(struct builder *b, const struct pull_event *e, enum node_type type)
{
    struct node *n = ARENA_NEW(b->arena, struct node);
    n->type = (uint8_t)type;
    n->line = e->line;
    n->col = e->col;
    n->span = e->span;
    n->weight = 1;
    return n;
}

static int add_weight(struct builder *b, const struct pull_event *e, struct node *n, const struct node *child)
{
    n->weight += child->weight;
    if (n->weight <= LIMIT_YAML_NODES)
        return 0;
    return fail(b, e, -E2BIG, arena_printf(b->arena, "more than %d values, aliases counted", LIMIT_YAML_NODES));
}

static int build_scalar(struct builder *b, const struct pull_event *e, struct node **ret)
{
    static const enum node_type types[] = {[PULL_NULL] = NODE_NULL,
                                           [PULL_BOOL] = NODE_BOOL,
                                           [PULL_INT] = NODE_INT,
                                           [PULL_FLOAT] = NODE_FLOAT,
                                           [PULL_STR] = NODE_STR};
    struct node *n = new_at(b, e, types[e->scalar]);
    int64_t whole;
    double value;
    n->quoted = e->quoted;
    n->block = e->block;
    n->text = e->text;
    if (n->type == NODE_INT && node_i64(n, &whole) < 0)
        n->type = NODE_FLOAT; /* beyond 64 bits, as JSON readers take it */
    *ret = n;
    if (n->type == NODE_FLOAT && node_f64(n, &value) < 0)
        return fail(b, e, -EINVAL,
                    arena_printf(b->arena, "`%.*s` is not a number that JSON knows", VIEW_ARGS(e->text)));
    return 0;
}

static int build_seq(struct builder *b, struct node *n)
{
    struct pull_event e;
    for (;;) {
        int err = pull_next(b->in, &e);
        if (err)
            return err;
        if (e.type == PULL_SEQ_END)
            return 0;
        struct node *item;
        err = build(b, &e, &item);
        if (err)
            return err;
        *ARENA_PUSH(b->arena, n->items, n->n) = item;
        err = add_weight(b, &e, n, item);
        if (err)
            return err;
    }
}

/* Keys of JSON and of go-yaml are strings: a plain `true` or 8080 as a key is the text it was written as, and the other
 * spellings of booleans become true and false as they do there. */
static struct view key_text(const struct pull_event *e)
{
    if (e->scalar != PULL_BOOL)
        return e->text;
    char c = e->text.p[0] | 0x20;
    bool yes = c == 't' || c == 'y' || (c == 'o' && (e->text.p[1] | 0x20) == 'n');
    return yes ? VIEW("true") : VIEW("false");
}

static bool is_known(const struct node *n, const struct map *index, struct view key)
{
    return n->n > MANY_KEYS ? map_get(index, key) != NULL : node_get(n, key) != NULL;
}

static void add_field(struct builder *b, struct node *n, struct map *index, struct node_field field)
{
    *ARENA_PUSH(b->arena, n->fields, n->n) = field;
    if (n->n == MANY_KEYS + 1)
        for (uint32_t i = 0; i + 1 < n->n; i++)
            map_put(index, n->fields[i].key, n->fields[i].value);
    if (n->n > MANY_KEYS)
        map_put(index, field.key, field.value);
}

/* `<<: *base` or a list of them: adds what the map does not set itself, wherever `<<` stands. */
static int merge(struct builder *b, const struct pull_event *at, struct node *n, struct map *index,
                 const struct node *from)
{
    if (from->type == NODE_SEQ) {
        for (uint32_t i = 0; i < from->n; i++) {
            int err = from->items[i]->type == NODE_MAP
                          ? merge(b, at, n, index, from->items[i])
                          : fail(b, at, -EINVAL, VIEW("`<<` merges maps, and one of its items is none"));
            if (err)
                return err;
        }
        return 0;
    }
    if (from->type != NODE_MAP)
        return fail(b, at, -EINVAL, VIEW("`<<` merges maps, and its value is none"));
    for (uint32_t i = 0; i < from->n; i++)
        if (!is_known(n, index, from->fields[i].key))
            add_field(b, n, index, from->fields[i]);
    return add_weight(b, at, n, from);
}

static int build_field(struct builder *b, const struct pull_event *key, struct node *n, struct map *index,
                       struct node **merges)
{
    if (key->type != PULL_SCALAR)
        return fail(b, key, -EINVAL, VIEW("a key must be a plain word or a string"));
    struct pull_event e;
    int err = pull_next(b->in, &e);
    if (err)
        return err;
    struct node *value;
    err = build(b, &e, &value);
    if (err)
        return err;
    err = add_weight(b, key, n, value);
    if (err)
        return err;
    if (!key->quoted && view_is(key->text, "<<")) {
        *merges = value;
        return 0;
    }
    struct node_field field = {.key = key_text(key), .line = key->line, .col = key->col, .value = value};
    if (is_known(n, index, field.key))
        return fail(b, key, -EINVAL,
                    arena_printf(b->arena, "key `%.*s` is already set in this map", VIEW_ARGS(field.key)));
    add_field(b, n, index, field);
    return 0;
}

static int build_map(struct builder *b, struct node *n)
{
    struct pull_event key, merge_at = {0};
    struct node *merges = NULL;
    struct map index;
    map_init(&index, b->arena);
    for (;;) {
        int err = pull_next(b->in, &key);
        if (err)
            return err;
        if (key.type == PULL_MAP_END)
            break;
        struct node *was = merges;
        err = build_field(b, &key, n, &index, &merges);
        if (err)
            return err;
        if (was && merges != was)
            return fail(b, &key, -EINVAL, VIEW("key `<<` is already set in this map"));
        if (merges != was)
            merge_at = key;
    }
    return merges ? merge(b, &merge_at, n, &index, merges) : 0;
}

static int build(struct builder *b, const struct pull_event *e, struct node **ret)
{
    struct node *n = NULL;
    int err = 0;
    if (e->type == PULL_ALIAS) {
        n = map_get(&b->anchors, e->anchor);
        if (!n)
            return fail(b, e, -EINVAL, arena_printf(b->arena, "no anchor `&%.*s` before", VIEW_ARGS(e->anchor)));
    } else if (e->type == PULL_SCALAR) {
        err = build_scalar(b, e, &n);
    } else if (e->type == PULL_SEQ_START) {
        n = new_at(b, e, NODE_SEQ);
        err = build_seq(b, n);
    } else if (e->type == PULL_MAP_START) {
        n = new_at(b, e, NODE_MAP);
        err = build_map(b, n);
    } else {
        return fail(b, e, -EINVAL, VIEW("a value is missing"));
    }
    if (err)
        return err;
    if (e->type != PULL_ALIAS && e->anchor.n)
        map_put(&b->anchors, e->anchor, n);
    *ret = n;
    return 0;
}

int node_read(struct arena *a, struct pull *in, struct node **ret_node)
{
    struct builder b = {.arena = a, .in = in};
    struct pull_event e;
    map_init(&b.anchors, a);
    int err = pull_next(in, &e);
    if (err)
        return err;
    if (e.type == PULL_END) {
        *ret_node = NULL;
        return 0;
    }
    struct node *n;
    err = pull_next(in, &e);
    if (!err)
        err = build(&b, &e, &n);
    if (!err)
        err = pull_next(in, &e);
    if (err)
        return err;
    must(e.type == PULL_DOC_END);
    *ret_node = n;
    return 0;
}

static int parse_one(struct arena *a, struct pull *in, struct node **ret_node, struct pull_error *ret_error)
{
    struct node *n = NULL, *more = NULL;
    int err = node_read(a, in, &n);
    if (!err && n)
        err = node_read(a, in, &more);
    if (!err && (!n || more)) {
        in->error =
            (struct pull_error){.line = 1, .col = 1, .text = n ? VIEW("more than one document") : VIEW("empty")};
        err = -EINVAL;
    }
    if (err)
        *ret_error = in->error;
    else
        *ret_node = n;
    return err;
}

bool node_looks_like_json(struct view text)
{
    size_t i = 0, brackets = 0;
    for (; i < text.n && brackets < 2; i++) {
        char c = text.p[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        if (brackets++ == 0 && c != '{' && c != '[')
            return false;
        if (brackets == 2)
            return c == '"' || c == '}' || c == ']' || c == '{' || c == '[';
    }
    return false;
}

int node_parse(struct arena *a, struct view text, struct node **ret_node, struct pull_error *ret_error)
{
    struct pull_error e;
    struct pull *in = node_looks_like_json(text) ? json_pull(a, text, 1) : yaml_pull(a, text, 1);
    int err = parse_one(a, in, ret_node, &e);
    if (err && ret_error)
        *ret_error = e;
    return err;
}

const struct node_field *node_field(const struct node *map, struct view key)
{
    if (!node_is(map, NODE_MAP))
        return NULL;
    for (uint32_t i = 0; i < map->n; i++)
        if (view_eq(map->fields[i].key, key))
            return &map->fields[i];
    return NULL;
}

struct node *node_get(const struct node *map, struct view key)
{
    const struct node_field *f = node_field(map, key);
    return f ? f->value : NULL;
}

struct node *node_at(const struct node *tree, const char *path)
{
    struct view rest = view_of(path), part;
    const struct node *n = tree;
    while (n && view_cut(&rest, '.', &part)) {
        uint64_t index;
        if (n->type == NODE_SEQ)
            n = view_u64(part, &index) == 0 && index < n->n ? n->items[index] : NULL;
        else
            n = node_get(n, part);
    }
    return (struct node *)n;
}

struct view node_text(const struct node *n)
{
    return node_is(n, NODE_STR) ? n->text : VIEW_NONE;
}

struct view node_text_at(const struct node *tree, const char *path)
{
    return node_text(node_at(tree, path));
}

bool node_is(const struct node *n, enum node_type type)
{
    return n && n->type == type;
}

const char *node_type_name(enum node_type type)
{
    static const char *const names[] = {[NODE_NULL] = "nothing", [NODE_BOOL] = "true or false",
                                        [NODE_INT] = "a number", [NODE_FLOAT] = "a number with a fraction",
                                        [NODE_STR] = "a string", [NODE_SEQ] = "a list",
                                        [NODE_MAP] = "a map"};
    return names[type];
}

int node_i64(const struct node *n, int64_t *ret_value)
{
    return node_is(n, NODE_INT) ? yaml_plain_int(n->text, ret_value) : -EINVAL;
}

int node_f64(const struct node *n, double *ret_value)
{
    if (!node_is(n, NODE_INT) && !node_is(n, NODE_FLOAT))
        return -EINVAL;
    int64_t whole;
    if (n->type == NODE_INT && yaml_plain_int(n->text, &whole) == 0) {
        *ret_value = (double)whole;
        return 0;
    }
    char text[64], *end;
    if (n->text.n >= sizeof(text))
        return -ERANGE;
    memcpy(text, n->text.p, n->text.n);
    text[n->text.n] = 0;
    double value = strtod(text, &end);
    if (*end || !isfinite(value))
        return -EINVAL;
    *ret_value = value;
    return 0;
}

bool node_bool(const struct node *n, bool absent)
{
    if (!node_is(n, NODE_BOOL))
        return absent;
    char c = n->text.p[0] | 0x20;
    return c == 't' || c == 'y' || (c == 'o' && (n->text.p[1] | 0x20) == 'n');
}

static bool numbers_eq(const struct node *a, const struct node *b)
{
    int64_t i, j;
    double x, y;
    if (a->type == NODE_INT && b->type == NODE_INT && !node_i64(a, &i) && !node_i64(b, &j))
        return i == j;
    return (!node_f64(a, &x) && !node_f64(b, &y)) ? x == y : view_eq(a->text, b->text);
}

bool node_eq(const struct node *a, const struct node *b)
{
    if (!a || !b || a == b)
        return a == b;
    bool numbers = (a->type == NODE_INT || a->type == NODE_FLOAT) && (b->type == NODE_INT || b->type == NODE_FLOAT);
    if (numbers)
        return numbers_eq(a, b);
    if (a->type != b->type || ((a->type == NODE_SEQ || a->type == NODE_MAP) && a->n != b->n))
        return false;
    switch ((enum node_type)a->type) {
    case NODE_NULL:
        return true;
    case NODE_BOOL:
        return node_bool(a, false) == node_bool(b, false);
    case NODE_INT:
    case NODE_FLOAT:
    case NODE_STR:
        return view_eq(a->text, b->text);
    case NODE_SEQ:
        for (uint32_t i = 0; i < a->n; i++)
            if (!node_eq(a->items[i], b->items[i]))
                return false;
        return true;
    case NODE_MAP:
        for (uint32_t i = 0; i < a->n; i++)
            if (!node_eq(a->fields[i].value, node_get(b, a->fields[i].key)))
                return false;
        return true;
    }
    return false;
}

struct node *node_new(struct arena *a, enum node_type type)
{
    struct node *n = ARENA_NEW(a, struct node);
    n->type = (uint8_t)type;
    n->weight = 1;
    return n;
}

struct node *node_str(struct arena *a, struct view text)
{
    struct node *n = node_new(a, NODE_STR);
    n->text = text;
    n->quoted = true;
    return n;
}

struct node *node_int(struct arena *a, int64_t value)
{
    struct node *n = node_new(a, NODE_INT);
    n->text = arena_printf(a, "%lld", (long long)value);
    return n;
}

struct node *node_bool_new(struct arena *a, bool value)
{
    struct node *n = node_new(a, NODE_BOOL);
    n->text = value ? VIEW("true") : VIEW("false");
    return n;
}

struct node *node_copy(struct arena *a, const struct node *n)
{
    struct node *to = ARENA_NEW(a, struct node);
    *to = *n;
    if (n->type == NODE_SEQ) {
        to->items = NULL;
        to->n = 0;
        for (uint32_t i = 0; i < n->n; i++)
            *ARENA_PUSH(a, to->items, to->n) = node_copy(a, n->items[i]);
    } else if (n->type == NODE_MAP) {
        to->fields = NULL;
        to->n = 0;
        for (uint32_t i = 0; i < n->n; i++) {
            struct node_field *f = ARENA_PUSH(a, to->fields, to->n);
            *f = n->fields[i];
            f->key = arena_view(a, f->key);
            f->value = node_copy(a, f->value);
        }
    } else {
        to->text = arena_view(a, n->text);
    }
    return to;
}

void node_set(struct arena *a, struct node *map, struct view key, struct node *value)
{
    must(map->type == NODE_MAP && value);
    struct node_field *f = (struct node_field *)node_field(map, key);
    if (!f) {
        f = ARENA_PUSH(a, map->fields, map->n);
        f->key = key;
    }
    f->value = value;
}

void node_set_str(struct arena *a, struct node *map, const char *key, struct view text)
{
    node_set(a, map, view_of(key), node_str(a, text));
}

void node_set_int(struct arena *a, struct node *map, const char *key, int64_t value)
{
    node_set(a, map, view_of(key), node_int(a, value));
}

void node_set_bool(struct arena *a, struct node *map, const char *key, bool value)
{
    node_set(a, map, view_of(key), node_bool_new(a, value));
}

struct node *node_make(struct arena *a, struct node *map, const char *key, enum node_type type)
{
    struct node *n = node_get(map, view_of(key));
    if (n && n->type == type)
        return n;
    n = node_new(a, type);
    node_set(a, map, view_of(key), n);
    return n;
}

bool node_del(struct node *map, struct view key)
{
    struct node_field *f = (struct node_field *)node_field(map, key);
    if (!f)
        return false;
    size_t behind = (size_t)(map->fields + map->n - (f + 1));
    memmove(f, f + 1, behind * sizeof(*f));
    map->n--;
    return true;
}

void node_push(struct arena *a, struct node *seq, struct node *item)
{
    must(seq->type == NODE_SEQ && item);
    *ARENA_PUSH(a, seq->items, seq->n) = item;
}

void node_insert(struct arena *a, struct node *seq, uint32_t at, struct node *item)
{
    must(at <= seq->n);
    node_push(a, seq, item);
    memmove(seq->items + at + 1, seq->items + at, (seq->n - 1 - at) * sizeof(*seq->items));
    seq->items[at] = item;
}

void node_remove(struct node *seq, uint32_t at)
{
    must(seq->type == NODE_SEQ && at < seq->n);
    memmove(seq->items + at, seq->items + at + 1, (seq->n - 1 - at) * sizeof(*seq->items));
    seq->n--;
}
