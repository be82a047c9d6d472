// SPDX-License-Identifier: Apache-2.0
/* Clusters: a destination that requests are balanced over, with everything that is decided about it: discovery,
 * balancing, limits, ejection, TLS, protocol. Endpoints are a resource of their own (endpoint.h) for EDS clusters and
 * stand inside for STATIC and DNS ones. Names are Istio's: outbound|9080|v1|reviews.default.svc.cluster.local.
 * Durations: nanoseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/address.h"
#include "plan/endpoint.h"
#include "plan/origin.h"
#include "plan/resource.h"
#include "plan/tls.h"

enum cluster_type {
    CLUSTER_EDS,
    CLUSTER_STATIC,
    CLUSTER_STRICT_DNS,  /* all addresses of the names */
    CLUSTER_LOGICAL_DNS, /* the first address, taken anew for each connection */
    CLUSTER_ORIGINAL_DST,
};

enum balance_policy {
    BALANCE_LEAST_REQUEST,
    BALANCE_ROUND_ROBIN,
    BALANCE_RANDOM,
    BALANCE_RING_HASH,
    BALANCE_MAGLEV,
    BALANCE_CLUSTER_PROVIDED, /* CLUSTER_ORIGINAL_DST */
};

struct lb_config {
    enum balance_policy policy;
    uint32_t choices;            /* BALANCE_LEAST_REQUEST; 0: 2 */
    uint64_t ring_min, ring_max; /* BALANCE_RING_HASH; 0: 1024 and 8 Mi */
    uint64_t maglev_size;        /* a prime; 0: 65537 */
    bool hash_hostname;          /* by the endpoint's name instead of its address */
    uint32_t panic_percent;      /* healthy share below which all are used; Istio: 0, never */
    uint64_t warmup;             /* slow start window; 0: none */
    uint32_t warmup_min_percent; /* 10 */
    double warmup_aggression;    /* 1.0 */
    bool locality_weighted;      /* weights of localities count (distribute) */
};

struct breaker_limits { /* 0xffffffff: none */
    uint32_t connections, pending, requests, retries;
};

struct outlier_config {
    bool on;
    uint32_t consecutive_5xx;     /* 0: not used */
    uint32_t consecutive_gateway; /* 0: not used */
    uint32_t consecutive_local;   /* with split_local */
    bool split_local;             /* splitExternalLocalOriginErrors */
    uint64_t interval, base_ejection, max_ejection;
    uint32_t max_ejection_percent;
};

enum cluster_protocol {
    PROTOCOL_HTTP1,
    PROTOCOL_HTTP2,
    PROTOCOL_DOWNSTREAM, /* the request's own */
};

/* How to secure a connection to one endpoint: the first entry that fits its label wins, none: plaintext. */
struct cluster_transport {
    struct view name;       /* tlsMode-istio */
    struct view tls_mode;   /* the endpoint's tlsMode label must equal it; empty: fits all */
    struct tls_client *tls; /* NULL: plaintext */
};

struct service_ref { /* filter_metadata istio.services */
    struct view host, name, ns;
};

struct keepalive {
    bool on;
    uint32_t probes;
    uint64_t time, interval;
};

struct cluster {
    struct resource res;
    enum cluster_type type;
    struct name_ref eds_name;       /* CLUSTER_EDS: endpoint_set to use; same as the name */
    struct endpoint_set *endpoints; /* STATIC and DNS: inside, without a reference count; else NULL */
    bool dns_v4_only;
    uint64_t dns_refresh; /* 0: by TTL */

    struct lb_config lb;
    uint64_t connect_timeout;
    struct breaker_limits breaker;
    struct outlier_config outlier;

    struct cluster_transport *transports;
    uint32_t n_transports;
    bool peer_exchange; /* istio.metadata_exchange upstream filter */

    enum cluster_protocol protocol;
    bool allow_alpn_override; /* the HTTP ALPN filter decides what is offered */
    uint64_t idle_timeout;    /* pooled HTTP connections */
    uint64_t max_connection_duration;
    uint32_t max_requests_per_connection; /* 0: no limit */
    uint32_t max_streams;                 /* concurrent HTTP/2 streams; 0: the peer's */
    struct keepalive keepalive;

    struct plan_addr bind; /* source address: 127.0.0.6 for inbound passthrough; ADDR_UNSET: the kernel's */
    struct service_ref *services;
    uint32_t n_services;
    struct view subset;        /* empty: none */
    struct plan_origin origin; /* the DestinationRule, else the Service or ServiceEntry */
};

/* The transport for an endpoint with this tlsMode label; NULL: plaintext. */
const struct tls_client *cluster_transport_for(const struct cluster *c, struct view tls_mode);
