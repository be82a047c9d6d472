// SPDX-License-Identifier: Apache-2.0
/* Listener ⇄ struct listener: address, inspectors, filter chains with their match, transport and manager. */
#include "xds/convert.h"
#include "xds/tls.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define MX_PROTOCOL "istio-peer-exchange"

static const struct pb_enum directions[] = {
    {TRAFFIC_UNSPECIFIED, CORE__TRAFFIC_DIRECTION__UNSPECIFIED},
    {TRAFFIC_INBOUND, CORE__TRAFFIC_DIRECTION__INBOUND},
    {TRAFFIC_OUTBOUND, CORE__TRAFFIC_DIRECTION__OUTBOUND},
};

/* In the order in which they run. */
static const struct inspector {
    uint32_t bit;
    const char *name;
    const ProtobufCMessageDescriptor *type;
} inspectors[] = {
    {INSPECT_ORIGINAL_DST, "envoy.filters.listener.original_dst", &original_dst__original_dst__descriptor},
    {INSPECT_PROXY_PROTOCOL, "envoy.filters.listener.proxy_protocol", &proxy_protocol__proxy_protocol__descriptor},
    {INSPECT_TLS, "envoy.filters.listener.tls_inspector", &tls_inspector__tls_inspector__descriptor},
    {INSPECT_HTTP, "envoy.filters.listener.http_inspector", &http_inspector__http_inspector__descriptor},
};

/* ---- encoding ---- */

static Listener__ListenerFilterChainMatchPredicate *port_range(struct arena *a, const struct inspect_skip *s)
{
    Listener__ListenerFilterChainMatchPredicate *p =
        PB_NEW(a, Listener__ListenerFilterChainMatchPredicate, listener__listener_filter_chain_match_predicate__init);

    p->rule_case = LISTENER__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_DESTINATION_PORT_RANGE;
    p->destination_port_range = PB_NEW(a, Type__Int32Range, type__int32_range__init);
    p->destination_port_range->start = s->first;
    p->destination_port_range->end = (int32_t)s->last + 1;
    return p;
}

static Listener__ListenerFilterChainMatchPredicate *disabled(struct arena *a, const struct listener *l, uint32_t bit)
{
    Listener__ListenerFilterChainMatchPredicate *first = NULL, *any = NULL;

    for (uint32_t i = 0; i < l->n_skips; i++) {
        Listener__ListenerFilterChainMatchPredicate *p;

        if (l->skips[i].inspector != bit)
            continue;
        p = port_range(a, &l->skips[i]);
        if (!first) {
            first = p;
            continue;
        }
        if (!any) {
            any = PB_NEW(a, Listener__ListenerFilterChainMatchPredicate,
                         listener__listener_filter_chain_match_predicate__init);
            any->rule_case = LISTENER__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_OR_MATCH;
            any->or_match = PB_NEW(a, Listener__ListenerFilterChainMatchPredicate__MatchSet,
                                   listener__listener_filter_chain_match_predicate__match_set__init);
            PB_PUSH(a, any->or_match, rules, first);
        }
        PB_PUSH(a, any->or_match, rules, p);
    }
    return any ? any : first;
}

static void put_inspectors(struct arena *a, const struct listener *l, Listener__Listener *m)
{
    for (size_t i = 0; i < N(inspectors); i++) {
        Listener__ListenerFilter *f;
        Pb__Any *any;

        if (!(l->inspect & inspectors[i].bit))
            continue;
        any = PB_NEW(a, Pb__Any, pb__any__init); /* all of them are empty messages */
        any->type_url = pb_str(a, arena_printf(a, "type.googleapis.com/%s", inspectors[i].type->name));
        f = PB_NEW(a, Listener__ListenerFilter, listener__listener_filter__init);
        f->name = (char *)(uintptr_t)inspectors[i].name;
        f->config_type_case = LISTENER__LISTENER_FILTER__CONFIG_TYPE_TYPED_CONFIG;
        f->typed_config = any;
        f->filter_disabled = disabled(a, l, inspectors[i].bit);
        PB_PUSH(a, m, listener_filters, f);
    }
}

