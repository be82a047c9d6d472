// SPDX-License-Identifier: Apache-2.0
/* The worker (worker.h): letters in, listeners and clusters kept as the plan says, reports out. */
#include "proxy/worker.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "http/conn.h"
#include "proxy/bound.h"
#include "proxy/connection.h"
#include "proxy/filter/mirror.h"
#include "proxy/log.h"
#include "proxy/proxy_impl.h"
#include "proxy/stream.h"
#include "proxy/upstream.h"

enum worker_bits {
    WORKER_MAIL = 1,
    WORKER_SWEEP = 2,
};

static void worker_run(struct task *t, uint32_t events);

struct worker *worker_new(struct proxy *proxy, struct loop *loop, uint32_t index, uint32_t n_workers)
{
    struct worker *w = mem_alloc(sizeof(*w));
    w->proxy = proxy;
    w->loop = loop;
    w->index = index;
    w->n_workers = n_workers;
    task_init(&w->task, loop, worker_run, "worker");
    mailbox_init(&w->inbox, loop, &w->task, WORKER_MAIL);
    timer_init(&w->sweep, &w->task, WORKER_SWEEP);
    w->http = http_shared_new(loop);
    tls_shelf_init(&w->tls, loop);
    list_init(&w->bounds);
    list_init(&w->connections);
    list_init(&w->retired);
    list_init(&w->mirrors);
    log_worker_init(w);
    w->connection_pool = loop_pool(loop, sizeof(struct connection));
    w->stream_pool = loop_pool(loop, sizeof(struct stream));
    return w;
}

struct worker *worker_free(struct worker *w)
{
    if (!w)
        return NULL;
    must(list_empty(&w->connections) && list_empty(&w->retired) && w->n_upstreams == 0);
    struct letter *m;
    while ((m = mailbox_take(&w->inbox))) {
        struct worker_letter *l = CONTAINER_OF(m, struct worker_letter, letter);
        plan_unref(l->plan);
        tls_identity_unref(l->identity);
        tls_trust_unref(l->trust);
        resource_unref(l->ejection.cluster);
        mem_free(l);
    }
    mailbox_done(&w->inbox);
    timer_done(&w->sweep);
    task_done(&w->task);
    if (w->now)
        generation_unref(w->now);
    resolver_free(w->resolver);
    log_worker_done(w);
    for (uint32_t i = 0; i < w->n_spare; i++)
        buf_done(&w->spare[i]);
    tls_shelf_done(&w->tls);
    http_shared_free(w->http);
    mem_free(w->upstreams);
    mem_free(w);
    return NULL;
}

void worker_post(struct worker *w, const struct worker_letter *letter)
{
    struct worker_letter *l = mem_alloc(sizeof(*l));
    *l = *letter;
    mailbox_post(&w->inbox, &l->letter);
}

struct buf worker_take_buf(struct worker *w)
{
    return w->n_spare ? w->spare[--w->n_spare] : (struct buf){0};
}

void worker_give_buf(struct worker *w, struct buf *b)
{
    buf_clear(b);
    if (b->cap && w->n_spare < WORKER_SPARE)
        w->spare[w->n_spare++] = *b;
    else
        buf_done(b);
    *b = (struct buf){0};
}

static void report(struct worker *w, enum worker_report_kind kind, uint64_t version, const char *error)
{
    struct worker_report *r = mem_alloc(sizeof(*r));
    r->kind = kind;
    r->worker = w->index;
    r->version = version;
    snprintf(r->error, sizeof(r->error), "%s", error);
    proxy_report(w->proxy, r);
}

void worker_tell_ejection(struct worker *w, const struct ejection *e)
{
    struct worker_report *r = mem_alloc(sizeof(*r));
    r->kind = WORKER_EJECTED;
    r->worker = w->index;
    r->ejection = *e;
    r->ejection.cluster = resource_ref(e->cluster);
    proxy_report(w->proxy, r);
}

void generation_unref(struct generation *g)
{
    must(g->refs > 0);
    if (--g->refs > 0)
        return;
    plan_unref(g->plan);
    mem_free(g);
}

/* ---- clusters in use ---- */

static uint32_t slot_of(const struct worker *w, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (w->cap_upstreams - 1);
    while (w->upstreams[at] && w->upstreams[at]->name_hash != hash)
        at = (at + 1) & (w->cap_upstreams - 1);
    return at;
}

static void grow(struct worker *w)
{
    struct upstream **old = w->upstreams;
    uint32_t n = w->cap_upstreams;
    w->cap_upstreams = n ? n * 2 : 32;
    w->upstreams = mem_alloc(w->cap_upstreams * sizeof(*w->upstreams));
    for (uint32_t i = 0; i < n; i++)
        if (old[i])
            w->upstreams[slot_of(w, old[i]->name_hash)] = old[i];
    mem_free(old);
}

