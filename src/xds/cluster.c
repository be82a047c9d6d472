// SPDX-License-Identifier: Apache-2.0
/* Cluster ⇄ struct cluster. Defaults that differ between an absent field of Envoy and a zero of the plan are written out,
 * so both kinds of proxy do the same.
 */
#include "plan/defaults.h"
#include "xds/convert.h"
#include "xds/tls.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define HTTP_OPTIONS "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#define MX_PROTOCOL "istio-peer-exchange"

static const struct pb_enum types[] = {
    {CLUSTER_EDS, CLUSTER__CLUSTER__DISCOVERY_TYPE__EDS},
    {CLUSTER_STATIC, CLUSTER__CLUSTER__DISCOVERY_TYPE__STATIC},
    {CLUSTER_STRICT_DNS, CLUSTER__CLUSTER__DISCOVERY_TYPE__STRICT_DNS},
    {CLUSTER_LOGICAL_DNS, CLUSTER__CLUSTER__DISCOVERY_TYPE__LOGICAL_DNS},
    {CLUSTER_ORIGINAL_DST, CLUSTER__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST},
};
/* ---- encoding ---- */

static bool default_transport(const struct cluster *c)
{
    return c->n_transports == 1 && !c->transports[0].name.n && !c->transports[0].tls_mode.n && c->transports[0].tls;
}

static void put_transports(struct arena *a, const struct cluster *c, Cluster__Cluster *m)
{
    if (default_transport(c)) {
        m->transport_socket = xds_tls_client(a, c->transports[0].tls);
        return;
    }
    for (uint32_t i = 0; i < c->n_transports; i++) {
        const struct cluster_transport *t = &c->transports[i];
        Cluster__Cluster__TransportSocketMatch *s =
            PB_NEW(a, Cluster__Cluster__TransportSocketMatch, cluster__cluster__transport_socket_match__init);

        s->name = pb_str(a, t->name);
        s->match = pb_struct(a);
        pb_put_str(a, s->match, "tlsMode", t->tls_mode);
        s->transport_socket = xds_tls_client(a, t->tls);
        PB_PUSH(a, m, transport_socket_matches, s);
    }
}

static const struct tls_client *some_tls(const struct cluster *c)
{
    for (uint32_t i = 0; i < c->n_transports; i++)
        if (c->transports[i].tls)
            return c->transports[i].tls;
    return NULL;
}

