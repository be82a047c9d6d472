// SPDX-License-Identifier: Apache-2.0
/* RouteAction ⇄ struct route_forward: destinations, rewrites, timeouts, retries, mirrors, hashing. */
#include "plan/retry.h"
#include "xds/convert.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define PREVIOUS_HOSTS "envoy.retry_host_predicates.previous_hosts"
#define PREVIOUS_PRIORITIES "envoy.retry_priorities.previous_priorities"
enum { STATUSES = 64, RETRY_BASE_MS = 25 };

static const struct pb_enum not_founds[] = {
    {503, ROUTE__ROUTE_ACTION__CLUSTER_NOT_FOUND_RESPONSE_CODE__SERVICE_UNAVAILABLE},
    {404, ROUTE__ROUTE_ACTION__CLUSTER_NOT_FOUND_RESPONSE_CODE__NOT_FOUND},
    {500, ROUTE__ROUTE_ACTION__CLUSTER_NOT_FOUND_RESPONSE_CODE__INTERNAL_SERVER_ERROR},
};

/* ---- encoding ---- */

static bool plain(const struct weighted_cluster *c)
{
    return !c->host_rewrite.n && !c->headers.request.n_set && !c->headers.request.n_remove &&
           !c->headers.response.n_set && !c->headers.response.n_remove;
}

static void put_clusters(struct arena *a, const struct route_forward *f, Route__RouteAction *m)
{
    if (f->n_clusters == 1 && plain(&f->clusters[0])) {
        m->cluster_specifier_case = ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
        m->cluster = pb_str(a, f->clusters[0].cluster.name);
        return;
    }
    m->cluster_specifier_case = ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
    m->weighted_clusters = PB_NEW(a, Route__WeightedCluster, route__weighted_cluster__init);
    for (uint32_t i = 0; i < f->n_clusters; i++) {
        const struct weighted_cluster *c = &f->clusters[i];
        Route__WeightedCluster__ClusterWeight *w =
            PB_NEW(a, Route__WeightedCluster__ClusterWeight, route__weighted_cluster__cluster_weight__init);
        struct xds_header_fields h = xds_headers(a, &c->headers);

        w->name = pb_str(a, c->cluster.name);
        w->weight = pb_u32(a, f->n_clusters == 1 ? 1 : c->weight);
        XDS_HEADERS_TO(w, h);
        if (c->host_rewrite.n) {
            w->host_rewrite_specifier_case =
                ROUTE__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL;
            w->host_rewrite_literal = pb_str(a, c->host_rewrite);
        }
        PB_PUSH(a, m->weighted_clusters, clusters, w);
    }
}

static Route__RetryPolicy *retry(struct arena *a, const struct retry_policy *p)
{
    Route__RetryPolicy *m = PB_NEW(a, Route__RetryPolicy, route__retry_policy__init);
    struct buf on = {0};

    retry_print_on(&on, p->on);
    m->retry_on = pb_str(a, buf_read(&on));
    buf_done(&on);
    m->num_retries = pb_u32(a, p->attempts);
    for (uint32_t i = 0; i < p->n_statuses; i++)
        PB_PUSH(a, m, retriable_status_codes, p->statuses[i]);
    if (p->per_try_timeout)
        m->per_try_timeout = pb_duration(a, p->per_try_timeout);
    if (p->base_interval || p->max_interval) {
        m->retry_back_off = PB_NEW(a, Route__RetryPolicy__RetryBackOff, route__retry_policy__retry_back_off__init);
        m->retry_back_off->base_interval =
            pb_duration(a, p->base_interval ? p->base_interval : RETRY_BASE_MS * NS_PER_MS);
        if (p->max_interval)
            m->retry_back_off->max_interval = pb_duration(a, p->max_interval);
    }
    if (p->previous_hosts) {
        Route__RetryPolicy__RetryHostPredicate *h =
            PB_NEW(a, Route__RetryPolicy__RetryHostPredicate, route__retry_policy__retry_host_predicate__init);
        h->name = (char *)(uintptr_t)PREVIOUS_HOSTS;
        h->config_type_case = ROUTE__RETRY_POLICY__RETRY_HOST_PREDICATE__CONFIG_TYPE_TYPED_CONFIG;
        h->typed_config =
            pb_any(a, &PB_NEW(a, RetryHost__PreviousHostsPredicate, retry_host__previous_hosts_predicate__init)->base);
        PB_PUSH(a, m, retry_host_predicate, h);
    }
    if (p->other_priorities) {
        RetryPriority__PreviousPrioritiesConfig *c =
            PB_NEW(a, RetryPriority__PreviousPrioritiesConfig, retry_priority__previous_priorities_config__init);
        c->update_frequency = 2;
        m->retry_priority = PB_NEW(a, Route__RetryPolicy__RetryPriority, route__retry_policy__retry_priority__init);
        m->retry_priority->name = (char *)(uintptr_t)PREVIOUS_PRIORITIES;
        m->retry_priority->config_type_case = ROUTE__RETRY_POLICY__RETRY_PRIORITY__CONFIG_TYPE_TYPED_CONFIG;
        m->retry_priority->typed_config = pb_any(a, &c->base);
    }
    m->host_selection_retry_max_attempts = p->host_attempts;
    return m;
}

