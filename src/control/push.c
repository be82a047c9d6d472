// SPDX-License-Identifier: Apache-2.0
/* Compiles and publishes (push.h): all proxies when a snapshot comes, one proxy when it connects, and decides whether a
 * proxy may be what its node says that it is.
 */
#include "control/push.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "compile/compile.h"
#include "control/store.h"
#include "net/loop.h"
#include "xds/server.h"

struct push {
    struct push_config config;
    struct store_snapshot *now;
    struct compiler *compiler;
    struct tls_secret *roots; /* NULL: not known */
    struct buf version;
    struct push_stats stats;
};

/* The pod's labels as they are now, or, while it is not known, what the node was started with. */
static struct proxy_facts facts_of(const struct xds_node *n, const struct pod *pod, struct arena *a)
{
    struct proxy_facts f = {.kind = view_is(n->type, "router") ? PROXY_GATEWAY : PROXY_SIDECAR,
                            .ns = n->ns,
                            .pod = n->pod,
                            .ip = n->ip,
                            .cluster_id = n->cluster_id};

    if (pod) {
        f.labels = pod->o.meta.labels;
        return f;
    }
    f.labels.n = n->n_labels;
    f.labels.list = n->n_labels ? ARENA_ARRAY(a, struct label, n->n_labels) : NULL;
    for (uint32_t i = 0; i < n->n_labels; i++)
        f.labels.list[i] = (struct label){n->labels[i].name, n->labels[i].value};
    return f;
}

/* The pod that the node says it is, if its token or certificate proves the pod's service account; NULL: nothing proves it.
 * Private keys are for pods that a Gateway or a rule selects, so neither the name nor the labels are taken on trust. */
static const struct pod *pod_of(const struct push *p, const struct xds_proxy *proxy)
{
    struct object *o = snapshot_get(p->now->mesh, KIND_POD, proxy->node.ns, proxy->node.pod);
    const struct pod *pod = OBJECT_AS(o, POD, pod);

    if (!pod || (!p->config.open && !view_eq(pod->spec.service_account, proxy->identity.service_account)))
        return NULL;
    return pod;
}

static struct plan *without_secrets(struct plan *plan)
{
    struct plan *copy = plan_copy(plan);
    struct arena a;
    const struct resource **all;

    arena_init(&a, 0);
    all = plan_sorted(plan, RESOURCE_SECRET, &a);
    for (uint32_t i = 0, n = plan_count(plan, RESOURCE_SECRET); i < n; i++)
        plan_del(copy, RESOURCE_SECRET, all[i]->name);
    arena_done(&a);
    plan_unref(plan);
    return copy;
}

static void publish(struct push *p, struct xds_proxy *proxy)
{
    const struct plan *shared;
    struct proxy_facts facts;
    const struct pod *pod;
    struct plan *own;
    struct arena a;

    if (!p->compiler)
        return;
    arena_init(&a, 1024);
    pod = pod_of(p, proxy);
    facts = facts_of(&proxy->node, pod, &a);
    own = compile_layers(p->compiler, &facts, &shared);
    if (plan_count(own, RESOURCE_SECRET) && !p->config.open && (!pod || !proxy->identity.ns.n)) {
        if (proxy->identity.ns.n)
            log_warn(
                "%.*s gets no Secrets: there is no pod of this name with its service account, or it is not known yet",
                VIEW_ARGS(proxy->id));
        own = without_secrets(own); /* no scope has any */
    }
    if (p->roots && (proxy->identity.ns.n || p->config.open))
        plan_put(own, &p->roots->res);
    xds_proxy_publish_layers(proxy, shared, own, buf_read(&p->version));
    plan_unref(own);
    arena_done(&a);
    p->stats.plans++;
}

static void count_triggers(struct push *p, const struct store_snapshot *s)
{
    bool why[PUSH_TRIGGERS] = {0};

    for (int kind = 0; kind < MESH_KINDS; kind++)
        if (s->touched[kind])
            why[kind == KIND_SERVICE                                                        ? PUSH_SERVICE
                : kind == KIND_ENDPOINT_SLICE || kind == KIND_ENDPOINTS || kind == KIND_POD ? PUSH_ENDPOINT
                : kind == KIND_SECRET                                                       ? PUSH_SECRET
                : kind == KIND_NAMESPACE                                                    ? PUSH_NAMESPACE
                : kind == KIND_CONFIG_MAP                                                   ? PUSH_GLOBAL
                                                                                            : PUSH_CONFIG] = true;
    for (int i = 0; i < PUSH_TRIGGERS; i++)
        p->stats.triggers[i] += why[i];
    spread_add(&p->stats.waited, s->waited);
}

