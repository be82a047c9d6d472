// SPDX-License-Identifier: Apache-2.0
/* See store.h. Objects that came in one text share a batch: its arena lives as long as one of them does. Replaced objects
 * wait in the graveyard until no snapshot can know them any more.
 */
#include "control/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/prune.h"
#include "mesh/parse.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

#define STORE_DEBOUNCE (100 * NS_PER_MS)
#define BATCH_CHUNK 512 /* most objects of an API server are smaller, pruned */
enum { EVENT_DUE = 1 };

struct batch {
    struct arena arena;
    uint32_t refs;
};

struct entry {
    struct batch *batch;
    struct object *object;
    struct view key, file; /* file: in the batch's arena; empty: an API server's */
    uint64_t hash;         /* of the pruned tree, where that is not kept */
    uint64_t dead_since;   /* number of the first snapshot that does not have it */
    struct list link;      /* in the graveyard */
    bool seen;             /* while a file is read again */
    char key_text[];
};

struct rejected {
    struct arena arena;
    struct diags diags;
    struct store_rejected about; /* no name: a file */
    char key[];
};

struct store {
    struct loop *loop;
    struct task *owner, *listener;
    uint32_t bits, listener_bits;
    struct task task;
    struct timer due;
    struct map entries;   /* "<kind>/ns/name" → struct entry */
    struct map rejected;  /* file, or kind/ns/name → struct rejected */
    struct arena scratch; /* of one store_put_json */
    struct list graveyard;
    uint32_t counts[MESH_KINDS];
    uint64_t events[MESH_KINDS][STORE_EVENTS];
    bool touched[MESH_KINDS];
    uint64_t changed_at; /* loop time, of the first change that no snapshot has */
    uint32_t waiting;    /* sources that have not spoken */
    uint64_t last_told, number;
    uint32_t n_alive; /* snapshots not released */
    bool changed;
    struct mesh_config_place place; /* texts in names */
    struct arena names;
};

/* ---- telling ---- */

static void tell(struct store *st)
{
    uint64_t now = loop_now(st->loop);

    if (!st->changed)
        st->changed_at = now;
    st->changed = true;
    if (st->waiting)
        return;
    if (!st->last_told || now - st->last_told >= STORE_DEBOUNCE) {
        st->last_told = now;
        task_wake(st->owner, st->bits);
    } else if (!timer_is_set(&st->due)) {
        timer_set(&st->due, st->last_told + STORE_DEBOUNCE);
    }
}

static void store_run(struct task *t, uint32_t events)
{
    struct store *st = CONTAINER_OF(t, struct store, task);

    if (!st->changed || st->waiting)
        return;
    st->last_told = loop_now(st->loop);
    task_wake(st->owner, st->bits);
}

void store_expect(struct store *st)
{
    st->waiting++;
}

void store_synced(struct store *st)
{
    must(st->waiting > 0);
    if (--st->waiting == 0)
        tell(st);
}

bool store_ready(const struct store *st)
{
    return st->waiting == 0;
}

/* ---- entries ---- */

static void batch_unref(struct batch *b)
{
    if (--b->refs == 0) {
        arena_done(&b->arena);
        free(b);
    }
}

static struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof(*b));

    must(b != NULL);
    arena_init(&b->arena, BATCH_CHUNK);
    b->refs = 1;
    return b;
}

static void entry_free(struct entry *e)
{
    batch_unref(e->batch);
    free(e);
}

static void count(struct store *st, enum mesh_kind kind, enum store_event e)
{
    st->events[kind][e]++;
    st->touched[kind] = true;
}

static void bury(struct store *st, struct entry *e)
{
    st->counts[e->object->kind]--;
    if (!st->n_alive) {
        entry_free(e);
        return;
    }
    e->dead_since = st->number + 1;
    list_push(&st->graveyard, &e->link);
}

static struct view key_print(struct buf *b, enum mesh_kind kind, struct view ns, struct view name)
{
    buf_clear(b);
    buf_printf(b, "%d/%.*s/%.*s", (int)kind, VIEW_ARGS(ns), VIEW_ARGS(name));
    return buf_read(b);
}

