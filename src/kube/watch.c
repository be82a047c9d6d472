// SPDX-License-Identifier: Apache-2.0
/* LIST, WATCH, resume, list again (watch.h). One task: it has at most one exchange at a time, a queue of events that the
 * owner has not taken, and the keys of what it handed out, so that what vanished while it was away can be told.
 */
#include "kube/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "kube/fetch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { WATCH_FETCH = 1, WATCH_AGAIN = 2 };
enum { FIRST_PAUSE_MS = 200, LONGEST_PAUSE_MS = 10000, WATCH_S = 300 };

struct pending {
    struct list link;
    struct arena arena;
    struct kube_event event;
    struct buf json;
};

/* An object that was handed out. */
struct known {
    char *key; /* "ns/name" */
    struct view ns, name;
    char *version;
    bool seen; /* in this list */
};

struct kube_watch {
    struct kube_client *client;
    struct kube_resource resource;
    struct arena texts;
    struct view ns;
    struct task task;
    struct task *wake;
    struct timer pause;
    struct fetch fetch;
    struct list queue;
    struct pending *taken; /* what kube_watch_next returned last */
    struct map known;
    char version[24]; /* of the last list, event or bookmark; empty: list */
    uint64_t pause_ms;
    bool watching, connected, synced;
    char error[96];
};

static void watch_run(struct task *t, uint32_t events);

static char *copy(struct view v)
{
    char *s = mem_alloc(v.n + 1);
    if (v.n)
        memcpy(s, v.p, v.n);
    return s;
}

static void known_free(struct known *k)
{
    mem_free(k->key);
    mem_free(k->version);
    mem_free(k);
}

static void pending_free(struct pending *p)
{
    if (!p)
        return;
    buf_done(&p->json);
    arena_done(&p->arena);
    mem_free(p);
}

struct kube_watch *kube_watch_new(struct kube_client *client, const struct kube_resource *r, struct view ns,
                                  struct task *wake)
{
    struct kube_watch *w = mem_alloc(sizeof(*w));
    w->client = client;
    arena_init(&w->texts, 256);
    w->resource = (struct kube_resource){arena_view(&w->texts, r->group), arena_view(&w->texts, r->version),
                                         arena_view(&w->texts, r->plural), r->namespaced};
    w->ns = arena_view(&w->texts, ns);
    w->wake = wake;
    list_init(&w->queue);
    map_init(&w->known, NULL);
    task_init(&w->task, client->loop, watch_run, "kube watch");
    timer_init(&w->pause, &w->task, WATCH_AGAIN);
    task_wake(&w->task, WATCH_AGAIN);
    return w;
}

struct kube_watch *kube_watch_free(struct kube_watch *w)
{
    if (!w)
        return NULL;
    kube_fetch_done(&w->fetch);
    timer_done(&w->pause);
    task_done(&w->task);
    LIST_EACH (&w->queue, struct pending, link, p)
        pending_free(p);
    pending_free(w->taken);
    MAP_EACH (&w->known, it)
        known_free(it->value);
    map_done(&w->known);
    arena_done(&w->texts);
    mem_free(w);
    return NULL;
}

/* ---- Events. */

static struct pending *push(struct kube_watch *w, enum kube_event_type type)
{
    struct pending *p = mem_alloc(sizeof(*p));
    arena_init(&p->arena, 1024);
    p->event.type = type;
    list_push(&w->queue, &p->link);
    return p;
}

static void push_gone(struct kube_watch *w, const struct known *k)
{
    struct pending *p = push(w, KUBE_GONE);
    p->event.ns = arena_view(&p->arena, k->ns);
    p->event.name = arena_view(&p->arena, k->name);
}

static struct view key_of(struct arena *a, struct view ns, struct view name)
{
    return arena_printf(a, "%.*s/%.*s", VIEW_ARGS(ns), VIEW_ARGS(name));
}

