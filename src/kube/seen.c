// SPDX-License-Identifier: Apache-2.0
/* See seen.h. Of each object only its key and two hashes stay here. */
#include "kube/seen.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "wire/node.h"

struct seen_event {
    struct list link;
    struct arena arena;
    struct kube_event event;
    struct buf json;
};

/* An object that was handed out. */
struct known {
    uint64_t version, content; /* hashes of resourceVersion, and of the rest */
    uint32_t n_ns, n_name;
    bool listed; /* in this list */
    char key[];  /* "ns/name" */
};

void seen_init(struct seen *s, const struct kube_watch_options *o)
{
    s->no_status = o->no_status;
    s->trim = o->trim;
    list_init(&s->queue);
    map_init(&s->known, NULL);
}

static void event_free(struct seen_event *e)
{
    if (!e)
        return;
    buf_done(&e->json);
    arena_done(&e->arena);
    mem_free(e);
}

void seen_done(struct seen *s)
{
    LIST_EACH (&s->queue, struct seen_event, link, e)
        event_free(e);
    event_free(s->taken);
    MAP_EACH (&s->known, it)
        mem_free(it->value);
    map_done(&s->known);
}

static struct seen_event *push(struct seen *s, enum kube_event_type type)
{
    struct seen_event *e = mem_alloc(sizeof(*e));
    arena_init(&e->arena, 1024);
    e->event.type = type;
    list_push(&s->queue, &e->link);
    return e;
}

static void push_gone(struct seen *s, const struct known *k)
{
    struct seen_event *e = push(s, KUBE_GONE);
    e->event.ns = arena_view(&e->arena, view_make(k->key, k->n_ns));
    e->event.name = arena_view(&e->arena, view_make(k->key + k->n_ns + 1, k->n_name));
}

static struct known *find(struct seen *s, struct view ns, struct view name, bool take_out)
{
    struct buf key = {0};
    buf_view(&key, ns);
    buf_char(&key, '/');
    buf_view(&key, name);
    struct known *k = take_out ? map_del(&s->known, buf_read(&key)) : map_get(&s->known, buf_read(&key));
    buf_done(&key);
    return k;
}

static struct known *add(struct seen *s, struct view ns, struct view name)
{
    struct known *k = mem_alloc(sizeof(*k) + ns.n + 1 + name.n);
    k->n_ns = (uint32_t)ns.n;
    k->n_name = (uint32_t)name.n;
    if (ns.n)
        memcpy(k->key, ns.p, ns.n);
    k->key[ns.n] = '/';
    memcpy(k->key + ns.n + 1, name.p, name.n);
    map_put(&s->known, view_make(k->key, ns.n + 1 + name.n), k);
    return k;
}

/* ---- the content, without what changes by itself ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x9e3779b97f4a7c15) + (h >> 29);
}

static uint64_t hash(const struct node *n)
{
    uint64_t h = n->type + 1;
    if (n->type < NODE_SEQ)
        return mix(h, view_hash(n->text));
    for (uint32_t i = 0; i < n->n; i++)
        h = n->type == NODE_SEQ ? mix(h, hash(n->items[i]))
                                : mix(mix(h, view_hash(n->fields[i].key)), hash(n->fields[i].value));
    return h;
}

static uint64_t hash_without(const struct node *map, const char *const *keys)
{
    uint64_t h = 0;
    for (uint32_t i = 0; node_is(map, NODE_MAP) && i < map->n; i++) {
        const struct node_field *f = &map->fields[i];
        bool skip = false;
        for (const char *const *k = keys; *k && !skip; k++)
            skip = view_is(f->key, *k);
        if (!skip)
            h += mix(mix(1, view_hash(f->key)), hash(f->value)); /* items of lists have their fields elsewhere */
    }
    return h;
}

static uint64_t content(const struct node *object, bool status)
{
    static const char *const book[] = {"resourceVersion", "generation", NULL};
    static const char *const without[] = {"apiVersion", "kind", "metadata", "status", NULL};
    static const char *const with[] = {"apiVersion", "kind", "metadata", NULL};
    return mix(hash_without(object, status ? with : without), hash_without(node_get(object, VIEW("metadata")), book));
}

/* ---- objects ---- */

static void tell(struct seen *s, struct seen_event *e)
{
    const struct node *tree = e->event.node;
    e->event.ns = node_text_at(tree, "metadata.namespace");
    e->event.name = node_text_at(tree, "metadata.name");
    e->event.uid = node_text_at(tree, "metadata.uid");
    e->event.resource_version = node_text_at(tree, "metadata.resourceVersion");
    list_push(&s->queue, &e->link);
}

static struct node *own(struct seen *s, struct arena *a, const struct node *object, struct view api_version,
                        struct view kind)
{
    struct node *tree = node_copy(a, object), *meta = node_get(tree, VIEW("metadata"));
    node_del(meta, VIEW("managedFields"));
    if (s->trim)
        s->trim(tree);
    if (!node_get(tree, VIEW("apiVersion")) && api_version.n)
        node_set_str(a, tree, "apiVersion", arena_view(a, api_version));
    if (!node_get(tree, VIEW("kind")) && kind.n)
        node_set_str(a, tree, "kind", arena_view(a, kind));
    return tree;
}

void seen_put(struct seen *s, const struct node *object, struct view api_version, struct view kind)
{
    struct view name = node_text_at(object, "metadata.name"), ns = node_text_at(object, "metadata.namespace");
    struct view version = node_text_at(object, "metadata.resourceVersion");
    if (!name.n)
        return;
    struct known *k = find(s, ns, name, false);
    bool fresh = !k;
    k = k ? k : add(s, ns, name);
    k->listed = true;
    if (!fresh && version.n && view_hash(version) == k->version)
        return;
    struct seen_event *e = mem_alloc(sizeof(*e));
    arena_init(&e->arena, 1024);
    struct node *tree = own(s, &e->arena, object, api_version, kind);
    bool compare = s->no_status || s->trim;
    uint64_t now = compare ? content(tree, !s->no_status) : 0;
    k->version = view_hash(version);
    if (!fresh && compare && now == k->content) {
        list_init(&e->link);
        event_free(e);
        return;
    }
    k->content = now;
    e->event.type = KUBE_SET;
    e->event.node = tree;
    tell(s, e);
}

void seen_del(struct seen *s, struct view ns, struct view name)
{
    struct known *k = find(s, ns, name, true);
    if (k)
        push_gone(s, k);
    mem_free(k);
}

void seen_list(struct seen *s)
{
    MAP_EACH (&s->known, it)
        ((struct known *)it->value)->listed = false;
}

uint32_t seen_missing(const struct seen *s)
{
    uint32_t n = 0;
    MAP_EACH (&s->known, it)
        n += !((const struct known *)it->value)->listed;
    return n;
}

void seen_sweep(struct seen *s)
{
    MAP_EACH (&s->known, it) {
        struct known *k = it->value;
        if (k->listed)
            continue;
        push_gone(s, k);
        map_del(&s->known, it->key);
        mem_free(k);
    }
}

void seen_synced(struct seen *s)
{
    push(s, KUBE_SYNCED);
}

bool seen_next(struct seen *s, struct kube_event *ret)
{
    event_free(s->taken);
    s->taken = NULL;
    struct list *first = list_pop(&s->queue);
    if (!first)
        return false;
    s->taken = LIST_ITEM(first, struct seen_event, link);
    if (s->taken->event.node) {
        node_print_json(s->taken->event.node, &s->taken->json);
        s->taken->event.json = buf_read(&s->taken->json);
    }
    *ret = s->taken->event;
    return true;
}