static void put_http(struct arena *a, const struct cluster *c, Cluster__Cluster *m)
{
    const struct tls_client *tls = some_tls(c);
    bool common =
        c->idle_timeout != DEFAULT_HTTP_IDLE_TIMEOUT || c->max_connection_duration || c->max_requests_per_connection;
    bool sni = tls && (tls->auto_sni || tls->auto_san);
    Cluster__Cluster__TypedExtensionProtocolOptionsEntry *e;
    Upstream__HttpProtocolOptions *o;
    Core__Http2ProtocolOptions *h2 = NULL;

    if (c->protocol == PROTOCOL_HTTP1 && !common && !sni && !c->max_streams)
        return;
    o = PB_NEW(a, Upstream__HttpProtocolOptions, upstream__http_protocol_options__init);
    if (common) {
        o->common_http_protocol_options = PB_NEW(a, Core__HttpProtocolOptions, core__http_protocol_options__init);
        o->common_http_protocol_options->idle_timeout = pb_duration(a, c->idle_timeout);
        if (c->max_connection_duration)
            o->common_http_protocol_options->max_connection_duration = pb_duration(a, c->max_connection_duration);
        if (c->max_requests_per_connection)
            o->common_http_protocol_options->max_requests_per_connection = pb_u32(a, c->max_requests_per_connection);
    }
    if (sni) {
        o->upstream_http_protocol_options =
            PB_NEW(a, Core__UpstreamHttpProtocolOptions, core__upstream_http_protocol_options__init);
        o->upstream_http_protocol_options->auto_sni = tls->auto_sni;
        o->upstream_http_protocol_options->auto_san_validation = tls->auto_san;
    }
    if (c->protocol != PROTOCOL_HTTP1) {
        h2 = PB_NEW(a, Core__Http2ProtocolOptions, core__http2_protocol_options__init);
        if (c->max_streams)
            h2->max_concurrent_streams = pb_u32(a, c->max_streams);
    }
    if (c->protocol == PROTOCOL_DOWNSTREAM) {
        o->upstream_protocol_options_case =
            UPSTREAM__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG;
        o->use_downstream_protocol_config = PB_NEW(a, Upstream__HttpProtocolOptions__UseDownstreamHttpConfig,
                                                   upstream__http_protocol_options__use_downstream_http_config__init);
        o->use_downstream_protocol_config->http_protocol_options =
            PB_NEW(a, Core__Http1ProtocolOptions, core__http1_protocol_options__init);
        o->use_downstream_protocol_config->http2_protocol_options = h2;
    } else {
        o->upstream_protocol_options_case =
            UPSTREAM__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG;
        o->explicit_http_config = PB_NEW(a, Upstream__HttpProtocolOptions__ExplicitHttpConfig,
                                         upstream__http_protocol_options__explicit_http_config__init);
        if (h2) {
            o->explicit_http_config->protocol_config_case =
                UPSTREAM__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS;
            o->explicit_http_config->http2_protocol_options = h2;
        } else {
            o->explicit_http_config->protocol_config_case =
                UPSTREAM__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS;
            o->explicit_http_config->http_protocol_options =
                PB_NEW(a, Core__Http1ProtocolOptions, core__http1_protocol_options__init);
        }
    }
    e = PB_NEW(a, Cluster__Cluster__TypedExtensionProtocolOptionsEntry,
               cluster__cluster__typed_extension_protocol_options_entry__init);
    e->key = (char *)(uintptr_t)HTTP_OPTIONS;
    e->value = pb_any(a, &o->base);
    PB_PUSH(a, m, typed_extension_protocol_options, e);
}

static void put_metadata(struct arena *a, const struct cluster *c, Cluster__Cluster *m)
{
    struct pb_metadata meta = {.arena = a};

    pb_metadata_origin(&meta, &c->origin);
    if (c->n_services) {
        Pb__Value *v = pb_put(a, pb_metadata_put(&meta, "istio"), "services");
        v->kind_case = PB__VALUE__KIND_LIST_VALUE;
        v->list_value = PB_NEW(a, Pb__ListValue, pb__list_value__init);
        for (uint32_t i = 0; i < c->n_services; i++) {
            Pb__Value *item = PB_NEW(a, Pb__Value, pb__value__init);
            item->kind_case = PB__VALUE__KIND_STRUCT_VALUE;
            item->struct_value = pb_struct(a);
            pb_put_str(a, item->struct_value, "host", c->services[i].host);
            pb_put_str(a, item->struct_value, "name", c->services[i].name);
            pb_put_str(a, item->struct_value, "namespace", c->services[i].ns);
            PB_PUSH(a, v->list_value, values, item);
        }
    }
    if (c->subset.n)
        pb_put_str(a, pb_metadata_put(&meta, "istio"), "subset", c->subset);
    if (c->allow_alpn_override != (some_tls(c) != NULL))
        pb_put_str(a, pb_metadata_put(&meta, "istio"), "alpn_override",
                   c->allow_alpn_override ? VIEW("true") : VIEW("false"));
    m->metadata = meta.m;
}

static void put_discovery(struct arena *a, const struct cluster *c, Cluster__Cluster *m)
{
    m->cluster_discovery_type_case = CLUSTER__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    m->type = pb_theirs(types, N(types), c->type);
    if (c->type == CLUSTER_EDS) {
        m->eds_cluster_config =
            PB_NEW(a, Cluster__Cluster__EdsClusterConfig, cluster__cluster__eds_cluster_config__init);
        m->eds_cluster_config->eds_config = pb_ads(a);
        m->eds_cluster_config->service_name = pb_str(a, c->eds_name.name);
    }
    if (c->endpoints)
        m->load_assignment = xds_endpoints(a, c->endpoints);
    if (c->dns_v4_only)
        m->dns_lookup_family = CLUSTER__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY;
    if (c->dns_refresh)
        m->dns_refresh_rate = pb_duration(a, c->dns_refresh);
    else if (c->type == CLUSTER_STRICT_DNS || c->type == CLUSTER_LOGICAL_DNS)
        m->respect_dns_ttl = true;
}

