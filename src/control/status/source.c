// SPDX-License-Identifier: Apache-2.0
/* See status/source.h. One list after the other, in pages; the watches beside them. */
#include "control/status/source.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "kube/watch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { EVENT_AGAIN = 1 }; /* and KUBE_WAKE */

#define PAGE "250"
#define AGAIN (5 * NS_PER_S)

const enum mesh_kind status_kinds[] = {KIND_VIRTUAL_SERVICE, KIND_DESTINATION_RULE, KIND_GATEWAY, KIND_SERVICE_ENTRY,
                                       KIND_PEER_AUTHENTICATION};
enum { KINDS = sizeof(status_kinds) / sizeof(status_kinds[0]) };
const unsigned n_status_kinds = KINDS;

#define V(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
static const struct {
    struct view kind;
    struct kube_resource resource;
} unsupported[] = {
    {V("Sidecar"), {V("networking.istio.io"), V("v1,v1beta1,v1alpha3"), V("sidecars"), true}},
    {V("EnvoyFilter"), {V("networking.istio.io"), V("v1alpha3"), V("envoyfilters"), true}},
    {V("WorkloadEntry"), {V("networking.istio.io"), V("v1,v1beta1,v1alpha3"), V("workloadentries"), true}},
    {V("WorkloadGroup"), {V("networking.istio.io"), V("v1,v1beta1,v1alpha3"), V("workloadgroups"), true}},
    {V("ProxyConfig"), {V("networking.istio.io"), V("v1beta1"), V("proxyconfigs"), true}},
    {V("AuthorizationPolicy"), {V("security.istio.io"), V("v1,v1beta1"), V("authorizationpolicies"), true}},
    {V("RequestAuthentication"), {V("security.istio.io"), V("v1,v1beta1"), V("requestauthentications"), true}},
    {V("Telemetry"), {V("telemetry.istio.io"), V("v1,v1alpha1"), V("telemetries"), true}},
    {V("WasmPlugin"), {V("extensions.istio.io"), V("v1alpha1"), V("wasmplugins"), true}},
    {V("TrafficExtension"), {V("extensions.istio.io"), V("v1alpha1"), V("trafficextensions"), true}},
};
enum { UNSUPPORTED = sizeof(unsupported) / sizeof(unsupported[0]) };

struct status_source {
    struct task task; /* of the pause after a failure */
    struct timer again;
    struct kube_client *api;
    struct task *wake;
    status_take_fn take;
    void *arg;
    struct kube_call *call;
    struct buf page; /* token of the next page; empty: the first */
    unsigned kind;   /* being listed; KINDS: all were */
    bool watching, complained;
    struct kube_watch *watches[UNSUPPORTED];
};

static struct kube_resource resource_of(unsigned i)
{
    const struct mesh_kind_info *k = &mesh_kinds[status_kinds[i]];

    return (struct kube_resource){.group = k->group,
                                  .version = view_head(k->versions, view_find(k->versions, ',')),
                                  .plural = k->plural,
                                  .namespaced = k->namespaced};
}

static void hand_over(struct status_source *f, struct kube_resource resource, struct view kind, bool is_unsupported,
                      const struct node *tree)
{
    struct status_object o = {.resource = resource,
                              .kind = kind,
                              .ns = node_text_at(tree, "metadata.namespace"),
                              .name = node_text_at(tree, "metadata.name"),
                              .unsupported = is_unsupported,
                              .tree = tree};

    f->take(f->arg, &o);
}

static void ask(struct status_source *f)
{
    struct buf query = {0};

    if (f->kind == KINDS || timer_is_set(&f->again))
        return;
    buf_str(&query, "limit=" PAGE);
    if (buf_len(&f->page))
        buf_printf(&query, "&continue=%.*s", VIEW_ARGS(buf_read(&f->page)));
    f->call = kube_call_new(
        f->api, &(struct kube_request){.verb = KUBE_GET, .resource = resource_of(f->kind), .query = buf_read(&query)},
        f->wake);
    buf_done(&query);
}

