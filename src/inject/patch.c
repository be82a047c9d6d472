// SPDX-License-Identifier: Apache-2.0
/* Walks both trees at once and writes what differs (patch.h). What both share (the same node) is not walked.
 *
 * Lists: items of `from` that have no partner in `to` are removed from the end, so that earlier indexes stay true; then
 * `to` is walked in order, and an item without partner is added at its place, before those that follow it.
 */
#include "inject/patch.h"

#include "base/map.h"

/* Where the walk is: a chain on the stack, printed only when something differs. */
struct step {
    const struct step *up;
    struct view key; /* of a map; or */
    uint32_t index;  /* of a list, when key.p is NULL */
};

struct patch {
    struct arena arena; /* indexes of lists */
    struct buf *out;
    struct buf path;
    bool first;
};

static void diff(struct patch *p, const struct step *at, const struct node *from, const struct node *to);

static void print_path(struct buf *out, const struct step *at)
{
    if (!at)
        return;
    print_path(out, at->up);
    buf_char(out, '/');
    if (!at->key.p)
        buf_u64(out, at->index);
    for (size_t i = 0; at->key.p && i < at->key.n; i++) {
        if (at->key.p[i] == '~')
            buf_str(out, "~0");
        else if (at->key.p[i] == '/')
            buf_str(out, "~1");
        else
            buf_char(out, at->key.p[i]);
    }
}

static void write_op(struct patch *p, const struct step *at, const char *op, const struct node *value)
{
    buf_printf(p->out, "%s{\"op\":\"%s\",\"path\":", p->first ? "" : ",", op);
    p->first = false;
    buf_clear(&p->path);
    print_path(&p->path, at);
    buf_json_str(p->out, buf_read(&p->path));
    if (value) {
        buf_str(p->out, ",\"value\":");
        node_print_json(value, p->out);
    }
    buf_char(p->out, '}');
}

/* The value of `key` in a map; most often it stands where it stood. */
static const struct node *lookup(const struct node *map, struct view key, uint32_t likely)
{
    if (likely < map->n && view_eq(map->fields[likely].key, key))
        return map->fields[likely].value;
    return node_get(map, key);
}

static void diff_map(struct patch *p, const struct step *at, const struct node *from, const struct node *to)
{
    for (uint32_t i = 0; i < from->n; i++) {
        if (lookup(to, from->fields[i].key, i))
            continue;
        write_op(p, &(struct step){at, from->fields[i].key, 0}, "remove", NULL);
    }
    for (uint32_t i = 0; i < to->n; i++) {
        const struct node *old = lookup(from, to->fields[i].key, i);
        struct step here = {at, to->fields[i].key, 0};
        if (old)
            diff(p, &here, old, to->fields[i].value);
        else
            write_op(p, &here, "add", to->fields[i].value);
    }
}

static struct view name_of(const struct node *item)
{
    return node_text(node_get(item, VIEW("name")));
}

/* Every item is a map with a name that no other item has. */
static bool index_names(struct patch *p, const struct node *list, struct map *ret)
{
    map_init(ret, &p->arena);
    for (uint32_t i = 0; i < list->n; i++) {
        struct view name = name_of(list->items[i]);
        if (!name.n || map_get(ret, name))
            return false;
        map_put(ret, name, list->items[i]);
    }
    return true;
}

/* Whether the items that both have stand in the same order in both. */
static bool same_order(const struct node *from, const struct node *to, const struct map *in_from,
                       const struct map *in_to)
{
    uint32_t j = 0;
    for (uint32_t i = 0; i < from->n; i++) {
        if (!map_get(in_to, name_of(from->items[i])))
            continue;
        while (j < to->n && !map_get(in_from, name_of(to->items[j])))
            j++;
        if (j == to->n || !view_eq(name_of(to->items[j++]), name_of(from->items[i])))
            return false;
    }
    return true;
}

static void diff_named(struct patch *p, const struct step *at, const struct node *from, const struct node *to,
                       const struct map *in_from, const struct map *in_to)
{
    for (uint32_t i = from->n; i-- > 0;) {
        if (map_get(in_to, name_of(from->items[i])))
            continue;
        write_op(p, &(struct step){at, VIEW_NONE, i}, "remove", NULL);
    }
    for (uint32_t i = 0; i < to->n; i++) {
        const struct node *old = map_get(in_from, name_of(to->items[i]));
        struct step here = {at, VIEW_NONE, i};
        if (old)
            diff(p, &here, old, to->items[i]);
        else
            write_op(p, &here, "add", to->items[i]);
    }
}

/* node_eq, but linear where the keys of both maps stand in the same order: a stranger chooses how many there are. */
static bool same(const struct node *a, const struct node *b)
{
    if (a == b)
        return true;
    if (a->type != b->type || (a->type != NODE_MAP && a->type != NODE_SEQ))
        return node_eq(a, b);
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct node *other = a->type == NODE_SEQ ? b->items[i] : lookup(b, a->fields[i].key, i);
        if (!other || !same(a->type == NODE_SEQ ? a->items[i] : a->fields[i].value, other))
            return false;
    }
    return true;
}

/* Lists of other things: what was added behind the old items is added, any other change replaces the list. */
static void diff_values(struct patch *p, const struct step *at, const struct node *from, const struct node *to)
{
    uint32_t n = 0;
    while (n < from->n && n < to->n && same(from->items[n], to->items[n]))
        n++;
    if (n < from->n) {
        write_op(p, at, "replace", to);
        return;
    }
    for (uint32_t i = n; i < to->n; i++) {
        write_op(p, &(struct step){at, VIEW_NONE, i}, "add", to->items[i]);
    }
}

static void diff_list(struct patch *p, const struct step *at, const struct node *from, const struct node *to)
{
    struct map in_from, in_to;
    if (index_names(p, from, &in_from) && index_names(p, to, &in_to) && from->n &&
        same_order(from, to, &in_from, &in_to))
        diff_named(p, at, from, to, &in_from, &in_to);
    else
        diff_values(p, at, from, to);
}

static void diff(struct patch *p, const struct step *at, const struct node *from, const struct node *to)
{
    if (from == to)
        return;
    if (from->type == NODE_MAP && to->type == NODE_MAP)
        diff_map(p, at, from, to);
    else if (from->type == NODE_SEQ && to->type == NODE_SEQ)
        diff_list(p, at, from, to);
    else if (!node_eq(from, to))
        write_op(p, at, "replace", to);
}

void json_patch(struct buf *out, const struct node *from, const struct node *to)
{
    struct patch p = {.out = out, .first = true};
    arena_init(&p.arena, 4096);
    buf_char(out, '[');
    diff(&p, NULL, from, to);
    buf_char(out, ']');
    buf_done(&p.path);
    arena_done(&p.arena);
}
