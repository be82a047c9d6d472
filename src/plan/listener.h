// SPDX-License-Identifier: Apache-2.0
/* Listeners: where connections arrive, how they are told apart, and what serves them.
 *
 *   listener → filter_chain (first by destination port, then address, SNI, TLS or not, ALPN, source)
 *            → transport (plaintext or TLS) → http_manager or tcp_manager
 *
 * virtualOutbound (15001) and virtualInbound (15006) bind; the other outbound listeners have bind_to_port false and are
 * chosen by the connection's original destination (use_original_dst, listener_for in plan.h). Durations: nanoseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/access_log.h"
#include "plan/address.h"
#include "plan/origin.h"
#include "plan/resource.h"
#include "plan/route.h"
#include "plan/tls.h"

enum traffic_direction {
    TRAFFIC_UNSPECIFIED, /* gateways */
    TRAFFIC_INBOUND,
    TRAFFIC_OUTBOUND,
};

/* Bits of listener.inspect: what to find out before a filter chain is chosen. */
enum listener_filter {
    INSPECT_ORIGINAL_DST = 1 << 0, /* SO_ORIGINAL_DST instead of the local address */
    INSPECT_TLS = 1 << 1,          /* transport_protocol tls, SNI, ALPN of the ClientHello */
    INSPECT_HTTP = 1 << 2,         /* plaintext: application protocol http/1.0, http/1.1, h2c */
    INSPECT_PROXY_PROTOCOL = 1 << 3,
};

/* Connections to these destination ports skip an inspector: their protocol is declared, so nothing waits for bytes. */
struct inspect_skip {
    uint32_t inspector; /* one enum listener_filter */
    uint16_t first, last;
};

enum transport_match {
    TRANSPORT_ANY,
    TRANSPORT_RAW, /* raw_buffer */
    TRANSPORT_TLS,
};

struct filter_chain_match {
    uint16_t port;              /* destination; 0: any */
    struct ip_prefix *prefixes; /* destination addresses; none: any */
    struct view *server_names;  /* exact or *.suffix; none: any */
    enum transport_match transport;
    struct view *alpn;         /* application_protocols; none: any */
    struct ip_prefix *sources; /* source addresses; none: any */
    uint32_t n_prefixes, n_server_names, n_alpn, n_sources;
};

enum http_codec {
    CODEC_AUTO, /* by ALPN, else by the first bytes */
    CODEC_HTTP1,
    CODEC_HTTP2,
};

enum http_filter_kind {
    HTTP_FILTER_PEER_METADATA, /* x-envoy-peer-metadata in both directions: istio.peer_metadata / metadata_exchange */
    HTTP_FILTER_GRPC_STATS,
    HTTP_FILTER_ALPN, /* istio.alpn: what to offer upstream by the request's protocol */
    HTTP_FILTER_FAULT,
    HTTP_FILTER_CORS,
    HTTP_FILTER_STATS,  /* istio.stats */
    HTTP_FILTER_ROUTER, /* always last */
};

struct http_filter {
    enum http_filter_kind kind;
    struct view name; /* Envoy's: envoy.filters.http.fault */
};

enum xfcc_mode { /* x-forwarded-client-cert */
                 XFCC_SANITIZE,
                 XFCC_FORWARD_ONLY,
                 XFCC_APPEND_FORWARD,
                 XFCC_SANITIZE_SET,
                 XFCC_ALWAYS_FORWARD_ONLY,
};

enum xfcc_detail { /* bits */
                   XFCC_SUBJECT = 1 << 0,
                   XFCC_URI = 1 << 1,
                   XFCC_DNS = 1 << 2,
                   XFCC_CERT = 1 << 3,
                   XFCC_CHAIN = 1 << 4,
};

enum server_header {
    SERVER_OVERWRITE,
    SERVER_APPEND_IF_ABSENT,
    SERVER_PASS_THROUGH,
};

