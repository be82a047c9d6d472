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
static const struct pb_enum policies[] = {
    {BALANCE_LEAST_REQUEST, CLUSTER__CLUSTER__LB_POLICY__LEAST_REQUEST},
    {BALANCE_ROUND_ROBIN, CLUSTER__CLUSTER__LB_POLICY__ROUND_ROBIN},
    {BALANCE_RANDOM, CLUSTER__CLUSTER__LB_POLICY__RANDOM},
    {BALANCE_RING_HASH, CLUSTER__CLUSTER__LB_POLICY__RING_HASH},
    {BALANCE_MAGLEV, CLUSTER__CLUSTER__LB_POLICY__MAGLEV},
    {BALANCE_CLUSTER_PROVIDED, CLUSTER__CLUSTER__LB_POLICY__CLUSTER_PROVIDED},
};

/* ---- encoding ---- */

static Cluster__Cluster__SlowStartConfig *slow_start(struct arena *a, const struct lb_config *lb)
{
    Cluster__Cluster__SlowStartConfig *m;

    if (!lb->warmup)
        return NULL;
    m = PB_NEW(a, Cluster__Cluster__SlowStartConfig, cluster__cluster__slow_start_config__init);
    m->slow_start_window = pb_duration(a, lb->warmup);
    m->min_weight_percent = pb_percent(a, lb->warmup_min_percent);
    m->aggression = PB_NEW(a, Core__RuntimeDouble, core__runtime_double__init);
    m->aggression->default_value = lb->warmup_aggression;
    return m;
}

static void put_lb(struct arena *a, const struct lb_config *lb, Cluster__Cluster *m)
{
    m->lb_policy = pb_theirs(policies, N(policies), lb->policy);
    if (lb->policy == BALANCE_LEAST_REQUEST && (lb->choices || lb->warmup)) {
        m->lb_config_case = CLUSTER__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG;
        m->least_request_lb_config =
            PB_NEW(a, Cluster__Cluster__LeastRequestLbConfig, cluster__cluster__least_request_lb_config__init);
        if (lb->choices)
            m->least_request_lb_config->choice_count = pb_u32(a, lb->choices);
        m->least_request_lb_config->slow_start_config = slow_start(a, lb);
    } else if (lb->policy == BALANCE_ROUND_ROBIN && lb->warmup) {
        m->lb_config_case = CLUSTER__CLUSTER__LB_CONFIG_ROUND_ROBIN_LB_CONFIG;
        m->round_robin_lb_config =
            PB_NEW(a, Cluster__Cluster__RoundRobinLbConfig, cluster__cluster__round_robin_lb_config__init);
        m->round_robin_lb_config->slow_start_config = slow_start(a, lb);
    } else if (lb->policy == BALANCE_RING_HASH && (lb->ring_min || lb->ring_max)) {
        m->lb_config_case = CLUSTER__CLUSTER__LB_CONFIG_RING_HASH_LB_CONFIG;
        m->ring_hash_lb_config =
            PB_NEW(a, Cluster__Cluster__RingHashLbConfig, cluster__cluster__ring_hash_lb_config__init);
        if (lb->ring_min)
            m->ring_hash_lb_config->minimum_ring_size = pb_u64(a, lb->ring_min);
        if (lb->ring_max)
            m->ring_hash_lb_config->maximum_ring_size = pb_u64(a, lb->ring_max);
    } else if (lb->policy == BALANCE_MAGLEV && lb->maglev_size) {
        m->lb_config_case = CLUSTER__CLUSTER__LB_CONFIG_MAGLEV_LB_CONFIG;
        m->maglev_lb_config = PB_NEW(a, Cluster__Cluster__MaglevLbConfig, cluster__cluster__maglev_lb_config__init);
        m->maglev_lb_config->table_size = pb_u64(a, lb->maglev_size);
    }
    m->common_lb_config = PB_NEW(a, Cluster__Cluster__CommonLbConfig, cluster__cluster__common_lb_config__init);
    m->common_lb_config->healthy_panic_threshold = pb_percent(a, lb->panic_percent);
    if (lb->hash_hostname) {
        m->common_lb_config->consistent_hashing_lb_config =
            PB_NEW(a, Cluster__Cluster__CommonLbConfig__ConsistentHashingLbConfig,
                   cluster__cluster__common_lb_config__consistent_hashing_lb_config__init);
        m->common_lb_config->consistent_hashing_lb_config->use_hostname_for_hashing = true;
    }
    if (lb->locality_weighted) {
        m->common_lb_config->locality_config_specifier_case =
            CLUSTER__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
        m->common_lb_config->locality_weighted_lb_config =
            PB_NEW(a, Cluster__Cluster__CommonLbConfig__LocalityWeightedLbConfig,
                   cluster__cluster__common_lb_config__locality_weighted_lb_config__init);
    }
}

