// SPDX-License-Identifier: Apache-2.0
/* See event.h. Events that wait are a queue, those that were written lately a map by their words; calls go one at a time. */
#include "control/status/event.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "kube/client.h"
#include "net/loop.h"
#include "net/timer.h"

enum { EVENT_TURN = 1 }; /* and KUBE_WAKE */

#define SAME (600 * NS_PER_S)
#define OBJECT_EACH (60 * NS_PER_S)
#define EACH (NS_PER_S / LIMIT_EVENTS_S)
#define TRIES 3
#define AFTER_FAILURE (5 * NS_PER_S)

static const struct kube_resource resource = {.version = {"v1", 2}, .plural = {"events", 6}, .namespaced = true};

struct said { /* one Event, as it was or will be written */
    struct list link;
    struct arena arena;
    struct event what;
    struct view key, name;
    uint64_t first, last; /* wall */
    uint64_t heard;       /* loop time: for forgetting */
    uint32_t count, written;
    uint32_t tries;
    bool waiting;
};

struct talker { /* an object's share */
    uint64_t full_at;
    size_t n;
    char uid[];
};

struct events {
    struct task task;
    struct timer turn;
    struct events_config config;
    struct map said;    /* words → struct said */
    struct map talkers; /* uid → struct talker */
    struct list waiting;
    struct said *now; /* under way */
    struct kube_call *call;
    uint64_t full_at, not_before; /* after a failure */
    uint32_t n_waiting;
    uint64_t names; /* makes names of Events differ */
    bool off;
    struct events_stats stats;
};

/* ---- limits ---- */

/* A bucket as the time at which it is full. false: empty; *ret_when: when it is not. */
static bool take_token(uint64_t *full_at, uint64_t now, uint64_t each, uint32_t burst, uint64_t *ret_when)
{
    uint64_t room = (burst - 1) * each;

    if (*full_at < now)
        *full_at = now;
    if (*full_at - now > room) {
        *ret_when = *full_at - room;
        return false;
    }
    *full_at += each;
    return true;
}

static bool may_say(struct events *e, struct view uid)
{
    struct talker *t = map_get(&e->talkers, uid);
    uint64_t when;

    if (!t) {
        if (map_size(&e->talkers) >= LIMIT_EVENTS_KNOWN)
            return false;
        t = calloc(1, sizeof(*t) + uid.n);
        must(t != NULL);
        t->n = uid.n;
        if (uid.n)
            memcpy(t->uid, uid.p, uid.n);
        map_put(&e->talkers, view_make(t->uid, t->n), t);
    }
    return take_token(&t->full_at, loop_now(e->config.loop), OBJECT_EACH, LIMIT_EVENTS_OBJECT_BURST, &when);
}

static void forget(struct events *e, struct said *s)
{
    map_del(&e->said, s->key);
    arena_done(&s->arena);
    free(s);
}

void events_tick(struct events *e)
{
    uint64_t now = loop_now(e->config.loop);

    MAP_EACH (&e->said, it) {
        struct said *s = it->value;
        if (!s->waiting && s != e->now && now - s->heard > SAME)
            forget(e, s);
    }
    MAP_EACH (&e->talkers, it) {
        struct talker *t = it->value;
        if (t->full_at < now) {
            map_del(&e->talkers, it->key);
            free(t);
        }
    }
}

/* ---- saying ---- */

static struct said *said_new(struct events *e, const struct event *what, struct view key)
{
    struct said *s = calloc(1, sizeof(*s));
    const struct event_object *o = &what->about;
    struct event_object *to = &s->what.about;
    size_t n = LIMIT_EVENT_NOTE_BYTES;

