// SPDX-License-Identifier: Apache-2.0
/* See status.h. A look: the objects of the newest snapshot and those that were rejected get an entry each; what the analyzers
 * say and how many proxies have them becomes the status that they should have; what differs from the one that they have is
 * written when its time has come. Looks are at least LOOK_GAP apart, and never take more than a fiftieth of the CPU.
 */
#include "control/status/status.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "control/status/event.h"
#include "control/push.h"
#include "control/status/condition.h"
#include "control/status/peers.h"
#include "control/status/source.h"
#include "control/status/world.h"
#include "control/status/write.h"
#include "control/store.h"
#include "kube/lease.h"
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

struct status {
    struct task task;
    struct timer look, ask, ask_soon;
    struct status_config config;
    struct status_source *source; /* NULL: not the writer */
    struct status_writer *writer;
    struct events *events;
    struct status_peers *peers;
    struct status_world world;
    uint64_t last_look, last_cost, next, restless_until;
    bool rejections;
    struct status_stats stats;
};

/* ---- judging ---- */

static void take_world(struct status *s, const struct store_snapshot *now)
{
    s->rejections = false;
    status_world_take(&s->world, now, s->source != NULL);
    status_peers_find(s->peers, now->mesh);
}

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
static uint64_t due(struct status *s, struct status_entry *e, const struct status_text *wish, enum status_difference d)
{
    uint64_t now = loop_now(s->config.loop), at = now, leisure = LEISURE + s->world.objects * LEISURE_EACH;
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

/* A replica that says nothing (it begins, it ends) changes no count of a version that was counted before. */
static void keep_count(struct status *s, const struct status_entry *e, struct status_text *wish)
{
    s->restless_until = loop_now(s->config.loop) + RESTLESS;
    if (e->have.generation != wish->generation || e->have.conditions[STATUS_PROGRAMMED].value == STATUS_ABSENT)
        return;
    wish->conditions[STATUS_PROGRAMMED] = e->have.conditions[STATUS_PROGRAMMED];
    wish->conditions[STATUS_RECONCILED] = e->have.conditions[STATUS_RECONCILED];
}

static void judge(struct status *s, struct status_entry *e, struct arena *a)
{
    struct status_facts f = status_entry_facts(&s->world, e);
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
    if (now->number != s->world.number || s->rejections)
        take_world(s, now);
    reach_count(s->world.reach, s->config.xds);
    s->last_look = loop_now(s->config.loop);
    arena_init(&a, 16 * 1024);
    MAP_EACH (&s->world.entries, it) {
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

/* Of what is said, whenever it is said. */
static uint64_t hash_of(const struct status_text *wish)
{
    struct status_text timeless = *wish;
    struct buf b = {0};
    uint64_t hash;

    for (int i = 0; i < STATUS_TYPES; i++)
        timeless.conditions[i].since = 0;
    status_print(&timeless, VIEW_NONE, &b);
    hash = view_hash(buf_read(&b));
    buf_done(&b);
    return hash;
}

static bool prepare(void *arg, struct status_item *item, struct kube_request *target, struct buf *body)
{
    struct status_entry *e = CONTAINER_OF(item, struct status_entry, item);
    struct status *s = arg;

    if (!s->source)
        return false;
    target->resource = e->resource;
    target->ns = e->ns;
    target->name = e->name;
    if (item->stale)
        return true; /* it is only read */
    status_print(&e->wish, buf_read(&e->rv), body);
    return !item->refused || hash_of(&e->wish) != e->refused_hash;
}

static void say(struct status *s, const struct status_entry *e, bool warning, struct view reason, struct view note)
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
static void say_changes(struct status *s, const struct status_entry *e)
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

static void written(struct status *s, struct status_entry *e, const struct node *node)
{
    struct view rv = node_text_at(node, "metadata.resourceVersion");

    if (rv.n) {
        buf_clear(&e->rv);
        buf_view(&e->rv, rv);
    }
    e->written_at = loop_now(s->config.loop);
    say_changes(s, e);
    arena_clear(&e->have_in);
    e->have = copy(&e->have_in, &e->wish);
    arena_clear(&e->wish_in);
}

static void answer(void *arg, struct status_item *item, enum status_answer what, const struct node *node)
{
    struct status_entry *e = CONTAINER_OF(item, struct status_entry, item);
    struct status *s = arg;

    switch (what) {
    case STATUS_WRITTEN:
        written(s, e, node);
        break;
    case STATUS_READ:
        if (node && view_eq(node_text_at(node, "metadata.uid"), buf_read(&e->uid)))
            status_entry_learn(e, node);
        else
            e->blocked_until = loop_now(s->config.loop) + LOOK_GAP; /* the watch will say what it is now */
        break;
    case STATUS_GONE:
        e->blocked_until = loop_now(s->config.loop) + BLOCKED;
        break;
    case STATUS_REFUSED:
        e->refused_hash = hash_of(&e->wish);
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
        status_world_clear(&s->world); /* what was counted for another writer has no verdicts */
        timer_in(&s->ask, 0);
        s->source = status_source_new(s->config.loop, s->config.api, !kube_client_local(s->config.api),
                                      status_world_listed, &s->world, &s->task);
    } else {
        s->source = status_source_free(s->source);
        status_world_clear(&s->world);
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
    s->world.snapshot_at = loop_now(s->config.loop);
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

    if (now && now->number != s->world.number)
        take_world(s, now);
    if (now)
        reach_count(s->world.reach, s->config.xds);
    buf_str(out, "{\"objects\":[");
    MAP_EACH (&s->world.entries, it) {
        const struct status_entry *e = it->value;
        struct status_facts f = status_entry_facts(&s->world, e);
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
    task_init(&s->task, config->loop, status_run, "status");
    timer_init(&s->look, &s->task, EVENT_LOOK);
    timer_init(&s->ask, &s->task, EVENT_ASK);
    timer_init(&s->ask_soon, &s->task, EVENT_ASK);
    s->peers = status_peers_new(config->loop, config->instance, &s->task);
    s->writer = status_writer_new(config->loop, config->api, prepare, answer, s);
    status_world_init(&s->world, config->store, s->writer);
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
    status_source_free(s->source);
    status_world_done(&s->world);
    status_peers_free(s->peers);
    status_writer_free(s->writer);
    events_free(s->events);
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

    s->stats.objects = s->world.objects;
    s->stats.writes = w->writes;
    s->stats.failures = w->failures;
    s->stats.waiting = w->waiting;
    s->stats.events = e->written;
    s->stats.events_held = e->held;
    s->stats.leader = s->source != NULL;
    return &s->stats;
}
