// SPDX-License-Identifier: Apache-2.0
/* See patch_apply.h: strict, so that a patch that an API server would refuse fails a test. */
#include "patch_apply.h"

static struct view unescape(struct arena *a, struct view v)
{
    char *to = arena_str(a, v);
    size_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '~' && i + 1 < v.n)
            to[n++] = v.p[++i] == '1' ? '/' : '~';
        else
            to[n++] = v.p[i];
    }
    return view_make(to, n);
}

static bool change(struct arena *a, struct node *in, struct view key, struct view op, const struct node *value)
{
    bool add = view_is(op, "add"), remove = view_is(op, "remove");
    uint64_t at = 0;
    if (in->type == NODE_MAP) {
        if (!add && !node_get(in, key))
            return false;
        if (remove)
            return node_del(in, key);
        node_set(a, in, key, node_copy(a, value));
        return true;
    }
    if (in->type != NODE_SEQ || view_u64(key, &at) < 0 || at > in->n || (!add && at == in->n))
        return false;
    if (remove)
        node_remove(in, (uint32_t)at);
    else if (add)
        node_insert(a, in, (uint32_t)at, node_copy(a, value));
    else
        in->items[at] = node_copy(a, value);
    return true;
}

static bool apply_one(struct arena *a, struct node **doc, const struct node *op)
{
    struct view path = node_text_at(op, "path"), kind = node_text_at(op, "op"), part;
    const struct node *value = node_get(op, VIEW("value"));
    struct node *in = *doc;
    if (!path.n) {
        *doc = node_copy(a, value);
        return view_is(kind, "replace");
    }
    path = view_from(path, 1);
    while (view_find(path, '/') < path.n) {
        uint64_t at = 0;
        size_t end = view_find(path, '/');
        part = unescape(a, view_head(path, end));
        path = view_from(path, end + 1);
        if (in->type == NODE_SEQ)
            in = view_u64(part, &at) == 0 && at < in->n ? in->items[at] : NULL;
        else
            in = node_get(in, part);
        if (!in)
            return false;
    }
    return change(a, in, unescape(a, path), kind, value);
}

bool patch_apply(struct arena *a, struct node **doc, const struct node *patch)
{
    for (uint32_t i = 0; i < patch->n; i++)
        if (!apply_one(a, doc, patch->items[i]))
            return false;
    return true;
}
