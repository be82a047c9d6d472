// SPDX-License-Identifier: Apache-2.0
/* See root_cert.h. A place is one namespace: whether it exists (from snapshots), what its ConfigMap holds (from the watch),
 * and when it may be written next. What is to be done follows from these three, at any time anew.
 */
#include "control/identity/root_cert.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "kube/client.h"
#include "kube/watch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { EVENT_AGAIN = 1 }; /* and KUBE_WAKE */

#define NAME "istio-ca-root-cert"
#define KEY "root-cert.pem"
#define AFTER_FAILURE (10 * NS_PER_S)
#define AFTER_REFUSAL (600 * NS_PER_S)
#define FIGHT_FIRST NS_PER_S /* between two repairs of one namespace; doubles */
#define FIGHT_MOST (64 * NS_PER_S)
#define FIGHT_OVER (300 * NS_PER_S)

static const struct kube_resource config_maps = {
    .version = {"v1", 2}, .plural = {"configmaps", 10}, .namespaced = true};

struct place { /* one namespace */
    bool exists, seen;
    uint64_t holds;                /* hash of what it has; 0: nothing */
    uint64_t not_before, repaired; /* loop time */
    uint64_t pause;                /* after the next repair */
    size_t n;
    char ns[];
};

struct root_cert {
    struct task task;
    struct timer again;
    struct loop *loop;
    struct kube_client *api;
    struct kube_watch *watch;
    struct buf roots;
    uint64_t wanted;   /* hash of roots */
    uint64_t writing;  /* of what the call under way writes: they may have changed since */
    struct map places; /* namespace → struct place */
    struct place *now; /* being written */
    struct kube_call *call;
    bool follows, synced, complained;
    bool simple; /* the server has no server-side apply */
    uint64_t written;
};

static uint64_t hash_of(struct view roots)
{
    return view_hash(roots) | 1;
}

static struct place *place_of(struct root_cert *r, struct view ns)
{
    struct place *p = map_get(&r->places, ns);

    if (p)
        return p;
    p = calloc(1, sizeof(*p) + ns.n);
    must(p != NULL);
    p->n = ns.n;
    memcpy(p->ns, ns.p, ns.n);
    map_put(&r->places, (struct view){p->ns, p->n}, p);
    return p;
}

/* ---- writing ---- */

static void write_one(struct root_cert *r, struct place *p)
{
    enum kube_verb verb = !r->simple ? KUBE_APPLY : p->holds ? KUBE_PATCH : KUBE_CREATE;
    struct kube_request q = {.verb = verb,
                             .resource = config_maps,
                             .ns = {p->ns, p->n},
                             .name = verb == KUBE_CREATE ? VIEW_NONE : VIEW(NAME)};
    struct buf body = {0};

    buf_str(&body, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" NAME "\",\"namespace\":");
    buf_json_str(&body, q.ns);
    buf_str(&body, ",\"labels\":{\"istio.io/config\":\"true\"}},\"data\":{\"" KEY "\":");
    buf_json_str(&body, buf_read(&r->roots));
    buf_str(&body, "}}");
    q.body = buf_read(&body);
    r->now = p;
    r->writing = r->wanted;
    r->call = kube_call_new(r->api, &q, &r->task);
    buf_done(&body);
}

/* Somebody who changes it as often as we do is met less and less often. */
static void pause_after_repair(struct root_cert *r, struct place *p)
{
    uint64_t now = loop_now(r->loop);

    p->pause = !p->repaired || now - p->repaired > FIGHT_OVER ? 0
               : !p->pause                                    ? FIGHT_FIRST
               : p->pause < FIGHT_MOST                        ? p->pause * 2
                                                              : FIGHT_MOST;
    p->repaired = now;
    p->not_before = now + p->pause;
}

static void refused(struct root_cert *r, int status)
{
    if (!r->complained)
        log_info("ConfigMap " NAME " is not ours to write (status %d): somebody else must put it into every namespace",
                 status);
    r->complained = true;
    MAP_EACH (&r->places, it) {
        ((struct place *)it->value)->not_before = loop_now(r->loop) + AFTER_REFUSAL;
    }
}

static void take_answer(struct root_cert *r)
{
    struct place *p = r->now;
    int status = kube_call_status(r->call);
    struct view body = kube_call_body(r->call);
    bool ending = view_find_view(body, VIEW("NamespaceTerminating")) < body.n;

    if (status == 200 || status == 201) {
        r->written++;
        r->complained = false;
        p->holds = r->writing; /* until the watch says otherwise */
        pause_after_repair(r, p);
    } else if (status == 415 && !r->simple) {
        r->simple = true;
    } else if (status == 404 || ending) {
        p->exists = false; /* until a snapshot shows it again */
    } else if (status == 403 || status == 405) {
        refused(r, status);
    } else if (status == 409) {
        p->not_before = loop_now(r->loop) + FIGHT_FIRST; /* the watch will say what it has now */
    } else {
        p->not_before = loop_now(r->loop) + AFTER_FAILURE;
    }
    r->call = kube_call_free(r->call);
    r->now = NULL;
}