static Route__RouteAction__HashPolicy *hash(struct arena *a, const struct hash_policy *h)
{
    Route__RouteAction__HashPolicy *m =
        PB_NEW(a, Route__RouteAction__HashPolicy, route__route_action__hash_policy__init);

    switch (h->kind) {
    case HASH_HEADER:
        m->policy_specifier_case = ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_HEADER;
        m->header = PB_NEW(a, Route__RouteAction__HashPolicy__Header, route__route_action__hash_policy__header__init);
        m->header->header_name = pb_str(a, h->name);
        break;
    case HASH_COOKIE:
        m->policy_specifier_case = ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_COOKIE;
        m->cookie = PB_NEW(a, Route__RouteAction__HashPolicy__Cookie, route__route_action__hash_policy__cookie__init);
        m->cookie->name = pb_str(a, h->name);
        m->cookie->path = pb_str(a, h->cookie_path);
        if (h->has_ttl)
            m->cookie->ttl = pb_duration(a, h->cookie_ttl);
        break;
    case HASH_SOURCE_IP:
        m->policy_specifier_case = ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_CONNECTION_PROPERTIES;
        m->connection_properties = PB_NEW(a, Route__RouteAction__HashPolicy__ConnectionProperties,
                                          route__route_action__hash_policy__connection_properties__init);
        m->connection_properties->source_ip = true;
        break;
    case HASH_QUERY:
        m->policy_specifier_case = ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_QUERY_PARAMETER;
        m->query_parameter = PB_NEW(a, Route__RouteAction__HashPolicy__QueryParameter,
                                    route__route_action__hash_policy__query_parameter__init);
        m->query_parameter->name = pb_str(a, h->name);
        break;
    }
    m->terminal = h->terminal;
    return m;
}

static void put_rewrites(struct arena *a, const struct route_forward *f, Route__RouteAction *m)
{
    m->prefix_rewrite = pb_str(a, f->prefix_rewrite);
    if (f->regex_rewrite.pattern.n) {
        m->regex_rewrite = PB_NEW(a, Matcher__RegexMatchAndSubstitute, matcher__regex_match_and_substitute__init);
        m->regex_rewrite->pattern = PB_NEW(a, Matcher__RegexMatcher, matcher__regex_matcher__init);
        m->regex_rewrite->pattern->regex = pb_str(a, f->regex_rewrite.pattern);
        m->regex_rewrite->substitution = pb_str(a, f->regex_rewrite.substitution);
    }
    if (f->host_rewrite.n) {
        m->host_rewrite_specifier_case = ROUTE__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL;
        m->host_rewrite_literal = pb_str(a, f->host_rewrite);
    } else if (f->auto_host_rewrite) {
        m->host_rewrite_specifier_case = ROUTE__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE;
        m->auto_host_rewrite = pb_bool(a, true);
    }
}

