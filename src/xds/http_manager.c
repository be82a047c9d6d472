// SPDX-License-Identifier: Apache-2.0
/* HttpConnectionManager and its HTTP filters ⇄ struct http_manager.
 *
 * A filter is recognised by the type of its configuration, not by its name, which anybody may choose. What istio.alpn and
 * istio.peer_metadata shall do is fixed in Istio, so we write Istio's own configuration and accept no other.
 */
#include <string.h>

#include "plan/defaults.h"
#include "xds/convert.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define HCM(x) HCM__HTTP_CONNECTION_MANAGER__##x

static const struct pb_enum codecs[] = {
    {CODEC_AUTO, HCM(CODEC_TYPE__AUTO)},
    {CODEC_HTTP1, HCM(CODEC_TYPE__HTTP1)},
    {CODEC_HTTP2, HCM(CODEC_TYPE__HTTP2)},
};
static const struct pb_enum server_headers[] = {
    {SERVER_OVERWRITE, HCM(SERVER_HEADER_TRANSFORMATION__OVERWRITE)},
    {SERVER_APPEND_IF_ABSENT, HCM(SERVER_HEADER_TRANSFORMATION__APPEND_IF_ABSENT)},
    {SERVER_PASS_THROUGH, HCM(SERVER_HEADER_TRANSFORMATION__PASS_THROUGH)},
};
static const struct pb_enum xfccs[] = {
    {XFCC_SANITIZE, HCM(FORWARD_CLIENT_CERT_DETAILS__SANITIZE)},
    {XFCC_FORWARD_ONLY, HCM(FORWARD_CLIENT_CERT_DETAILS__FORWARD_ONLY)},
    {XFCC_APPEND_FORWARD, HCM(FORWARD_CLIENT_CERT_DETAILS__APPEND_FORWARD)},
    {XFCC_SANITIZE_SET, HCM(FORWARD_CLIENT_CERT_DETAILS__SANITIZE_SET)},
    {XFCC_ALWAYS_FORWARD_ONLY, HCM(FORWARD_CLIENT_CERT_DETAILS__ALWAYS_FORWARD_ONLY)},
};
static const struct pb_enum escaped[] = {
    {false, HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__IMPLEMENTATION_SPECIFIC_DEFAULT)},
    {false, HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__KEEP_UNCHANGED)},
    {true, HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__UNESCAPE_AND_FORWARD)},
};

/* ---- filters ---- */

/* What istio.alpn offers upstream by the request's version. */
static ProtobufCMessage *alpn_config(struct arena *a, enum traffic_direction dir)
{
    static const char *const offers[][3] = {
        {"istio-http/1.0", "istio", "http/1.0"}, {"istio-http/1.1", "istio", "http/1.1"}, {"istio-h2", "istio", "h2"}};
    Alpn__FilterConfig *m = PB_NEW(a, Alpn__FilterConfig, alpn__filter_config__init);

    for (int i = 0; i < 3; i++) {
        Alpn__FilterConfig__AlpnOverride *o =
            PB_NEW(a, Alpn__FilterConfig__AlpnOverride, alpn__filter_config__alpn_override__init);
        o->upstream_protocol = (Alpn__FilterConfig__Protocol)i;
        for (int k = 0; k < 3; k++)
            PB_PUSH(a, o, alpn_override, (char *)(uintptr_t)offers[i][k]);
        PB_PUSH(a, m, alpn_override, o);
    }
    return &m->base;
}

static PeerMetadata__Config__DiscoveryMethod *discovery(struct arena *a)
{
    PeerMetadata__Config__DiscoveryMethod *m =
        PB_NEW(a, PeerMetadata__Config__DiscoveryMethod, peer_metadata__config__discovery_method__init);

    m->method_specifier_case = PEER_METADATA__CONFIG__DISCOVERY_METHOD__METHOD_SPECIFIER_ISTIO_HEADERS;
    m->istio_headers = PB_NEW(a, PeerMetadata__Config__IstioHeaders, peer_metadata__config__istio_headers__init);
    return m;
}

