// SPDX-License-Identifier: Apache-2.0
/* See status/world.h. */
#include "control/status/world.h"

#include <stdlib.h>

#include "control/store.h"
#include "mesh/analyze.h"
#include "mesh/parse.h"
#include "wire/node.h"

/* ---- entries ---- */

static void entry_free(struct status_world *w, struct status_entry *e)
{
    status_writer_drop(w->writer, &e->item);
    buf_done(&e->uid);
    buf_done(&e->rv);
    buf_done(&e->source_rv);
    status_verdict_done(&e->verdict);
    arena_done(&e->have_in);
    arena_done(&e->wish_in);
    arena_done(&e->arena);
    free(e);
}

void status_world_clear(struct status_world *w)
{
    MAP_EACH (&w->entries, it) {
        entry_free(w, it->value);
    }
    map_done(&w->entries);
    map_init(&w->entries, NULL);
    w->number = 0;
}

static void set(struct buf *b, struct view text)
{
    buf_clear(b);
    buf_view(b, text);
}

static struct view key_of(struct status_world *w, struct view kind, struct view ns, struct view name)
{
    buf_clear(&w->key);
    buf_printf(&w->key, "%.*s/%.*s/%.*s", VIEW_ARGS(kind), VIEW_ARGS(ns), VIEW_ARGS(name));
    return buf_read(&w->key);
}

static struct status_entry *entry_of(struct status_world *w, struct kube_resource resource, struct view kind,
                                     struct view ns, struct view name)
{
    struct view key = key_of(w, kind, ns, name);
    struct status_entry *e = map_get(&w->entries, key);

    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    must(e != NULL);
    arena_init(&e->arena, 256);
    arena_init(&e->have_in, 512);
    arena_init(&e->wish_in, 512);
    status_item_init(&e->item);
    e->key = arena_view(&e->arena, key);
    e->kind = arena_view(&e->arena, kind);
    e->ns = arena_view(&e->arena, ns);
    e->name = arena_view(&e->arena, name);
    e->resource = resource; /* its texts are literals */
    e->in_force = -1;
    e->reach = STATUS_NO_REACH;
    e->seen = w->looks;
    map_put(&w->entries, e->key, e);
    return e;
}

/* resource.version is where it is written: the version in which it came, which the server has. */
static void set_version(struct status_entry *e, struct view api_version)
{
    size_t slash = view_find(api_version, '/');
    struct view v = slash < api_version.n ? view_from(api_version, slash + 1) : api_version;

    if (!v.n || view_eq(v, e->version))
        return;
    e->version = arena_view(&e->arena, v);
    e->resource.version = e->version;
}

/* The status that it has, and its resourceVersion, as the API server just said. */
void status_entry_learn(struct status_entry *e, const struct node *tree)
{
    arena_clear(&e->have_in);
    status_read(node_get(tree, VIEW("status")), &e->have_in, &e->have);
    set(&e->rv, node_text_at(tree, "metadata.resourceVersion"));
    e->known = true;
}

/* Another object of the same name is another object. */
static void take_identity(struct status_entry *e, struct view uid, struct view rv, const struct node *tree)
{
    bool other = !view_eq(buf_read(&e->uid), uid);

    set_version(e, node_text_at(tree, "apiVersion"));
    if (other || !e->known)
        status_entry_learn(e, tree);
    else if (buf_len(&e->source_rv) && !view_eq(buf_read(&e->source_rv), rv))
        set(&e->rv, rv); /* changed since: what we know of its own status stays good */
    set(&e->source_rv, rv);
    if (other) {
        set(&e->uid, uid);
        e->since = e->pending_since = e->written_at = 0;
        e->refused_hash = 0;
    }
}

/* ---- what the sources say ---- */

static void take_unsupported(struct status_world *w, const struct status_object *o)
{
    struct status_entry *e = entry_of(w, o->resource, o->kind, o->ns, o->name);
    struct object *decoded = NULL;
    struct diags diags;
    struct arena a;

    if (!o->tree) {
        map_del(&w->entries, e->key);
        entry_free(w, e);
        return;
    }
    e->unsupported = e->rejected = true;
    take_identity(e, node_text_at(o->tree, "metadata.uid"), node_text_at(o->tree, "metadata.resourceVersion"), o->tree);
    if (!node_at(o->tree, "metadata.generation") ||
        node_i64(node_at(o->tree, "metadata.generation"), &e->generation) < 0)
        e->generation = 0;
    arena_init(&a, 0);
    diags_init(&diags, &a);
    status_verdict_clear(&e->verdict);
    if (mesh_decode(&a, &diags, NULL, o->tree, &decoded) < 0)
        LIST_EACH (&diags.all, struct diag, link, d)
            status_verdict_add(&e->verdict, d);
    arena_done(&a);
}

void status_world_listed(void *world, const struct status_object *o)
{
    struct status_world *w = world;
    struct status_entry *e;

    if (o->unsupported) {
        take_unsupported(w, o);
        return;
    }
    e = entry_of(w, o->resource, o->kind, o->ns, o->name);
    set_version(e, node_text_at(o->tree, "apiVersion"));
    status_entry_learn(e, o->tree);
    set(&e->uid, node_text_at(o->tree, "metadata.uid"));
}

