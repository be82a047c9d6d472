// SPDX-License-Identifier: Apache-2.0
/* DestinationRule (networking.istio.io): subsets of a host and how connections to it behave. */
#pragma once

#include "mesh/object.h"

enum lb_simple {
    LB_UNSPECIFIED,
    LB_LEAST_CONN, /* deprecated name of LEAST_REQUEST */
    LB_RANDOM,
    LB_PASSTHROUGH,
    LB_ROUND_ROBIN,
    LB_LEAST_REQUEST,
};

struct hash_cookie {
    struct part part;
    struct view name, path;
    struct opt_duration ttl;
};

struct consistent_hash { /* exactly one key */
    struct part part;
    struct view header, query_param;
    struct hash_cookie *cookie;
    bool source_ip;
    bool maglev;         /* else ring hash */
    uint64_t ring_size;  /* minimumRingSize; 0: 1024 */
    uint64_t table_size; /* maglev; 0: 65537 */
};

struct load_balancer {
    struct part part;
    enum lb_simple simple;
    struct consistent_hash *consistent_hash;
    struct opt_duration warmup; /* slow start window */
    double warmup_min_percent;  /* 10 when not given */
    double warmup_aggression;   /* 1 when not given */
};

struct tcp_keepalive {
    struct part part;
    struct opt_u32 probes;
    struct opt_duration time, interval;
};

struct tcp_pool {
    struct part part;
    int32_t max_connections; /* 0: not set */
    struct opt_duration connect_timeout, max_connection_duration;
    struct tcp_keepalive *keepalive;
};

enum h2_upgrade { H2_UPGRADE_DEFAULT, H2_UPGRADE_OFF, H2_UPGRADE_ON };

struct http_pool {
    struct part part;
    int32_t max_pending, max_requests, max_requests_per_connection, max_retries,
        max_concurrent_streams; /* 0: not set */
    struct opt_duration idle_timeout;
    enum h2_upgrade h2_upgrade;
    bool use_client_protocol;
};

struct connection_pool {
    struct part part;
    struct tcp_pool *tcp;
    struct http_pool *http;
};

struct outlier_detection {
    struct part part;
    bool split_external_local;
    struct opt_u32 consecutive_5xx, consecutive_gateway, consecutive_local;
    struct opt_duration interval, base_ejection;
    int32_t max_ejection_percent; /* 0: 10 */
    int32_t min_health_percent;
};

enum client_tls_mode { CLIENT_TLS_DISABLE, CLIENT_TLS_SIMPLE, CLIENT_TLS_MUTUAL, CLIENT_TLS_ISTIO_MUTUAL };

struct client_tls {
    struct part part;
    enum client_tls_mode mode;
    struct view client_certificate, private_key, ca_certificates, credential_name, sni, ca_crl;
    struct strings subject_alt_names;
    struct opt_bool insecure_skip_verify;
};

struct port_policy;

struct traffic_policy {
    struct part part;
    struct load_balancer *load_balancer;
    struct connection_pool *connection_pool;
    struct outlier_detection *outlier;
    struct client_tls *tls;
    struct port_policy *ports; /* each replaces the four above wholesale for its port */
    uint32_t n_ports;
};

struct port_policy {
    struct part part;
    uint32_t port;
    struct load_balancer *load_balancer;
    struct connection_pool *connection_pool;
    struct outlier_detection *outlier;
    struct client_tls *tls;
};

struct subset {
    struct part part;
    struct view name;
    struct labels labels;
    struct traffic_policy *policy;
};

struct destination_rule {
    struct object o;
    struct part spec;
    struct view host; /* as written */
    struct origin host_at;
    struct traffic_policy *policy;
    struct subset *subsets;
    uint32_t n_subsets;
    struct strings export_to;
    struct labels workload_selector;
};

const struct subset *destination_rule_subset(const struct destination_rule *dr,
                                             struct view name); /* NULL when absent */
