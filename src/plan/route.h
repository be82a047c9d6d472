// SPDX-License-Identifier: Apache-2.0
/* Routes: route_table → virtual_host (by domain) → route (first match wins) → what happens to the request.
 *
 * A route_table is an RDS resource ("9080", "http.80", "reviews.default.svc.cluster.local:9080") or stands inside a
 * http_manager (inbound). resource_prepare builds the domain tables; route_table_find and virtual_host_find then
 * choose without allocation (plan/route_match.c). Durations are nanoseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/match.h"
#include "plan/origin.h"
#include "plan/resource.h"

struct header_value {
    struct view name, value; /* value may hold %OPERATORS% of Envoy's formatter */
    bool append;             /* true: add beside existing ones; false: overwrite */
};

/* Applied in this order: remove is last in Envoy's wire order but first in effect on a name both lists have. */
struct header_mutations {
    struct header_value *set;
    struct view *remove; /* lower case */
    uint32_t n_set, n_remove;
};

struct route_headers {
    struct header_mutations request, response;
};

struct weighted_cluster {
    struct name_ref cluster;
    uint32_t weight;          /* relative; ignored when it is the only one */
    struct view host_rewrite; /* of this destination; empty: the route's */
    struct route_headers headers;
};

/* Bits of retry_policy.on: Envoy's retry_on names, generated with their text in plan/retry.c. */
enum retry_on {
    RETRY_5XX = 1 << 0,
    RETRY_GATEWAY_ERROR = 1 << 1,
    RETRY_RESET = 1 << 2,
    RETRY_RESET_BEFORE_REQUEST = 1 << 3,
    RETRY_CONNECT_FAILURE = 1 << 4,
    RETRY_ENVOY_RATELIMITED = 1 << 5,
    RETRY_RETRIABLE_4XX = 1 << 6,
    RETRY_REFUSED_STREAM = 1 << 7,
    RETRY_RETRIABLE_STATUS_CODES = 1 << 8,
    RETRY_RETRIABLE_HEADERS = 1 << 9,
    RETRY_HTTP3_POST_CONNECT_FAILURE = 1 << 10, /* accepted and never true: no HTTP/3 upstream */
    RETRY_CANCELLED = 1 << 11,                  /* gRPC status 1 and so on */
    RETRY_DEADLINE_EXCEEDED = 1 << 12,
    RETRY_INTERNAL = 1 << 13,
    RETRY_RESOURCE_EXHAUSTED = 1 << 14,
    RETRY_UNAVAILABLE = 1 << 15,
};

struct retry_policy {
    uint32_t on;        /* enum retry_on */
    uint32_t attempts;  /* retries after the first try */
    uint16_t *statuses; /* for RETRY_RETRIABLE_STATUS_CODES */
    uint32_t n_statuses;
    uint64_t per_try_timeout;             /* 0: none */
    uint64_t base_interval, max_interval; /* 0: 25 ms and 10 × base */
    bool previous_hosts;                  /* prefer a host that was not tried */
    bool other_priorities;                /* retryRemoteLocalities: may leave the priority */
    uint32_t host_attempts;               /* how often to pick again for it; Istio: 5 */
};

struct regex_rewrite {
    struct view pattern; /* empty: none */
    struct view substitution;
    struct regex *regex; /* after resource_prepare */
};

struct route_mirror {
    struct name_ref cluster;
    uint32_t per_million;
    bool keep_host; /* without the -shadow suffix */
};

enum hash_kind {
    HASH_HEADER,
    HASH_COOKIE,
    HASH_SOURCE_IP,
    HASH_QUERY,
};

struct hash_policy {
    enum hash_kind kind;
    struct view name; /* of the header, cookie or parameter */
    struct view cookie_path;
    uint64_t cookie_ttl; /* HASH_COOKIE: generate when absent; has_ttl false: only read */
    bool has_ttl;
    bool terminal;
};

struct fault {
    uint64_t delay; /* fixed delay; 0: none */
    uint32_t delay_per_million;
    uint16_t abort_status; /* HTTP status; 0: none */
    int16_t abort_grpc;    /* gRPC status; -1: none */
    uint32_t abort_per_million;
};