void push_snapshot(struct push *p, struct store_snapshot *s)
{
    struct store_snapshot *old = p->now;
    struct compiler *last = p->compiler;
    uint64_t begin = clock_mono();

    if (!s)
        return;
    p->compiler = compiler_new(s->mesh, last);
    compiler_free(last);
    spread_add(&p->stats.compiled, clock_mono() - begin);
    count_triggers(p, s);
    p->now = s;
    p->stats.snapshots++;
    p->stats.last_at = loop_wall(p->config.loop);
    buf_clear(&p->version);
    clock_print_time(&p->version, p->stats.last_at);
    buf_char(&p->version, '/');
    buf_u64(&p->version, s->number);
    LIST_EACH (xds_server_proxies(p->config.server), struct xds_proxy, link, proxy) {
        publish(p, proxy);
    }
    store_release(p->config.store, old);
    p->stats.last_compile_ns = clock_mono() - begin;
    if (p->stats.snapshots == 1)
        malloc_trim(0); /* lists of whole kinds were parsed until now */
}

void push_roots(struct push *p, struct view pem)
{
    struct tls_secret *now = tls_secret_new(VIEW("ROOTCA"), VIEW_NONE, VIEW_NONE, pem);

    resource_seal(&now->res);
    if (p->roots && p->roots->res.hash == now->res.hash) {
        resource_unref(now);
        return;
    }
    resource_unref(p->roots);
    p->roots = now;
    LIST_EACH (xds_server_proxies(p->config.server), struct xds_proxy, link, proxy) {
        if (proxy->user)
            publish(p, proxy);
    }
}

/* Empty: it may have what its node says that it is. */
static struct view objection(const struct push *p, const struct xds_proxy *proxy)
{
    const struct xds_identity *who = &proxy->identity;

    if (!view_is(proxy->node.type, "sidecar") && !view_is(proxy->node.type, "router"))
        return VIEW("this type of proxy is not supported: only sidecar and router");
    if (p->config.open || !who->ns.n) /* plaintext port: what is served there is public in the mesh */
        return VIEW_NONE;
    if (!view_eq(who->ns, proxy->node.ns))
        return VIEW("the node's namespace is not that of its token");
    if (proxy->node.service_account.n && !view_eq(who->service_account, proxy->node.service_account))
        return VIEW("the node's service account is not that of its token");
    return VIEW_NONE;
}

static void tell_nacks(const struct xds_proxy *proxy)
{
    for (int i = 0; i < RESOURCE_KINDS; i++)
        if (proxy->types[i].nack.n)
            log_warn("%.*s refused its %ss and keeps the last good ones: %.*s", VIEW_ARGS(proxy->id),
                     resource_kind_name(i), VIEW_ARGS(proxy->types[i].nack));
}

void push_proxies(struct push *p)
{
    struct xds_proxy *proxy;

    while ((proxy = xds_server_next(p->config.server))) {
        struct view why;

        if (proxy->gone) {
            log_info("proxy %.*s disconnected", VIEW_ARGS(proxy->id));
            xds_proxy_free(proxy);
            continue;
        }
        if (proxy->user) { /* known: it has something to say */
            tell_nacks(proxy);
            continue;
        }
        why = objection(p, proxy);
        if (why.n) {
            log_warn("proxy %.*s refused: %.*s", VIEW_ARGS(proxy->id), VIEW_ARGS(why));
            p->stats.refused++;
            xds_proxy_refuse(proxy, GRPC_PERMISSION_DENIED, why);
            continue;
        }
        log_info("proxy %.*s connected", VIEW_ARGS(proxy->id));
        proxy->user = p;
        p->stats.triggers[PUSH_PROXY]++;
        publish(p, proxy);
    }
}

struct push *push_new(const struct push_config *config)
{
    struct push *p = calloc(1, sizeof(*p));

    must(p != NULL);
    p->config = *config;
    return p;
}

struct push *push_free(struct push *p)
{
    if (!p)
        return NULL;
    compiler_free(p->compiler);
    store_release(p->config.store, p->now);
    resource_unref(p->roots);
    buf_done(&p->version);
    free(p);
    return NULL;
}

const struct push_stats *push_stats(const struct push *p)
{
    return &p->stats;
}

const struct store_snapshot *push_now(const struct push *p)
{
    return p->now;
}

struct view push_version(const struct push *p)
{
    return buf_read(&p->version);
}