static void put(struct store *st, struct batch *batch, struct object *o, struct view file, uint64_t hash)
{
    struct buf b = {0};
    struct view key = key_print(&b, o->kind, o->meta.ns, o->meta.name);
    struct entry *old = map_get(&st->entries, key), *e = malloc(sizeof(*e) + key.n);

    must(e != NULL);
    *e = (struct entry){
        .batch = batch, .object = o, .hash = hash, .key = {e->key_text, key.n}, .file = file, .seen = true};
    memcpy(e->key_text, key.p, key.n); /* after the assignment, which also writes the padding where it begins */
    list_init(&e->link);
    batch->refs++;
    map_put(&st->entries, e->key, e);
    st->counts[o->kind]++;
    count(st, o->kind, old ? STORE_UPDATE : STORE_ADD);
    if (old)
        bury(st, old);
    buf_done(&b);
}

/* ---- what was rejected ---- */

static void tell_listener(struct store *st)
{
    if (st->listener)
        task_wake(st->listener, st->listener_bits);
}

static void forgive(struct store *st, struct view key)
{
    struct rejected *r = map_del(&st->rejected, key);

    if (r) {
        tell_listener(st);
        arena_done(&r->arena);
        free(r);
    }
}

/* Parses once more with a place of its own for the diagnostics, which live until the object is good or gone. */
static struct rejected *reject(struct store *st, struct view key, const struct diags *from)
{
    struct rejected *r = calloc(1, sizeof(*r) + key.n);

    forgive(st, key);
    must(r != NULL);
    memcpy(r->key, key.p, key.n);
    arena_init(&r->arena, 1024);
    diags_init(&r->diags, &r->arena);
    LIST_EACH (&from->all, struct diag, link, d) {
        struct diag *copy = diag_add(&r->diags, d->severity, d->code, NULL);
        copy->at = d->at;
        copy->at.file = arena_view(&r->arena, d->at.file);
        copy->at.api_version = arena_view(&r->arena, d->at.api_version);
        copy->at.kind = arena_view(&r->arena, d->at.kind);
        copy->at.ns = arena_view(&r->arena, d->at.ns);
        copy->at.name = arena_view(&r->arena, d->at.name);
        copy->at.path = arena_view(&r->arena, d->at.path);
        copy->title = arena_view(&r->arena, d->title);
        copy->label = arena_view(&r->arena, d->label);
        copy->effect = arena_view(&r->arena, d->effect);
        copy->hint = arena_view(&r->arena, d->hint);
        copy->source_line = arena_view(&r->arena, d->source_line);
    }
    map_put(&st->rejected, view_make(r->key, key.n), r);
    tell_listener(st);
    return r;
}

static void remember(struct rejected *r, const struct object_key *k, const struct node *tree)
{
    const struct node *meta = node_get(tree, VIEW("metadata"));
    struct store_rejected *about = &r->about;

    about->api_version = arena_view(&r->arena, k->api_version);
    about->kind = arena_view(&r->arena, k->kind);
    about->ns = arena_view(&r->arena, k->ns);
    about->name = arena_view(&r->arena, k->name);
    about->uid = arena_view(&r->arena, node_text(node_get(meta, VIEW("uid"))));
    about->resource_version = arena_view(&r->arena, node_text(node_get(meta, VIEW("resourceVersion"))));
    if (!node_get(meta, VIEW("generation")) || node_i64(node_get(meta, VIEW("generation")), &about->generation) < 0)
        about->generation = 0;
}

/* ---- sources ---- */