Route__RouteAction *xds_route_forward(struct arena *a, const struct route_forward *f)
{
    Route__RouteAction *m = PB_NEW(a, Route__RouteAction, route__route_action__init);

    put_clusters(a, f, m);
    if (f->cluster_not_found)
        m->cluster_not_found_response_code = pb_theirs(not_founds, N(not_founds), f->cluster_not_found);
    put_rewrites(a, f, m);
    m->timeout = pb_duration(a, f->timeout);
    if (f->idle_timeout)
        m->idle_timeout = pb_duration(a, f->idle_timeout);
    if (f->has_max_grpc_timeout) {
        m->max_stream_duration =
            PB_NEW(a, Route__RouteAction__MaxStreamDuration, route__route_action__max_stream_duration__init);
        m->max_stream_duration->max_stream_duration = pb_duration(a, 0);
        m->max_stream_duration->grpc_timeout_header_max = pb_duration(a, f->max_grpc_timeout);
    }
    if (f->retry)
        m->retry_policy = retry(a, f->retry);
    for (uint32_t i = 0; i < f->n_mirrors; i++) {
        Route__RouteAction__RequestMirrorPolicy *p =
            PB_NEW(a, Route__RouteAction__RequestMirrorPolicy, route__route_action__request_mirror_policy__init);
        p->cluster = pb_str(a, f->mirrors[i].cluster.name);
        p->runtime_fraction = PB_NEW(a, Core__RuntimeFractionalPercent, core__runtime_fractional_percent__init);
        p->runtime_fraction->default_value = pb_per_million(a, f->mirrors[i].per_million);
        p->disable_shadow_host_suffix_append = f->mirrors[i].keep_host;
        PB_PUSH(a, m, request_mirror_policies, p);
    }
    for (uint32_t i = 0; i < f->n_hash; i++)
        PB_PUSH(a, m, hash_policy, hash(a, &f->hash[i]));
    if (f->websocket_off) {
        Route__RouteAction__UpgradeConfig *u =
            PB_NEW(a, Route__RouteAction__UpgradeConfig, route__route_action__upgrade_config__init);
        u->upgrade_type = (char *)(uintptr_t) "websocket";
        u->enabled = pb_bool(a, false);
        PB_PUSH(a, m, upgrade_configs, u);
    }
    return m;
}

/* ---- decoding ---- */

static void get_cluster(struct xds_codec *d, const Route__WeightedCluster__ClusterWeight *m, struct weighted_cluster *c)
{
    struct xds_header_fields h = XDS_HEADERS_FROM(m);

    c->cluster = pb_name(d, m->name);
    c->weight = pb_get_u32(m->weight, 0);
    xds_get_headers(d, &h, &c->headers);
    if (m->host_rewrite_specifier_case ==
        ROUTE__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL)
        c->host_rewrite = pb_text(d, m->host_rewrite_literal);
    if (m->n_typed_per_filter_config)
        pb_refuse(d, "typed_per_filter_config is not supported here");
    if (!c->cluster.name.n)
        pb_refuse(d, "has no name");
}

static void get_clusters(struct xds_codec *d, const Route__RouteAction *m, struct route_forward *f)
{
    size_t n;

    if (m->cluster_specifier_case == ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER && m->cluster[0]) {
        f->clusters = ARENA_NEW(d->out, struct weighted_cluster);
        f->clusters[0].cluster = pb_name(d, m->cluster);
        f->clusters[0].weight = 1;
        f->n_clusters = 1;
        f->total_weight = 1;
        return;
    }
    if (m->cluster_specifier_case != ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS ||
        !m->weighted_clusters->n_clusters) {
        pb_refuse(d, "names no cluster: only cluster and weighted_clusters are supported");
        return;
    }
    n = m->weighted_clusters->n_clusters;
    f->clusters = ARENA_ARRAY(d->out, struct weighted_cluster, n);
    f->n_clusters = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        XDS_AT(d, "weighted_clusters.clusters", i)
        {
            get_cluster(d, m->weighted_clusters->clusters[i], &f->clusters[i]);
            f->total_weight += f->clusters[i].weight;
        }
    if (!f->total_weight)
        pb_refuse(d, "weighted_clusters: the weights are all 0");
}

