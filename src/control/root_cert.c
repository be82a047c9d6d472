// SPDX-License-Identifier: Apache-2.0
/* See root_cert.h. A queue of namespaces, walked read → write; all of them are looked at again every ten minutes, because
 * somebody may have deleted or changed one.
 */
#include "control/root_cert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "kube/client.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { EVENT_AGAIN = 1 }; /* and KUBE_WAKE */

#define NAME "istio-ca-root-cert"
#define KEY "root-cert.pem"
#define AGAIN (600 * NS_PER_S)
#define AFTER_FAILURE (10 * NS_PER_S)

static const struct kube_resource config_maps = {
    .version = {"v1", 2}, .plural = {"configmaps", 10}, .namespaced = true};

struct place { /* one namespace */
    bool due, seen;
    size_t n;
    char ns[];
};

struct root_cert {
    struct task task;
    struct timer again;
    struct kube_client *api;
    struct view root;
    struct map places; /* namespace → struct place */
    struct place *now; /* being read or written */
    struct kube_call *call;
    bool writing, forbidden;
    uint64_t written;
};

static bool is_right(struct view body, struct view root)
{
    struct node *tree = NULL;
    struct arena a;
    bool right;

    arena_init(&a, 0);
    right = node_parse(&a, body, &tree, NULL) == 0 &&
            view_eq(node_text(node_get(node_get(tree, VIEW("data")), VIEW(KEY))), root);
    arena_done(&a);
    return right;
}

/* found: it is there with another content. */
static void write_one(struct root_cert *r, bool found)
{
    struct kube_request q = {.verb = found ? KUBE_PATCH : KUBE_CREATE,
                             .resource = config_maps,
                             .ns = {r->now->ns, r->now->n},
                             .name = found ? VIEW(NAME) : VIEW_NONE};
    struct buf body = {0};

    buf_str(&body, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" NAME "\",\"namespace\":");
    buf_json_str(&body, q.ns);
    buf_str(&body, ",\"labels\":{\"istio.io/config\":\"true\"}},\"data\":{\"" KEY "\":");
    buf_json_str(&body, r->root);
    buf_str(&body, "}}");
    q.body = buf_read(&body);
    r->writing = true;
    r->call = kube_call_new(r->api, &q, &r->task);
    buf_done(&body);
}

static void next(struct root_cert *r)
{
    MAP_EACH (&r->places, it) {
        struct place *p = it->value;
        if (r->now || r->forbidden || !p->due)
            continue;
        p->due = false;
        r->now = p;
        r->writing = false;
        r->call = kube_call_new(
            r->api,
            &(struct kube_request){.verb = KUBE_GET, .resource = config_maps, .ns = {p->ns, p->n}, .name = VIEW(NAME)},
            &r->task);
    }
}

static void later(struct root_cert *r, struct place *p, int status)
{
    p->due = true;
    if (r->writing && (status == 403 || status == 405)) {
        r->forbidden = true;
        log_info("ConfigMap " NAME " is not ours to write (status %d): somebody else must put it into every namespace",
                 status);
        return;
    }
    timer_in(&r->again, AFTER_FAILURE);
}

static void take_answer(struct root_cert *r)
{
    struct place *p = r->now;
    int status = kube_call_status(r->call);
    bool found = status == 200;

    if (!r->writing && (found ? !is_right(kube_call_body(r->call), r->root) : status == 404)) {
        kube_call_free(r->call);
        write_one(r, found);
        return;
    }
    r->call = kube_call_free(r->call);
    r->now = NULL;
    if (r->writing && (status == 200 || status == 201))
        r->written++;
    else if (r->writing ? status != 409 && status != 404 : !found) /* 404: the namespace is gone */
        later(r, p, status);
    if (!timer_is_set(&r->again))
        next(r);
}

static void root_cert_run(struct task *t, uint32_t events)
{
    struct root_cert *r = CONTAINER_OF(t, struct root_cert, task);

    if (events & EVENT_AGAIN) {
        MAP_EACH (&r->places, it) {
            ((struct place *)it->value)->due = true;
        }
        timer_rest(&r->again);
        next(r);
    }
    while (r->call && kube_call_done(r->call))
        take_answer(r);
    if (!r->now && !timer_is_set(&r->again))
        timer_in(&r->again, AGAIN);
}

void root_cert_check(struct root_cert *r, const struct mesh_snapshot *snapshot)
{
    MAP_EACH (&r->places, it) {
        ((struct place *)it->value)->seen = false;
    }
    SNAPSHOT_EACH(snapshot, NAMESPACE, namespace, ns)
    {
        struct view name = ns->o.meta.name;
        struct place *p = map_get(&r->places, name);
        if (!p && !ns->o.meta.deleting) {
            p = calloc(1, sizeof(*p) + name.n);
            must(p != NULL);
            p->due = true;
            p->n = name.n;
            memcpy(p->ns, name.p, name.n);
            map_put(&r->places, (struct view){p->ns, p->n}, p);
        }
        if (p)
            p->seen = true;
    }
    MAP_EACH (&r->places, it) {
        struct place *p = it->value;
        if (!p->seen && p != r->now) {
            map_del(&r->places, it->key);
            free(p);
        }
    }
    next(r);
}

struct root_cert *root_cert_new(struct loop *loop, struct kube_client *api, struct view root_pem)
{
    struct root_cert *r = calloc(1, sizeof(*r));

    must(r != NULL);
    r->api = api;
    r->root = root_pem;
    map_init(&r->places, NULL);
    task_init(&r->task, loop, root_cert_run, "root certificates");
    timer_init(&r->again, &r->task, EVENT_AGAIN);
    return r;
}

struct root_cert *root_cert_free(struct root_cert *r)
{
    if (!r)
        return NULL;
    kube_call_free(r->call);
    MAP_EACH (&r->places, it) {
        free(it->value);
    }
    map_done(&r->places);
    timer_done(&r->again);
    task_done(&r->task);
    free(r);
    return NULL;
}

uint64_t root_cert_written(const struct root_cert *r)
{
    return r->written;
}
