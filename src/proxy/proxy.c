// SPDX-License-Identifier: Apache-2.0
/* The proxy's control loop (proxy.h): starts what there is, hands plans and certificates to the workers, drains, stops. */
#include "proxy/proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "http/conn.h"
#include "net/loop.h"
#include "plan/plan.h"
#include "proxy/admin.h"
#include "proxy/drain.h"
#include "proxy/proxy_impl.h"
#include "telemetry/metrics.h"
#include "telemetry/peer_metadata.h"

static void proxy_task(struct task *t, uint32_t events);

/* What we tell others: the pod's labels, and the canonical service and revision even if no label says them. */
static struct peer_self *self_of(const struct proxy_options *o, struct view id)
{
    struct view labels[66][2];
    bool service = false, revision = false;
    uint32_t n = 0;
    for (; n < o->n_labels && n < COUNT_OF(labels) - 2; n++) {
        labels[n][0] = o->labels[n].name;
        labels[n][1] = o->labels[n].value;
        service |= view_is(labels[n][0], "service.istio.io/canonical-name");
        revision |= view_is(labels[n][0], "service.istio.io/canonical-revision");
    }
    if (n && !service) {
        labels[n][0] = VIEW("service.istio.io/canonical-name");
        labels[n++][1] = o->canonical_service;
    }
    if (n && !revision) {
        labels[n][0] = VIEW("service.istio.io/canonical-revision");
        labels[n++][1] = o->canonical_revision;
    }
    struct peer_me me = {
        .id = id,
        .workload = o->workload,
        .ns = o->ns,
        .cluster = o->cluster_id,
        .app = o->app,
        .version = o->app_version,
        .canonical_service = o->canonical_service,
        .canonical_revision = o->canonical_revision,
        .type = o->workload_type,
        .instance = o->pod,
        .region = o->region,
        .zone = o->zone,
        .service_account = o->service_account,
        .mesh_id = o->mesh_id,
        .owner = o->owner,
        .labels = labels,
        .n_labels = n,
    };
    return peer_self_new(&me);
}

struct proxy *proxy_new(const struct proxy_options *options, struct loop *control, struct loop *const *workers,
                        uint32_t n_workers)
{
    struct proxy *p = mem_alloc(sizeof(*p));
    p->options = options;
    p->loop = control;
    p->started = loop_now(control);
    arena_init(&p->arena, 1024);
    task_init(&p->task, control, proxy_task, "proxy");
    mailbox_init(&p->inbox, control, &p->task, PROXY_REPORT);
    timer_init(&p->tick, &p->task, PROXY_TICK);
    p->http = http_shared_new(control);
    options_node(options, &p->node);
    struct buf id = {0};
    xds_node_print_id(&id, &p->node);
    p->metrics = metrics_new(options->version);
    p->self = self_of(options, arena_view(&p->arena, buf_read(&id)));
    buf_done(&id);
    ejections_init(&p->ejections);
    p->n_workers = n_workers;
    p->workers = mem_alloc(n_workers * sizeof(struct worker *));
    p->runs = mem_alloc(n_workers * sizeof(uint64_t));
    for (uint32_t i = 0; i < n_workers; i++) {
        p->workers[i] = worker_new(p, workers[i], i, n_workers);
        p->workers[i]->metrics = metrics_worker(p->metrics);
        p->workers[i]->peers = peer_cache_new();
        p->workers[i]->self = p->self;
    }
    p->admin = admin_new(p);
    if (options->plan)
        proxy_run_plan(p, options->plan);
    else if (control_start(p) < 0)
        log_error("certificates and configuration cannot be asked for; the proxy stays without listeners");
    return p;
}

void proxy_post_all(struct proxy *p, const struct worker_letter *letter)
{
    for (uint32_t i = 0; i < p->n_workers; i++) {
        struct worker_letter l = *letter;
        l.plan = l.plan ? plan_ref(l.plan) : NULL;
        l.identity = l.identity ? tls_identity_ref(l.identity) : NULL;
        l.trust = l.trust ? tls_trust_ref(l.trust) : NULL;
        worker_post(p->workers[i], &l);
    }
}

