// SPDX-License-Identifier: Apache-2.0
/* VirtualService (networking.istio.io): where requests for a host go. The fields carry the API's names in our spelling.
 *
 * Values were checked one by one (durations, codes, regular expressions, weights); whether a host, subset, port or
 * gateway exists is a question to the snapshot (mesh/analyze/).
 */
#pragma once

#include "base/regex.h"
#include "mesh/object.h"

enum string_match_type { MATCH_PRESENT /* {} */, MATCH_EXACT, MATCH_PREFIX, MATCH_REGEX };

struct string_match {
    struct part part;
    bool set;
    enum string_match_type type;
    struct view text;
};

struct named_match { /* a header or query parameter and its condition */
    struct part part;
    struct view name;
    struct string_match match;
};

struct destination {
    struct part part;
    struct origin host_at; /* the place of the host's text */
    struct view host, subset;
    uint32_t port; /* 0: not given */
};

struct header_ops {
    struct labels set, add;
    struct strings remove;
};

struct headers_policy { /* `headers:` */
    struct header_ops request, response;
};

struct http_match {
    struct part part;
    struct view name, stat_prefix;
    struct string_match uri, scheme, method, authority;
    struct named_match *headers, *query_params, *without_headers;
    uint32_t n_headers, n_query_params, n_without_headers;
    uint32_t port;
    struct labels source_labels;
    struct strings gateways;
    bool ignore_uri_case;
    struct view source_ns;
};

struct http_destination {
    struct part part;
    struct destination destination;
    int32_t weight;
    struct headers_policy headers;
};

enum redirect_port { REDIRECT_PORT_DEFAULT /* not given */, REDIRECT_PORT_PROTOCOL, REDIRECT_PORT_REQUEST };

struct http_redirect {
    struct part part;
    struct view uri, authority, scheme, prefix_rewrite;
    uint32_t port; /* 0: not given */
    enum redirect_port derive_port;
    uint32_t code; /* 301 when absent */
};

struct http_direct_response {
    struct part part;
    uint32_t status;
    struct view body; /* decoded when it was written as bytes */
};

struct http_rewrite {
    struct part part;
    struct view uri, authority;
    bool has_uri;
    struct view regex_match, regex_rewrite; /* uriRegexRewrite; empty match: none */
};

struct http_retries {
    struct part part;
    int32_t attempts;
    struct opt_duration per_try_timeout, backoff;
    struct view retry_on;
    struct opt_bool remote_localities, ignore_previous_hosts;
};

struct http_delay {
    struct part part;
    uint64_t fixed_ns;
    double percent; /* of requests */
};

struct http_abort {
    struct part part;
    uint32_t http_status;
    struct view grpc_status; /* set when http_status is 0: a name (UNAVAILABLE) or a number */
    double percent;
};

struct http_fault {
    struct part part;
    struct http_delay *delay;
    struct http_abort *abort;
};

struct http_mirror {
    struct part part;
    struct destination destination;
    double percent; /* 100 when absent */
};

enum cors_preflight { CORS_PREFLIGHT_DEFAULT, CORS_PREFLIGHT_FORWARD, CORS_PREFLIGHT_IGNORE };

struct cors_policy {
    struct part part;
    struct string_match *allow_origins;
    uint32_t n_allow_origins;
    struct strings allow_methods, allow_headers, expose_headers;
    struct opt_duration max_age;
    struct opt_bool allow_credentials;
    enum cors_preflight unmatched;
};

struct http_route {
    struct part part;
    struct view name;
    struct http_match *match; /* any of them; none: every request */
    uint32_t n_match;
    struct http_destination *route; /* or one of the next two */
    uint32_t n_route;
    struct http_redirect *redirect;
    struct http_direct_response *direct_response;
    struct http_rewrite *rewrite;
    struct opt_duration timeout;
    struct http_retries *retries;
    struct http_fault *fault;
    struct http_mirror *mirrors; /* `mirror` (with its percentage) first, then `mirrors` */
    uint32_t n_mirrors;
    struct cors_policy *cors;
    struct headers_policy headers;
};

struct l4_match {
    struct part part;
    struct strings destination_subnets, gateways;
    uint32_t port;
    struct labels source_labels;
    struct view source_ns;
    struct strings sni_hosts; /* tls routes only */
};

struct l4_destination {
    struct part part;
    struct destination destination;
    int32_t weight;
};

struct l4_route { /* a tcp or tls route */
    struct part part;
    struct l4_match *match;
    uint32_t n_match;
    struct l4_destination *route;
    uint32_t n_route;
};

struct virtual_service {
    struct object o;
    struct part spec;
    struct strings hosts;    /* as written: short names are completed with o.meta.ns */
    struct strings gateways; /* empty means [mesh] */
    struct strings export_to;
    struct http_route *http;
    uint32_t n_http;
    struct l4_route *tls, *tcp;
    uint32_t n_tls, n_tcp;
};

/* Whether the object is for sidecars (`mesh` is among its gateways, or none is named). */
bool virtual_service_in_mesh(const struct virtual_service *vs);