static Cluster__OutlierDetection *outlier(struct arena *a, const struct outlier_config *o)
{
    Cluster__OutlierDetection *m;

    if (!o->on)
        return NULL;
    m = PB_NEW(a, Cluster__OutlierDetection, cluster__outlier_detection__init);
    m->consecutive_5xx = pb_u32(a, o->consecutive_5xx);
    m->enforcing_consecutive_5xx = pb_u32(a, o->consecutive_5xx ? 100 : 0);
    m->consecutive_gateway_failure = pb_u32(a, o->consecutive_gateway);
    m->enforcing_consecutive_gateway_failure = pb_u32(a, o->consecutive_gateway ? 100 : 0);
    m->split_external_local_origin_errors = o->split_local;
    m->consecutive_local_origin_failure = pb_u32(a, o->consecutive_local);
    m->enforcing_consecutive_local_origin_failure = pb_u32(a, o->consecutive_local ? 100 : 0);
    m->enforcing_success_rate = pb_u32(a, 0);
    m->enforcing_local_origin_success_rate = pb_u32(a, 0);
    m->interval = pb_duration(a, o->interval);
    m->base_ejection_time = pb_duration(a, o->base_ejection);
    m->max_ejection_time = pb_duration(a, o->max_ejection);
    m->max_ejection_percent = pb_u32(a, o->max_ejection_percent);
    return m;
}

static void put_breaker(struct arena *a, const struct breaker_limits *b, Cluster__Cluster *m)
{
    Cluster__CircuitBreakers__Thresholds *t =
        PB_NEW(a, Cluster__CircuitBreakers__Thresholds, cluster__circuit_breakers__thresholds__init);

    t->max_connections = pb_u32(a, b->connections);
    t->max_pending_requests = pb_u32(a, b->pending);
    t->max_requests = pb_u32(a, b->requests);
    t->max_retries = pb_u32(a, b->retries);
    t->track_remaining = true;
    m->circuit_breakers = PB_NEW(a, Cluster__CircuitBreakers, cluster__circuit_breakers__init);
    PB_PUSH(a, m->circuit_breakers, thresholds, t);
}

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
    put_lb(a, &c->lb, m);
    m->connect_timeout = pb_duration(a, c->connect_timeout);
    put_breaker(a, &c->breaker, m);
    m->outlier_detection = outlier(a, &c->outlier);
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

static void get_slow_start(struct xds_codec *d, const Cluster__Cluster__SlowStartConfig *m, struct lb_config *lb)
{
    if (!m)
        return;
    XDS_IN(d, "slow_start_config.slow_start_window") lb->warmup = pb_ns(d, m->slow_start_window, 0);
    lb->warmup_min_percent =
        m->min_weight_percent ? (uint32_t)m->min_weight_percent->value : DEFAULT_WARMUP_MIN_PERCENT;
    lb->warmup_aggression = m->aggression ? m->aggression->default_value : 1.0;
}

static void get_lb_config(struct xds_codec *d, const Cluster__Cluster *m, struct lb_config *lb)
{
    switch (m->lb_config_case) {
    case CLUSTER__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG:
        lb->choices = pb_get_u32(m->least_request_lb_config->choice_count, 0);
        if (m->least_request_lb_config->active_request_bias)
            pb_refuse(d, "least_request_lb_config.active_request_bias is not supported");
        get_slow_start(d, m->least_request_lb_config->slow_start_config, lb);
        break;
    case CLUSTER__CLUSTER__LB_CONFIG_ROUND_ROBIN_LB_CONFIG:
        get_slow_start(d, m->round_robin_lb_config->slow_start_config, lb);
        break;
    case CLUSTER__CLUSTER__LB_CONFIG_RING_HASH_LB_CONFIG:
        if (m->ring_hash_lb_config->minimum_ring_size)
            lb->ring_min = m->ring_hash_lb_config->minimum_ring_size->value;
        if (m->ring_hash_lb_config->maximum_ring_size)
            lb->ring_max = m->ring_hash_lb_config->maximum_ring_size->value;
        if (m->ring_hash_lb_config->hash_function)
            pb_refuse(d, "ring_hash_lb_config.hash_function: only XX_HASH is supported");
        if (lb->ring_min > DEFAULT_RING_MAX || lb->ring_max > DEFAULT_RING_MAX)
            pb_refuse(d, "ring_hash_lb_config: a ring has at most 8388608 entries");
        break;
    case CLUSTER__CLUSTER__LB_CONFIG_MAGLEV_LB_CONFIG:
        if (m->maglev_lb_config->table_size)
            lb->maglev_size = m->maglev_lb_config->table_size->value;
        if (lb->maglev_size > 5000011)
            pb_refuse(d, "maglev_lb_config.table_size is beyond 5000011");
        break;
    case CLUSTER__CLUSTER__LB_CONFIG_ORIGINAL_DST_LB_CONFIG:
        if (m->original_dst_lb_config->use_http_header || m->original_dst_lb_config->upstream_port_override)
            pb_refuse(d, "original_dst_lb_config: only the plain original destination is supported");
        break;
    default:
        break;
    }
}