struct http_manager {
    struct view stat_prefix;
    enum http_codec codec;
    struct name_ref rds;        /* the route table's name; empty: routes */
    struct route_table *routes; /* inline; NULL when rds is set */
    struct http_filter *filters;
    uint32_t n_filters;

    struct view server_name;
    enum server_header server_header;
    enum xfcc_mode xfcc;
    uint32_t xfcc_details;
    bool use_remote_address; /* gateways: the peer is the client, append to x-forwarded-for */
    uint32_t xff_trusted_hops;
    bool skip_xff_append;
    bool request_id;      /* generate x-request-id when absent */
    bool keep_request_id; /* preserve_external_request_id */
    bool websocket;       /* upgrade allowed */
    bool normalize_path;
    bool merge_slashes;
    bool decode_slashes; /* path_with_escaped_slashes_action: unescape and forward */
    bool accept_http10;
    bool proxy_100_continue;

    uint64_t idle_timeout;        /* of a connection without streams; 0: none */
    uint64_t stream_idle_timeout; /* 0: none */
    uint64_t request_timeout;     /* whole request; 0: none */
    uint64_t headers_timeout;     /* request head; 0: none */
    uint64_t max_connection_duration;
    uint64_t drain_timeout;

    struct access_log *logs;
    uint32_t n_logs;
};

struct tcp_manager {
    struct view stat_prefix;
    struct weighted_cluster *clusters; /* at least one; headers unused */
    uint32_t n_clusters;
    uint64_t total_weight;
    uint64_t idle_timeout;    /* 0: none */
    struct hash_policy *hash; /* HASH_SOURCE_IP; NULL: none */
    struct access_log *logs;
    uint32_t n_logs;
};

struct filter_chain {
    struct view name;
    struct filter_chain_match match;
    struct tls_server *tls; /* NULL: plaintext */
    bool peer_exchange;     /* istio.metadata_exchange: read and write the preface when ALPN is istio-peer-exchange */
    bool stats;             /* istio.stats for tcp */
    struct http_manager *http; /* exactly one of these two */
    struct tcp_manager *tcp;
    struct plan_origin origin;
};

struct listener {
    struct resource res;
    struct plan_addr address;
    enum traffic_direction direction;
    bool bind_to_port;
    bool use_original_dst; /* hand the connection to the listener of its original destination, if there is one */
    uint32_t inspect;      /* enum listener_filter */
    struct inspect_skip *skips;
    uint32_t n_skips;
    uint64_t inspect_timeout; /* 0: wait for ever */
    bool continue_on_timeout; /* server-first protocols: go on as plain TCP, if listener_serves_silence */
    struct filter_chain *chains;
    uint32_t n_chains;
    struct filter_chain *default_chain; /* NULL: no match closes the connection */
    struct access_log *logs;
    uint32_t n_logs;
    struct plan_origin origin;
};

/* What is known of a connection when its filter chain is chosen. */
struct connection_facts {
    struct plan_addr destination, source;
    bool tls;
    struct view server_name; /* SNI; empty: none */
    const struct view *alpn; /* of the ClientHello, or what INSPECT_HTTP found */
    uint32_t n_alpn;
};

/* Which inspectors run for this destination port. */
uint32_t listener_inspectors(const struct listener *l, uint16_t destination_port);

/* Envoy's order of precedence, most specific first and without backtracking; the default chain or NULL when none fits. */
const struct filter_chain *listener_find_chain(const struct listener *l, const struct connection_facts *c);

/* A connection that has said nothing until inspect_timeout: may it go on as plain TCP? Only where plain TCP is what it
 * would get. HTTP and TLS clients speak first, so there silence means that they are slow, and waiting goes on. */
bool listener_serves_silence(const struct listener *l, const struct connection_facts *c);

const struct weighted_cluster *tcp_manager_pick_cluster(const struct tcp_manager *t, uint64_t random);