/* New or changed? Then it is told. `item` may lack apiVersion and kind, as items of a list do. */
static void see(struct kube_watch *w, const struct node *item, struct view api_version, struct view kind)
{
    struct view name = node_text_at(item, "metadata.name"), ns = node_text_at(item, "metadata.namespace");
    struct view version = node_text_at(item, "metadata.resourceVersion");
    if (!name.n)
        return;
    struct arena a;
    arena_init(&a, 512);
    struct known *k = map_get(&w->known, key_of(&a, ns, name));
    bool same = k && version.n && view_is(version, k->version);
    if (!k) {
        k = mem_alloc(sizeof(*k));
        struct view key = key_of(&a, ns, name);
        k->key = copy(key);
        k->ns = view_make(k->key, ns.n);
        k->name = view_make(k->key + ns.n + 1, name.n);
        map_put(&w->known, view_make(k->key, key.n), k);
    }
    arena_done(&a);
    k->seen = true;
    if (same)
        return;
    mem_free(k->version);
    k->version = copy(version);
    struct pending *p = push(w, KUBE_SET);
    struct node *tree = node_copy(&p->arena, item);
    if (!node_get(tree, VIEW("apiVersion")) && api_version.n)
        node_set_str(&p->arena, tree, "apiVersion", arena_view(&p->arena, api_version));
    if (!node_get(tree, VIEW("kind")) && kind.n)
        node_set_str(&p->arena, tree, "kind", arena_view(&p->arena, kind));
    p->event.node = tree;
    p->event.ns = node_text_at(tree, "metadata.namespace");
    p->event.name = node_text_at(tree, "metadata.name");
    p->event.uid = node_text_at(tree, "metadata.uid");
    p->event.resource_version = node_text_at(tree, "metadata.resourceVersion");
}

static void forget(struct kube_watch *w, struct view ns, struct view name)
{
    struct arena a;
    arena_init(&a, 512);
    struct known *k = map_del(&w->known, key_of(&a, ns, name));
    arena_done(&a);
    if (!k)
        return;
    push_gone(w, k);
    known_free(k);
}

static void set_version(struct kube_watch *w, struct view version)
{
    if (version.n && version.n < sizeof(w->version)) {
        memcpy(w->version, version.p, version.n);
        w->version[version.n] = 0;
    }
}

/* ---- What the server said. */

static int take_list(struct kube_watch *w)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct node *list;
    int err = node_parse(&a, buf_read(&w->fetch.body), &list, NULL);
    const struct node *items = err ? NULL : node_get(list, VIEW("items"));
    if (err || !node_text_at(list, "metadata.resourceVersion").n) {
        arena_done(&a);
        return -EPROTO;
    }
    struct view kind = node_text_at(list, "kind"), api_version = node_text_at(list, "apiVersion");
    if (view_ends(kind, VIEW("List")))
        kind = view_head(kind, kind.n - 4);
    MAP_EACH (&w->known, it)
        ((struct known *)it->value)->seen = false;
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++)
        see(w, items->items[i], api_version, kind);
    MAP_EACH (&w->known, it) {
        struct known *k = it->value;
        if (k->seen)
            continue;
        push_gone(w, k);
        map_del(&w->known, it->key);
        known_free(k);
    }
    set_version(w, node_text_at(list, "metadata.resourceVersion"));
    push(w, KUBE_SYNCED);
    arena_done(&a);
    return 0;
}

/* 0; -ESTALE: our version is forgotten; -EPROTO. */
static int take_line(struct kube_watch *w, struct view line)
{
    struct arena a;
    arena_init(&a, 8192);
    struct node *n;
    int err = node_parse(&a, line, &n, NULL) || !node_is(n, NODE_MAP) ? -EPROTO : 0;
    const struct node *object = err ? NULL : node_get(n, VIEW("object"));
    struct view type = err ? VIEW_NONE : node_text_at(n, "type");
    if (view_is(type, "ADDED") || view_is(type, "MODIFIED"))
        see(w, object, VIEW_NONE, VIEW_NONE);
    else if (view_is(type, "DELETED"))
        forget(w, node_text_at(object, "metadata.namespace"), node_text_at(object, "metadata.name"));
    else if (!view_is(type, "BOOKMARK"))
        err = view_is(type, "ERROR") ? -ESTALE : -EPROTO;
    if (!err)
        set_version(w, node_text_at(object, "metadata.resourceVersion"));
    arena_done(&a);
    return err;
}