Cluster__Cluster *xds_cluster(struct arena *a, const struct cluster *c)
{
    Cluster__Cluster *m = PB_NEW(a, Cluster__Cluster, cluster__cluster__init);

    m->name = pb_str(a, c->res.name);
    put_discovery(a, c, m);
    xds_lb(a, &c->lb, m);
    m->connect_timeout = pb_duration(a, c->connect_timeout);
    xds_breaker(a, &c->breaker, m);
    m->outlier_detection = xds_outlier(a, &c->outlier);
    put_transports(a, c, m);
    if (c->peer_exchange) {
        Cluster__Filter *f = PB_NEW(a, Cluster__Filter, cluster__filter__init);
        MetadataExchange__MetadataExchange *x =
            PB_NEW(a, MetadataExchange__MetadataExchange, metadata_exchange__metadata_exchange__init);
        x->protocol = (char *)(uintptr_t)MX_PROTOCOL;
        f->name = (char *)(uintptr_t) "istio.metadata_exchange";
        f->typed_config = pb_any(a, &x->base);
        PB_PUSH(a, m, filters, f);
    }
    put_http(a, c, m);
    if (c->keepalive.on) {
        Core__TcpKeepalive *k = PB_NEW(a, Core__TcpKeepalive, core__tcp_keepalive__init);
        if (c->keepalive.probes)
            k->keepalive_probes = pb_u32(a, c->keepalive.probes);
        if (c->keepalive.time)
            k->keepalive_time = pb_u32(a, (uint32_t)((c->keepalive.time + NS_PER_S - 1) / NS_PER_S));
        if (c->keepalive.interval)
            k->keepalive_interval = pb_u32(a, (uint32_t)((c->keepalive.interval + NS_PER_S - 1) / NS_PER_S));
        m->upstream_connection_options =
            PB_NEW(a, Cluster__UpstreamConnectionOptions, cluster__upstream_connection_options__init);
        m->upstream_connection_options->tcp_keepalive = k;
    }
    if (c->bind.kind != ADDR_UNSET) {
        m->upstream_bind_config = PB_NEW(a, Core__BindConfig, core__bind_config__init);
        m->upstream_bind_config->source_address = pb_address(a, &c->bind)->socket_address;
    }
    put_metadata(a, c, m);
    return m;
}

/* ---- decoding ---- */

static void get_transports(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    size_t most = m->n_transport_socket_matches + 1;

    if (!m->transport_socket && most == 1)
        return;
    c->transports = ARENA_ARRAY(d->out, struct cluster_transport, most);
    for (size_t i = 0; i < m->n_transport_socket_matches; i++)
        XDS_AT(d, "transport_socket_matches", i)
        {
            const Cluster__Cluster__TransportSocketMatch *s = m->transport_socket_matches[i];
            struct cluster_transport *t = &c->transports[c->n_transports++];

            t->name = pb_text(d, s->name);
            t->tls_mode = arena_view(d->out, pb_find_str(s->match, "tlsMode"));
            if (s->match && s->match->n_fields != (t->tls_mode.n ? 1u : 0u))
                pb_refuse(d, "match: only tlsMode is supported");
            XDS_IN(d, "transport_socket") t->tls = xds_get_tls_client(d, s->transport_socket);
        }
    if (!m->transport_socket)
        return;
    XDS_IN(d, "transport_socket")
    {
        struct tls_client *tls = xds_get_tls_client(d, m->transport_socket);
        if (tls)
            c->transports[c->n_transports++].tls = tls;
    }
}