struct cors {
    struct text_match *origins;
    uint32_t n_origins;
    struct view methods, headers, expose, max_age; /* as they stand in the headers; empty: not sent */
    bool credentials, has_credentials;
    bool forward_unmatched_preflights;
};

enum route_action {
    ROUTE_FORWARD,
    ROUTE_REDIRECT,
    ROUTE_DIRECT,
};

struct route_forward {
    struct weighted_cluster *clusters; /* at least one */
    uint32_t n_clusters;
    uint64_t total_weight;
    uint16_t cluster_not_found; /* status when a cluster does not exist: 503, Gateway API 500 */

    struct view prefix_rewrite; /* empty: none */
    struct regex_rewrite regex_rewrite;
    struct view host_rewrite;
    bool auto_host_rewrite; /* host of the chosen endpoint's name (DNS clusters) */

    uint64_t timeout;      /* whole response; 0: none */
    uint64_t idle_timeout; /* 0: the http_manager's */
    bool has_max_grpc_timeout;
    uint64_t max_grpc_timeout; /* grpc-timeout is honoured up to it; 0: without bound */

    struct retry_policy *retry; /* NULL: none */
    struct route_mirror *mirrors;
    uint32_t n_mirrors;
    struct hash_policy *hash;
    uint32_t n_hash;
    bool websocket_off; /* the http_manager's upgrade is refused here */
};

struct route_redirect {
    uint16_t status; /* 301, 302, 303, 307, 308 */
    struct view scheme, host;
    uint32_t port;              /* 0: unchanged */
    struct view path;           /* replaces the path */
    struct view prefix_rewrite; /* replaces the matched prefix */
    bool https;                 /* https_redirect */
    bool strip_query;
};

struct route_direct {
    uint16_t status;
    struct view body;
};

struct route {
    struct view name; /* "default", or the name in the VirtualService */
    struct path_match path;
    struct header_match *headers;
    struct query_match *queries;
    uint32_t n_headers, n_queries;
    bool grpc_only; /* Envoy's match.grpc */

    enum route_action action;
    struct route_forward forward;
    struct route_redirect *redirect; /* ROUTE_REDIRECT */
    struct route_direct *direct;     /* ROUTE_DIRECT */

    struct route_headers changes;
    struct fault *fault;
    struct cors *cors;
    struct view operation; /* decorator: span name, "reviews.default.svc.cluster.local:9080/…" */
    struct plan_origin origin;
};

enum require_tls {
    REQUIRE_TLS_NONE,
    REQUIRE_TLS_ALL, /* plaintext is redirected with 301 to https */
};

struct virtual_host {
    struct view name;
    struct view *domains; /* exact, *suffix, prefix*, * ; lower case */
    struct route *routes;
    uint32_t n_domains, n_routes;
    bool include_attempt_count; /* x-envoy-attempt-count on requests */
    enum require_tls require_tls;
    struct plan_origin origin;
};

struct domain_table; /* built by resource_prepare; plan/route_match.c */

struct route_table {
    struct resource res; /* inside a http_manager: only name is used, never referenced */
    struct virtual_host *hosts;
    uint32_t n_hosts;
    bool ignore_port; /* ignore_port_in_host_matching */
    uint64_t max_direct_body;
    struct domain_table *domains; /* NULL until prepared */
};

/* --- selection: plan/route_match.c --- */

/* Exact, then longest *suffix, then longest prefix*, then *. NULL: no virtual host. Any case, port included in host. */
const struct virtual_host *route_table_find(const struct route_table *t, struct view host);

/* First route whose conditions all hold; NULL: none (404 NR). */
const struct route *virtual_host_find(const struct virtual_host *h, const struct match_request *r);

/* One destination by weight; `random` is 64 fresh random bits. */
const struct weighted_cluster *route_pick_cluster(const struct route *r, uint64_t random);

/* The path to send upstream: prefix or regex rewrite applied, query kept. `path` itself when nothing is rewritten,
 * else from the arena. */
struct view route_rewrite_path(const struct route *r, struct arena *a, struct view path);

/* The Location of a redirect. */
struct view route_redirect_location(const struct route *r, struct arena *a, const struct match_request *request);

int route_table_prepare(struct route_table *t, struct arena *a, struct view *ret_error) must_check;