static void get_retry_hosts(struct xds_codec *d, const Route__RetryPolicy *m, struct retry_policy *p)
{
    for (size_t i = 0; i < m->n_retry_host_predicate; i++) {
        const Route__RetryPolicy__RetryHostPredicate *h = m->retry_host_predicate[i];
        if (view_is(view_of(h->name), PREVIOUS_HOSTS) ||
            (h->typed_config && pb_any_is(h->typed_config, &retry_host__previous_hosts_predicate__descriptor)))
            p->previous_hosts = true;
        else
            pb_refuse(d, "retry_host_predicate %.100s is not supported", h->name);
    }
    if (m->retry_priority) {
        if (!m->retry_priority->typed_config ||
            !pb_any_is(m->retry_priority->typed_config, &retry_priority__previous_priorities_config__descriptor))
            pb_refuse(d, "retry_priority %.100s is not supported", m->retry_priority->name);
        p->other_priorities = true;
    }
    if (m->host_selection_retry_max_attempts < 0 || m->host_selection_retry_max_attempts > 1000)
        pb_refuse(d, "host_selection_retry_max_attempts is not in 0..1000");
    p->host_attempts = (uint32_t)m->host_selection_retry_max_attempts;
}

static void get_retry(struct xds_codec *d, const Route__RetryPolicy *m, struct retry_policy *p)
{
    uint16_t statuses[STATUSES];
    uint32_t n = 0;
    struct view bad = VIEW_NONE;

    if (retry_parse_on(view_of(m->retry_on), &p->on, statuses, &n, STATUSES, &bad) < 0) {
        pb_refuse(d, "retry_on: %.*s is unknown", (int)(bad.n > 100 ? 100 : bad.n), bad.p ? bad.p : "");
        return;
    }
    for (size_t i = 0; i < m->n_retriable_status_codes; i++) {
        if (n >= STATUSES || m->retriable_status_codes[i] < 100 || m->retriable_status_codes[i] > 599) {
            pb_refuse(d, "retriable_status_codes has more than %d or one that is no status", STATUSES);
            return;
        }
        statuses[n++] = (uint16_t)m->retriable_status_codes[i];
    }
    p->statuses = n ? arena_copy(d->out, statuses, n * sizeof(statuses[0])) : NULL;
    p->n_statuses = n;
    p->attempts = pb_get_u32(m->num_retries, 1);
    XDS_IN(d, "per_try_timeout") p->per_try_timeout = pb_ns(d, m->per_try_timeout, 0);
    if (m->per_try_idle_timeout)
        pb_refuse(d, "per_try_idle_timeout is not supported");
    if (m->retry_back_off) {
        XDS_IN(d, "base_interval") p->base_interval = pb_ns(d, m->retry_back_off->base_interval, 0);
        XDS_IN(d, "max_interval") p->max_interval = pb_ns(d, m->retry_back_off->max_interval, 0);
    }
    get_retry_hosts(d, m, p);
}

static void get_hash(struct xds_codec *d, const Route__RouteAction__HashPolicy *m, struct hash_policy *h)
{
    h->terminal = m->terminal;
    switch (m->policy_specifier_case) {
    case ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_HEADER:
        h->kind = HASH_HEADER;
        h->name = pb_text(d, m->header->header_name);
        break;
    case ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_COOKIE:
        h->kind = HASH_COOKIE;
        h->name = pb_text(d, m->cookie->name);
        h->cookie_path = pb_text(d, m->cookie->path);
        h->has_ttl = m->cookie->ttl != NULL;
        XDS_IN(d, "ttl") h->cookie_ttl = pb_ns(d, m->cookie->ttl, 0);
        if (m->cookie->n_attributes)
            pb_refuse(d, "cookie.attributes is not supported");
        break;
    case ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_CONNECTION_PROPERTIES:
        h->kind = HASH_SOURCE_IP;
        if (!m->connection_properties->source_ip)
            pb_refuse(d, "connection_properties without source_ip");
        break;
    case ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_QUERY_PARAMETER:
        h->kind = HASH_QUERY;
        h->name = pb_text(d, m->query_parameter->name);
        break;
    default:
        pb_refuse(d, "only header, cookie, connection_properties and query_parameter are supported");
    }
}