static void get_h2(const Core__Http2ProtocolOptions *h2, struct cluster *c)
{
    if (h2)
        c->max_streams = pb_get_u32(h2->max_concurrent_streams, 0);
}

static void get_http_protocol(struct xds_codec *d, const Upstream__HttpProtocolOptions *o, struct cluster *c)
{
    switch (o->upstream_protocol_options_case) {
    case UPSTREAM__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG:
        if (o->explicit_http_config->protocol_config_case ==
            UPSTREAM__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS) {
            c->protocol = PROTOCOL_HTTP2;
            get_h2(o->explicit_http_config->http2_protocol_options, c);
        }
        break;
    case UPSTREAM__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG:
        c->protocol = PROTOCOL_DOWNSTREAM;
        get_h2(o->use_downstream_protocol_config->http2_protocol_options, c);
        break;
    case UPSTREAM__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_AUTO_CONFIG:
        pb_refuse(d, "auto_config is not supported");
        break;
    default:
        break;
    }
}

static void get_http(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    c->idle_timeout = DEFAULT_HTTP_IDLE_TIMEOUT;
    c->max_requests_per_connection = pb_get_u32(m->max_requests_per_connection, 0);
    for (size_t i = 0; i < m->n_typed_extension_protocol_options; i++) {
        const Upstream__HttpProtocolOptions *o;
        const Core__HttpProtocolOptions *common;

        o = pb_unpack_any(d, m->typed_extension_protocol_options[i]->value,
                          &upstream__http_protocol_options__descriptor);
        if (!o)
            return;
        common = o->common_http_protocol_options;
        if (common) {
            XDS_IN(d, "idle_timeout") c->idle_timeout = pb_ns(d, common->idle_timeout, DEFAULT_HTTP_IDLE_TIMEOUT);
            XDS_IN(d, "max_connection_duration")
            c->max_connection_duration = pb_ns(d, common->max_connection_duration, 0);
            c->max_requests_per_connection =
                pb_get_u32(common->max_requests_per_connection, c->max_requests_per_connection);
            if (common->max_stream_duration || common->headers_with_underscores_action)
                pb_refuse(d, "common_http_protocol_options: max_stream_duration and headers_with_underscores_action "
                             "are not supported");
        }
        for (uint32_t k = 0; o->upstream_http_protocol_options && k < c->n_transports; k++)
            if (c->transports[k].tls) {
                c->transports[k].tls->auto_sni |= o->upstream_http_protocol_options->auto_sni;
                c->transports[k].tls->auto_san |= o->upstream_http_protocol_options->auto_san_validation;
            }
        get_http_protocol(d, o, c);
    }
}

static void get_metadata(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    const Pb__Struct *istio = pb_metadata_get(m->metadata, "istio");
    const Pb__Value *services = pb_find(istio, "services");
    struct view override = pb_find_str(istio, "alpn_override");

    c->origin = pb_get_origin(d, m->metadata);
    c->subset = arena_view(d->out, pb_find_str(istio, "subset"));
    c->allow_alpn_override = override.n ? view_is(override, "true") : some_tls(c) != NULL;
    if (!services || services->kind_case != PB__VALUE__KIND_LIST_VALUE)
        return;
    c->services = ARENA_ARRAY(d->out, struct service_ref, services->list_value->n_values + 1);
    for (size_t i = 0; i < services->list_value->n_values; i++) {
        const Pb__Value *v = services->list_value->values[i];
        struct service_ref *s = &c->services[c->n_services];

        if (v->kind_case != PB__VALUE__KIND_STRUCT_VALUE)
            continue;
        s->host = arena_view(d->out, pb_find_str(v->struct_value, "host"));
        s->name = arena_view(d->out, pb_find_str(v->struct_value, "name"));
        s->ns = arena_view(d->out, pb_find_str(v->struct_value, "namespace"));
        c->n_services++;
    }
}

