// SPDX-License-Identifier: Apache-2.0
/* See debug.h. Figures are kept by their owners as plain numbers and copied into the metrics when somebody asks. */
#include "control/debug.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "compile/compile.h"
#include "control/ca.h"
#include "control/ca_authority.h"
#include "control/push.h"
#include "control/reply.h"
#include "control/source.h"
#include "control/store.h"
#include "control/webhook/webhook.h"
#include "http/stream.h"
#include "net/loop.h"
#include "plan/print.h"
#include "telemetry/metrics.h"
#include "trust/ca.h"
#include "xds/server.h"
#include "xds/types.h"

#define JSON VIEW("application/json")
#define TEXT VIEW("text/plain; charset=utf-8")

/* ---- metrics: name, kind, help, labels, and where the figure is ---- */

#define FIGURES(COUNTER, VALUE)                                                                                        \
    COUNTER("pilot_xds_pushes", "Responses sent.", "type=\"cds\"", x->pushes[RESOURCE_CLUSTER])                        \
    COUNTER("pilot_xds_pushes", "Responses sent.", "type=\"eds\"", x->pushes[RESOURCE_ENDPOINTS])                      \
    COUNTER("pilot_xds_pushes", "Responses sent.", "type=\"lds\"", x->pushes[RESOURCE_LISTENER])                       \
    COUNTER("pilot_xds_pushes", "Responses sent.", "type=\"rds\"", x->pushes[RESOURCE_ROUTES])                         \
    COUNTER("pilot_xds_pushes", "Responses sent.", "type=\"sds\"", x->pushes[RESOURCE_SECRET])                         \
    COUNTER("pilot_total_xds_rejects", "Responses that proxies refused.", "type=\"cds\"", x->nacks[RESOURCE_CLUSTER])  \
    COUNTER("pilot_total_xds_rejects", "Responses that proxies refused.", "type=\"eds\"",                              \
            x->nacks[RESOURCE_ENDPOINTS])                                                                              \
    COUNTER("pilot_total_xds_rejects", "Responses that proxies refused.", "type=\"lds\"", x->nacks[RESOURCE_LISTENER]) \
    COUNTER("pilot_total_xds_rejects", "Responses that proxies refused.", "type=\"rds\"", x->nacks[RESOURCE_ROUTES])   \
    COUNTER("pilot_push_triggers", "Snapshots that were compiled.", "type=\"config\"", p->snapshots)                   \
    COUNTER("pilot_k8s_cfg_events", "Events of the API server.", "", k)                                                \
    COUNTER("weft_xds_sent_bytes_total", "Bytes of responses.", "", x->sent_bytes)                                     \
    COUNTER("weft_xds_encoded_bytes_total", "Bytes of resources, each version counted once.", "", x->encoded_bytes)    \
    VALUE("pilot_xds", "Proxies connected.", "version=\"" WEFT_VERSION "\"", x->proxies)                               \
    VALUE("pilot_services", "Services known.", "", store_count(s, KIND_SERVICE) + store_count(s, KIND_SERVICE_ENTRY))  \
    VALUE("pilot_virt_services", "VirtualServices known.", "", store_count(s, KIND_VIRTUAL_SERVICE))                   \
    VALUE("pilot_total_rejected_configs", "Objects that were rejected.", "type=\"\",reason=\"invalid\"",               \
          store_rejected(s))                                                                                           \
    VALUE("weft_source_problems", "Kinds that are not current, by reason.", "reason=\"Unreachable\"",                  \
          source_kube_in_trouble(d->config.kube, "Unreachable"))                                                       \
    VALUE("weft_source_problems", "Kinds that are not current, by reason.", "reason=\"Unauthorized\"",                 \
          source_kube_in_trouble(d->config.kube, "Unauthorized"))                                                      \
    VALUE("weft_source_problems", "Kinds that are not current, by reason.", "reason=\"Forbidden\"",                    \
          source_kube_in_trouble(d->config.kube, "Forbidden"))                                                         \
    VALUE("weft_source_problems", "Kinds that are not current, by reason.", "reason=\"CRDMissing\"",                   \
          source_kube_in_trouble(d->config.kube, "CRDMissing"))                                                        \
    VALUE("weft_source_problems", "Kinds that are not current, by reason.", "reason=\"CRDDeleted\"",                   \
          source_kube_in_trouble(d->config.kube, "CRDDeleted"))                                                        \
    VALUE("weft_source_problems", "Kinds that are not current, by reason.", "reason=\"ServerError\"",                  \
          source_kube_in_trouble(d->config.kube, "ServerError"))                                                       \
    VALUE("weft_source_problems", "Kinds that are not current, by reason.", "reason=\"NotUnderstood\"",                \
          source_kube_in_trouble(d->config.kube, "NotUnderstood"))                                                     \
    VALUE("pilot_info", "This control plane.", "version=\"" WEFT_VERSION "\"", 1)                                      \
    VALUE("istiod_uptime_seconds", "Seconds since start.", "", (loop_now(d->config.loop) - d->started) / NS_PER_S)     \
    COUNTER("citadel_server_csr_count", "Signing requests.", "", c->requests)                                          \
    COUNTER("citadel_server_success_cert_issuance_count", "Certificates issued.", "", c->issued)                       \
    COUNTER("citadel_server_authentication_failure_count", "Callers that could not prove who they are.", "",           \
            c->authentication_failures)                                                                                \
    COUNTER("citadel_server_csr_parsing_err_count", "Signing requests that could not be read.", "", c->parse_errors)   \
    COUNTER("citadel_server_id_extraction_err_count", "Signing requests for somebody else's identity.", "",            \
            c->identity_errors)                                                                                        \
    COUNTER("citadel_server_csr_sign_err_count", "Signing requests that could not be signed.", "error=\"CSR_ERROR\"",  \
            c->sign_errors[CA_CSR_ERROR])                                                                              \
    COUNTER("citadel_server_csr_sign_err_count", "Signing requests that could not be signed.", "error=\"TTL_ERROR\"",  \
            c->sign_errors[CA_TTL_ERROR])                                                                              \
    COUNTER("citadel_server_csr_sign_err_count", "Signing requests that could not be signed.",                         \
            "error=\"CA_NOT_READY\"", c->sign_errors[CA_NOT_READY])                                                    \
    COUNTER("citadel_server_csr_sign_err_count", "Signing requests that could not be signed.",                         \
            "error=\"CERT_GEN_ERROR\"", c->sign_errors[CA_CERT_GEN_ERROR])                                             \
    VALUE("weft_ca_problem", "1: a CA was found and refused, the last good one signs on; the log says why.", "",       \
          d->config.authority &&authority_problem(d->config.authority))                                                \
    VALUE("citadel_server_root_cert_expiry_timestamp", "Unix time at which the root ends.", "", root)                  \
    VALUE("citadel_server_cert_chain_expiry_timestamp", "Unix time at which the signing certificate ends.", "", chain)

