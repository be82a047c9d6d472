// SPDX-License-Identifier: Apache-2.0
/* The policies of a cluster ⇄ Envoy's: balancing, circuit breakers, outlier detection. The rest is in cluster.c. */
#include "plan/defaults.h"
#include "xds/convert.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

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

void xds_lb(struct arena *a, const struct lb_config *lb, Cluster__Cluster *m)
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

Cluster__OutlierDetection *xds_outlier(struct arena *a, const struct outlier_config *o)
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

void xds_breaker(struct arena *a, const struct breaker_limits *b, Cluster__Cluster *m)
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

/* The parameters of another policy than the chosen one mean nothing. */
static void get_lb_config(struct xds_codec *d, const Cluster__Cluster *m, struct lb_config *lb)
{
    static const struct {
        enum balance_policy policy;
        Cluster__Cluster__LbConfigCase of;
    } pairs[] = {
        {BALANCE_LEAST_REQUEST, CLUSTER__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG},
        {BALANCE_ROUND_ROBIN, CLUSTER__CLUSTER__LB_CONFIG_ROUND_ROBIN_LB_CONFIG},
        {BALANCE_RING_HASH, CLUSTER__CLUSTER__LB_CONFIG_RING_HASH_LB_CONFIG},
        {BALANCE_MAGLEV, CLUSTER__CLUSTER__LB_CONFIG_MAGLEV_LB_CONFIG},
        {BALANCE_CLUSTER_PROVIDED, CLUSTER__CLUSTER__LB_CONFIG_ORIGINAL_DST_LB_CONFIG},
    };
    bool ours = false;

    for (size_t i = 0; i < N(pairs); i++)
        ours = ours || (pairs[i].policy == lb->policy && pairs[i].of == m->lb_config_case);
    if (!ours)
        return;
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

void xds_get_lb(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c)
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

void xds_get_outlier(struct xds_codec *d, const Cluster__OutlierDetection *m, struct outlier_config *o)
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

void xds_get_breaker(struct xds_codec *d, const Cluster__CircuitBreakers *m, struct breaker_limits *b)
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