static bool is_wrong(const struct root_cert *r, const struct place *p)
{
    return p->exists && p->holds != r->wanted;
}

static void act(struct root_cert *r)
{
    uint64_t now = loop_now(r->loop), next = TIMER_NEVER;

    timer_rest(&r->again);
    if (r->call || r->follows || !r->synced)
        return;
    MAP_EACH (&r->places, it) {
        struct place *p = it->value;
        if (!is_wrong(r, p))
            continue;
        if (p->not_before <= now) {
            write_one(r, p);
            return;
        }
        next = p->not_before < next ? p->not_before : next;
    }
    if (next != TIMER_NEVER)
        timer_set(&r->again, next);
}

/* ---- what there is ---- */

static void drain(struct root_cert *r)
{
    struct kube_event e;

    while (kube_watch_next(r->watch, &e)) {
        if (e.type == KUBE_SYNCED) {
            r->synced = true;
        } else if (view_is(e.name, NAME)) {
            struct view text =
                e.type == KUBE_SET ? node_text(node_get(node_get(e.node, VIEW("data")), VIEW(KEY))) : VIEW_NONE;
            place_of(r, e.ns)->holds = text.n ? hash_of(text) : 0;
        }
    }
}

static void root_cert_run(struct task *t, uint32_t events)
{
    struct root_cert *r = CONTAINER_OF(t, struct root_cert, task);

    drain(r);
    if (r->call && kube_call_done(r->call))
        take_answer(r);
    act(r);
}

static bool is_ignored(struct view ns)
{
    return view_is(ns, "kube-system") || view_is(ns, "kube-public") || view_is(ns, "kube-node-lease") ||
           view_is(ns, "local-path-storage");
}

void root_cert_check(struct root_cert *r, const struct mesh_snapshot *snapshot)
{
    MAP_EACH (&r->places, it) {
        ((struct place *)it->value)->seen = false;
    }
    SNAPSHOT_EACH(snapshot, NAMESPACE, namespace, ns)
    {
        if (!ns->o.meta.deleting && !is_ignored(ns->o.meta.name))
            place_of(r, ns->o.meta.name)->seen = true;
    }
    MAP_EACH (&r->places, it) {
        struct place *p = it->value;
        p->exists = p->seen;
        if (!p->seen && !p->holds && p != r->now) {
            map_del(&r->places, it->key);
            free(p);
        }
    }
    task_wake(&r->task, EVENT_AGAIN);
}

void root_cert_set(struct root_cert *r, struct view roots_pem)
{
    buf_clear(&r->roots);
    buf_view(&r->roots, roots_pem);
    r->wanted = hash_of(roots_pem);
    MAP_EACH (&r->places, it) {
        struct place *p = it->value;
        p->repaired = p->not_before = 0; /* not a fight: we want another one */
    }
    task_wake(&r->task, EVENT_AGAIN);
}

void root_cert_lead(struct root_cert *r, bool leads)
{
    r->follows = !leads;
    task_wake(&r->task, EVENT_AGAIN);
}

struct root_cert *root_cert_new(struct loop *loop, struct kube_client *api, struct view roots_pem)
{
    const struct kube_watch_options options = {.fields = VIEW("metadata.name=" NAME)};
    struct root_cert *r = calloc(1, sizeof(*r));

    must(r != NULL);
    r->loop = loop;
    r->api = api;
    map_init(&r->places, NULL);
    task_init(&r->task, loop, root_cert_run, "root certificates");
    timer_init(&r->again, &r->task, EVENT_AGAIN);
    root_cert_set(r, roots_pem);
    r->watch = kube_watch_with(api, &config_maps, &options, &r->task);
    return r;
}

struct root_cert *root_cert_free(struct root_cert *r)
{
    if (!r)
        return NULL;
    kube_call_free(r->call);
    kube_watch_free(r->watch);
    MAP_EACH (&r->places, it) {
        free(it->value);
    }
    map_done(&r->places);
    buf_done(&r->roots);
    timer_done(&r->again);
    task_done(&r->task);
    free(r);
    return NULL;
}

uint64_t root_cert_written(const struct root_cert *r)
{
    return r->written;
}

uint32_t root_cert_missing(const struct root_cert *r)
{
    uint32_t n = 0;

    MAP_EACH (&r->places, it) {
        n += is_wrong(r, it->value);
    }
    return n;
}
