// SPDX-License-Identifier: Apache-2.0
/* What a worker knows about a cluster in use (upstream.h). */
#include "proxy/upstream.h"

#include <errno.h>
#include <string.h>

#include "base/must.h"
#include "net/loop.h"
#include "plan/plan.h"
#include "proxy/log.h"
#include "proxy/pool.h"
#include "proxy/tls_shelf.h"
#include "proxy/worker.h"

enum upstream_bits {
    UPSTREAM_NAMES = 1,
    UPSTREAM_REFRESH = 2,
};

#define ORIGINAL_IDLE (5 * NS_PER_S) /* as Envoy's cleanup_interval of ORIGINAL_DST clusters */

/* One destination of an ORIGINAL_DST cluster: a host that no balancer owns. */
struct original_host {
    struct host host;
    struct endpoint endpoint;
    struct addr address;
    struct list link;
    uint64_t used;
};

int addr_of_plan(const struct plan_addr *p, struct addr *ret_addr)
{
    struct addr a = {.port = p->port};
    switch ((enum plan_addr_kind)p->kind) {
    case ADDR_IPV4:
        a.family = ADDR_V4;
        memcpy(a.ip, p->ip, 4);
        break;
    case ADDR_IPV6:
        a.family = ADDR_V6;
        memcpy(a.ip, p->ip, 16);
        break;
    case ADDR_PATH:
        a = addr_unix(p->name);
        break;
    case ADDR_UNSET:
    case ADDR_NAME:
        return -EINVAL;
    }
    *ret_addr = a;
    return 0;
}

struct plan_addr plan_addr_from(const struct addr *a)
{
    struct plan_addr p = {.port = a->port};
    if (a->family == ADDR_V4) {
        p.kind = ADDR_IPV4;
        memcpy(p.ip, a->ip, 4);
    } else if (a->family == ADDR_V6) {
        p.kind = ADDR_IPV6;
        memcpy(p.ip, a->ip, 16);
    }
    return p;
}

/* ---- names ---- */

static bool by_names(const struct cluster *c)
{
    return c->type == CLUSTER_STRICT_DNS || c->type == CLUSTER_LOGICAL_DNS;
}

static uint32_t count_names(const struct endpoint_set *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; s && i < s->n_localities; i++)
        n += s->localities[i].n_endpoints;
    return n;
}

static void names_stop(struct upstream *u)
{
    for (uint32_t i = 0; i < u->n_queries; i++)
        query_done(&u->queries[i]);
    mem_free(u->queries);
    u->queries = NULL;
    u->n_queries = 0;
    timer_rest(&u->refresh);
}

static void names_ask(struct upstream *u)
{
    struct resolver *r = worker_resolver(u->worker);
    const struct endpoint_set *s = u->cluster->endpoints;
    uint32_t n = 0;
    for (uint32_t i = 0; s && i < s->n_localities; i++)
        for (uint32_t j = 0; j < s->localities[i].n_endpoints; j++, n++) {
            const struct plan_addr *a = &s->localities[i].endpoints[j].address;
            query_done(&u->queries[n]);
            query_init(&u->queries[n], &u->task, UPSTREAM_NAMES);
            if (a->kind == ADDR_NAME && r)
                resolve(r, &u->queries[n], a->name, u->cluster->dns_v4_only ? RESOLVE_V4 : RESOLVE_V4 | RESOLVE_V6);
        }
}

static void names_start(struct upstream *u)
{
    u->n_queries = count_names(u->cluster->endpoints);
    u->queries = u->n_queries ? mem_alloc(u->n_queries * sizeof(*u->queries)) : NULL;
    u->resolved = u->n_queries == 0;
    for (uint32_t i = 0; i < u->n_queries; i++)
        query_init(&u->queries[i], &u->task, UPSTREAM_NAMES);
    names_ask(u);
    task_wake(&u->task, UPSTREAM_NAMES);
}

/* The cluster's endpoints with addresses in the place of names. An address keeps its endpoint's labels. */
static struct endpoint_set *names_answer(struct upstream *u)
{
    const struct endpoint_set *s = u->cluster->endpoints;
    struct endpoint_set *out = RESOURCE_NEW(struct endpoint_set, RESOURCE_ENDPOINTS, u->cluster->res.name);
    struct arena *a = &out->res.arena;
    out->localities = ARENA_ARRAY(a, struct locality, s->n_localities);
    out->n_localities = s->n_localities;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_localities; i++) {
        const struct locality *from = &s->localities[i];
        struct locality *to = &out->localities[i];
        *to = *from;
        to->region = arena_view(a, from->region);
        to->zone = arena_view(a, from->zone);
        to->subzone = arena_view(a, from->subzone);
        to->endpoints = NULL;
        to->n_endpoints = 0;
        for (uint32_t j = 0; j < from->n_endpoints; j++, n++) {
            const struct endpoint *e = &from->endpoints[j];
            const struct query *q = &u->queries[n];
            bool name = e->address.kind == ADDR_NAME;
            uint32_t most = !name ? 1 : u->cluster->type == CLUSTER_LOGICAL_DNS && q->n_addrs ? 1 : q->n_addrs;
            for (uint32_t k = 0; k < most; k++) {
                struct endpoint *x = ARENA_PUSH(a, to->endpoints, to->n_endpoints);
                *x = *e;
                if (name) {
                    x->address = plan_addr_from(&q->addrs[k]);
                    x->address.port = e->address.port;
                }
                x->hostname = arena_view(a, e->hostname.n ? e->hostname : name ? e->address.name : VIEW_NONE);
                x->tls_mode = arena_view(a, e->tls_mode);
                x->workload = arena_view(a, e->workload);
            }
        }
    }
    return out;
}