static void get_discovery(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    bool dns;

    XDS_IN(d, "type") c->type = pb_ours(d, types, N(types), m->type, &cluster__cluster__discovery_type__descriptor);
    dns = c->type == CLUSTER_STRICT_DNS || c->type == CLUSTER_LOGICAL_DNS;
    if (c->type == CLUSTER_EDS) {
        const Cluster__Cluster__EdsClusterConfig *e = m->eds_cluster_config;
        if (!e || !e->eds_config ||
            e->eds_config->config_source_specifier_case != CORE__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS)
            pb_refuse(d, "eds_cluster_config: only endpoints over ads are supported");
        c->eds_name = e && e->service_name[0] ? pb_name(d, e->service_name) : name_ref(c->res.name);
    }
    if (m->load_assignment && c->type != CLUSTER_EDS) {
        struct endpoint_set *s = c->endpoints = ARENA_NEW(d->out, struct endpoint_set);
        s->res.kind = RESOURCE_ENDPOINTS;
        s->res.name = m->load_assignment->cluster_name[0] ? pb_text(d, m->load_assignment->cluster_name) : c->res.name;
        XDS_IN(d, "load_assignment") xds_get_endpoints(d, m->load_assignment, s);
    } else if (dns) { /* a STATIC cluster may be empty: BlackHoleCluster */
        pb_refuse(d, "load_assignment is missing");
    }
    if (m->dns_lookup_family == CLUSTER__CLUSTER__DNS_LOOKUP_FAMILY__V6_ONLY)
        pb_refuse(d, "dns_lookup_family V6_ONLY is not supported");
    c->dns_v4_only = m->dns_lookup_family == CLUSTER__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY;
    XDS_IN(d, "dns_refresh_rate")
    if (!m->respect_dns_ttl)
        c->dns_refresh = pb_ns(d, m->dns_refresh_rate, dns ? 5 * NS_PER_S : 0);
}

static void get_filters(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    for (size_t i = 0; i < m->n_filters; i++)
        XDS_AT(d, "filters", i)
        {
            const MetadataExchange__MetadataExchange *x =
                pb_unpack_any(d, m->filters[i]->typed_config, &metadata_exchange__metadata_exchange__descriptor);
            if (x && !view_is(view_of(x->protocol), MX_PROTOCOL))
                pb_refuse(d, "protocol: only " MX_PROTOCOL " is supported");
            c->peer_exchange = true;
        }
}

static void get_connection(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    XDS_IN(d, "connect_timeout") c->connect_timeout = pb_ns(d, m->connect_timeout, 5 * NS_PER_S);
    if (m->upstream_connection_options && m->upstream_connection_options->tcp_keepalive) {
        const Core__TcpKeepalive *k = m->upstream_connection_options->tcp_keepalive;
        c->keepalive.on = true;
        c->keepalive.probes = pb_get_u32(k->keepalive_probes, 0);
        c->keepalive.time = pb_get_u32(k->keepalive_time, 0) * NS_PER_S;
        c->keepalive.interval = pb_get_u32(k->keepalive_interval, 0) * NS_PER_S;
    }
    if (m->upstream_bind_config)
        XDS_IN(d, "upstream_bind_config.source_address")
        {
            Core__Address addr = CORE__ADDRESS__INIT;
            addr.address_case = m->upstream_bind_config->source_address ? CORE__ADDRESS__ADDRESS_SOCKET_ADDRESS
                                                                        : CORE__ADDRESS__ADDRESS__NOT_SET;
            addr.socket_address = m->upstream_bind_config->source_address;
            c->bind = pb_get_address(d, &addr);
            if (c->bind.kind == ADDR_NAME)
                pb_refuse(d, "is not an IP address");
        }
}

void xds_get_cluster(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    get_discovery(d, m, c);
    xds_get_lb(d, m, c);
    get_connection(d, m, c);
    XDS_IN(d, "circuit_breakers") xds_get_breaker(d, m->circuit_breakers, &c->breaker);
    XDS_IN(d, "outlier_detection") xds_get_outlier(d, m->outlier_detection, &c->outlier);
    get_transports(d, m, c);
    get_filters(d, m, c);
    XDS_IN(d, "typed_extension_protocol_options") get_http(d, m, c);
    get_metadata(d, m, c);
}