static struct kube_resource resource_of(enum mesh_kind kind)
{
    const struct mesh_kind_info *k = &mesh_kinds[kind];

    return (struct kube_resource){.group = k->group,
                                  .version = view_head(k->versions, view_find(k->versions, ',')),
                                  .plural = k->plural,
                                  .namespaced = k->namespaced};
}

static void take_object(struct status_world *w, const struct object *o)
{
    struct status_entry *e;
    struct view uid = o->meta.uid;
    bool changed;

    if (!uid.n || o->meta.deleting)
        return; /* of a file; or about to go */
    e = entry_of(w, resource_of(o->kind), mesh_kinds[o->kind].kind, o->meta.ns, o->meta.name);
    changed = !view_eq(buf_read(&e->uid), uid) || o->meta.generation != e->in_force ||
              (!o->meta.generation && !view_eq(buf_read(&e->source_rv), o->meta.resource_version));
    take_identity(e, uid, o->meta.resource_version, o->node);
    if (changed || !e->since) {
        e->since = w->number;
        e->changed_at = w->snapshot_at;
    }
    e->generation = e->in_force = o->meta.generation;
    e->rejected = false;
    e->seen = w->looks;
    e->reach = reach_object(w->reach, o, e->since);
    status_verdict_clear(&e->verdict);
}

static void take_rejections(struct status_world *w)
{
    struct store_rejected r;
    enum mesh_kind kind;

    for (uint32_t i = 0; store_rejected_next(w->store, &i, &r);) {
        struct status_entry *e;
        bool ours = false;
        if (mesh_kind_of(r.api_version, r.kind, &kind) < 0 || !r.uid.n)
            continue;
        for (unsigned k = 0; k < n_status_kinds; k++)
            ours = ours || status_kinds[k] == kind;
        if (!ours)
            continue;
        e = entry_of(w, resource_of(kind), r.kind, r.ns, r.name);
        if (!view_eq(buf_read(&e->uid), r.uid))
            e->known = false; /* read before it is written: the store keeps no tree of it */
        set(&e->uid, r.uid);
        set_version(e, r.api_version);
        if (e->seen != w->looks || !r.good)
            e->reach = STATUS_NO_REACH;
        e->in_force = r.good ? r.good->meta.generation : -1;
        e->generation = r.generation;
        e->rejected = true;
        e->seen = w->looks;
        status_verdict_clear(&e->verdict);
        LIST_EACH (&r.diags->all, struct diag, link, d)
            status_verdict_add(&e->verdict, d);
    }
}

static void analyze(struct status_world *w, const struct mesh_snapshot *snap)
{
    struct arena a;
    struct diags d;

    arena_init(&a, 64 * 1024);
    diags_init(&d, &a);
    mesh_analyze(snap, &d);
    LIST_EACH (&d.all, struct diag, link, one) {
        struct status_entry *e = map_get(&w->entries, key_of(w, one->at.kind, one->at.ns, one->at.name));
        if (e && !e->rejected)
            status_verdict_add(&e->verdict, one);
    }
    arena_done(&a);
}

static void sweep(struct status_world *w)
{
    w->objects = 0;
    MAP_EACH (&w->entries, it) {
        struct status_entry *e = it->value;
        if (!e->unsupported && e->seen != w->looks) {
            map_del(&w->entries, it->key);
            entry_free(w, e);
        } else {
            w->objects++;
        }
    }
}

void status_world_take(struct status_world *w, const struct store_snapshot *now, bool with_analysis)
{
    w->number = now->number;
    w->looks++;
    reach_begin(w->reach, now->mesh, now->number);
    for (unsigned k = 0; k < n_status_kinds; k++) {
        const struct object_list *l = &now->mesh->by_kind[status_kinds[k]];
        for (uint32_t i = 0; i < l->n; i++)
            take_object(w, l->list[i]);
    }
    take_rejections(w);
    if (with_analysis)
        analyze(w, now->mesh);
    sweep(w);
}

struct status_facts status_entry_facts(const struct status_world *w, const struct status_entry *e)
{
    static const struct reach_count none;
    const struct reach_count *n = e->reach == STATUS_NO_REACH ? &none : reach_result(w->reach, e->reach);

    return (struct status_facts){.generation = e->generation,
                                 .in_force = e->in_force,
                                 .acked = n->acked,
                                 .proxies = n->proxies,
                                 .waiting = n->waiting,
                                 .nack = n->nack,
                                 .refused_by = n->refused_by};
}

/* ---- life ---- */

void status_world_init(struct status_world *w, struct store *store, struct status_writer *writer)
{
    *w = (struct status_world){.store = store, .writer = writer, .reach = reach_new()};
    map_init(&w->entries, NULL);
}

void status_world_done(struct status_world *w)
{
    status_world_clear(w);
    map_done(&w->entries);
    reach_free(w->reach);
    buf_done(&w->key);
}
