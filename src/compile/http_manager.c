// SPDX-License-Identifier: Apache-2.0
/* What all HTTP and TCP managers of one direction have in common: filters in Istio's order, headers, timeouts, logs. */
#include "compile/scope.h"

#include "plan/defaults.h"

static const struct {
    enum http_filter_kind kind;
    const char *name;
    bool not_inbound;
} filters[] = {
    {HTTP_FILTER_PEER_METADATA, "istio.metadata_exchange", false},
    {HTTP_FILTER_GRPC_STATS, "envoy.filters.http.grpc_stats", false},
    {HTTP_FILTER_ALPN, "istio.alpn", true}, /* what to offer upstream: inbound clusters have no TLS */
    {HTTP_FILTER_FAULT, "envoy.filters.http.fault", false},
    {HTTP_FILTER_CORS, "envoy.filters.http.cors", false},
    {HTTP_FILTER_STATS, "istio.stats", false},
    {HTTP_FILTER_ROUTER, "envoy.filters.http.router", false},
};

/* Istio's default text format (telemetry_logging.go EnvoyTextLogFormat) and the keys of its JSON one. */
static const char text_format[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% "
    "%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% "
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

static const struct {
    const char *key, *format;
} json_fields[] = {
    {"start_time", "%START_TIME%"},
    {"route_name", "%ROUTE_NAME%"},
    {"method", "%REQ(:METHOD)%"},
    {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
    {"protocol", "%PROTOCOL%"},
    {"response_code", "%RESPONSE_CODE%"},
    {"response_flags", "%RESPONSE_FLAGS%"},
    {"response_code_details", "%RESPONSE_CODE_DETAILS%"},
    {"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
    {"bytes_received", "%BYTES_RECEIVED%"},
    {"bytes_sent", "%BYTES_SENT%"},
    {"duration", "%DURATION%"},
    {"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
    {"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"},
    {"user_agent", "%REQ(USER-AGENT)%"},
    {"request_id", "%REQ(X-REQUEST-ID)%"},
    {"authority", "%REQ(:AUTHORITY)%"},
    {"upstream_host", "%UPSTREAM_HOST%"},
    {"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"},
    {"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
    {"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
    {"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
    {"requested_server_name", "%REQUESTED_SERVER_NAME%"},
    {"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
};

static struct view text_of(struct arena *a, struct view format)
{
    if (!format.n)
        return VIEW(text_format);
    bool ends = format.p[format.n - 1] == '\n';
    return ends ? arena_view(a, format) : arena_printf(a, "%.*s\n", VIEW_ARGS(format));
}

void manager_logs(struct scope *s, struct arena *a, struct access_log **ret, uint32_t *ret_n, bool only_no_route)
{
    const struct mesh_config *m = s->c->config;
    if (!m->access_log_file.n)
        return;
    struct access_log *log = ARENA_PUSH(a, *ret, *ret_n);
    log->path = arena_view(a, m->access_log_file);
    log->only_no_route = only_no_route;
    if (m->access_log_encoding == ACCESS_LOG_TEXT) {
        log->text = text_of(a, m->access_log_format);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(json_fields); i++)
        *ARENA_PUSH(a, log->fields, log->n_fields) =
            (struct access_log_field){view_of(json_fields[i].key), view_of(json_fields[i].format)};
}

struct http_manager *manager_new(struct scope *s, struct arena *a, enum traffic_direction direction,
                                 struct view stat_prefix)
{
    struct http_manager *m = ARENA_NEW(a, struct http_manager);
    m->stat_prefix = arena_view(a, stat_prefix);
    m->filters = ARENA_ARRAY(a, struct http_filter, COUNT_OF(filters));
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (!(filters[i].not_inbound && direction == TRAFFIC_INBOUND))
            m->filters[m->n_filters++] = (struct http_filter){filters[i].kind, view_of(filters[i].name)};
    m->server_name = direction == TRAFFIC_OUTBOUND ? VIEW("envoy") : VIEW("istio-envoy");
    m->request_id = true;
    m->keep_request_id = direction != TRAFFIC_UNSPECIFIED;
    m->websocket = true;
    m->normalize_path = true;
    m->accept_http10 = true;
    m->proxy_100_continue = true;
    m->idle_timeout = DEFAULT_HTTP_IDLE_TIMEOUT;
    m->drain_timeout = DEFAULT_DRAIN;
    switch (direction) {
    case TRAFFIC_OUTBOUND:
        break;
    case TRAFFIC_INBOUND:
        m->xfcc = XFCC_APPEND_FORWARD;
        m->xfcc_details = XFCC_SUBJECT | XFCC_URI | XFCC_DNS;
        break;
    case TRAFFIC_UNSPECIFIED: /* a gateway: the client is outside */
        m->xfcc = XFCC_SANITIZE_SET;
        m->xfcc_details = XFCC_SUBJECT | XFCC_CERT | XFCC_URI | XFCC_DNS;
        m->use_remote_address = true;
        break;
    }
    manager_logs(s, a, &m->logs, &m->n_logs, false);
    return m;
}

struct tcp_manager *manager_tcp(struct scope *s, struct arena *a, struct view stat_prefix, struct view cluster)
{
    struct tcp_manager *t = ARENA_NEW(a, struct tcp_manager);
    t->stat_prefix = arena_view(a, stat_prefix);
    t->idle_timeout = DEFAULT_TCP_IDLE_TIMEOUT;
    if (cluster.n) {
        *ARENA_PUSH(a, t->clusters, t->n_clusters) =
            (struct weighted_cluster){.cluster = name_ref_copy(a, cluster), .weight = 1};
        t->total_weight = 1;
    }
    manager_logs(s, a, &t->logs, &t->n_logs, false);
    return t;
}