#define ONE(name, help, labels, value) +1
enum { N_FIGURES = 0 FIGURES(ONE, ONE) };

struct debug {
    struct debug_config config;
    struct metrics *metrics;
    struct gauge *gauges[N_FIGURES];
    uint64_t started;
};

struct debug *debug_new(const struct debug_config *config)
{
    struct debug *d = calloc(1, sizeof(*d));
    int i = 0;

    must(d != NULL);
    d->config = *config;
    d->started = loop_now(config->loop);
    d->metrics = metrics_new(VIEW(WEFT_VERSION));
#define AS_COUNTER(name, help, labels, value)                                                                          \
    d->gauges[i++] = metrics_gauge(d->metrics, name, GAUGE_COUNTER, help, labels);
#define AS_VALUE(name, help, labels, value) d->gauges[i++] = metrics_gauge(d->metrics, name, GAUGE_VALUE, help, labels);
    FIGURES(AS_COUNTER, AS_VALUE)
    return d;
}

struct debug *debug_free(struct debug *d)
{
    if (d) {
        metrics_free(d->metrics);
        free(d);
    }
    return NULL;
}

static void print_metrics(struct debug *d, struct buf *out)
{
    static const struct ca_stats none;
    const struct xds_server_stats *x = xds_server_stats(d->config.xds);
    const struct push_stats *p = push_stats(d->config.push);
    const struct ca_stats *c = d->config.ca_service ? ca_service_stats(d->config.ca_service) : &none;
    const struct store *s = d->config.store;
    uint64_t k = d->config.kube ? source_kube_events(d->config.kube) : 0;
    const struct ca *ca = d->config.authority ? authority_ca(d->config.authority) : NULL;
    uint64_t root = ca ? ca_root_not_after(ca) / NS_PER_S : 0;
    uint64_t chain = ca ? ca_not_after(ca) / NS_PER_S : 0;
    int i = 0;

#define SET(name, help, labels, value) gauge_set(d->gauges[i++], (int64_t)(value));
    FIGURES(SET, SET)
    metrics_render(d->metrics, out);
    if (d->config.webhook)
        webhook_print_metrics(d->config.webhook, out);
}

