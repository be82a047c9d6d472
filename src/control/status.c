// SPDX-License-Identifier: Apache-2.0
/* See status.h. A look: the objects of the newest snapshot and those that were rejected get an entry each; what the analyzers
 * say and how many proxies have them becomes the status that they should have; what differs from the one that they have is
 * written when its time has come. Looks are at least LOOK_GAP apart, and never take more than a fiftieth of the CPU.
 */
#include "control/status.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "control/event.h"
#include "control/push.h"
#include "control/status_condition.h"
#include "control/status_peers.h"
#include "control/status_reach.h"
#include "control/status_source.h"
#include "control/status_write.h"
#include "control/store.h"
#include "kube/lease.h"
#include "mesh/analyze.h"
#include "mesh/parse.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"
#include "xds/server.h"

enum { EVENT_LOOK = 1, EVENT_WORLD = 2, EVENT_REJECTED = 4, EVENT_ASK = 8 }; /* and KUBE_WAKE */

#define AFTER_SNAPSHOT (300 * NS_PER_MS) /* proxies acknowledge meanwhile: one write instead of two */
#define AFTER_ACK (100 * NS_PER_MS)
#define LOOK_GAP NS_PER_S
#define LOOK_SHARE 50
#define PATIENCE (3 * NS_PER_S) /* until "not acknowledged yet" is worth a write */
#define FEWER (15 * NS_PER_S)   /* until fewer proxies than before are believed: they may be on their way to us */
#define LEISURE (2 * NS_PER_S)  /* between two writes that change only numbers of proxies; and for each object */
#define LEISURE_EACH (100 * NS_PER_MS)
#define ASK_OFTEN NS_PER_S /* other replicas, while something is on its way to proxies */
#define ASK_SELDOM (10 * NS_PER_S)
#define RESTLESS (5 * NS_PER_S)
#define BLOCKED (60 * NS_PER_S) /* after a 404 */
#define NO_REACH UINT32_MAX

struct entry { /* an object */
    struct status_item item;
    struct arena arena; /* of the names */
    struct view key, kind, ns, name;
    struct kube_resource resource;
    struct view version; /* of its apiVersion */
    struct buf uid, rv;  /* resourceVersion that the next write is for */
    struct buf source_rv;
    int64_t generation, in_force;      /* in_force -1: none */
    bool rejected, unsupported, known; /* known: `have` is what it has */
    uint64_t since;                    /* number of the first snapshot with the version in force */
    uint64_t seen;                     /* look */
    uint64_t changed_at;               /* when that version came: loop time */
    uint64_t pending_since, fewer_since, written_at, blocked_until;
    uint64_t refused_hash;
    uint32_t reach;
    struct status_verdict verdict;
    struct arena have_in, wish_in;
    struct status_text have, wish; /* wish: while one is due */
};

struct status {
    struct task task;
    struct timer look, ask, ask_soon;
    struct status_config config;
    struct status_source *source; /* NULL: not the writer */
    struct status_writer *writer;
    struct events *events;
    struct status_peers *peers;
    struct reach *reach;
    struct map entries; /* "Kind/ns/name" → struct entry */
    struct buf key;
    uint64_t number; /* snapshot of the last look */
    uint64_t looks, last_look, last_cost, next, restless_until, snapshot_at;
    bool rejections;
    struct status_stats stats;
};

/* ---- entries ---- */

static void entry_free(struct status *s, struct entry *e)
{
    status_writer_drop(s->writer, &e->item);
    buf_done(&e->uid);
    buf_done(&e->rv);
    buf_done(&e->source_rv);
    status_verdict_done(&e->verdict);
    arena_done(&e->have_in);
    arena_done(&e->wish_in);
    arena_done(&e->arena);
    free(e);
}

static void clear(struct status *s)
{
    MAP_EACH (&s->entries, it) {
        entry_free(s, it->value);
    }
    map_done(&s->entries);
    map_init(&s->entries, NULL);
    s->number = 0;
}

static void set(struct buf *b, struct view text)
{
    buf_clear(b);
    buf_view(b, text);
}