static PeerMetadata__Config__PropagationMethod *propagation(struct arena *a)
{
    PeerMetadata__Config__PropagationMethod *m =
        PB_NEW(a, PeerMetadata__Config__PropagationMethod, peer_metadata__config__propagation_method__init);

    m->method_specifier_case = PEER_METADATA__CONFIG__PROPAGATION_METHOD__METHOD_SPECIFIER_ISTIO_HEADERS;
    m->istio_headers = PB_NEW(a, PeerMetadata__Config__IstioHeaders, peer_metadata__config__istio_headers__init);
    return m;
}

static ProtobufCMessage *peer_metadata_config(struct arena *a, enum traffic_direction dir)
{
    PeerMetadata__Config *m = PB_NEW(a, PeerMetadata__Config, peer_metadata__config__init);

    if (dir == TRAFFIC_INBOUND) {
        PB_PUSH(a, m, downstream_discovery, discovery(a));
        PB_PUSH(a, m, downstream_propagation, propagation(a));
    } else {
        PB_PUSH(a, m, upstream_discovery, discovery(a));
        PB_PUSH(a, m, upstream_propagation, propagation(a));
    }
    return &m->base;
}

static ProtobufCMessage *grpc_stats_config(struct arena *a, enum traffic_direction dir)
{
    GrpcStats__FilterConfig *m = PB_NEW(a, GrpcStats__FilterConfig, grpc_stats__filter_config__init);

    m->emit_filter_state = true;
    m->per_method_stat_specifier_case = GRPC_STATS__FILTER_CONFIG__PER_METHOD_STAT_SPECIFIER_STATS_FOR_ALL_METHODS;
    m->stats_for_all_methods = pb_bool(a, false);
    return &m->base;
}

#define EMPTY_CONFIG(fn, type, init)                                                                                   \
    static ProtobufCMessage *fn(struct arena *a, enum traffic_direction dir)                                           \
    {                                                                                                                  \
        return &PB_NEW(a, type, init)->base;                                                                           \
    }
EMPTY_CONFIG(fault_config, Fault__HTTPFault, fault__httpfault__init)
EMPTY_CONFIG(cors_config, Cors__Cors, cors__cors__init)
EMPTY_CONFIG(stats_config, Stats__PluginConfig, stats__plugin_config__init)
EMPTY_CONFIG(router_config, Router__Router, router__router__init)

static bool router_ok(const void *message)
{
    const Router__Router *m = message;

    return !m->suppress_envoy_headers;
}

static bool fault_ok(const void *message)
{
    const Fault__HTTPFault *m = message;

    return !m->delay && !m->abort; /* faults stand in routes */
}

static bool alpn_ok(const void *message)
{
    const Alpn__FilterConfig *m = message;
    struct buf ours = {0}, theirs = {0};
    struct arena a;
    bool same;

    arena_init(&a, 0);
    pb_pack(alpn_config(&a, TRAFFIC_OUTBOUND), &ours);
    pb_pack(m, &theirs);
    same = view_eq(buf_read(&ours), buf_read(&theirs));
    buf_done(&ours);
    buf_done(&theirs);
    arena_done(&a);
    return same;
}

static const struct filter_type {
    enum http_filter_kind kind;
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *(*config)(struct arena *a, enum traffic_direction dir);
    bool (*ok)(const void *message); /* NULL: any */
    const char *rule;
} filter_types[] = {
    {HTTP_FILTER_PEER_METADATA, &peer_metadata__config__descriptor, peer_metadata_config, NULL, NULL},
    {HTTP_FILTER_GRPC_STATS, &grpc_stats__filter_config__descriptor, grpc_stats_config, NULL, NULL},
    {HTTP_FILTER_ALPN, &alpn__filter_config__descriptor, alpn_config, alpn_ok, "only Istio's own table is supported"},
    {HTTP_FILTER_FAULT, &fault__httpfault__descriptor, fault_config, fault_ok, "faults are supported in routes only"},
    {HTTP_FILTER_CORS, &cors__cors__descriptor, cors_config, NULL, NULL},
    {HTTP_FILTER_STATS, &stats__plugin_config__descriptor, stats_config, NULL, NULL},
    {HTTP_FILTER_ROUTER, &router__router__descriptor, router_config, router_ok,
     "suppress_envoy_headers is not supported"},
};

