// SPDX-License-Identifier: Apache-2.0
/* See debug_metrics.h. One function for each owner of figures. */
#include "control/debug_metrics.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "control/identity/ca.h"
#include "control/identity/authority.h"
#include "control/debug.h"
#include "control/debug_model.h"
#include "control/push.h"
#include "control/identity/review.h"
#include "control/identity/root_cert.h"
#include "control/source.h"
#include "control/status/status.h"
#include "control/store.h"
#include "control/webhook/webhook.h"
#include "net/loop.h"
#include "trust/ca.h"
#include "trust/roots.h"
#include "xds/server.h"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static printf_like(3, 4) void sample(struct buf *out, uint64_t value, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_printf(out, "%s %llu\n", text, (unsigned long long)value);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    sample(out, value, "%s", name);
}

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "gauge", help);
    sample(out, value, "%s", name);
}

/* ---- xDS ---- */

static const char *const xds_names[RESOURCE_KINDS] = {[RESOURCE_CLUSTER] = "cds",
                                                      [RESOURCE_ENDPOINTS] = "eds",
                                                      [RESOURCE_LISTENER] = "lds",
                                                      [RESOURCE_ROUTES] = "rds",
                                                      [RESOURCE_SECRET] = "sds"};

static void by_kind(struct buf *out, const char *name, const char *help, const uint64_t *counts, bool zeros)
{
    head(out, name, "counter", help);
    for (int i = 0; i < RESOURCE_KINDS; i++)
        if (counts[i] || zeros)
            sample(out, counts[i], "%s{type=\"%s\"}", name, xds_names[i]);
}

/* Connected proxies by the version that they say they are. */
static void print_proxies(const struct debug_config *c, struct buf *out)
{
    enum { VERSIONS = 16 };
    struct {
        struct view version;
        uint64_t n;
    } rows[VERSIONS] = {{VIEW(WEFT_VERSION), 0}};
    size_t n = 1, i;

    LIST_EACH (xds_server_proxies(c->xds), struct xds_proxy, link, p) {
        struct view version = p->node.build.n ? p->node.build : p->node.version;
        for (i = 0; i < n && !view_eq(rows[i].version, version); i++)
            continue;
        if (i == n && n < VERSIONS)
            rows[n++].version = version;
        rows[i < n ? i : 0].n++;
    }
    head(out, "pilot_xds", "gauge", "Proxies connected, by version.");
    for (i = 0; i < n; i++) {
        buf_str(out, "pilot_xds{version=");
        buf_json_str(out, rows[i].version);
        buf_printf(out, "} %llu\n", (unsigned long long)rows[i].n);
    }
}

static void print_xds(const struct debug_config *c, struct buf *out)
{
    const struct xds_server_stats *x = xds_server_stats(c->xds);

    print_proxies(c, out);
    by_kind(out, "pilot_xds_pushes", "Responses sent.", x->pushes, true);
    by_kind(out, "pilot_total_xds_rejects", "Responses that proxies refused.", x->nacks, false);
    by_kind(out, "pilot_xds_expired_nonce", "Answers to a response that was not the last one any more.", x->expired,
            false);
    counter(out, "pilot_xds_write_timeout", "Proxies that were dropped because they did not read.", x->slow);
    spread_print(&x->settle, "pilot_proxy_convergence_time", "Seconds from a change to its acknowledgement by a proxy.",
                 out);
    counter(out, "weft_xds_sent_bytes_total", "Bytes of responses.", x->sent_bytes);
    counter(out, "weft_xds_encoded_bytes_total", "Bytes of resources, each version counted once.", x->encoded_bytes);
}

