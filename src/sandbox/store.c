// SPDX-License-Identifier: Apache-2.0
/* Records by kind and key, a version counter and a ring of the latest changes (store.h). */
#include "sandbox/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "mesh/parse.h"
#include "wire/node.h"

struct store {
    struct map kinds[MESH_KINDS];
    uint64_t version;
    struct store_event ring[LIMIT_STORE_EVENTS]; /* event i stands at i % LIMIT_STORE_EVENTS */
    uint64_t n_events;                           /* ever written */
    void (*changed)(void *arg);
    void *arg;
};

struct manifest *manifest_new(struct view file, struct view text)
{
    struct manifest *m = mem_alloc(sizeof(*m) + file.n + text.n);
    char *at = (char *)(m + 1);
    m->refs = 1;
    m->file = view_make(at, file.n);
    m->text = view_make(at + file.n, text.n);
    if (file.n)
        memcpy(at, file.p, file.n);
    if (text.n)
        memcpy(at + file.n, text.p, text.n);
    return m;
}

struct manifest *manifest_ref(struct manifest *m)
{
    if (m)
        m->refs++;
    return m;
}

struct manifest *manifest_unref(struct manifest *m)
{
    if (m && --m->refs == 0)
        mem_free(m);
    return NULL;
}

struct record *record_ref(struct record *r)
{
    if (r)
        r->refs++;
    return r;
}

struct record *record_unref(struct record *r)
{
    if (!r || --r->refs)
        return NULL;
    manifest_unref(r->manifest);
    arena_done(&r->arena);
    mem_free(r);
    return NULL;
}

struct store *store_new(void (*changed)(void *arg), void *arg)
{
    struct store *s = mem_alloc(sizeof(*s));
    s->changed = changed;
    s->arg = arg;
    s->version = 1;
    for (size_t i = 0; i < MESH_KINDS; i++)
        map_init(&s->kinds[i], NULL);
    return s;
}

struct store *store_free(struct store *s)
{
    if (!s)
        return NULL;
    for (size_t i = 0; i < MESH_KINDS; i++) {
        MAP_EACH (&s->kinds[i], it)
            record_unref(it->value);
        map_done(&s->kinds[i]);
    }
    for (size_t i = 0; i < LIMIT_STORE_EVENTS; i++)
        record_unref(s->ring[i].record);
    mem_free(s);
    return NULL;
}

void store_suffix(char *buf, size_t n)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789"; /* no vowels: no words */
    unsigned char random[32];
    must(n <= sizeof(random) && getrandom(random, n, 0) == (ssize_t)n);
    for (size_t i = 0; i < n; i++)
        buf[i] = letters[random[i] % (sizeof(letters) - 1)];
    buf[n] = 0;
}

void store_uuid(char *buf)
{
    unsigned char r[16];
    must(getrandom(r, sizeof(r), 0) == sizeof(r));
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    snprintf(buf, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3],
             r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

static struct view make_key(struct arena *a, enum mesh_kind kind, struct view ns, struct view name)
{
    if (!mesh_kinds[kind].namespaced)
        return arena_view(a, name);
    return arena_printf(a, "%.*s/%.*s", VIEW_ARGS(ns), VIEW_ARGS(name));
}

struct record *store_get(const struct store *s, enum mesh_kind kind, struct view ns, struct view name)
{
    struct arena a;
    arena_init(&a, 512);
    struct record *r = map_get(&s->kinds[kind], make_key(&a, kind, ns, name));
    arena_done(&a);
    return r;
}

static int by_key(const void *x, const void *y)
{
    const struct record *a = *(struct record *const *)x, *b = *(struct record *const *)y;
    int c = view_cmp(a->ns, b->ns);
    return c ? c : view_cmp(a->name, b->name);
}

static void unref_one(void *record)
{
    record_unref(record);
}

struct record **store_list(const struct store *s, enum mesh_kind kind, struct view ns, struct arena *a, size_t *ret_n)
{
    const struct map *m = &s->kinds[kind];
    struct record **list = ARENA_ARRAY(a, struct record *, map_size(m) + 1);
    size_t n = 0;
    MAP_EACH (m, it) {
        struct record *r = it->value;
        if (ns.n && mesh_kinds[kind].namespaced && !view_eq(r->ns, ns))
            continue;
        list[n++] = record_ref(r);
        arena_cleanup(a, unref_one, r);
    }
    if (n)
        qsort(list, n, sizeof(*list), by_key);
    *ret_n = n;
    return list;
}

uint64_t store_version(const struct store *s)
{
    return s->version;
}

const struct store_event *store_event(const struct store *s, uint64_t version, int *ret_err)
{
    *ret_err = 0;
    uint64_t oldest = s->n_events > LIMIT_STORE_EVENTS ? s->n_events - LIMIT_STORE_EVENTS : 0;
    if (oldest < s->n_events && oldest > 0 && version + 1 < s->ring[oldest % LIMIT_STORE_EVENTS].version) {
        *ret_err = -ESTALE;
        return NULL;
    }
    uint64_t low = oldest, high = s->n_events; /* versions only grow: search the first one behind `version` */
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (s->ring[mid % LIMIT_STORE_EVENTS].version > version)
            high = mid;
        else
            low = mid + 1;
    }
    return low < s->n_events ? &s->ring[low % LIMIT_STORE_EVENTS] : NULL;
}