static void names_waiters(struct upstream *u)
{
    struct list *l;
    while ((l = list_pop(&u->waiting))) {
        struct upstream_wait *w = LIST_ITEM(l, struct upstream_wait, link);
        task_wake(w->task, w->bits);
    }
}

static void names_run(struct upstream *u)
{
    uint64_t ttl = 60;
    bool any = false, failed = false;
    for (uint32_t i = 0; i < u->n_queries; i++) {
        const struct query *q = &u->queries[i];
        if (q->open)
            return; /* all answers count together, so that endpoints do not come and go one by one */
        if (q->status == 0) {
            any = true;
            ttl = q->ttl < ttl ? q->ttl : ttl;
        } else if (q->status != -EAGAIN) {
            failed = true;
        }
    }
    if (any || !failed || !u->resolved) { /* what failed keeps the addresses of before */
        struct endpoint_set *s = names_answer(u);
        balancer_update(u->balancer, u->cluster, s, loop_now(u->worker->loop));
        resource_unref(s);
        u->dns_failed = failed && !any;
    }
    u->resolved = true;
    names_waiters(u);
    uint64_t every = u->cluster->dns_refresh ? u->cluster->dns_refresh : ttl * NS_PER_S;
    timer_in(&u->refresh, failed && every > 5 * NS_PER_S ? 5 * NS_PER_S : every);
}

static void upstream_run(struct task *t, uint32_t events)
{
    struct upstream *u = CONTAINER_OF(t, struct upstream, task);
    if (events & UPSTREAM_REFRESH)
        names_ask(u);
    names_run(u);
}

bool upstream_resolving(struct upstream *u, struct upstream_wait *w)
{
    if (!upstream_is_resolving(u))
        return false;
    if (list_empty(&w->link))
        list_push(&u->waiting, &w->link);
    return true;
}

void upstream_wait_done(struct upstream_wait *w)
{
    list_del(&w->link);
}

/* ---- life ---- */

static void transports_of(struct upstream *u)
{
    const struct cluster *c = u->cluster;
    arena_clear(&u->arena);
    u->transports = ARENA_ARRAY(&u->arena, struct upstream_transport, c->n_transports + 1); /* the last: plaintext */
    for (uint32_t i = 0; i < c->n_transports; i++) {
        struct upstream_transport *t = &u->transports[i];
        t->tls = c->transports[i].tls;
        t->refused = t->tls && tls_sans_of(&u->arena, &t->tls->common, &t->sans, &t->n_sans) < 0;
    }
}

const struct upstream_transport *upstream_transport(const struct upstream *u, const struct host *h)
{
    const struct cluster *c = u->cluster;
    struct view mode = h->endpoint ? h->endpoint->tls_mode : VIEW_NONE;
    for (uint32_t i = 0; i < c->n_transports; i++)
        if (!c->transports[i].tls_mode.n || view_eq(c->transports[i].tls_mode, mode))
            return &u->transports[i];
    return &u->transports[c->n_transports];
}

static const struct endpoint_set *endpoints_of(const struct upstream *u, const struct cluster *c)
{
    if (c->type == CLUSTER_EDS)
        return plan_endpoints(u->worker->now->plan, &c->eds_name);
    return c->endpoints;
}

static void upstream_load(struct upstream *u)
{
    const struct cluster *c = u->cluster;
    breaker_configure(&u->breaker, &c->breaker, u->worker->n_workers);
    transports_of(u);
    if (by_names(c))
        names_start(u);
    else if (c->type != CLUSTER_ORIGINAL_DST)
        balancer_update(u->balancer, c, endpoints_of(u, c), loop_now(u->worker->loop));
}

