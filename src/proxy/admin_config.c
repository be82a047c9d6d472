// SPDX-License-Identifier: Apache-2.0
/* The pages of admin.def that tell about the proxy itself: state, counters, configuration, certificates. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/loop.h"
#include "net/tls.h"
#include "plan/plan.h"
#include "plan/print.h"
#include "proxy/admin_impl.h"
#include "proxy/drain.h"
#include "proxy/proxy_impl.h"
#include "telemetry/metrics.h"

#define JSON "application/json"

static const char *state_of(const struct proxy *p)
{
    return p->draining ? "DRAINING" : p->was_ready ? "LIVE" : "PRE_INITIALIZING";
}

void admin_ready(struct admin_request *r)
{
    r->status = proxy_ready(r->proxy) ? 200 : 503;
    buf_printf(&r->out, "%s\n", state_of(r->proxy));
}

void admin_healthz(struct admin_request *r)
{
    r->status = proxy_ready(r->proxy) ? 200 : 503;
    if (r->status == 503)
        buf_str(&r->out, r->proxy->draining      ? "draining\n"
                         : !r->proxy->first_plan ? "no configuration yet\n"
                                                 : "workers have not started\n");
}

void admin_server_info(struct admin_request *r)
{
    const struct proxy *p = r->proxy;
    struct buf id = {0};
    xds_node_print_id(&id, &p->node);
    r->type = JSON;
    buf_str(&r->out, "{\"version\":");
    buf_json_str(&r->out, VIEW("weft/" WEFT_VERSION));
    buf_printf(&r->out, ",\"state\":\"%s\",\"uptime_current_epoch\":\"%llus\",\"node\":{\"id\":", state_of(p),
               (unsigned long long)((loop_now(p->loop) - p->started) / NS_PER_S));
    buf_json_str(&r->out, buf_read(&id));
    buf_str(&r->out, ",\"metadata\":{\"ISTIO_VERSION\":");
    buf_json_str(&r->out, p->options->version);
    buf_printf(&r->out, "}},\"command_line_options\":{\"concurrency\":%u}}\n", p->n_workers);
    buf_done(&id);
}

void admin_stats(struct admin_request *r)
{
    const struct proxy *p = r->proxy;
    static const struct {
        const char *name;
        size_t at;
    } counters[] = {
        {"downstream.connections_total", offsetof(struct worker_counters, connections)},
        {"downstream.connections_active", offsetof(struct worker_counters, connections_active)},
        {"downstream.requests_total", offsetof(struct worker_counters, requests)},
        {"downstream.requests_active", offsetof(struct worker_counters, requests_active)},
        {"downstream.requests_malformed", offsetof(struct worker_counters, bad_requests)},
        {"downstream.no_filter_chain", offsetof(struct worker_counters, no_chain)},
        {"upstream.connects_total", offsetof(struct worker_counters, upstream_connects)},
        {"upstream.connects_failed", offsetof(struct worker_counters, upstream_connect_failures)},
        {"upstream.connections_active", offsetof(struct worker_counters, upstream_active)},
        {"upstream.retries", offsetof(struct worker_counters, retries)},
    };
    for (size_t i = 0; i < COUNT_OF(counters); i++) {
        uint64_t sum = 0;
        for (uint32_t w = 0; w < p->n_workers; w++)
            sum += worker_counted((const void *)((const char *)&p->workers[w]->counters + counters[i].at));
        buf_printf(&r->out, "%s: %llu\n", counters[i].name, (unsigned long long)sum);
    }
    buf_printf(&r->out, "server.live: %d\nserver.state: %d\n", proxy_ready(p), p->draining ? 1 : p->was_ready ? 0 : 2);
    buf_printf(&r->out, "server.concurrency: %u\nserver.plan_version: %llu\n", p->n_workers,
               (unsigned long long)p->version);
    if (p->first_cert)
        buf_printf(&r->out, "server.first_certificate_ms: %llu\n",
                   (unsigned long long)((p->first_cert - p->started) / NS_PER_MS));
    if (p->first_plan)
        buf_printf(&r->out, "server.first_plan_ms: %llu\n",
                   (unsigned long long)((p->first_plan - p->started) / NS_PER_MS));
    if (p->xds) {
        struct xds_client_status x = xds_client_status(p->xds);
        buf_printf(&r->out,
                   "control_plane.connected_state: %d\ncontrol_plane.updates: %llu\ncontrol_plane.nacks: %llu\n",
                   x.connected, (unsigned long long)x.updates, (unsigned long long)x.nacks);
        buf_printf(&r->out, "control_plane.connects: %llu\ncontrol_plane.failures: %llu\n",
                   (unsigned long long)x.connects, (unsigned long long)x.failures);
        if (x.error.n)
            buf_printf(&r->out, "control_plane.error: %.*s\n", VIEW_ARGS(x.error));
    }
    ejections_print(&p->ejections, &r->out, loop_now(p->loop));
    if (p->rotation)
        buf_printf(&r->out, "certificates.failures_in_a_row: %u\n", rotation_failures(p->rotation));
}

void admin_metrics(struct admin_request *r)
{
    r->type = METRICS_CONTENT_TYPE;
    admin_render_metrics(r);
}

void admin_plan(struct admin_request *r)
{
    if (r->proxy->plan)
        plan_print(&r->out, r->proxy->plan);
}

static void dump_kind(struct admin_request *r, const struct plan *plan, enum resource_kind kind, const char *type,
                      const char *list, const char *item, bool *first)
{
    struct arena a;
    arena_init(&a, 4096);
    const struct resource **all = plan_sorted(plan, kind, &a);
    buf_printf(&r->out, "%s{\"@type\":\"type.googleapis.com/envoy.admin.v3.%s\",\"%s\":[", *first ? "" : ",", type,
               list);
    for (uint32_t i = 0; i < plan_count(plan, kind); i++) {
        struct buf text = {0};
        resource_print(&text, all[i]);
        buf_printf(&r->out, "%s{\"%s\":{\"name\":", i ? "," : "", item);
        buf_json_str(&r->out, all[i]->name);
        buf_str(&r->out, ",\"weft\":");
        buf_json_str(&r->out, buf_read(&text));
        buf_str(&r->out, "}}");
        buf_done(&text);
    }
    buf_str(&r->out, "]}");
    *first = false;
    arena_done(&a);
}

void admin_config_dump(struct admin_request *r)
{
    const struct plan *plan = r->proxy->plan;
    bool first = true;
    r->type = JSON;
    buf_str(&r->out, "{\"configs\":[");
    if (plan) {
        dump_kind(r, plan, RESOURCE_CLUSTER, "ClustersConfigDump", "dynamic_active_clusters", "cluster", &first);
        dump_kind(r, plan, RESOURCE_ENDPOINTS, "EndpointsConfigDump", "dynamic_endpoint_configs", "endpoint_config",
                  &first);
        dump_kind(r, plan, RESOURCE_LISTENER, "ListenersConfigDump", "dynamic_listeners", "listener", &first);
        dump_kind(r, plan, RESOURCE_ROUTES, "RoutesConfigDump", "dynamic_route_configs", "route_config", &first);
        dump_kind(r, plan, RESOURCE_SECRET, "SecretsConfigDump", "dynamic_active_secrets", "secret", &first);
    }
    buf_str(&r->out, "]}\n");
}

static const char *health_of(const struct proxy *p, const struct cluster *c, const struct endpoint *e)
{
    return e->health != ENDPOINT_HEALTHY                                     ? "/failed_eds_health"
           : ejections_has(&p->ejections, c, &e->address, loop_now(p->loop)) ? "/failed_outlier_check"
                                                                             : "healthy";
}

static void print_endpoints(const struct proxy *p, struct buf *out, const struct cluster *c,
                            const struct endpoint_set *s)
{
    for (uint32_t i = 0; s && i < s->n_localities; i++)
        for (uint32_t j = 0; j < s->localities[i].n_endpoints; j++) {
            const struct endpoint *e = &s->localities[i].endpoints[j];
            buf_printf(out, "%.*s::", VIEW_ARGS(c->res.name));
            plan_addr_print(out, &e->address);
            buf_printf(out, "::health_flags::%s\n", health_of(p, c, e));
            buf_printf(out, "%.*s::", VIEW_ARGS(c->res.name));
            plan_addr_print(out, &e->address);
            buf_printf(out, "::weight::%u\n", e->weight);
        }
}

void admin_clusters(struct admin_request *r)
{
    const struct plan *plan = r->proxy->plan;
    if (!plan)
        return;
    struct arena a;
    arena_init(&a, 4096);
    const struct resource **all = plan_sorted(plan, RESOURCE_CLUSTER, &a);
    for (uint32_t i = 0; i < plan_count(plan, RESOURCE_CLUSTER); i++) {
        const struct cluster *c = (const struct cluster *)all[i];
        buf_printf(&r->out, "%.*s::observability_name::%.*s\n", VIEW_ARGS(c->res.name), VIEW_ARGS(c->res.name));
        print_endpoints(r->proxy, &r->out, c,
                        c->type == CLUSTER_EDS ? plan_endpoints(plan, &c->eds_name) : c->endpoints);
    }
    arena_done(&a);
}

void admin_listeners(struct admin_request *r)
{
    const struct plan *plan = r->proxy->plan;
    if (!plan)
        return;
    struct arena a;
    arena_init(&a, 4096);
    const struct resource **all = plan_sorted(plan, RESOURCE_LISTENER, &a);
    for (uint32_t i = 0; i < plan_count(plan, RESOURCE_LISTENER); i++) {
        const struct listener *l = (const struct listener *)all[i];
        buf_printf(&r->out, "%.*s::", VIEW_ARGS(l->res.name));
        plan_addr_print(&r->out, &l->address);
        buf_char(&r->out, '\n');
    }
    arena_done(&a);
}

void admin_certs(struct admin_request *r)
{
    const struct proxy *p = r->proxy;
    r->type = JSON;
    buf_str(&r->out, "{\"certificates\":[");
    if (p->identity) {
        buf_str(&r->out, "{\"cert_chain\":[{\"path\":\"<inline>\",\"serial_number\":");
        buf_json_str(&r->out, tls_identity_serial(p->identity));
        buf_str(&r->out, ",\"subject_alt_names\":[{\"uri\":");
        buf_json_str(&r->out, tls_identity_spiffe(p->identity));
        buf_str(&r->out, "}],\"valid_from\":\"");
        clock_print_time(&r->out, tls_identity_not_before(p->identity));
        buf_str(&r->out, "\",\"expiration_time\":\"");
        clock_print_time(&r->out, tls_identity_not_after(p->identity));
        buf_str(&r->out, "\"}],\"ca_cert\":[]}");
    }
    buf_str(&r->out, "]}\n");
}

void admin_logging(struct admin_request *r)
{
    char name[16];
    enum log_level level;
    struct view v = view_starts(r->query, VIEW("level=")) ? view_from(r->query, 6) : VIEW_NONE;
    if (v.n >= sizeof(name) || !v.n) {
        r->status = 400;
        return;
    }
    memcpy(name, v.p, v.n);
    name[v.n] = 0;
    if (log_parse_level(name, &level) < 0) {
        r->status = 400;
        return;
    }
    log_set(level, log_is_json());
    buf_printf(&r->out, "active loggers:\n  weft: %s\n", name);
}

void admin_drain(struct admin_request *r)
{
    drain_start(r->proxy);
    buf_str(&r->out, "OK\n");
}

void admin_quit(struct admin_request *r)
{
    r->proxy->quit = true;
    buf_str(&r->out, "OK\n");
    proxy_quit_soon(r->proxy);
}