static void publish(struct store *s, enum store_event_type type, struct record *r)
{
    struct store_event *e = &s->ring[s->n_events++ % LIMIT_STORE_EVENTS];
    record_unref(e->record);
    *e = (struct store_event){.type = type, .version = r->version, .record = record_ref(r)};
    if (s->changed)
        s->changed(s->arg);
}

static void set_time(struct arena *a, struct node *map, const char *key, uint64_t wall_ns)
{
    struct buf b = {0};
    clock_print_time(&b, wall_ns / NS_PER_S * NS_PER_S);
    struct view v = buf_read(&b); /* 2026-11-22T18:41:20.000Z: Kubernetes writes whole seconds */
    node_set_str(a, map, key, arena_printf(a, "%.*sZ", (int)view_find(v, '.'), v.p));
    buf_done(&b);
}

/* The new tree: spec side of `put` (or of the present record), status side of the other, metadata filled in. */
static struct node *merge_sides(struct arena *a, const struct store_put *put, const struct record *old)
{
    bool status_only = put->mode == STORE_STATUS && old;
    struct node *tree = node_copy(a, status_only ? old->tree : put->tree);
    if (!old)
        return tree;
    const struct node *status = node_get(status_only ? put->tree : old->tree, VIEW("status"));
    if (status)
        node_set(a, tree, VIEW("status"), node_copy(a, status));
    else
        node_del(tree, VIEW("status"));
    return tree;
}

static bool same_but(const struct node *a, const struct node *b, const char *except)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct node *other = node_get(b, a->fields[i].key);
        if (!other || (!view_is(a->fields[i].key, except) && !node_eq(a->fields[i].value, other)))
            return false;
    }
    return true;
}

/* Only the metadata's resourceVersion may differ. */
static bool unchanged(const struct node *a, const struct node *b)
{
    const struct node *x = node_get(a, VIEW("metadata")), *y = node_get(b, VIEW("metadata"));
    return x && y && same_but(a, b, "metadata") && same_but(x, y, "resourceVersion");
}

static bool desired_changed(const struct node *a, const struct node *b)
{
    const struct node *x = node_get(a, VIEW("spec")), *y = node_get(b, VIEW("spec"));
    return (x || y) && !(x && y && node_eq(x, y));
}

static void fill_metadata(struct arena *a, struct node *tree, const struct record *old)
{
    struct node *meta = node_make(a, tree, "metadata", NODE_MAP);
    static const char *const kept[] = {"uid", "creationTimestamp", "resourceVersion", "generation"};
    for (size_t i = 0; old && i < COUNT_OF(kept); i++) {
        const struct node *was = node_get(node_get(old->tree, VIEW("metadata")), view_of(kept[i]));
        if (was)
            node_set(a, meta, view_of(kept[i]), node_copy(a, was));
    }
    if (old && desired_changed(tree, old->tree))
        node_set_int(a, meta, "generation", old->object->meta.generation + 1);
    if (old)
        return;
    char uid[37];
    store_uuid(uid);
    node_set_str(a, meta, "uid", arena_view(a, view_of(uid)));
    set_time(a, meta, "creationTimestamp", clock_wall());
    node_set_int(a, meta, "generation", 1);
}