static Hcm__HttpFilter *filter(struct arena *a, const struct http_filter *f, enum traffic_direction dir)
{
    Hcm__HttpFilter *m = PB_NEW(a, Hcm__HttpFilter, hcm__http_filter__init);

    m->name = pb_str(a, f->name);
    m->config_type_case = HCM__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    for (size_t i = 0; i < N(filter_types); i++)
        if (filter_types[i].kind == f->kind)
            m->typed_config = pb_any(a, filter_types[i].config(a, dir));
    return m;
}

static bool get_filter(struct xds_codec *d, const Hcm__HttpFilter *m, struct http_filter *f)
{
    if (m->disabled)
        return false;
    for (size_t i = 0; i < N(filter_types); i++) {
        const struct filter_type *t = &filter_types[i];
        if (m->typed_config && pb_any_is(m->typed_config, t->type)) {
            const void *config = pb_unpack_any(d, m->typed_config, t->type);
            if (config && t->ok && !t->ok(config))
                pb_refuse(d, "%s", t->rule);
            f->kind = t->kind;
            f->name = pb_text(d, m->name);
            return true;
        }
    }
    if (!m->is_optional)
        pb_refuse(d, "filter %.100s (%.100s) is not supported", m->name,
                  m->typed_config ? m->typed_config->type_url : "no typed_config");
    return false;
}

static void get_filters(struct xds_codec *d, const Hcm__HttpConnectionManager *m, struct http_manager *h)
{
    h->filters = ARENA_ARRAY(d->out, struct http_filter, m->n_http_filters + 1);
    for (size_t i = 0; i < m->n_http_filters; i++)
        XDS_AT(d, "http_filters", i)
    if (get_filter(d, m->http_filters[i], &h->filters[h->n_filters]))
        h->n_filters++;
    if (!h->n_filters || h->filters[h->n_filters - 1].kind != HTTP_FILTER_ROUTER)
        pb_refuse(d, "http_filters: the last one must be the router");
}

/* ---- the manager ---- */

static void put_xfcc(struct arena *a, const struct http_manager *h, Hcm__HttpConnectionManager *m)
{
    m->forward_client_cert_details = pb_theirs(xfccs, N(xfccs), h->xfcc);
    if (!h->xfcc_details)
        return;
    m->set_current_client_cert_details = PB_NEW(a, Hcm__HttpConnectionManager__SetCurrentClientCertDetails,
                                                hcm__http_connection_manager__set_current_client_cert_details__init);
    if (h->xfcc_details & XFCC_SUBJECT)
        m->set_current_client_cert_details->subject = pb_bool(a, true);
    m->set_current_client_cert_details->uri = (h->xfcc_details & XFCC_URI) != 0;
    m->set_current_client_cert_details->dns = (h->xfcc_details & XFCC_DNS) != 0;
    m->set_current_client_cert_details->cert = (h->xfcc_details & XFCC_CERT) != 0;
    m->set_current_client_cert_details->chain = (h->xfcc_details & XFCC_CHAIN) != 0;
}

static void put_times(struct arena *a, const struct http_manager *h, Hcm__HttpConnectionManager *m)
{
    m->common_http_protocol_options = PB_NEW(a, Core__HttpProtocolOptions, core__http_protocol_options__init);
    m->common_http_protocol_options->idle_timeout = pb_duration(a, h->idle_timeout);
    if (h->max_connection_duration)
        m->common_http_protocol_options->max_connection_duration = pb_duration(a, h->max_connection_duration);
    m->stream_idle_timeout = pb_duration(a, h->stream_idle_timeout);
    if (h->request_timeout)
        m->request_timeout = pb_duration(a, h->request_timeout);
    if (h->headers_timeout)
        m->request_headers_timeout = pb_duration(a, h->headers_timeout);
    m->drain_timeout = pb_duration(a, h->drain_timeout);
}

static void put_routes(struct arena *a, const struct http_manager *h, Hcm__HttpConnectionManager *m)
{
    if (h->routes) {
        m->route_specifier_case = HCM__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG;
        m->route_config = xds_routes(a, h->routes);
        return;
    }
    m->route_specifier_case = HCM__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS;
    m->rds = PB_NEW(a, Hcm__Rds, hcm__rds__init);
    m->rds->config_source = pb_ads(a);
    m->rds->route_config_name = pb_str(a, h->rds.name);
}