void proxy_run_plan(struct proxy *p, const struct plan *plan)
{
    const struct plan *before = p->plan;
    p->plan = plan_ref(plan);
    plan_unref(before);
    ejections_plan(&p->ejections, plan);
    if (!p->first_plan)
        p->first_plan = loop_now(p->loop);
    proxy_post_all(p, &(struct worker_letter){.kind = WORKER_PLAN, .version = ++p->version, .plan = plan});
}

void proxy_report(struct proxy *p, struct worker_report *r)
{
    mailbox_post(&p->inbox, &r->letter);
}

bool proxy_started(const struct proxy *p)
{
    for (uint32_t i = 0; i < p->n_workers; i++)
        if (!p->runs[i])
            return false;
    return p->n_workers > 0;
}

bool proxy_ready(const struct proxy *p)
{
    if (p->draining || p->stopping)
        return false;
    return p->was_ready;
}

static void tell_ejection(struct proxy *p, uint32_t from, const struct ejection *e)
{
    ejections_add(&p->ejections, e, loop_now(p->loop));
    for (uint32_t i = 0; i < p->n_workers && !p->stopping; i++)
        if (i != from) {
            struct worker_letter l = {.kind = WORKER_EJECT, .ejection = *e};
            resource_ref(e->cluster);
            worker_post(p->workers[i], &l);
        }
}

static void reports(struct proxy *p)
{
    struct letter *m;
    while ((m = mailbox_take(&p->inbox))) {
        struct worker_report *r = CONTAINER_OF(m, struct worker_report, letter);
        switch (r->kind) {
        case WORKER_RUNS:
            p->runs[r->worker] = r->version;
            if (r->error[0] && r->worker == 0)
                log_error("%s", r->error);
            break;
        case WORKER_EJECTED:
            tell_ejection(p, r->worker, &r->ejection);
            resource_unref(r->ejection.cluster);
            break;
        case WORKER_CLOSED:
            p->n_closed++;
            break;
        }
        mem_free(r);
    }
    if (!p->was_ready && proxy_started(p) && !p->draining) {
        p->was_ready = true;
        log_info("ready: %u listeners, %u clusters after %llu ms", plan_count(p->plan, RESOURCE_LISTENER),
                 plan_count(p->plan, RESOURCE_CLUSTER),
                 (unsigned long long)((loop_now(p->loop) - p->started) / NS_PER_MS));
    }
}

static void proxy_task(struct task *t, uint32_t events)
{
    struct proxy *p = CONTAINER_OF(t, struct proxy, task);
    if (events & PROXY_REPORT)
        reports(p);
    if ((events & (PROXY_CONTROL | PROXY_TOKEN)) && !p->stopping)
        control_run(p, events);
    if (events & PROXY_TICK)
        drain_tick(p);
}

void proxy_drain(struct proxy *p)
{
    drain_leave(p);
}

void proxy_stop(struct proxy *p)
{
    if (p->stopping)
        return;
    p->stopping = true;
    timer_clear(&p->tick);
    control_stop(p);
    p->admin = admin_free(p->admin);
    proxy_post_all(p, &(struct worker_letter){.kind = WORKER_CLOSE});
}

bool proxy_stopped(const struct proxy *p)
{
    return p->stopping && p->n_closed == p->n_workers;
}

struct proxy *proxy_free(struct proxy *p)
{
    if (!p)
        return NULL;
    must(proxy_stopped(p));
    for (uint32_t i = 0; i < p->n_workers; i++) {
        peer_cache_free(p->workers[i]->peers);
        worker_free(p->workers[i]);
    }
    mem_free(p->workers);
    mem_free(p->runs);
    plan_unref(p->plan);
    metrics_free(p->metrics);
    peer_self_free(p->self);
    http_shared_free(p->http);
    ejections_done(&p->ejections);
    mailbox_done(&p->inbox);
    timer_done(&p->tick);
    task_done(&p->task);
    arena_done(&p->arena);
    mem_free(p);
    return NULL;
}