static struct view key_of(struct status *s, struct view kind, struct view ns, struct view name)
{
    buf_clear(&s->key);
    buf_printf(&s->key, "%.*s/%.*s/%.*s", VIEW_ARGS(kind), VIEW_ARGS(ns), VIEW_ARGS(name));
    return buf_read(&s->key);
}

static struct entry *entry_of(struct status *s, struct kube_resource resource, struct view kind, struct view ns,
                              struct view name)
{
    struct view key = key_of(s, kind, ns, name);
    struct entry *e = map_get(&s->entries, key);

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
    e->reach = NO_REACH;
    e->seen = s->looks;
    map_put(&s->entries, e->key, e);
    return e;
}

/* resource.version is where it is written: the version in which it came, which the server has. */
static void set_version(struct entry *e, struct view api_version)
{
    size_t slash = view_find(api_version, '/');
    struct view v = slash < api_version.n ? view_from(api_version, slash + 1) : api_version;

    if (!v.n || view_eq(v, e->version))
        return;
    e->version = arena_view(&e->arena, v);
    e->resource.version = e->version;
}

/* The status that it has, and its resourceVersion, as the API server just said. */
static void learn(struct entry *e, const struct node *tree)
{
    arena_clear(&e->have_in);
    status_read(node_get(tree, VIEW("status")), &e->have_in, &e->have);
    set(&e->rv, node_text_at(tree, "metadata.resourceVersion"));
    e->known = true;
}