static Listener__FilterChainMatch *chain_match(struct arena *a, const struct filter_chain_match *c)
{
    Listener__FilterChainMatch *m;

    if (!c->port && !c->n_prefixes && !c->n_server_names && c->transport == TRANSPORT_ANY && !c->n_alpn &&
        !c->n_sources)
        return NULL;
    m = PB_NEW(a, Listener__FilterChainMatch, listener__filter_chain_match__init);
    if (c->port)
        m->destination_port = pb_u32(a, c->port);
    for (uint32_t i = 0; i < c->n_prefixes; i++)
        PB_PUSH(a, m, prefix_ranges, pb_cidr(a, &c->prefixes[i]));
    for (uint32_t i = 0; i < c->n_sources; i++)
        PB_PUSH(a, m, source_prefix_ranges, pb_cidr(a, &c->sources[i]));
    for (uint32_t i = 0; i < c->n_server_names; i++)
        PB_PUSH(a, m, server_names, pb_str(a, c->server_names[i]));
    for (uint32_t i = 0; i < c->n_alpn; i++)
        PB_PUSH(a, m, application_protocols, pb_str(a, c->alpn[i]));
    if (c->transport != TRANSPORT_ANY)
        m->transport_protocol = (char *)(uintptr_t)(c->transport == TRANSPORT_TLS ? "tls" : "raw_buffer");
    return m;
}

static void put_filter(struct arena *a, Listener__FilterChain *m, const char *name, const ProtobufCMessage *config)
{
    Listener__Filter *f = PB_NEW(a, Listener__Filter, listener__filter__init);

    f->name = (char *)(uintptr_t)name;
    f->config_type_case = LISTENER__FILTER__CONFIG_TYPE_TYPED_CONFIG;
    f->typed_config = pb_any(a, config);
    PB_PUSH(a, m, filters, f);
}

static const ProtobufCMessage *tcp_manager(struct arena *a, const struct tcp_manager *t)
{
    TcpProxy__TcpProxy *m = PB_NEW(a, TcpProxy__TcpProxy, tcp_proxy__tcp_proxy__init);

    m->stat_prefix = pb_str(a, t->stat_prefix);
    if (t->n_clusters == 1) {
        m->cluster_specifier_case = TCP_PROXY__TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER;
        m->cluster = pb_str(a, t->clusters[0].cluster.name);
    } else {
        m->cluster_specifier_case = TCP_PROXY__TCP_PROXY__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
        m->weighted_clusters =
            PB_NEW(a, TcpProxy__TcpProxy__WeightedCluster, tcp_proxy__tcp_proxy__weighted_cluster__init);
        for (uint32_t i = 0; i < t->n_clusters; i++) {
            TcpProxy__TcpProxy__WeightedCluster__ClusterWeight *w =
                PB_NEW(a, TcpProxy__TcpProxy__WeightedCluster__ClusterWeight,
                       tcp_proxy__tcp_proxy__weighted_cluster__cluster_weight__init);
            w->name = pb_str(a, t->clusters[i].cluster.name);
            w->weight = t->clusters[i].weight;
            PB_PUSH(a, m->weighted_clusters, clusters, w);
        }
    }
    m->idle_timeout = pb_duration(a, t->idle_timeout);
    if (t->hash) {
        Type__HashPolicy *h = PB_NEW(a, Type__HashPolicy, type__hash_policy__init);
        h->policy_specifier_case = TYPE__HASH_POLICY__POLICY_SPECIFIER_SOURCE_IP;
        h->source_ip = PB_NEW(a, Type__HashPolicy__SourceIp, type__hash_policy__source_ip__init);
        PB_PUSH(a, m, hash_policy, h);
    }
    for (uint32_t i = 0; i < t->n_logs; i++)
        PB_PUSH(a, m, access_log, xds_access_log(a, &t->logs[i]));
    return &m->base;
}