/* The token goes into a query: whatever an API server makes of it. */
static void keep_page(struct buf *page, struct view token)
{
    buf_clear(page);
    for (size_t i = 0; i < token.n; i++) {
        unsigned char c = (unsigned char)token.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
                     c == '_' || c == '.' || c == '~';
        if (plain)
            buf_char(page, (char)c);
        else
            buf_printf(page, "%%%02X", c);
    }
}

static void take_list(struct status_source *f, struct view body)
{
    struct node *list = NULL;
    const struct node *items;
    struct arena a;

    arena_init(&a, 0);
    if (node_parse(&a, body, &list, NULL) < 0)
        list = NULL;
    items = node_get(list, VIEW("items"));
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++)
        hand_over(f, resource_of(f->kind), mesh_kinds[status_kinds[f->kind]].kind, false, items->items[i]);
    keep_page(&f->page, node_text_at(list, "metadata.continue"));
    arena_done(&a);
}

static void take_answer(struct status_source *f)
{
    int status = kube_call_status(f->call);

    if (status == 200) {
        take_list(f, kube_call_body(f->call));
    } else if (status == 404 || status == 410) {
        buf_clear(
            &f->page); /* no such kind here; or the pages are too old, and what is missing is read when it is written */
    } else {
        if (!f->complained)
            log_warn("statuses of objects cannot be read: %.*s; they are written when they can be",
                     VIEW_ARGS(kube_call_why(f->call)));
        f->complained = true;
        timer_in(&f->again, AGAIN);
    }
    f->call = kube_call_free(f->call);
    if (timer_is_set(&f->again))
        return;
    if (!buf_len(&f->page))
        f->kind++;
    ask(f);
}

static void drain_watch(struct status_source *f, unsigned i)
{
    struct kube_event e;

    while (kube_watch_next(f->watches[i], &e)) {
        if (e.type == KUBE_SET) {
            hand_over(f, unsupported[i].resource, unsupported[i].kind, true, e.node);
        } else if (e.type == KUBE_GONE) {
            struct status_object o = {.resource = unsupported[i].resource,
                                      .kind = unsupported[i].kind,
                                      .ns = e.ns,
                                      .name = e.name,
                                      .unsupported = true};
            f->take(f->arg, &o);
        }
    }
}

void status_source_drain(struct status_source *f)
{
    while (f->call && kube_call_done(f->call))
        take_answer(f);
    for (unsigned i = 0; f->watching && i < UNSUPPORTED; i++)
        drain_watch(f, i);
}

bool status_source_complete(const struct status_source *f)
{
    return f->kind == KINDS;
}

static void source_run(struct task *t, uint32_t events)
{
    struct status_source *f = CONTAINER_OF(t, struct status_source, task);

    timer_rest(&f->again);
    ask(f);
    task_wake(f->wake, KUBE_WAKE);
}

struct status_source *status_source_new(struct loop *loop, struct kube_client *api, bool watch_unsupported,
                                        status_take_fn take, void *arg, struct task *wake)
{
    struct status_source *f = calloc(1, sizeof(*f));

    must(f != NULL);
    f->api = api;
    f->take = take;
    f->arg = arg;
    f->wake = wake;
    f->watching = watch_unsupported;
    task_init(&f->task, loop, source_run, "status source");
    timer_init(&f->again, &f->task, EVENT_AGAIN);
    for (unsigned i = 0; watch_unsupported && i < UNSUPPORTED; i++)
        f->watches[i] = kube_watch_with(api, &unsupported[i].resource,
                                        &(struct kube_watch_options){.custom = true, .no_status = true}, wake);
    ask(f);
    task_wake(wake, KUBE_WAKE);
    return f;
}

struct status_source *status_source_free(struct status_source *f)
{
    if (!f)
        return NULL;
    kube_call_free(f->call);
    for (unsigned i = 0; i < UNSUPPORTED; i++)
        kube_watch_free(f->watches[i]);
    buf_done(&f->page);
    timer_done(&f->again);
    task_done(&f->task);
    free(f);
    return NULL;
}