    must(s != NULL);
    arena_init(&s->arena, 1024);
    list_init(&s->link);
    to->api_version = arena_view(&s->arena, o->api_version);
    to->kind = arena_view(&s->arena, o->kind);
    to->ns = arena_view(&s->arena, o->ns);
    to->name = arena_view(&s->arena, o->name);
    to->uid = arena_view(&s->arena, o->uid);
    to->resource_version = arena_view(&s->arena, o->resource_version);
    s->what.warning = what->warning;
    s->what.reason = arena_view(&s->arena, what->reason);
    while (n < what->note.n && n && ((unsigned char)what->note.p[n] & 0xc0) == 0x80)
        n--;
    s->what.note = arena_view(&s->arena, view_head(what->note, n));
    s->key = arena_view(&s->arena, key);
    s->first = loop_wall(e->config.loop);
    s->name = arena_printf(&s->arena, "%.*s.%016llx", VIEW_ARGS(view_head(o->name, 230)),
                           (unsigned long long)s->first + e->names++);
    map_put(&e->said, s->key, s);
    return s;
}

void events_say(struct events *e, const struct event *what)
{
    struct buf key = {0};
    struct said *s;

    if (e->off)
        return;
    buf_printf(&key, "%.*s/%.*s/%d/", VIEW_ARGS(what->about.uid), VIEW_ARGS(what->reason), what->warning);
    buf_view(&key, what->note);
    s = map_get(&e->said, buf_read(&key));
    if (s && !s->waiting && s != e->now && loop_now(e->config.loop) - s->heard > SAME) {
        forget(e, s);
        s = NULL;
    }
    if (!may_say(e, what->about.uid) || (!s && map_size(&e->said) >= LIMIT_EVENTS_KNOWN) ||
        e->n_waiting >= LIMIT_EVENTS_WAITING) {
        e->stats.held++;
        buf_done(&key);
        return;
    }
    if (!s)
        s = said_new(e, what, buf_read(&key));
    buf_done(&key);
    s->count++;
    s->last = loop_wall(e->config.loop);
    s->heard = loop_now(e->config.loop);
    if (!s->waiting && s != e->now) {
        s->waiting = true;
        e->n_waiting++;
        list_push(&e->waiting, &s->link);
    }
    task_wake(&e->task, EVENT_TURN);
}

/* ---- writing ---- */

static void field(struct buf *out, const char *key, struct view value)
{
    if (!value.n)
        return;
    buf_printf(out, "\"%s\":", key);
    buf_json_str(out, value);
    buf_char(out, ',');
}

static void print_time(struct buf *out, const char *key, uint64_t wall)
{
    struct buf b = {0};
    struct view v;

    clock_print_time(&b, wall);
    v = buf_read(&b);
    buf_printf(out, ",\"%s\":\"%.*sZ\"", key, (int)view_find(v, '.'), v.p);
    buf_done(&b);
}

static void print_object(struct buf *out, const struct event_object *o)
{
    buf_str(out, ",\"involvedObject\":{");
    field(out, "apiVersion", o->api_version);
    field(out, "namespace", o->ns);
    field(out, "uid", o->uid);
    field(out, "resourceVersion", o->resource_version);
    buf_str(out, "\"kind\":");
    buf_json_str(out, o->kind);
    buf_str(out, ",\"name\":");
    buf_json_str(out, o->name);
    buf_char(out, '}');
}

static struct view ns_of(const struct said *s) /* Events about objects without a namespace are in default */
{
    return s->what.about.ns.n ? s->what.about.ns : VIEW("default");
}

static void print_event(const struct events *e, const struct said *s, struct buf *out)
{
    buf_str(out, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":");
    buf_json_str(out, s->name);
    buf_str(out, ",\"namespace\":");
    buf_json_str(out, ns_of(s));
    buf_printf(out, "},\"type\":\"%s\",\"reason\":", s->what.warning ? "Warning" : "Normal");
    buf_json_str(out, s->what.reason);
    buf_str(out, ",\"message\":");
    buf_json_str(out, s->what.note);
    print_object(out, &s->what.about);
    buf_str(
        out,
        ",\"source\":{\"component\":\"weft-control\"},\"reportingComponent\":\"weft-control\",\"reportingInstance\":");
    buf_json_str(out, e->config.instance.n ? e->config.instance : VIEW("weft-control"));
    buf_printf(out, ",\"count\":%u", s->count);
    print_time(out, "firstTimestamp", s->first);
    print_time(out, "lastTimestamp", s->last);
    buf_char(out, '}');
}