struct upstream *upstream_new(struct worker *w, const struct cluster *c)
{
    struct upstream *u = mem_alloc(sizeof(*u));
    u->worker = w;
    u->cluster = resource_ref(c);
    u->name_hash = c->res.name_hash;
    u->refs = 1;
    list_init(&u->originals);
    list_init(&u->retired_link);
    list_init(&u->pools);
    list_init(&u->waiting);
    arena_init(&u->arena, 512);
    task_init(&u->task, w->loop, upstream_run, "upstream");
    timer_init(&u->refresh, &u->task, UPSTREAM_REFRESH);
    u->balancer = balancer_new(c, rng_next(loop_rng(w->loop)));
    upstream_load(u);
    return u;
}

void upstream_update(struct upstream *u, const struct cluster *c)
{
    if (c == u->cluster) {
        if (c->type == CLUSTER_EDS)
            balancer_update(u->balancer, c, endpoints_of(u, c), loop_now(u->worker->loop));
        return;
    }
    const struct cluster *before = u->cluster;
    names_stop(u);
    u->cluster = resource_ref(c);
    upstream_load(u);
    resource_unref(before);
    log_forget_upstream(u->worker, u);
    pools_drain(u); /* new connections follow the new settings */
}

static void original_free(struct original_host *o)
{
    if (o->host.pool_free)
        o->host.pool_free(&o->host);
    list_del(&o->link);
    mem_free(o);
}

static void upstream_free(struct upstream *u)
{
    struct worker *w = u->worker;
    names_stop(u);
    names_waiters(u);
    LIST_EACH (&u->originals, struct original_host, link, o)
        original_free(o);
    u->balancer = balancer_free(u->balancer);
    must(list_empty(&u->pools));
    log_forget_upstream(w, u);
    timer_done(&u->refresh);
    task_done(&u->task);
    list_del(&u->retired_link);
    arena_done(&u->arena);
    resource_unref(u->cluster);
    mem_free(u);
    worker_check_closed(w);
}

void upstream_unref(struct upstream *u)
{
    if (!u)
        return;
    must(u->refs > 0);
    if (--u->refs == 0)
        upstream_free(u);
}

void upstream_retire(struct upstream *u)
{
    u->retired = true;
    list_push(&u->worker->retired, &u->retired_link);
    names_stop(u);
    u->resolved = true;
    names_waiters(u);
    pools_drain(u);
    upstream_unref(u);
}

/* ---- use ---- */

static struct host *original_pick(struct upstream *u, const struct addr *to)
{
    if (!to || to->family == ADDR_NONE)
        return NULL;
    LIST_EACH (&u->originals, struct original_host, link, o)
        if (addr_eq(&o->address, to)) {
            o->used = loop_now(u->worker->loop);
            return &o->host;
        }
    struct original_host *o = mem_alloc(sizeof(*o));
    o->address = *to;
    o->endpoint = (struct endpoint){.address = plan_addr_from(to), .weight = 1};
    o->host = (struct host){.endpoint = &o->endpoint, .refs = 1, .weight = 1};
    o->used = loop_now(u->worker->loop);
    list_push_front(&u->originals, &o->link);
    worker_sweep_at(u->worker, o->used + ORIGINAL_IDLE);
    return &o->host;
}

struct host *upstream_pick(struct upstream *u, const struct pick *pick, const struct addr *original)
{
    if (u->retired)
        return NULL;
    if (u->cluster->type == CLUSTER_ORIGINAL_DST)
        return original_pick(u, original);
    return balancer_pick(u->balancer, pick);
}

void upstream_record(struct upstream *u, struct host *h, enum outlier_event event)
{
    if (!u->cluster->outlier.on || u->cluster->type == CLUSTER_ORIGINAL_DST)
        return;
    uint64_t now = loop_now(u->worker->loop);
    if (!balancer_record(u->balancer, h, event, now))
        return;
    worker_sweep_at(u->worker, balancer_outlier(u->balancer)->next_sweep);
    const struct plan_addr *address = &h->endpoint->address;
    if (address->kind == ADDR_IPV4 || address->kind == ADDR_IPV6)
        worker_tell_ejection(u->worker, &(struct ejection){.cluster = u->cluster,
                                                           .address = *address,
                                                           .until = h->outlier.until,
                                                           .times = h->outlier.ejections});
}

void upstream_eject(struct upstream *u, const struct ejection *e)
{
    if (u->retired || u->cluster->type == CLUSTER_ORIGINAL_DST)
        return;
    if (balancer_eject(u->balancer, &e->address, e->until, e->times, loop_now(u->worker->loop)))
        worker_sweep_at(u->worker, balancer_outlier(u->balancer)->next_sweep);
}

uint64_t upstream_sweep(struct upstream *u, uint64_t now)
{
    uint64_t next = u->cluster->outlier.on ? balancer_sweep(u->balancer, now) : 0;
    LIST_EACH (&u->originals, struct original_host, link, o) {
        if (o->host.refs == 1 && o->used + ORIGINAL_IDLE <= now && pool_unused(&o->host))
            original_free(o);
        else if (!next || now + ORIGINAL_IDLE < next)
            next = now + ORIGINAL_IDLE;
    }
    return next;
}