static void get_lb(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
{
    struct lb_config *lb = &c->lb;
    const Cluster__Cluster__CommonLbConfig *common = m->common_lb_config;

    XDS_IN(d, "lb_policy")
    {
        lb->policy = pb_ours(d, policies, N(policies), m->lb_policy, &cluster__cluster__lb_policy__descriptor);
        if ((lb->policy == BALANCE_CLUSTER_PROVIDED) != (c->type == CLUSTER_ORIGINAL_DST))
            pb_refuse(d, "CLUSTER_PROVIDED and type ORIGINAL_DST go together");
    }
    get_lb_config(d, m, lb);
    lb->panic_percent =
        common && common->healthy_panic_threshold ? (uint32_t)common->healthy_panic_threshold->value : 50;
    if (lb->panic_percent > 100)
        pb_refuse(d, "common_lb_config.healthy_panic_threshold is beyond 100");
    if (common && common->consistent_hashing_lb_config)
        lb->hash_hostname = common->consistent_hashing_lb_config->use_hostname_for_hashing;
    lb->locality_weighted =
        common && common->locality_config_specifier_case ==
                      CLUSTER__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
    if (common && common->close_connections_on_host_set_change)
        pb_refuse(d, "common_lb_config.close_connections_on_host_set_change is not supported");
}

/* Ejection is either on (100) or off (0): what it is counted against is 0 when it is off. */
static uint32_t enforced(struct xds_codec *d, const char *field, const Pb__UInt32Value *enforcing,
                         uint32_t enforcing_absent, const Pb__UInt32Value *count)
{
    uint32_t percent = pb_get_u32(enforcing, enforcing_absent);

    if (percent != 0 && percent != 100)
        pb_refuse(d, "%s: only 0 and 100 are supported", field);
    return percent ? pb_get_u32(count, 5) : 0;
}

static void get_outlier(struct xds_codec *d, const Cluster__OutlierDetection *m, struct outlier_config *o)
{
    if (!m)
        return;
    o->on = true;
    o->consecutive_5xx =
        enforced(d, "enforcing_consecutive_5xx", m->enforcing_consecutive_5xx, 100, m->consecutive_5xx);
    o->consecutive_gateway = enforced(d, "enforcing_consecutive_gateway_failure",
                                      m->enforcing_consecutive_gateway_failure, 0, m->consecutive_gateway_failure);
    o->split_local = m->split_external_local_origin_errors;
    o->consecutive_local =
        enforced(d, "enforcing_consecutive_local_origin_failure", m->enforcing_consecutive_local_origin_failure,
                 o->split_local ? 100 : 0, m->consecutive_local_origin_failure);
    if (pb_get_u32(m->enforcing_success_rate, 100) ||
        (o->split_local && pb_get_u32(m->enforcing_local_origin_success_rate, 100)))
        pb_refuse(d, "enforcing_success_rate: ejection by success rate is not supported, set it to 0");
    XDS_IN(d, "interval") o->interval = pb_ns(d, m->interval, DEFAULT_OUTLIER_INTERVAL);
    XDS_IN(d, "base_ejection_time") o->base_ejection = pb_ns(d, m->base_ejection_time, DEFAULT_OUTLIER_BASE_EJECTION);
    XDS_IN(d, "max_ejection_time") o->max_ejection = pb_ns(d, m->max_ejection_time, DEFAULT_OUTLIER_MAX_EJECTION);
    o->max_ejection_percent = pb_get_u32(m->max_ejection_percent, DEFAULT_OUTLIER_MAX_PERCENT);
    if (o->max_ejection_percent > 100)
        pb_refuse(d, "max_ejection_percent is beyond 100");
}

static void get_breaker(struct xds_codec *d, const Cluster__CircuitBreakers *m, struct breaker_limits *b)
{
    *b = (struct breaker_limits){1024, 1024, 1024, 3}; /* Envoy's, when nothing is said */
    for (size_t i = 0; m && i < m->n_thresholds; i++) {
        const Cluster__CircuitBreakers__Thresholds *t = m->thresholds[i];
        if (t->priority != CORE__ROUTING_PRIORITY__DEFAULT) /* routes of priority HIGH are refused */
            continue;
        if (t->retry_budget)
            pb_refuse(d, "retry_budget is not supported");
        b->connections = pb_get_u32(t->max_connections, 1024);
        b->pending = pb_get_u32(t->max_pending_requests, 1024);
        b->requests = pb_get_u32(t->max_requests, 1024);
        b->retries = pb_get_u32(t->max_retries, 3);
    }
}

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
    get_lb(d, m, c);
    get_connection(d, m, c);
    XDS_IN(d, "circuit_breakers") get_breaker(d, m->circuit_breakers, &c->breaker);
    XDS_IN(d, "outlier_detection") get_outlier(d, m->outlier_detection, &c->outlier);
    get_transports(d, m, c);
    get_filters(d, m, c);
    XDS_IN(d, "typed_extension_protocol_options") get_http(d, m, c);
    get_metadata(d, m, c);
}