Hcm__HttpConnectionManager *xds_http_manager(struct arena *a, const struct http_manager *h, enum traffic_direction dir)
{
    Hcm__HttpConnectionManager *m = PB_NEW(a, Hcm__HttpConnectionManager, hcm__http_connection_manager__init);

    m->codec_type = pb_theirs(codecs, N(codecs), h->codec);
    m->stat_prefix = pb_str(a, h->stat_prefix);
    put_routes(a, h, m);
    for (uint32_t i = 0; i < h->n_filters; i++)
        PB_PUSH(a, m, http_filters, filter(a, &h->filters[i], dir));
    m->server_name = pb_str(a, h->server_name);
    m->server_header_transformation = pb_theirs(server_headers, N(server_headers), h->server_header);
    put_xfcc(a, h, m);
    m->use_remote_address = pb_bool(a, h->use_remote_address);
    m->xff_num_trusted_hops = h->xff_trusted_hops;
    m->skip_xff_append = h->skip_xff_append;
    if (!h->request_id)
        m->generate_request_id = pb_bool(a, false);
    m->preserve_external_request_id = h->keep_request_id;
    if (h->websocket) {
        Hcm__HttpConnectionManager__UpgradeConfig *u =
            PB_NEW(a, Hcm__HttpConnectionManager__UpgradeConfig, hcm__http_connection_manager__upgrade_config__init);
        u->upgrade_type = (char *)(uintptr_t) "websocket";
        PB_PUSH(a, m, upgrade_configs, u);
    }
    m->normalize_path = pb_bool(a, h->normalize_path);
    m->merge_slashes = h->merge_slashes;
    m->path_with_escaped_slashes_action = h->decode_slashes
                                              ? HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__UNESCAPE_AND_FORWARD)
                                              : HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__KEEP_UNCHANGED);
    if (h->accept_http10) {
        m->http_protocol_options = PB_NEW(a, Core__Http1ProtocolOptions, core__http1_protocol_options__init);
        m->http_protocol_options->accept_http_10 = true;
    }
    m->proxy_100_continue = h->proxy_100_continue;
    put_times(a, h, m);
    for (uint32_t i = 0; i < h->n_logs; i++)
        PB_PUSH(a, m, access_log, xds_access_log(a, &h->logs[i]));
    return m;
}

static void get_routes(struct xds_codec *d, const Hcm__HttpConnectionManager *m, struct http_manager *h)
{
    if (m->route_specifier_case == HCM__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS) {
        const Core__ConfigSource *s = m->rds->config_source;
        if (!s || s->config_source_specifier_case != CORE__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS)
            pb_refuse(d, "rds: only routes over ads are supported");
        h->rds = pb_name(d, m->rds->route_config_name);
        if (!h->rds.name.n)
            pb_refuse(d, "rds.route_config_name is empty");
    } else if (m->route_specifier_case == HCM__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG) {
        h->routes = ARENA_NEW(d->out, struct route_table);
        h->routes->res.kind = RESOURCE_ROUTES;
        h->routes->res.name = pb_text(d, m->route_config->name);
        XDS_IN(d, "route_config") xds_get_routes(d, m->route_config, h->routes);
    } else {
        pb_refuse(d, "has neither rds nor route_config");
    }
}

static void get_xfcc(struct xds_codec *d, const Hcm__HttpConnectionManager *m, struct http_manager *h)
{
    const Hcm__HttpConnectionManager__SetCurrentClientCertDetails *s = m->set_current_client_cert_details;

    XDS_IN(d, "forward_client_cert_details")
    h->xfcc = pb_ours(d, xfccs, N(xfccs), m->forward_client_cert_details,
                      &hcm__http_connection_manager__forward_client_cert_details__descriptor);
    if (s)
        h->xfcc_details = (pb_get_bool(s->subject, false) ? XFCC_SUBJECT : 0) | (s->uri ? XFCC_URI : 0) |
                          (s->dns ? XFCC_DNS : 0) | (s->cert ? XFCC_CERT : 0) | (s->chain ? XFCC_CHAIN : 0);
}