struct upstream *worker_upstream(struct worker *w, const struct name_ref *cluster)
{
    if (w->cap_upstreams) {
        struct upstream *u = w->upstreams[slot_of(w, cluster->hash)];
        if (__builtin_expect(u && view_eq(u->cluster->res.name, cluster->name), 1))
            return u;
    }
    const struct cluster *c = w->now ? plan_cluster(w->now->plan, cluster) : NULL;
    if (!c || w->closing)
        return NULL;
    if ((w->n_upstreams + 1) * 2 > w->cap_upstreams)
        grow(w);
    uint32_t at = slot_of(w, cluster->hash);
    if (!odd(w->upstreams[at] == NULL)) /* two names with one hash */
        return NULL;
    w->upstreams[at] = upstream_new(w, c);
    w->n_upstreams++;
    return w->upstreams[at];
}

/* Clusters in use follow the plan. The table is rebuilt, because open addressing has no holes. */
static void upstreams_apply(struct worker *w, const struct plan *plan)
{
    struct upstream **old = w->upstreams;
    uint32_t n = w->cap_upstreams;
    w->upstreams = n ? mem_alloc(n * sizeof(*old)) : NULL;
    w->n_upstreams = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct upstream *u = old[i];
        if (!u)
            continue;
        const struct name_ref name = {u->cluster->res.name, u->name_hash};
        const struct cluster *c = plan ? plan_cluster(plan, &name) : NULL;
        if (c) {
            w->upstreams[slot_of(w, u->name_hash)] = u;
            w->n_upstreams++;
            upstream_update(u, c);
        } else {
            upstream_retire(u);
        }
    }
    mem_free(old);
}

struct resolver *worker_resolver(struct worker *w)
{
    if (!w->resolver)
        w->resolver = resolver_new(w->loop, NULL);
    return w->resolver;
}

void worker_sweep_at(struct worker *w, uint64_t at)
{
    if (at && (!timer_is_set(&w->sweep) || at < w->sweep.due))
        timer_set(&w->sweep, at);
}

static void sweep(struct worker *w)
{
    uint64_t now = loop_now(w->loop);
    for (uint32_t i = 0; i < w->cap_upstreams; i++)
        if (w->upstreams[i])
            worker_sweep_at(w, upstream_sweep(w->upstreams[i], now));
}

/* ---- letters ---- */

static void apply_plan(struct worker *w, const struct worker_letter *l)
{
    struct generation *g = mem_alloc(sizeof(*g)), *before = w->now;
    *g = (struct generation){.plan = l->plan, .refs = 1, .worker = w};
    tls_shelf_plan(&w->tls, before ? before->plan : NULL, l->plan);
    w->now = g;
    upstreams_apply(w, l->plan);
    char why[200] = "";
    if (!w->closing && bounds_apply(w, l->plan, why) < 0)
        odd(why[0] != 0);
    if (before)
        generation_unref(before);
    report(w, WORKER_RUNS, l->version, why);
}

static void apply_ejection(struct worker *w, const struct ejection *e)
{
    struct name_ref name = name_ref(e->cluster->res.name);
    struct upstream *u = w->closing || !w->now ? NULL : worker_upstream(w, &name);
    if (u)
        upstream_eject(u, e);
    resource_unref(e->cluster);
}

static void drain(struct worker *w, bool all)
{
    w->draining = true;
    w->drains_all = w->drains_all || all;
    LIST_EACH (&w->connections, struct connection, link, c)
        if (worker_drains(w, c->accepted))
            connection_drain(c);
}

static void close_all(struct worker *w)
{
    w->draining = w->closing = true;
    bounds_close(w);
    LIST_EACH (&w->connections, struct connection, link, c)
        connection_abort(c);
    mirrors_close(w);
    upstreams_apply(w, NULL);
    worker_check_closed(w);
}

void worker_check_closed(struct worker *w)
{
    if (!w->closing || w->closed || !list_empty(&w->connections) || !list_empty(&w->retired))
        return;
    w->closed = true;
    if (w->now)
        generation_unref(w->now);
    w->now = NULL;
    timer_clear(&w->sweep);
    w->resolver = resolver_free(w->resolver);
    report(w, WORKER_CLOSED, 0, "");
}

static void worker_run(struct task *t, uint32_t events)
{
    struct worker *w = CONTAINER_OF(t, struct worker, task);
    struct letter *m;
    while ((events & WORKER_MAIL) && (m = mailbox_take(&w->inbox))) {
        struct worker_letter *l = CONTAINER_OF(m, struct worker_letter, letter);
        switch (l->kind) {
        case WORKER_PLAN:
            apply_plan(w, l);
            break;
        case WORKER_IDENTITY:
            tls_shelf_renew(&w->tls, l->identity, l->trust);
            tls_identity_unref(l->identity);
            tls_trust_unref(l->trust);
            break;
        case WORKER_EJECT:
            apply_ejection(w, &l->ejection);
            break;
        case WORKER_DRAIN_INBOUND:
        case WORKER_DRAIN:
            drain(w, l->kind == WORKER_DRAIN);
            break;
        case WORKER_CLOSE:
            close_all(w);
            break;
        }
        mem_free(l);
    }
    if ((events & WORKER_SWEEP) && !w->closing)
        sweep(w);
}