/* The text is parsed into memory of its own, pruned, and only what is left is copied into the batch. */
void store_put_json(struct store *st, struct view json)
{
    struct batch *batch = batch_new();
    struct node *tree = NULL;
    struct object *o = NULL;
    struct object_key k;
    struct diags diags;
    struct buf key = {0};
    enum mesh_kind kind;
    struct entry *old;
    uint64_t hash;
    bool same;

    diags_init(&diags, &st->scratch);
    if (node_parse(&st->scratch, json, &tree, NULL) == 0 && tree && mesh_key(tree, &k) == 0 &&
        mesh_kind_of(k.api_version, k.kind, &kind) == 0) {
        key_print(&key, kind, k.ns, k.name);
        prune_object(kind, tree);
        old = map_get(&st->entries, buf_read(&key));
        hash = prune_all(kind) ? prune_hash(tree) : 0;
        same = old && !old->file.n && (hash ? old->hash == hash : prune_same(old->object->node, tree));
        if (!same || !hash)
            tree = prune_own(&batch->arena, kind, tree);
        if (same && hash) {
            forgive(st, buf_read(&key)); /* the object stays the same one: nothing made of it is made again */
        } else if (mesh_decode(&batch->arena, &diags, NULL, tree, &o) == 0) {
            forgive(st, buf_read(&key));
            prune_decoded(o);
            put(st, batch, o, VIEW_NONE, hash); /* also when it is the same: its resourceVersion may be asked for */
            if (!same)
                tell(st);
        } else {
            remember(reject(st, buf_read(&key), &diags), &k, tree);
        }
    }
    buf_done(&key);
    batch_unref(batch);
    arena_clear(&st->scratch);
}

static void sweep_file(struct store *st, struct view path)
{
    MAP_EACH (&st->entries, it) {
        struct entry *e = it->value;
        if (!e->seen && view_eq(e->file, path)) {
            map_del(&st->entries, it->key);
            count(st, e->object->kind, STORE_DELETE);
            bury(st, e);
        }
    }
}

static void mark_file(struct store *st, struct view path)
{
    MAP_EACH (&st->entries, it) {
        struct entry *e = it->value;
        if (view_eq(e->file, path))
            e->seen = false;
    }
}

int store_put_file(struct store *st, struct view path, struct view text)
{
    struct batch *batch = batch_new();
    struct view file = arena_view(&batch->arena, path);
    struct object_list objects = {0};
    struct diags diags;
    int r;

    diags_init(&diags, &batch->arena);
    r = mesh_parse(&batch->arena, &diags, &(struct mesh_source){.file = file, .text = text}, &objects);
    mark_file(st, path);
    for (uint32_t i = 0; i < objects.n; i++)
        put(st, batch, objects.list[i], file, 0);
    if (r == 0) {
        sweep_file(st, path);
        forgive(st, path);
    } else {
        reject(st, path, &diags);
    }
    batch_unref(batch);
    tell(st);
    return r;
}

void store_del_file(struct store *st, struct view path)
{
    mark_file(st, path);
    sweep_file(st, path);
    forgive(st, path);
    tell(st);
}

void store_del(struct store *st, enum mesh_kind kind, struct view ns, struct view name)
{
    struct buf b = {0};
    struct entry *e = map_del(&st->entries, key_print(&b, kind, ns, name));

    forgive(st, buf_read(&b));
    buf_done(&b);
    if (e) {
        count(st, kind, STORE_DELETE);
        bury(st, e);
        tell(st);
    }
}

/* ---- snapshots ---- */

struct store_snapshot *store_take(struct store *st)
{
    struct store_snapshot *s;
    struct object **list;

    if (!st->changed || st->waiting)
        return NULL;
    s = calloc(1, sizeof(*s));
    must(s != NULL);
    arena_init(&s->arena, 16 * 1024);
    diags_init(&s->diags, &s->arena);
    list = ARENA_ARRAY(&s->arena, struct object *, map_size(&st->entries) + 1);
    MAP_EACH (&st->entries, it) {
        list[s->n_objects++] = ((struct entry *)it->value)->object;
    }
    s->mesh = snapshot_new_at(&s->arena, &s->diags, list, s->n_objects, &st->place);
    s->number = ++st->number;
    s->waited = loop_now(st->loop) - st->changed_at;
    memcpy(s->touched, st->touched, sizeof(s->touched));
    memset(st->touched, 0, sizeof(st->touched));
    st->n_alive++;
    st->changed = false;
    timer_rest(&st->due);
    return s;
}