static void write_one(struct events *e, struct said *s)
{
    struct kube_request q = {.verb = s->written ? KUBE_PATCH : KUBE_CREATE, .resource = resource, .ns = ns_of(s)};
    struct buf body = {0};

    if (s->written) {
        q.name = s->name;
        buf_printf(&body, "{\"count\":%u", s->count);
        print_time(&body, "lastTimestamp", s->last);
        buf_char(&body, '}');
    } else {
        print_event(e, s, &body);
    }
    q.body = buf_read(&body);
    e->now = s;
    s->waiting = false;
    s->tries++;
    e->n_waiting--;
    e->call = kube_call_new(e->config.api, &q, &e->task);
    buf_done(&body);
}

static void switch_off(struct events *e, int status)
{
    e->off = true;
    if (status == 403)
        log_warn("Events cannot be written: %.*s; statuses say the same", VIEW_ARGS(kube_call_why(e->call)));
    else
        log_info("this API server has no Events: statuses say the same");
    LIST_EACH (&e->waiting, struct said, link, s) {
        list_del(&s->link);
        s->waiting = false;
    }
    e->n_waiting = 0;
}

static void take_answer(struct events *e)
{
    struct said *s = e->now;
    int status = kube_call_status(e->call);

    e->now = NULL;
    if (status == 200 || status == 201) {
        e->stats.written++;
        s->written = s->count;
        s->tries = 0;
    } else if ((status == 404 || status == 405) && s->written) {
        s->written = 0; /* the Event is too old and gone: another one */
    } else if (status == 404 || status == 405 || status == 403) {
        struct view message = kube_call_body(e->call);
        bool namespace = view_find_view(message, VIEW("namespaces \\\"")) < message.n ||
                         view_find_view(message, VIEW("being terminated")) < message.n;
        if (!namespace) /* else: only this namespace is on its way out */
            switch_off(e, status);
        s->tries = TRIES;
    } else if (status >= 400 && status < 500 && status != 429 && status != 408 && status != 409) {
        s->tries = TRIES; /* it will not get better */
    } else {
        e->not_before = loop_now(e->config.loop) + AFTER_FAILURE;
    }
    e->call = kube_call_free(e->call);
    if (s->count != s->written && s->tries < TRIES && !e->off) {
        s->waiting = true;
        e->n_waiting++;
        list_push(&e->waiting, &s->link);
    }
}

static void events_run(struct task *t, uint32_t bits)
{
    struct events *e = CONTAINER_OF(t, struct events, task);
    uint64_t when = 0;

    if (e->call && kube_call_done(e->call))
        take_answer(e);
    while (!e->call && !list_empty(&e->waiting)) {
        uint64_t now = loop_now(e->config.loop);
        struct list *first;
        if (e->not_before > now || !take_token(&e->full_at, now, EACH, LIMIT_EVENTS_BURST, &when)) {
            timer_set(&e->turn, e->not_before > now ? e->not_before : when);
            return;
        }
        first = list_pop(&e->waiting);
        write_one(e, LIST_ITEM(first, struct said, link));
        if (kube_call_done(e->call))
            take_answer(e);
    }
}

struct events *events_new(const struct events_config *config)
{
    struct events *e = calloc(1, sizeof(*e));

    must(e != NULL);
    e->config = *config;
    map_init(&e->said, NULL);
    map_init(&e->talkers, NULL);
    list_init(&e->waiting);
    task_init(&e->task, config->loop, events_run, "events");
    timer_init(&e->turn, &e->task, EVENT_TURN);
    return e;
}

struct events *events_free(struct events *e)
{
    if (!e)
        return NULL;
    kube_call_free(e->call);
    MAP_EACH (&e->said, it) {
        struct said *s = it->value;
        arena_done(&s->arena);
        free(s);
    }
    map_done(&e->said);
    MAP_EACH (&e->talkers, it) {
        free(it->value);
    }
    map_done(&e->talkers);
    timer_done(&e->turn);
    task_done(&e->task);
    free(e);
    return NULL;
}

const struct events_stats *events_stats(const struct events *e)
{
    return &e->stats;
}