/* ---- proxies ---- */

static void print_time(struct buf *out, const char *key, uint64_t wall)
{
    buf_printf(out, ",\"%s\":\"", key);
    clock_print_time(out, wall);
    buf_char(out, '"');
}

static void print_str(struct buf *out, const char *key, struct view v)
{
    buf_printf(out, ",\"%s\":", key);
    buf_json_str(out, v);
}

static const char *const istio_names[RESOURCE_KINDS] = {[RESOURCE_CLUSTER] = "cluster",
                                                        [RESOURCE_ENDPOINTS] = "endpoint",
                                                        [RESOURCE_LISTENER] = "listener",
                                                        [RESOURCE_ROUTES] = "route",
                                                        [RESOURCE_SECRET] = "secret"};

static void print_types(struct buf *out, const struct xds_proxy *p)
{
    const char *comma = "";

    buf_str(out, ",\"types\":{");
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type_state *t = &p->types[xds_types[i].kind];
        if (!t->asked)
            continue;
        buf_printf(out, "%s\"%s\":{\"state\":\"%s\",\"resources\":%u,\"nonceSent\":%llu,\"nonceAcked\":%llu", comma,
                   xds_types[i].name, xds_sync_name(t->sync), t->n_sent, (unsigned long long)t->nonce_sent,
                   (unsigned long long)t->nonce_acked);
        comma = ",";
        print_time(out, "since", t->since);
        if (t->nack.n) {
            print_str(out, "rejected", t->nack);
            print_time(out, "rejectedAt", t->nack_at);
        }
        buf_char(out, '}');
    }
    buf_char(out, '}');
}