static int take_lines(struct kube_watch *w)
{
    for (;;) {
        struct view got = buf_read(&w->fetch.body);
        size_t end = view_find(got, '\n');
        if (end == got.n)
            return 0;
        struct view line = view_trim(view_head(got, end));
        int err = line.n ? take_line(w, line) : 0;
        buf_drop(&w->fetch.body, end + 1);
        if (err)
            return err;
    }
}

/* ---- The task. */

static void ask(struct kube_watch *w)
{
    struct buf path = {0};
    kube_path(&path, &w->resource, w->ns, VIEW_NONE, VIEW_NONE);
    w->watching = w->version[0] != 0;
    if (w->watching)
        buf_printf(&path, "?watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=%s", WATCH_S,
                   w->version);
    kube_fetch_start(&w->fetch, w->client, "GET", buf_read(&path), VIEW_NONE, VIEW_NONE, &w->task, WATCH_FETCH);
    buf_done(&path);
}

static void disconnected(struct kube_watch *w, int err)
{
    kube_fetch_done(&w->fetch);
    w->connected = false;
    snprintf(w->error, sizeof(w->error), "%s", err == -ESTALE ? "the server forgot our version" : strerror(-err));
    if (err == -ESTALE || err == -EPROTO)
        w->version[0] = 0;
    w->pause_ms = w->pause_ms ? w->pause_ms * 2 : FIRST_PAUSE_MS;
    if (w->pause_ms > LONGEST_PAUSE_MS)
        w->pause_ms = LONGEST_PAUSE_MS;
    uint64_t jitter = rng_below(loop_rng(w->task.loop), w->pause_ms / 2 + 1);
    timer_in(&w->pause, (w->pause_ms / 2 + jitter) * NS_PER_MS);
}

static void connected(struct kube_watch *w)
{
    w->connected = true;
    w->error[0] = 0;
    w->pause_ms = 0;
}

/* The whole list is there, or the watch has ended. */
static void ended(struct kube_watch *w)
{
    int err = w->fetch.error;
    if (!err && w->fetch.status == 410)
        err = -ESTALE;
    else if (!err && w->fetch.status != 200)
        err = -EACCES;
    if (!err && !w->watching)
        err = take_list(w);
    if (err) {
        disconnected(w, err);
        return;
    }
    connected(w);
    kube_fetch_done(&w->fetch);
    ask(w);
}

static void watch_run(struct task *t, uint32_t events)
{
    struct kube_watch *w = CONTAINER_OF(t, struct kube_watch, task);
    bool quiet = list_empty(&w->queue);
    if (!w->fetch.active && (events & WATCH_AGAIN))
        ask(w);
    kube_fetch_run(&w->fetch);
    int err = 0;
    if (w->fetch.active && w->watching && w->fetch.status == 200) {
        connected(w);
        err = take_lines(w);
    }
    if (err)
        disconnected(w, err);
    else if (w->fetch.active && w->fetch.over)
        ended(w);
    if (w->wake && quiet && !list_empty(&w->queue))
        task_wake(w->wake, KUBE_WAKE);
}

bool kube_watch_next(struct kube_watch *w, struct kube_event *ret)
{
    pending_free(w->taken);
    w->taken = NULL;
    struct list *first = list_pop(&w->queue);
    if (!first)
        return false;
    w->taken = LIST_ITEM(first, struct pending, link);
    if (w->taken->event.node) {
        node_print_json(w->taken->event.node, &w->taken->json);
        w->taken->event.json = buf_read(&w->taken->json);
    }
    w->synced = w->synced || w->taken->event.type == KUBE_SYNCED;
    *ret = w->taken->event;
    return true;
}

bool kube_watch_synced(const struct kube_watch *w)
{
    return w->synced;
}

bool kube_watch_connected(const struct kube_watch *w)
{
    return w->connected;
}

struct view kube_watch_error(const struct kube_watch *w)
{
    return view_of(w->error);
}