static void print_push(const struct debug_config *c, struct buf *out)
{
    static const char *const names[PUSH_TRIGGERS] = {
        [PUSH_CONFIG] = "config",       [PUSH_ENDPOINT] = "endpoint", [PUSH_SERVICE] = "service",
        [PUSH_SECRET] = "secret",       [PUSH_GLOBAL] = "global",     [PUSH_PROXY] = "proxy",
        [PUSH_NAMESPACE] = "namespace",
    };
    const struct push_stats *p = push_stats(c->push);

    head(out, "pilot_push_triggers", "counter",
         "What made this control plane push; one push may have several reasons.");
    for (int i = 0; i < PUSH_TRIGGERS; i++)
        if (p->triggers[i])
            sample(out, p->triggers[i], "pilot_push_triggers{type=\"%s\"}", names[i]);
    spread_print(&p->waited, "pilot_debounce_time", "Seconds from the first change to the snapshot that has it.", out);
    spread_print(&p->compiled, "pilot_pushcontext_init_seconds",
                 "Seconds to prepare what all proxies share of a snapshot.", out);
    counter(out, "weft_refused_proxies_total", "Proxies that are not what their identity allows.", p->refused);
}

/* ---- objects ---- */

static bool is_config(enum mesh_kind kind)
{
    return view_ends(mesh_kinds[kind].group, VIEW(".istio.io")) ||
           view_is(mesh_kinds[kind].group, "gateway.networking.k8s.io");
}

static void print_events(const struct debug_config *c, const char *name, const char *help, bool config, struct buf *out)
{
    static const char *const names[STORE_EVENTS] = {"add", "update", "delete"};

    head(out, name, "counter", help);
    for (int kind = 0; kind < MESH_KINDS; kind++)
        for (int e = 0; e < STORE_EVENTS && is_config(kind) == config; e++) {
            uint64_t n = store_events(c->store, kind, e);
            if (n)
                sample(out, n, "%s{event=\"%s\",type=\"%.*s\"}", name, names[e], VIEW_ARGS(mesh_kinds[kind].kind));
        }
}

static void print_inbound(const struct debug_config *c, struct buf *out)
{
    static const char name[] = "pilot_inbound_updates";
    uint64_t config = 0, eds = 0, svc = 0, svc_gone = store_events(c->store, KIND_SERVICE, STORE_DELETE);

    for (int e = 0; e < STORE_EVENTS; e++) {
        for (int kind = 0; kind < MESH_KINDS; kind++)
            config += is_config(kind) ? store_events(c->store, kind, e) : 0;
        eds += store_events(c->store, KIND_ENDPOINT_SLICE, e);
        svc += e == STORE_DELETE ? 0 : store_events(c->store, KIND_SERVICE, e);
    }
    head(out, name, "counter", "Updates received, by what they are about.");
    sample(out, config, "%s{type=\"config\"}", name);
    sample(out, eds, "%s{type=\"eds\"}", name);
    sample(out, svc, "%s{type=\"svc\"}", name);
    sample(out, svc_gone, "%s{type=\"svcdelete\"}", name);
}

/* By kind: how many objects are rejected now. */
static void print_rejected(const struct debug_config *c, struct buf *out)
{
    static const char name[] = "pilot_total_rejected_configs";
    uint32_t counts[MESH_KINDS] = {0}, i = 0, named = 0, all = store_rejected(c->store);
    struct store_rejected r;

    while (store_rejected_next(c->store, &i, &r)) {
        enum mesh_kind kind;
        if (mesh_kind_of(r.api_version, r.kind, &kind) == 0) {
            counts[kind]++;
            named++;
        }
    }
    head(out, name, "gauge", "Objects that are rejected.");
    for (int kind = 0; kind < MESH_KINDS; kind++)
        if (counts[kind])
            sample(out, counts[kind], "%s{type=\"%.*s\",reason=\"invalid\"}", name, VIEW_ARGS(mesh_kinds[kind].kind));
    sample(out, all - named, "%s{type=\"file\",reason=\"invalid\"}", name);
}