static Listener__FilterChain *chain(struct arena *a, const struct filter_chain *c, enum traffic_direction dir)
{
    Listener__FilterChain *m = PB_NEW(a, Listener__FilterChain, listener__filter_chain__init);

    m->name = pb_str(a, c->name);
    m->filter_chain_match = chain_match(a, &c->match);
    if (c->tls)
        m->transport_socket = xds_tls_server(a, c->tls);
    if (c->peer_exchange) {
        MetadataExchange__MetadataExchange *x =
            PB_NEW(a, MetadataExchange__MetadataExchange, metadata_exchange__metadata_exchange__init);
        x->protocol = (char *)(uintptr_t)MX_PROTOCOL;
        put_filter(a, m, "istio.metadata_exchange", &x->base);
    }
    if (c->stats)
        put_filter(a, m, "istio.stats", &PB_NEW(a, Stats__PluginConfig, stats__plugin_config__init)->base);
    if (c->http)
        put_filter(a, m, "envoy.filters.network.http_connection_manager", &xds_http_manager(a, c->http, dir)->base);
    else if (c->tcp)
        put_filter(a, m, "envoy.filters.network.tcp_proxy", tcp_manager(a, c->tcp));
    m->metadata = pb_origin(a, &c->origin);
    return m;
}

Listener__Listener *xds_listener(struct arena *a, const struct listener *l)
{
    Listener__Listener *m = PB_NEW(a, Listener__Listener, listener__listener__init);

    m->name = pb_str(a, l->res.name);
    m->address = pb_address(a, &l->address);
    m->traffic_direction = pb_theirs(directions, N(directions), l->direction);
    if (!l->bind_to_port)
        m->bind_to_port = pb_bool(a, false);
    if (l->use_original_dst)
        m->use_original_dst = pb_bool(a, true);
    put_inspectors(a, l, m);
    m->listener_filters_timeout = pb_duration(a, l->inspect_timeout);
    m->continue_on_listener_filters_timeout = l->continue_on_timeout;
    for (uint32_t i = 0; i < l->n_chains; i++)
        PB_PUSH(a, m, filter_chains, chain(a, &l->chains[i], l->direction));
    if (l->default_chain)
        m->default_filter_chain = chain(a, l->default_chain, l->direction);
    for (uint32_t i = 0; i < l->n_logs; i++)
        PB_PUSH(a, m, access_log, xds_access_log(a, &l->logs[i]));
    m->metadata = pb_origin(a, &l->origin);
    return m;
}

/* ---- decoding ---- */

static void get_skip(struct xds_codec *d, const Listener__ListenerFilterChainMatchPredicate *p, uint32_t bit,
                     struct listener *l)
{
    struct inspect_skip *s;

    switch (p->rule_case) {
    case LISTENER__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_OR_MATCH:
        for (size_t i = 0; i < p->or_match->n_rules; i++)
            XDS_AT(d, "or_match", i) get_skip(d, p->or_match->rules[i], bit, l);
        return;
    case LISTENER__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_DESTINATION_PORT_RANGE:
        if (p->destination_port_range->start < 0 || p->destination_port_range->end > 65536 ||
            p->destination_port_range->start >= p->destination_port_range->end) {
            pb_refuse(d, "destination_port_range is not a range of ports");
            return;
        }
        s = ARENA_PUSH(d->out, l->skips, l->n_skips);
        s->inspector = bit;
        s->first = (uint16_t)p->destination_port_range->start;
        s->last = (uint16_t)(p->destination_port_range->end - 1);
        return;
    case LISTENER__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_ANY_MATCH:
        s = ARENA_PUSH(d->out, l->skips, l->n_skips);
        s->inspector = bit;
        s->last = 65535;
        return;
    default:
        pb_refuse(d, "only or_match, destination_port_range and any_match are supported");
    }
}

static void get_inspector(struct xds_codec *d, const Listener__ListenerFilter *m, struct listener *l)
{
    for (size_t i = 0; i < N(inspectors); i++) {
        if (!m->typed_config || !pb_any_is(m->typed_config, inspectors[i].type))
            continue;
        pb_unpack_any(d, m->typed_config, inspectors[i].type); /* refuses options that we do not have */
        l->inspect |= inspectors[i].bit;
        if (m->filter_disabled)
            XDS_IN(d, "filter_disabled") get_skip(d, m->filter_disabled, inspectors[i].bit, l);
        return;
    }
    pb_refuse(d, "listener filter %.100s (%.100s) is not supported", m->name,
              m->typed_config ? m->typed_config->type_url : "no typed_config");
}