/* Snapshots are released in the order in which they were taken, so what died at or before the oldest one still alive is
 * known to nobody. */
void store_release(struct store *st, struct store_snapshot *s)
{
    if (!s)
        return;
    st->n_alive--;
    LIST_EACH (&st->graveyard, struct entry, link, e) {
        if (!st->n_alive || e->dead_since <= s->number + 1) {
            list_del(&e->link);
            entry_free(e);
        }
    }
    arena_done(&s->arena);
    free(s);
}

/* ---- life and views ---- */

void store_mesh_config(struct store *st, struct view home, struct view revision)
{
    bool only = !revision.n || view_is(revision, "default");

    st->place.ns = home.n ? arena_view(&st->names, home) : VIEW("istio-system");
    st->place.name = only ? VIEW("istio") : arena_printf(&st->names, "istio-%.*s", VIEW_ARGS(revision));
}

struct store *store_new(struct loop *loop, struct task *owner, uint32_t bits)
{
    struct store *st = calloc(1, sizeof(*st));

    must(st != NULL);
    st->loop = loop;
    st->owner = owner;
    st->bits = bits;
    map_init(&st->entries, NULL);
    map_init(&st->rejected, NULL);
    list_init(&st->graveyard);
    arena_init(&st->scratch, 64 * 1024);
    task_init(&st->task, loop, store_run, "store");
    timer_init(&st->due, &st->task, EVENT_DUE);
    arena_init(&st->names, 256);
    store_mesh_config(st, VIEW_NONE, VIEW_NONE);
    return st;
}

struct store *store_free(struct store *st)
{
    if (!st)
        return NULL;
    must(st->n_alive == 0);
    MAP_EACH (&st->entries, it) {
        entry_free(it->value);
    }
    map_done(&st->entries);
    MAP_EACH (&st->rejected, it) {
        struct rejected *r = it->value;
        arena_done(&r->arena);
        free(r);
    }
    map_done(&st->rejected);
    LIST_EACH (&st->graveyard, struct entry, link, e) {
        entry_free(e);
    }
    arena_done(&st->scratch);
    timer_done(&st->due);
    task_done(&st->task);
    arena_done(&st->names);
    free(st);
    return NULL;
}

void store_print_json(const struct store *st, struct buf *out)
{
    bool first = true;

    buf_char(out, '[');
    MAP_EACH (&st->entries, it) {
        const struct entry *e = it->value;
        if (e->object->kind == KIND_SECRET || !e->object->node)
            continue;
        buf_str(out, first ? "\n" : ",\n");
        first = false;
        node_print_json(e->object->node, out);
    }
    buf_str(out, "\n]\n");
}

void store_print_rejected(const struct store *st, struct buf *out)
{
    bool first = true;

    buf_char(out, '[');
    MAP_EACH (&st->rejected, it) {
        const struct rejected *r = it->value;
        LIST_EACH (&r->diags.all, struct diag, link, d) {
            buf_str(out, first ? "\n" : ",\n");
            first = false;
            diag_print_json(d, out);
        }
    }
    buf_str(out, "\n]\n");
}

uint32_t store_count(const struct store *st, enum mesh_kind kind)
{
    return st->counts[kind];
}

bool store_rejected_next(const struct store *st, uint32_t *i, struct store_rejected *ret)
{
    while (*i < st->rejected.n_items) {
        const struct map_item *it = &st->rejected.items[(*i)++];
        const struct rejected *r = it->value;
        const struct entry *good;
        if (!r || !r->about.name.n)
            continue;
        *ret = r->about;
        ret->diags = &r->diags;
        good = map_get(&st->entries, it->key);
        ret->good = good ? good->object : NULL;
        return true;
    }
    return false;
}

void store_listen(struct store *st, struct task *task, uint32_t bits)
{
    st->listener = task;
    st->listener_bits = bits;
}

uint64_t store_events(const struct store *st, enum mesh_kind kind, enum store_event e)
{
    return st->events[kind][e];
}

uint32_t store_rejected(const struct store *st)
{
    return map_size(&st->rejected);
}