static void print_objects(const struct debug_config *c, struct buf *out)
{
    const struct store *s = c->store;
    const struct store_snapshot *now = push_now(c->push);
    struct model_figures f;

    gauge(out, "pilot_services", "Services known, with ServiceEntries.",
          store_count(s, KIND_SERVICE) + store_count(s, KIND_SERVICE_ENTRY));
    gauge(out, "pilot_virt_services", "VirtualServices known.", store_count(s, KIND_VIRTUAL_SERVICE));
    print_rejected(c, out);
    print_inbound(c, out);
    if (c->kube) {
        print_events(c, "pilot_k8s_cfg_events", "Events of Istio's kinds from the API server.", true, out);
        print_events(c, "pilot_k8s_reg_events", "Events of Kubernetes' kinds from the API server.", false, out);
    }
    model_count(&f, now ? now->mesh : NULL, xds_server_proxies(c->xds));
    gauge(out, "pilot_eds_no_instances", "Services with a selector and without a ready endpoint.", f.services_without);
    gauge(out, "pilot_endpoint_not_ready", "Endpoints that are not ready.", f.endpoints_not_ready);
    gauge(out, "endpoint_no_pod", "Endpoints whose pod is not known.", f.endpoints_without_pod);
    gauge(out, "pilot_no_ip", "Connected sidecars that are behind no Service.", f.proxies_without);
    gauge(out, "pilot_vservice_dup_domain", "Hosts of VirtualServices that an older one speaks for.",
          f.duplicate_hosts);
    gauge(out, "pilot_destrule_subsets", "Subsets that another DestinationRule of the host has defined.",
          f.duplicate_subsets);
}

/* Why kinds are not current: kube/trouble.def. */
static void print_source(const struct debug_config *c, struct buf *out)
{
    static const char *const reasons[] = {"Unreachable", "Unauthorized", "Forbidden",    "CRDMissing",
                                          "CRDDeleted",  "ServerError",  "NotUnderstood"};

    if (!c->kube)
        return;
    head(out, "weft_source_problems", "gauge", "Kinds that are not current, by reason.");
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        sample(out, source_kube_in_trouble(c->kube, reasons[i]), "weft_source_problems{reason=\"%s\"}", reasons[i]);
}

/* ---- identity ---- */

static void print_calls(const struct ca_stats *s, struct buf *out)
{
    static const char name[] = "citadel_server_csr_sign_err_count";
    static const char *const errors[CA_SIGN_ERRORS] = {[CA_CSR_ERROR] = "CSR_ERROR",
                                                       [CA_TTL_ERROR] = "TTL_ERROR",
                                                       [CA_NOT_READY] = "CA_NOT_READY",
                                                       [CA_CERT_GEN_ERROR] = "CERT_GEN_ERROR"};

    counter(out, "citadel_server_csr_count", "Signing requests.", s->requests);
    counter(out, "citadel_server_success_cert_issuance_count", "Certificates issued.", s->issued);
    counter(out, "citadel_server_authentication_failure_count", "Callers that could not prove who they are.",
            s->authentication_failures);
    counter(out, "citadel_server_csr_parsing_err_count", "Signing requests that could not be read.", s->parse_errors);
    counter(out, "citadel_server_id_extraction_err_count", "Signing requests for somebody else's identity.",
            s->identity_errors);
    head(out, name, "counter", "Signing requests that could not be signed.");
    for (int i = 0; i < CA_SIGN_ERRORS; i++)
        if (s->sign_errors[i])
            sample(out, s->sign_errors[i], "%s{error=\"%s\"}", name, errors[i]);
}

static void expiry(struct buf *out, const char *name, const char *what, uint64_t end, uint64_t wall)
{
    buf_printf(out, "# HELP %s_timestamp Unix time at which %s ends.\n# TYPE %s_timestamp gauge\n", name, what, name);
    sample(out, end / NS_PER_S, "%s_timestamp", name);
    buf_printf(out, "# HELP %s_seconds Seconds until %s ends; negative: since it ended.\n# TYPE %s_seconds gauge\n",
               name, what, name);
    buf_printf(out, "%s_seconds %lld\n", name, (long long)(end / NS_PER_S) - (long long)(wall / NS_PER_S));
}