static void get_match(struct xds_codec *d, const Listener__FilterChainMatch *m, struct filter_chain_match *c)
{
    if (!m)
        return;
    if (pb_get_u32(m->destination_port, 0) > 65535)
        pb_refuse(d, "destination_port is beyond 65535");
    c->port = (uint16_t)pb_get_u32(m->destination_port, 0);
    XDS_IN(d, "prefix_ranges") pb_get_cidrs(d, m->prefix_ranges, m->n_prefix_ranges, &c->prefixes, &c->n_prefixes);
    XDS_IN(d, "source_prefix_ranges")
    pb_get_cidrs(d, m->source_prefix_ranges, m->n_source_prefix_ranges, &c->sources, &c->n_sources);
    c->server_names = pb_texts(d, m->server_names, m->n_server_names);
    c->n_server_names = (uint32_t)m->n_server_names;
    c->alpn = pb_texts(d, m->application_protocols, m->n_application_protocols);
    c->n_alpn = (uint32_t)m->n_application_protocols;
    if (view_is(view_of(m->transport_protocol), "tls"))
        c->transport = TRANSPORT_TLS;
    else if (view_is(view_of(m->transport_protocol), "raw_buffer"))
        c->transport = TRANSPORT_RAW;
    else if (m->transport_protocol[0])
        pb_refuse(d, "transport_protocol %.50s is not supported", m->transport_protocol);
    if (m->n_source_ports || m->source_type != LISTENER__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__ANY)
        pb_refuse(d, "source_ports and source_type are not supported");
}

static void get_tcp_clusters(struct xds_codec *d, const TcpProxy__TcpProxy *m, struct tcp_manager *t)
{
    size_t n = m->cluster_specifier_case == TCP_PROXY__TCP_PROXY__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS
                   ? m->weighted_clusters->n_clusters
                   : 1;

    t->clusters = ARENA_ARRAY(d->out, struct weighted_cluster, n + 1);
    t->n_clusters = (uint32_t)n;
    if (m->cluster_specifier_case == TCP_PROXY__TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER) {
        t->clusters[0].cluster = pb_name(d, m->cluster);
        t->clusters[0].weight = 1;
        t->total_weight = 1;
        return;
    }
    if (m->cluster_specifier_case != TCP_PROXY__TCP_PROXY__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS || !n) {
        pb_refuse(d, "names no cluster");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        t->clusters[i].cluster = pb_name(d, m->weighted_clusters->clusters[i]->name);
        t->clusters[i].weight = m->weighted_clusters->clusters[i]->weight;
        t->total_weight += t->clusters[i].weight;
    }
    if (!t->total_weight)
        pb_refuse(d, "weighted_clusters: the weights are all 0");
}

static void get_tcp(struct xds_codec *d, const TcpProxy__TcpProxy *m, struct tcp_manager *t)
{
    t->stat_prefix = pb_text(d, m->stat_prefix);
    get_tcp_clusters(d, m, t);
    XDS_IN(d, "idle_timeout") t->idle_timeout = pb_ns(d, m->idle_timeout, 3600 * NS_PER_S);
    if (m->n_hash_policy) {
        t->hash = ARENA_NEW(d->out, struct hash_policy);
        t->hash->kind = HASH_SOURCE_IP;
        if (m->n_hash_policy != 1 ||
            m->hash_policy[0]->policy_specifier_case != TYPE__HASH_POLICY__POLICY_SPECIFIER_SOURCE_IP)
            pb_refuse(d, "hash_policy: only source_ip is supported");
    }
    if (pb_get_u32(m->max_connect_attempts, 1) > 1 || m->max_downstream_connection_duration)
        pb_refuse(d, "max_connect_attempts and max_downstream_connection_duration are not supported");
    xds_get_access_logs(d, m->access_log, m->n_access_log, &t->logs, &t->n_logs);
}