static struct record *record_new(struct store *s, const struct store_put *put, const struct object_key *key,
                                 enum mesh_kind kind, const struct record *old)
{
    struct record *r = mem_alloc(sizeof(*r));
    r->refs = 1;
    r->kind = kind;
    arena_init(&r->arena, 8192);
    r->tree = merge_sides(&r->arena, put, old);
    fill_metadata(&r->arena, r->tree, old);
    struct view applied = put->applied.n ? put->applied : old ? old->applied : VIEW_NONE;
    r->applied = applied.n ? arena_view(&r->arena, applied) : VIEW_NONE;
    r->manifest = manifest_ref(put->manifest ? put->manifest : old ? old->manifest : NULL);
    r->ns = mesh_kinds[kind].namespaced ? arena_view(&r->arena, key->ns.n ? key->ns : VIEW("default")) : VIEW_NONE;
    r->name = arena_view(&r->arena, key->name);
    r->key = make_key(&r->arena, kind, r->ns, r->name);
    struct node *meta = node_make(&r->arena, r->tree, "metadata", NODE_MAP);
    if (r->ns.n)
        node_set_str(&r->arena, meta, "namespace", r->ns);
    return r;
}

/* Gives the record its version and its typed object. */
static int finish(struct record *r, struct diags *d, uint64_t version)
{
    r->version = version;
    struct node *meta = node_make(&r->arena, r->tree, "metadata", NODE_MAP);
    node_set_str(&r->arena, meta, "resourceVersion", arena_printf(&r->arena, "%llu", (unsigned long long)version));
    struct mesh_source src = {0};
    if (r->manifest) {
        src.file = r->manifest->file;
        src.text = r->manifest->text;
    }
    struct diags ignored;
    struct diags *to = d;
    if (!to) {
        diags_init(&ignored, &r->arena);
        to = &ignored;
    }
    int err = mesh_decode(&r->arena, to, &src, r->tree, &r->object);
    if (err)
        return err;
    r->uid = r->object->meta.uid;
    return 0;
}

int store_write(struct store *s, const struct store_put *put, struct diags *d, struct record **ret_record)
{
    struct object_key key;
    enum mesh_kind kind;
    int err = mesh_key(put->tree, &key);
    if (!err)
        err = mesh_kind_of(key.api_version, key.kind, &kind);
    if (err)
        return err;
    struct record *old = store_get(s, kind, key.ns.n ? key.ns : VIEW("default"), key.name);
    if (old && put->create)
        return -EEXIST;
    if (!old && (put->mode == STORE_STATUS || put->expect))
        return -ENOENT;
    if (old && put->expect && put->expect != old->version)
        return -ESTALE;
    struct record *r = record_new(s, put, &key, kind, old);
    if (old && unchanged(r->tree, old->tree) && view_eq(r->applied, old->applied) && r->manifest == old->manifest) {
        record_unref(r);
        if (ret_record)
            *ret_record = old;
        return 0;
    }
    err = finish(r, d, s->version + 1);
    if (err) {
        if (d)
            arena_cleanup(d->arena, unref_one, r); /* what d says borrows from it */
        else
            record_unref(r);
        return err;
    }
    s->version++;
    map_put(&s->kinds[kind], r->key, r);
    publish(s, old ? STORE_MODIFIED : STORE_ADDED, r);
    record_unref(old);
    if (ret_record)
        *ret_record = r;
    return 0;
}

void store_remove(struct store *s, enum mesh_kind kind, struct view ns, struct view name)
{
    struct record *old = store_get(s, kind, ns, name);
    if (!old)
        return;
    struct object_key key = {.ns = old->ns, .name = old->name};
    struct store_put put = {.tree = old->tree};
    struct record *last = record_new(s, &put, &key, kind, old);
    map_del(&s->kinds[kind], old->key);
    if (finish(last, NULL, s->version + 1) == 0) {
        s->version++;
        publish(s, STORE_DELETED, last);
    }
    record_unref(last);
    record_unref(old);
}