static void print_identity(const struct debug_config *c, struct buf *out)
{
    uint64_t wall = loop_wall(c->loop);

    if (c->ca_service)
        print_calls(ca_service_stats(c->ca_service), out);
    if (c->reviewer) {
        const struct reviewer_stats *r = reviewer_stats(c->reviewer);
        counter(out, "weft_token_reviews_total", "Tokens looked at.", r->asked);
        counter(out, "weft_token_reviews_remembered_total", "Of them, those that were known to be good.",
                r->remembered);
        counter(out, "weft_token_reviews_failed_total", "Of them, those that nobody could say anything about.",
                r->failed);
    }
    if (c->authority && authority_ca(c->authority)) {
        const struct ca *ca = authority_ca(c->authority);
        const struct authority_stats *s = authority_stats(c->authority);
        expiry(out, "citadel_server_root_cert_expiry", "the root", ca_root_not_after(ca), wall);
        expiry(out, "citadel_server_cert_chain_expiry", "the signing certificate", ca_not_after(ca), wall);
        gauge(out, "weft_ca_problem", "1: a CA was found and refused, the last good one signs on; the log says why.",
              authority_problem(c->authority) != NULL);
        counter(out, "weft_ca_loads_total", "CAs taken over, the first included.", s->loads);
        counter(out, "weft_ca_load_failures_total", "CAs found and refused.", s->failures);
        counter(out, "weft_ca_root_renewals_total", "Self-signed roots renewed by this replica.", s->rotations);
        gauge(out, "weft_ca_roots", "Roots that proxies are told to trust.",
              roots_count(authority_roots(c->authority)));
        gauge(out, "weft_ca_signs_at_timestamp", "Unix time at which a new CA begins to sign; 0: none waits.",
              s->signs_at / NS_PER_S);
    }
    if (c->roots) {
        counter(out, "weft_root_certs_written_total", "ConfigMaps istio-ca-root-cert written.",
                root_cert_written(c->roots));
        gauge(out, "weft_root_certs_missing", "Namespaces whose istio-ca-root-cert is not right yet.",
              root_cert_missing(c->roots));
    }
}

static void print_status(struct status *status, struct buf *out)
{
    const struct status_stats *s = status_stats(status);

    gauge(out, "weft_status_leader", "1: this replica writes the statuses of objects.", s->leader);
    gauge(out, "weft_status_waiting", "Statuses that wait to be written.", s->waiting);
    counter(out, "weft_status_writes_total", "Statuses of objects that were written.", s->writes);
    counter(out, "weft_status_failures_total", "Writes of statuses that failed; most are repeated.", s->failures);
    counter(out, "weft_status_events_total", "Events that were written.", s->events);
    counter(out, "weft_status_events_held_total", "Events that were held back by their limits.", s->events_held);
    head(out, "weft_status_look_seconds_total", "counter", "CPU of looking at all objects.");
    buf_printf(out, "weft_status_look_seconds_total %.6f\n", (double)s->look_ns / (double)NS_PER_S);
}

void debug_metrics_print(const struct debug_config *c, uint64_t started, struct buf *out)
{
    head(out, "istio_build", "gauge", "Version of this component, always 1.");
    buf_str(out, "istio_build{component=\"pilot\",tag=\"" WEFT_VERSION "\"} 1\n");
    head(out, "pilot_info", "gauge", "Version of this control plane, always 1.");
    buf_str(out, "pilot_info{version=\"" WEFT_VERSION "\"} 1\n");
    gauge(out, "istiod_uptime_seconds", "Seconds since start.", (loop_now(c->loop) - started) / NS_PER_S);
    print_xds(c, out);
    print_push(c, out);
    print_objects(c, out);
    print_source(c, out);
    print_identity(c, out);
    if (c->status)
        print_status(c->status, out);
    if (c->webhook)
        webhook_print_metrics(c->webhook, out);
}