static void get_network_filter(struct xds_codec *d, const Listener__Filter *m, struct filter_chain *c)
{
    if (m->typed_config && pb_any_is(m->typed_config, &metadata_exchange__metadata_exchange__descriptor)) {
        const MetadataExchange__MetadataExchange *x =
            pb_unpack_any(d, m->typed_config, &metadata_exchange__metadata_exchange__descriptor);
        if (x && !view_is(view_of(x->protocol), MX_PROTOCOL))
            pb_refuse(d, "protocol: only " MX_PROTOCOL " is supported");
        c->peer_exchange = true;
    } else if (m->typed_config && pb_any_is(m->typed_config, &stats__plugin_config__descriptor)) {
        pb_unpack_any(d, m->typed_config, &stats__plugin_config__descriptor);
        c->stats = true;
    } else if (c->http || c->tcp) {
        pb_refuse(d, "no filter may follow http_connection_manager or tcp_proxy");
    } else if (m->typed_config && pb_any_is(m->typed_config, &hcm__http_connection_manager__descriptor)) {
        const Hcm__HttpConnectionManager *h =
            pb_unpack_any(d, m->typed_config, &hcm__http_connection_manager__descriptor);
        c->http = ARENA_NEW(d->out, struct http_manager);
        if (h)
            xds_get_http_manager(d, h, c->http);
    } else if (m->typed_config && pb_any_is(m->typed_config, &tcp_proxy__tcp_proxy__descriptor)) {
        const TcpProxy__TcpProxy *t = pb_unpack_any(d, m->typed_config, &tcp_proxy__tcp_proxy__descriptor);
        c->tcp = ARENA_NEW(d->out, struct tcp_manager);
        if (t)
            get_tcp(d, t, c->tcp);
    } else {
        pb_refuse(d, "network filter %.100s (%.100s) is not supported", m->name,
                  m->typed_config ? m->typed_config->type_url : "no typed_config");
    }
}

static void get_chain(struct xds_codec *d, const Listener__FilterChain *m, struct filter_chain *c)
{
    c->name = pb_text(d, m->name);
    XDS_IN(d, "filter_chain_match") get_match(d, m->filter_chain_match, &c->match);
    XDS_IN(d, "transport_socket") c->tls = xds_get_tls_server(d, m->transport_socket);
    for (size_t i = 0; i < m->n_filters; i++)
        XDS_AT(d, "filters", i) get_network_filter(d, m->filters[i], c);
    if (!c->http && !c->tcp)
        pb_refuse(d, "has neither http_connection_manager nor tcp_proxy");
    c->origin = pb_get_origin(d, m->metadata);
}

void xds_get_listener(struct xds_codec *d, const Listener__Listener *m, struct listener *l)
{
    XDS_IN(d, "address") l->address = pb_get_address(d, m->address);
    XDS_IN(d, "traffic_direction")
    l->direction = pb_ours(d, directions, N(directions), m->traffic_direction, &core__traffic_direction__descriptor);
    l->bind_to_port = pb_get_bool(m->bind_to_port, true);
    l->use_original_dst = pb_get_bool(m->use_original_dst, false);
    if (pb_get_bool(m->transparent, false))
        pb_refuse(d, "transparent (TPROXY) is not supported");
    for (size_t i = 0; i < m->n_listener_filters; i++)
        XDS_AT(d, "listener_filters", i) get_inspector(d, m->listener_filters[i], l);
    XDS_IN(d, "listener_filters_timeout")
    l->inspect_timeout = pb_ns(d, m->listener_filters_timeout, 15 * NS_PER_S);
    l->continue_on_timeout = m->continue_on_listener_filters_timeout;
    l->n_chains = (uint32_t)m->n_filter_chains;
    l->chains = l->n_chains ? ARENA_ARRAY(d->out, struct filter_chain, l->n_chains) : NULL;
    for (uint32_t i = 0; i < l->n_chains; i++)
        XDS_AT(d, "filter_chains", i) get_chain(d, m->filter_chains[i], &l->chains[i]);
    if (m->default_filter_chain) {
        l->default_chain = ARENA_NEW(d->out, struct filter_chain);
        XDS_IN(d, "default_filter_chain") get_chain(d, m->default_filter_chain, l->default_chain);
    }
    xds_get_access_logs(d, m->access_log, m->n_access_log, &l->logs, &l->n_logs);
    l->origin = pb_get_origin(d, m->metadata);
}