/* Another object of the same name is another object. */
static void take_identity(struct entry *e, struct view uid, struct view rv, const struct node *tree)
{
    bool other = !view_eq(buf_read(&e->uid), uid);

    set_version(e, node_text_at(tree, "apiVersion"));
    if (other || !e->known)
        learn(e, tree);
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

static void take_unsupported(struct status *s, const struct status_object *o)
{
    struct entry *e = entry_of(s, o->resource, o->kind, o->ns, o->name);
    struct object *decoded = NULL;
    struct diags diags;
    struct arena a;

    if (!o->tree) {
        map_del(&s->entries, e->key);
        entry_free(s, e);
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

static void take(void *arg, const struct status_object *o)
{
    struct status *s = arg;
    struct entry *e;

    if (o->unsupported) {
        take_unsupported(s, o);
        return;
    }
    e = entry_of(s, o->resource, o->kind, o->ns, o->name);
    set_version(e, node_text_at(o->tree, "apiVersion"));
    learn(e, o->tree);
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

static void take_object(struct status *s, const struct object *o)
{
    struct entry *e;
    struct view uid = o->meta.uid;
    bool changed;

    if (!uid.n || o->meta.deleting)
        return; /* of a file; or about to go */
    e = entry_of(s, resource_of(o->kind), mesh_kinds[o->kind].kind, o->meta.ns, o->meta.name);
    changed = !view_eq(buf_read(&e->uid), uid) || o->meta.generation != e->in_force ||
              (!o->meta.generation && !view_eq(buf_read(&e->source_rv), o->meta.resource_version));
    take_identity(e, uid, o->meta.resource_version, o->node);
    if (changed || !e->since) {
        e->since = s->number;
        e->changed_at = s->snapshot_at;
    }
    e->generation = e->in_force = o->meta.generation;
    e->rejected = false;
    e->seen = s->looks;
    e->reach = reach_object(s->reach, o, e->since);
    status_verdict_clear(&e->verdict);
}

static void take_rejections(struct status *s)
{
    struct store_rejected r;
    enum mesh_kind kind;

    for (uint32_t i = 0; store_rejected_next(s->config.store, &i, &r);) {
        struct entry *e;
        bool ours = false;
        if (mesh_kind_of(r.api_version, r.kind, &kind) < 0 || !r.uid.n)
            continue;
        for (unsigned k = 0; k < n_status_kinds; k++)
            ours = ours || status_kinds[k] == kind;
        if (!ours)
            continue;
        e = entry_of(s, resource_of(kind), r.kind, r.ns, r.name);
        if (!view_eq(buf_read(&e->uid), r.uid))
            e->known = false; /* read before it is written: the store keeps no tree of it */
        set(&e->uid, r.uid);
        set_version(e, r.api_version);
        if (e->seen != s->looks || !r.good)
            e->reach = NO_REACH;
        e->in_force = r.good ? r.good->meta.generation : -1;
        e->generation = r.generation;
        e->rejected = true;
        e->seen = s->looks;
        status_verdict_clear(&e->verdict);
        LIST_EACH (&r.diags->all, struct diag, link, d)
            status_verdict_add(&e->verdict, d);
    }
}

static void analyze(struct status *s, const struct mesh_snapshot *snap)
{
    struct arena a;
    struct diags d;

    arena_init(&a, 64 * 1024);
    diags_init(&d, &a);
    mesh_analyze(snap, &d);
    LIST_EACH (&d.all, struct diag, link, one) {
        struct entry *e = map_get(&s->entries, key_of(s, one->at.kind, one->at.ns, one->at.name));
        if (e && !e->rejected)
            status_verdict_add(&e->verdict, one);
    }
    arena_done(&a);
}

static void sweep(struct status *s)
{
    s->stats.objects = 0;
    MAP_EACH (&s->entries, it) {
        struct entry *e = it->value;
        if (!e->unsupported && e->seen != s->looks) {
            map_del(&s->entries, it->key);
            entry_free(s, e);
        } else {
            s->stats.objects++;
        }
    }
}

static void take_world(struct status *s, const struct store_snapshot *now)
{
    s->number = now->number;
    s->rejections = false;
    s->looks++;
    reach_begin(s->reach, now->mesh, now->number);
    for (unsigned k = 0; k < n_status_kinds; k++) {
        const struct object_list *l = &now->mesh->by_kind[status_kinds[k]];
        for (uint32_t i = 0; i < l->n; i++)
            take_object(s, l->list[i]);
    }
    take_rejections(s);
    if (s->source)
        analyze(s, now->mesh);
    sweep(s);
    status_peers_find(s->peers, now->mesh);
}

/* ---- judging ---- */

static void schedule(struct status *s, uint64_t in)
{
    uint64_t now = loop_now(s->config.loop), cost = s->last_cost * LOOK_SHARE;
    uint64_t free_at = s->last_look + (cost > LOOK_GAP ? cost : LOOK_GAP), at = now + in;

    if (s->last_look && at < free_at)
        at = free_at;
    if (!timer_is_set(&s->look) || s->next > at) {
        s->next = at;
        timer_set(&s->look, at);
    }
}

static struct view keep(struct arena *a, struct view v)
{
    return v.n ? arena_view(a, v) : VIEW_NONE;
}

static struct status_text copy(struct arena *a, const struct status_text *t)
{
    struct status_text c = *t;

    for (int i = 0; i < STATUS_TYPES; i++) {
        c.conditions[i].reason = keep(a, t->conditions[i].reason);
        c.conditions[i].message = keep(a, t->conditions[i].message);
    }
    c.messages = keep(a, t->messages);
    c.foreign = keep(a, t->foreign);
    return c;
}

/* When a difference is to be written, in loop time. */
static uint64_t due(struct status *s, struct entry *e, const struct status_text *wish, enum status_difference d)
{
    uint64_t now = loop_now(s->config.loop), at = now, leisure = LEISURE + s->stats.objects * LEISURE_EACH;
    bool pending = view_is(wish->conditions[STATUS_PROGRAMMED].reason, "Pending");
    bool silent = pending && wish->conditions[STATUS_PROGRAMMED].value == STATUS_UNKNOWN;

    if (!pending)
        e->pending_since = 0;
    else if (!e->pending_since)
        e->pending_since = now;
    if (pending)
        s->restless_until = now + RESTLESS;
    if (pending && (d == STATUS_NEWS || e->pending_since == now))
        at = e->pending_since + (silent ? FEWER : PATIENCE);
    if (d == STATUS_COUNTS && at < e->written_at + leisure)
        at = e->written_at + leisure;
    if (status_proxies(wish) >= status_proxies(&e->have))
        e->fewer_since = 0;
    else if (!e->fewer_since)
        e->fewer_since = now;
    if (d == STATUS_COUNTS && e->fewer_since && at < e->fewer_since + FEWER)
        at = e->fewer_since + FEWER;
    return at > e->blocked_until ? at : e->blocked_until;
}

static struct status_facts facts_of(const struct status *s, const struct entry *e)
{
    static const struct reach_count none;
    const struct reach_count *n = e->reach == NO_REACH ? &none : reach_result(s->reach, e->reach);

    return (struct status_facts){.generation = e->generation,
                                 .in_force = e->in_force,
                                 .acked = n->acked,
                                 .proxies = n->proxies,
                                 .waiting = n->waiting,
                                 .nack = n->nack,
                                 .refused_by = n->refused_by};
}

/* A replica that says nothing (it begins, it ends) changes no count of a version that was counted before. */
static void keep_count(struct status *s, const struct entry *e, struct status_text *wish)
{
    s->restless_until = loop_now(s->config.loop) + RESTLESS;
    if (e->have.generation != wish->generation || e->have.conditions[STATUS_PROGRAMMED].value == STATUS_ABSENT)
        return;
    wish->conditions[STATUS_PROGRAMMED] = e->have.conditions[STATUS_PROGRAMMED];
    wish->conditions[STATUS_RECONCILED] = e->have.conditions[STATUS_RECONCILED];
}

static void judge(struct status *s, struct entry *e, struct arena *a)
{
    struct status_facts f = facts_of(s, e);
    uint64_t now = loop_now(s->config.loop), at;
    enum status_difference d;
    struct status_text wish;

    if (e->item.call)
        return; /* looked at again when it has ended */
    if (!e->known) {
        e->item.stale = true;
        status_writer_want(s->writer, &e->item);
        return;
    }
    if (e->in_force >= 0)
        status_peers_add(s->peers, e->key, e->in_force, e->changed_at, &f);
    status_decide(&f, &e->verdict, a, &wish);
    if (f.silent.n)
        keep_count(s, e, &wish);
    d = status_settle(&wish, &e->have, loop_wall(s->config.loop));
    if (d == STATUS_SAME) {
        e->pending_since = 0;
        status_writer_drop(s->writer, &e->item);
        return;
    }
    at = due(s, e, &wish, d);
    if (at > now) {
        schedule(s, at - now);
        return;
    }
    arena_clear(&e->wish_in);
    e->wish = copy(&e->wish_in, &wish);
    status_writer_want(s->writer, &e->item);
}

static void look(struct status *s)
{
    const struct store_snapshot *now = push_now(s->config.push);
    uint64_t begin = clock_mono();
    struct arena a;

    if (!s->source || !status_source_complete(s->source) || !now)
        return;
    if (now->number != s->number || s->rejections)
        take_world(s, now);
    reach_count(s->reach, s->config.xds);
    s->last_look = loop_now(s->config.loop);
    arena_init(&a, 16 * 1024);
    MAP_EACH (&s->entries, it) {
        judge(s, it->value, &a);
        arena_clear(&a);
    }
    arena_done(&a);
    if (status_peers_any(s->peers) && s->restless_until > s->last_look && !timer_is_set(&s->ask_soon))
        timer_in(&s->ask_soon, ASK_OFTEN);
    events_tick(s->events);
    s->last_cost = clock_mono() - begin;
    s->stats.looks++;
    s->stats.look_ns += s->last_cost;
}

/* ---- writing ---- */

static bool prepare(void *arg, struct status_item *item, struct kube_request *target, struct buf *body)
{
    struct entry *e = CONTAINER_OF(item, struct entry, item);
    struct status *s = arg;

    if (!s->source)
        return false;
    target->resource = e->resource;
    target->ns = e->ns;
    target->name = e->name;
    if (item->stale)
        return true; /* it is only read */
    status_print(&e->wish, buf_read(&e->rv), body);
    return !item->refused || view_hash(buf_read(body)) != e->refused_hash;
}

static void say(struct status *s, const struct entry *e, bool warning, struct view reason, struct view note)
{
    struct event what = {.about = {.kind = e->kind,
                                   .ns = e->ns,
                                   .name = e->name,
                                   .uid = buf_read(&e->uid),
                                   .resource_version = buf_read(&e->rv)},
                         .warning = warning,
                         .reason = reason,
                         .note = note};
    struct buf version = {0};

    buf_printf(&version, "%.*s/%.*s", VIEW_ARGS(e->resource.group), VIEW_ARGS(e->resource.version));
    what.about.api_version = buf_read(&version);
    events_say(s->events, &what);
    buf_done(&version);
}

/* Only what goes wrong and what is right again. */
static void say_changes(struct status *s, const struct entry *e)
{
    static const enum status_type types[] = {STATUS_ACCEPTED, STATUS_RESOLVED_REFS, STATUS_PROGRAMMED};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const struct status_condition *now = &e->wish.conditions[types[i]], *was = &e->have.conditions[types[i]];
        bool quiet = types[i] == STATUS_PROGRAMMED && !view_is(now->reason, "Refused"); /* or Accepted says it */
        bool was_quiet = types[i] == STATUS_PROGRAMMED && !view_is(was->reason, "Refused");
        if (now->value == STATUS_FALSE && !quiet && (was->value != STATUS_FALSE || was_quiet))
            say(s, e, true, now->reason, now->message);
        else if (now->value == STATUS_TRUE && was->value == STATUS_FALSE && !was_quiet)
            say(s, e, false, now->reason,
                types[i] == STATUS_ACCEPTED        ? VIEW("accepted again")
                : types[i] == STATUS_RESOLVED_REFS ? VIEW("everything that it names is there")
                                                   : now->message);
    }
}

static void written(struct status *s, struct entry *e, const struct node *node)
{
    struct view rv = node_text_at(node, "metadata.resourceVersion");

    if (rv.n)
        set(&e->rv, rv);
    e->written_at = loop_now(s->config.loop);
    say_changes(s, e);
    arena_clear(&e->have_in);
    e->have = copy(&e->have_in, &e->wish);
    arena_clear(&e->wish_in);
}

static void answer(void *arg, struct status_item *item, enum status_answer what, const struct node *node)
{
    struct entry *e = CONTAINER_OF(item, struct entry, item);
    struct status *s = arg;
    struct buf body = {0};

    switch (what) {
    case STATUS_WRITTEN:
        written(s, e, node);
        break;
    case STATUS_READ:
        if (node && view_eq(node_text_at(node, "metadata.uid"), buf_read(&e->uid)))
            learn(e, node);
        else
            e->blocked_until = loop_now(s->config.loop) + LOOK_GAP; /* the watch will say what it is now */
        break;
    case STATUS_GONE:
        e->blocked_until = loop_now(s->config.loop) + BLOCKED;
        break;
    case STATUS_REFUSED:
        status_print(&e->wish, buf_read(&e->rv), &body);
        e->refused_hash = view_hash(buf_read(&body));
        buf_done(&body);
        break;
    }
    schedule(s, AFTER_ACK);
}

/* ---- being the writer ---- */

static void follow_lease(struct status *s)
{
    bool held = kube_lease_held(s->config.lease);

    if (held == (s->source != NULL))
        return;
    if (held) {
        s->source =
            status_source_new(s->config.loop, s->config.api, !kube_client_local(s->config.api), take, s, &s->task);
    } else {
        s->source = status_source_free(s->source);
        clear(s);
        timer_rest(&s->look);
        timer_rest(&s->ask);
        timer_rest(&s->ask_soon);
    }
}

static void ask(struct status *s)
{
    timer_rest(&s->ask_soon);
    status_peers_ask(s->peers);
    timer_in(&s->ask, loop_now(s->config.loop) < s->restless_until ? ASK_OFTEN : ASK_SELDOM);
}

static void status_run(struct task *t, uint32_t events)
{
    struct status *s = CONTAINER_OF(t, struct status, task);

    follow_lease(s);
    if (!s->source)
        return;
    if (events & KUBE_WAKE) {
        status_source_drain(s->source);
        status_peers_drain(s->peers);
        schedule(s, AFTER_ACK);
    }
    if (events & EVENT_REJECTED) {
        s->rejections = true;
        schedule(s, AFTER_SNAPSHOT);
    }
    if (events & EVENT_WORLD)
        schedule(s, AFTER_ACK);
    if (events & EVENT_ASK)
        ask(s);
    if (events & EVENT_LOOK && loop_now(s->config.loop) >= s->next) {
        timer_rest(&s->look);
        look(s);
    }
}

void status_snapshot(struct status *s)
{
    s->snapshot_at = loop_now(s->config.loop);
    if (!s->source)
        return;
    schedule(s, AFTER_SNAPSHOT);
    s->restless_until = loop_now(s->config.loop) + RESTLESS;
    if (status_peers_any(s->peers))
        timer_in(&s->ask_soon, AFTER_SNAPSHOT / 2); /* so that the answers are there by then */
}

/* For the replica that writes: what our proxies have. */
void status_print_counts(struct status *s, struct buf *out)
{
    const struct store_snapshot *now = push_now(s->config.push);
    const char *comma = "\n";

    if (now && now->number != s->number)
        take_world(s, now);
    if (now)
        reach_count(s->reach, s->config.xds);
    buf_str(out, "{\"objects\":[");
    MAP_EACH (&s->entries, it) {
        const struct entry *e = it->value;
        struct status_facts f = facts_of(s, e);
        if (e->unsupported || e->in_force < 0)
            continue;
        buf_str(out, comma);
        comma = ",\n";
        status_peers_print(out, e->key, e->in_force, &f);
    }
    buf_str(out, "\n]}\n");
}

void status_lease(struct status *s)
{
    task_wake(&s->task, KUBE_WAKE);
}

struct status *status_new(const struct status_config *config)
{
    struct status *s = calloc(1, sizeof(*s));

    must(s != NULL);
    s->config = *config;
    map_init(&s->entries, NULL);
    task_init(&s->task, config->loop, status_run, "status");
    timer_init(&s->look, &s->task, EVENT_LOOK);
    timer_init(&s->ask, &s->task, EVENT_ASK);
    timer_init(&s->ask_soon, &s->task, EVENT_ASK);
    s->peers = status_peers_new(config->loop, config->instance, &s->task);
    s->reach = reach_new();
    s->writer = status_writer_new(config->loop, config->api, prepare, answer, s);
    s->events =
        events_new(&(struct events_config){.loop = config->loop, .api = config->api, .instance = config->instance});
    xds_server_listen(config->xds, &s->task, EVENT_WORLD);
    store_listen(config->store, &s->task, EVENT_REJECTED);
    task_wake(&s->task, KUBE_WAKE);
    return s;
}

struct status *status_free(struct status *s)
{
    if (!s)
        return NULL;
    xds_server_listen(s->config.xds, NULL, 0);
    store_listen(s->config.store, NULL, 0);
    clear(s);
    map_done(&s->entries);
    status_source_free(s->source);
    status_peers_free(s->peers);
    status_writer_free(s->writer);
    events_free(s->events);
    reach_free(s->reach);
    buf_done(&s->key);
    timer_done(&s->look);
    timer_done(&s->ask);
    timer_done(&s->ask_soon);
    task_done(&s->task);
    free(s);
    return NULL;
}

const struct status_stats *status_stats(struct status *s)
{
    const struct status_writer_stats *w = status_writer_stats(s->writer);
    const struct events_stats *e = events_stats(s->events);

    s->stats.writes = w->writes;
    s->stats.failures = w->failures;
    s->stats.waiting = w->waiting;
    s->stats.events = e->written;
    s->stats.events_held = e->held;
    s->stats.leader = s->source != NULL;
    return &s->stats;
}