static void print_proxy(struct buf *out, const struct debug *d, const struct xds_proxy *p)
{
    bool synced = true;
    uint64_t since = p->connected_at, nack_at = 0;
    struct view nack = VIEW_NONE;

    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type_state *t = &p->types[i];
        bool bad = t->asked && t->sync != XDS_SYNCED && t->sync != XDS_NOT_SENT;
        if (bad && (synced || t->since < since))
            since = t->since;
        else if (!bad && synced && t->since > since)
            since = t->since;
        synced = synced && !bad;
        if (t->nack.n && t->nack_at >= nack_at) {
            nack = t->nack;
            nack_at = t->nack_at;
        }
    }
    synced = synced && p->types[RESOURCE_CLUSTER].nonce_acked && p->types[RESOURCE_LISTENER].nonce_acked;
    buf_printf(out, "{\"proxy\":\"%.*s.%.*s\"", VIEW_ARGS(p->node.pod), VIEW_ARGS(p->node.ns));
    print_str(out, "proxy_type", p->node.type);
    print_str(out, "cluster_id", p->node.cluster_id.n ? p->node.cluster_id : d->config.cluster_id);
    print_str(out, "istio_version", p->node.version);
    print_str(out, "version", p->node.build.n ? p->node.build : p->node.version);
    print_str(out, "ip", p->node.ip);
    print_time(out, "connected", p->connected_at);
    buf_printf(out, ",\"synced\":%s", synced ? "true" : "false");
    print_time(out, "since", since);
    print_str(out, "config_version", p->version);
    if (nack.n) {
        print_str(out, "rejected", nack);
        print_time(out, "rejected_at", nack_at);
    }
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type_state *t = &p->types[i];
        if (!t->asked)
            continue;
        buf_printf(out, ",\"%s_sent\":", istio_names[i]);
        buf_json_str(out, t->version_sent);
        buf_printf(out, ",\"%s_acked\":", istio_names[i]);
        buf_json_str(out, t->version_acked);
    }
    print_types(out, p);
    buf_char(out, '}');
}

static void print_syncz(struct debug *d, struct buf *out)
{
    const char *comma = "\n";

    buf_char(out, '[');
    LIST_EACH (xds_server_proxies(d->config.xds), struct xds_proxy, link, p) {
        buf_str(out, comma);
        comma = ",\n";
        print_proxy(out, d, p);
    }
    buf_str(out, "\n]\n");
}

static bool print_dump(struct debug *d, struct view query, struct buf *out)
{
    struct buf id = {0};
    bool found = false;

    if (!view_starts(query, VIEW("proxyID=")))
        return false;
    LIST_EACH (xds_server_proxies(d->config.xds), struct xds_proxy, link, p) {
        buf_clear(&id);
        buf_printf(&id, "%.*s.%.*s", VIEW_ARGS(p->node.pod), VIEW_ARGS(p->node.ns));
        if (!found && view_eq(buf_read(&id), view_from(query, 8)) && xds_proxy_plan(p)) {
            plan_print(out, xds_proxy_plan(p));
            found = true;
        }
    }
    buf_done(&id);
    return found;
}

/* ---- paths ---- */

static bool ready(const struct debug *d)
{
    return store_ready(d->config.store) && push_now(d->config.push);
}

void debug_serve(void *debug, const struct port_request *q)
{
    struct debug *d = debug;
    struct loop *l = d->config.loop;
    struct view method = headers_value(&q->stream->in, HEADER_METHOD);
    struct buf out = {0};

    if (!view_is(method, "GET") && !view_is(method, "HEAD")) {
        reply_text(l, q->stream, 405, "only GET\n");
    } else if (view_is(q->path, "/ready") || view_is(q->path, "/healthz")) {
        if (ready(d) || view_is(q->path, "/healthz"))
            reply_text(l, q->stream, 200, "ok\n");
        else
            reply_text(l, q->stream, 503, "not ready: the objects are not all here yet\n");
    } else if (view_is(q->path, "/version")) {
        buf_printf(&out, "{\"version\":\"%s\",\"component\":\"weft-control\"}\n", WEFT_VERSION);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/metrics")) {
        print_metrics(d, &out);
        reply_send(l, q->stream, 200, VIEW(METRICS_CONTENT_TYPE), &out);
    } else if (view_is(q->path, "/debug/syncz")) {
        print_syncz(d, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/configz")) {
        store_print_json(d->config.store, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/diagz")) {
        store_print_rejected(d->config.store, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/problemz")) {
        source_kube_print_problems(d->config.kube, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/config_dump")) {
        if (print_dump(d, q->query, &out))
            reply_send(l, q->stream, 200, TEXT, &out);
        else
            reply_text(l, q->stream, 404, "no such proxy: ?proxyID=name.namespace\n");
    } else {
        reply_text(l, q->stream, 404, "not found\n");
    }
    buf_done(&out);
}