static void get_times(struct xds_codec *d, const Hcm__HttpConnectionManager *m, struct http_manager *h)
{
    const Core__HttpProtocolOptions *common = m->common_http_protocol_options;

    h->idle_timeout = DEFAULT_HTTP_IDLE_TIMEOUT;
    if (common) {
        XDS_IN(d, "idle_timeout") h->idle_timeout = pb_ns(d, common->idle_timeout, DEFAULT_HTTP_IDLE_TIMEOUT);
        XDS_IN(d, "max_connection_duration") h->max_connection_duration = pb_ns(d, common->max_connection_duration, 0);
        if (common->max_stream_duration || common->max_requests_per_connection ||
            common->headers_with_underscores_action)
            pb_refuse(d, "common_http_protocol_options: only idle_timeout and max_connection_duration are supported");
    }
    XDS_IN(d, "stream_idle_timeout") h->stream_idle_timeout = pb_ns(d, m->stream_idle_timeout, 300 * NS_PER_S);
    XDS_IN(d, "request_timeout") h->request_timeout = pb_ns(d, m->request_timeout, 0);
    XDS_IN(d, "request_headers_timeout") h->headers_timeout = pb_ns(d, m->request_headers_timeout, 0);
    XDS_IN(d, "drain_timeout") h->drain_timeout = pb_ns(d, m->drain_timeout, 5 * NS_PER_S);
}

static void get_paths(struct xds_codec *d, const Hcm__HttpConnectionManager *m, struct http_manager *h)
{
    h->normalize_path = pb_get_bool(m->normalize_path, false);
    h->merge_slashes = m->merge_slashes;
    XDS_IN(d, "path_with_escaped_slashes_action")
    h->decode_slashes = pb_ours(d, escaped, N(escaped), m->path_with_escaped_slashes_action,
                                &hcm__http_connection_manager__path_with_escaped_slashes_action__descriptor);
}

void xds_get_http_manager(struct xds_codec *d, const Hcm__HttpConnectionManager *m, struct http_manager *h)
{
    XDS_IN(d, "codec_type")
    h->codec = pb_ours(d, codecs, N(codecs), m->codec_type, &hcm__http_connection_manager__codec_type__descriptor);
    h->stat_prefix = pb_text(d, m->stat_prefix);
    get_routes(d, m, h);
    get_filters(d, m, h);
    h->server_name = pb_text(d, m->server_name);
    XDS_IN(d, "server_header_transformation")
    h->server_header = pb_ours(d, server_headers, N(server_headers), m->server_header_transformation,
                               &hcm__http_connection_manager__server_header_transformation__descriptor);
    get_xfcc(d, m, h);
    h->use_remote_address = pb_get_bool(m->use_remote_address, false);
    h->xff_trusted_hops = m->xff_num_trusted_hops;
    h->skip_xff_append = m->skip_xff_append;
    h->request_id = pb_get_bool(m->generate_request_id, true);
    h->keep_request_id = m->preserve_external_request_id;
    for (size_t i = 0; i < m->n_upgrade_configs; i++)
        XDS_AT(d, "upgrade_configs", i)
        {
            if (!view_ieq(view_of(m->upgrade_configs[i]->upgrade_type), VIEW("websocket")))
                pb_refuse(d, "only websocket is supported");
            h->websocket |= pb_get_bool(m->upgrade_configs[i]->enabled, true);
        }
    get_paths(d, m, h);
    if (m->http_protocol_options) {
        h->accept_http10 = m->http_protocol_options->accept_http_10;
        if (m->http_protocol_options->default_host_for_http_10[0])
            pb_refuse(d, "http_protocol_options.default_host_for_http_10 is not supported");
    }
    h->proxy_100_continue = m->proxy_100_continue;
    if (m->via[0] || m->always_set_request_id_in_response)
        pb_refuse(d, "via and always_set_request_id_in_response are not supported");
    get_times(d, m, h);
    xds_get_access_logs(d, m->access_log, m->n_access_log, &h->logs, &h->n_logs);
}