static void get_mirrors(struct xds_codec *d, const Route__RouteAction *m, struct route_forward *f)
{
    f->n_mirrors = (uint32_t)m->n_request_mirror_policies;
    f->mirrors = f->n_mirrors ? ARENA_ARRAY(d->out, struct route_mirror, f->n_mirrors) : NULL;
    for (uint32_t i = 0; i < f->n_mirrors; i++)
        XDS_AT(d, "request_mirror_policies", i)
        {
            const Route__RouteAction__RequestMirrorPolicy *p = m->request_mirror_policies[i];
            f->mirrors[i].cluster = pb_name(d, p->cluster);
            f->mirrors[i].per_million =
                p->runtime_fraction ? pb_get_per_million(d, p->runtime_fraction->default_value, 0) : 1000000;
            f->mirrors[i].keep_host = p->disable_shadow_host_suffix_append;
            if (!p->cluster[0])
                pb_refuse(d, "names no cluster");
        }
}

static void get_rewrites(struct xds_codec *d, const Route__RouteAction *m, struct route_forward *f)
{
    f->prefix_rewrite = pb_text(d, m->prefix_rewrite);
    if (m->regex_rewrite && m->regex_rewrite->pattern) {
        f->regex_rewrite.pattern = pb_text(d, m->regex_rewrite->pattern->regex);
        f->regex_rewrite.substitution = pb_text(d, m->regex_rewrite->substitution);
    }
    if (m->host_rewrite_specifier_case == ROUTE__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL)
        f->host_rewrite = pb_text(d, m->host_rewrite_literal);
    else if (m->host_rewrite_specifier_case == ROUTE__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE)
        f->auto_host_rewrite = m->auto_host_rewrite->value;
    if (m->append_x_forwarded_host)
        pb_refuse(d, "append_x_forwarded_host is not supported");
}

static void get_times(struct xds_codec *d, const Route__RouteAction *m, struct route_forward *f)
{
    const Route__RouteAction__MaxStreamDuration *s = m->max_stream_duration;

    XDS_IN(d, "timeout") f->timeout = pb_ns(d, m->timeout, 15 * NS_PER_S);
    XDS_IN(d, "idle_timeout") f->idle_timeout = pb_ns(d, m->idle_timeout, 0);
    if (!s)
        return;
    XDS_IN(d, "max_stream_duration")
    {
        if (pb_ns(d, s->max_stream_duration, 0) || s->grpc_timeout_header_offset)
            pb_refuse(d, "only grpc_timeout_header_max is supported");
        f->has_max_grpc_timeout = s->grpc_timeout_header_max != NULL;
        f->max_grpc_timeout = pb_ns(d, s->grpc_timeout_header_max, 0);
    }
}

void xds_get_route_forward(struct xds_codec *d, const Route__RouteAction *m, struct route_forward *f)
{
    get_clusters(d, m, f);
    XDS_IN(d, "cluster_not_found_response_code")
    f->cluster_not_found = (uint16_t)pb_ours(d, not_founds, N(not_founds), m->cluster_not_found_response_code,
                                             &route__route_action__cluster_not_found_response_code__descriptor);
    get_rewrites(d, m, f);
    get_times(d, m, f);
    if (m->retry_policy) {
        f->retry = ARENA_NEW(d->out, struct retry_policy);
        XDS_IN(d, "retry_policy") get_retry(d, m->retry_policy, f->retry);
    }
    get_mirrors(d, m, f);
    f->n_hash = (uint32_t)m->n_hash_policy;
    f->hash = f->n_hash ? ARENA_ARRAY(d->out, struct hash_policy, f->n_hash) : NULL;
    for (uint32_t i = 0; i < f->n_hash; i++)
        XDS_AT(d, "hash_policy", i) get_hash(d, m->hash_policy[i], &f->hash[i]);
    for (size_t i = 0; i < m->n_upgrade_configs; i++) {
        if (!view_ieq(view_of(m->upgrade_configs[i]->upgrade_type), VIEW("websocket")))
            pb_refuse(d, "upgrade_configs: only websocket is supported");
        f->websocket_off |= !pb_get_bool(m->upgrade_configs[i]->enabled, true);
    }
    if (m->priority != CORE__ROUTING_PRIORITY__DEFAULT)
        pb_refuse(d, "priority HIGH is not supported");
}
