// SPDX-License-Identifier: Apache-2.0
/* Resources with every field set to something that is not its default (rich.h), so that a field which a converter
 * forgets is seen in the printed form.
 */
#include "rich.h"

#include "base/clock.h"
#include "plan/retry.h"

#define S(text) view_of(text)
#define LIST(a, type, ...) ((type *)arena_copy((a), (type[]){__VA_ARGS__}, sizeof((type[]){__VA_ARGS__})))

static struct plan_origin origin(const char *kind, const char *rule)
{
    return (struct plan_origin){.kind = S(kind),
                                .ns = VIEW("default"),
                                .name = VIEW("reviews"),
                                .rule = S(rule),
                                .file = VIEW("reviews.yaml"),
                                .line = 14};
}

static struct tls_common common(struct arena *a)
{
    return (struct tls_common){
        .identities = LIST(a, struct name_ref, name_ref(VIEW("default")), name_ref(VIEW("kubernetes://gw"))),
        .n_identities = 2,
        .trust = name_ref(VIEW("ROOTCA")),
        .sans =
            LIST(a, struct text_match, {.kind = TEXT_EXACT, .value = VIEW("spiffe://cluster.local/ns/default/sa/r")},
                 {.kind = TEXT_PREFIX, .value = VIEW("spiffe://other/")}),
        .n_sans = 2,
        .alpn = LIST(a, struct view, VIEW("istio-peer-exchange"), VIEW("istio")),
        .n_alpn = 2,
        .ciphers = LIST(a, struct view, VIEW("ECDHE-ECDSA-AES256-GCM-SHA384")),
        .n_ciphers = 1,
        .min = TLS_PROTOCOL_1_2,
        .max = TLS_PROTOCOL_1_3,
    };
}

struct cluster *rich_cluster(const char *name)
{
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, S(name));
    struct arena *a = &c->res.arena;
    struct tls_client *mutual = ARENA_NEW(a, struct tls_client);

    *mutual = (struct tls_client){.common = common(a), .sni = VIEW("outbound_.9080_.v1_.reviews")};
    c->type = CLUSTER_EDS;
    c->eds_name = name_ref(VIEW("outbound|9080|v1|shared"));
    c->lb = (struct lb_config){.policy = BALANCE_LEAST_REQUEST,
                               .choices = 3,
                               .hash_hostname = true,
                               .panic_percent = 20,
                               .warmup = 30 * NS_PER_S,
                               .warmup_min_percent = 15,
                               .warmup_aggression = 1.5,
                               .locality_weighted = true};
    c->connect_timeout = 1500 * NS_PER_MS;
    c->breaker = (struct breaker_limits){100, 0xffffffff, 7, 0};
    c->outlier = (struct outlier_config){.on = true,
                                         .consecutive_5xx = 7,
                                         .consecutive_gateway = 3,
                                         .consecutive_local = 2,
                                         .split_local = true,
                                         .interval = NS_PER_S,
                                         .base_ejection = 2 * NS_PER_S,
                                         .max_ejection = 60 * NS_PER_S,
                                         .max_ejection_percent = 50};
    c->transports =
        LIST(a, struct cluster_transport, {.name = VIEW("tlsMode-istio"), .tls_mode = VIEW("istio"), .tls = mutual},
             {.name = VIEW("tlsMode-disabled")});
    c->n_transports = 2;
    c->peer_exchange = true;
    c->protocol = PROTOCOL_HTTP2;
    c->allow_alpn_override = false;
    c->idle_timeout = 90 * NS_PER_S;
    c->max_connection_duration = 3600 * NS_PER_S;
    c->max_requests_per_connection = 1000;
    c->max_streams = 128;
    c->keepalive = (struct keepalive){.on = true, .probes = 3, .time = 600 * NS_PER_S, .interval = 75 * NS_PER_S};
    must(plan_addr_parse_ip(VIEW("127.0.0.6"), 0, &c->bind) == 0);
    c->services =
        LIST(a, struct service_ref, {VIEW("reviews.default.svc.cluster.local"), VIEW("reviews"), VIEW("default")});
    c->n_services = 1;
    c->subset = VIEW("v1");
    c->origin = origin("DestinationRule", "spec.subsets[0]");
    resource_seal(&c->res);
    return c;
}

struct cluster *rich_dns_cluster(const char *name)
{
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, S(name));
    struct arena *a = &c->res.arena;
    struct tls_client *simple = ARENA_NEW(a, struct tls_client);

    *simple = (struct tls_client){.auto_sni = true, .auto_san = true, .insecure = true};
    c->type = CLUSTER_STRICT_DNS;
    c->dns_v4_only = true;
    c->dns_refresh = 30 * NS_PER_S;
    c->endpoints = ARENA_NEW(a, struct endpoint_set);
    c->endpoints->res.kind = RESOURCE_ENDPOINTS;
    c->endpoints->res.name = c->res.name;
    c->endpoints->localities = ARENA_NEW(a, struct locality);
    c->endpoints->n_localities = 1;
    c->endpoints->localities[0].weight = 1;
    c->endpoints->localities[0].endpoints =
        LIST(a, struct endpoint, {.address = plan_addr_of(VIEW("httpbin.org"), 443), .weight = 1});
    c->endpoints->localities[0].n_endpoints = 1;
    c->lb = (struct lb_config){.policy = BALANCE_RING_HASH, .ring_min = 2048, .ring_max = 4096};
    c->breaker = (struct breaker_limits){0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
    c->connect_timeout = 10 * NS_PER_S;
    c->transports = LIST(a, struct cluster_transport, {.tls = simple});
    c->n_transports = 1;
    c->protocol = PROTOCOL_DOWNSTREAM;
    c->allow_alpn_override = true;
    c->idle_timeout = 0;
    resource_seal(&c->res);
    return c;
}

struct endpoint_set *rich_endpoints(const char *name)
{
    struct endpoint_set *s = RESOURCE_NEW(struct endpoint_set, RESOURCE_ENDPOINTS, S(name));
    struct arena *a = &s->res.arena;

    s->localities = LIST(
        a, struct locality,
        {.region = VIEW("eu"),
         .zone = VIEW("eu-1"),
         .subzone = VIEW("rack2"),
         .priority = 1,
         .weight = 9,
         .endpoints = LIST(a, struct endpoint,
                           {.address = plan_addr_of(VIEW("10.1.0.4"), 9080),
                            .hostname = VIEW("web-0"),
                            .health = ENDPOINT_DRAINING,
                            .weight = 5,
                            .tls_mode = VIEW("istio"),
                            .workload = VIEW("reviews-v1;default;reviews;v1;Kubernetes")},
                           {.address = plan_addr_of(VIEW("fd00::5"), 9080), .health = ENDPOINT_UNHEALTHY, .weight = 1}),
         .n_endpoints = 2},
        {.weight = 1,
         .endpoints = LIST(a, struct endpoint, {.address = plan_addr_of(VIEW("10.1.0.5"), 80), .weight = 1}),
         .n_endpoints = 1});
    s->n_localities = 2;
    resource_seal(&s->res);
    return s;
}

static struct route_headers changes(struct arena *a)
{
    return (struct route_headers){
        .request = {.set = LIST(a, struct header_value,
                                {.name = VIEW("x-a"), .value = VIEW("%START_TIME%"), .append = true},
                                {.name = VIEW("x-b"), .value = VIEW("2")}),
                    .n_set = 2,
                    .remove = LIST(a, struct view, VIEW("x-gone")),
                    .n_remove = 1},
        .response = {.set = LIST(a, struct header_value, {.name = VIEW("x-c"), .value = VIEW("3")}),
                     .n_set = 1,
                     .remove = LIST(a, struct view, VIEW("server")),
                     .n_remove = 1},
    };
}

static struct route forward_route(struct arena *a)
{
    struct route r = {.name = VIEW("to v1"),
                      .grpc_only = true,
                      .operation = VIEW("reviews:9080/*"),
                      .origin = origin("VirtualService", "http[1]")};
    struct route_forward *f = &r.forward;

    r.path = (struct path_match){.kind = PATH_SEPARATED_PREFIX, .ignore_case = true, .value = VIEW("/api")};
    r.headers =
        LIST(a, struct header_match,
             {.name = VIEW("end-user"), .value = {.kind = TEXT_EXACT, .value = VIEW("jason"), .ignore_case = true}},
             {.name = VIEW(":method"), .value = {.kind = TEXT_REGEX, .value = VIEW("GET|POST")}, .invert = true},
             {.name = VIEW("x-any"), .value = {.kind = TEXT_PRESENT}, .missing_is_empty = true},
             {.name = VIEW("x-s"), .value = {.kind = TEXT_SUFFIX, .value = VIEW("z")}},
             {.name = VIEW("x-e"), .value = {.kind = TEXT_EXACT}});
    r.n_headers = 5;
    r.queries = LIST(a, struct query_match, {.name = VIEW("q"), .value = {.kind = TEXT_CONTAINS, .value = VIEW("x")}},
                     {.name = VIEW("p"), .value = {.kind = TEXT_PRESENT}});
    r.n_queries = 2;
    r.action = ROUTE_FORWARD;
    f->clusters = LIST(a, struct weighted_cluster,
                       {.cluster = name_ref(VIEW("outbound|9080|v1|reviews")),
                        .weight = 90,
                        .headers = changes(a),
                        .host_rewrite = VIEW("v1.local")},
                       {.cluster = name_ref(VIEW("outbound|9080|v2|reviews")), .weight = 10});
    f->n_clusters = 2;
    f->total_weight = 100;
    f->cluster_not_found = 500;
    f->regex_rewrite = (struct regex_rewrite){.pattern = VIEW("^/api(.*)"), .substitution = VIEW("\\1")};
    f->host_rewrite = VIEW("reviews.local");
    f->timeout = 2 * NS_PER_S;
    f->idle_timeout = 3 * NS_PER_S;
    f->has_max_grpc_timeout = true;
    f->max_grpc_timeout = 4 * NS_PER_S;
    f->retry = ARENA_NEW(a, struct retry_policy);
    *f->retry = (struct retry_policy){.on = RETRY_5XX | RETRY_CONNECT_FAILURE | RETRY_UNAVAILABLE |
                                            RETRY_RETRIABLE_STATUS_CODES,
                                      .attempts = 3,
                                      .statuses = LIST(a, uint16_t, 503, 429),
                                      .n_statuses = 2,
                                      .per_try_timeout = 500 * NS_PER_MS,
                                      .base_interval = 10 * NS_PER_MS,
                                      .max_interval = 90 * NS_PER_MS,
                                      .previous_hosts = true,
                                      .other_priorities = true,
                                      .host_attempts = 5};
    f->mirrors = LIST(a, struct route_mirror,
                      {.cluster = name_ref(VIEW("outbound|80||mirror")), .per_million = 12500, .keep_host = true});
    f->n_mirrors = 1;
    f->hash = LIST(a, struct hash_policy, {.kind = HASH_HEADER, .name = VIEW("x-user"), .terminal = true},
                   {.kind = HASH_COOKIE,
                    .name = VIEW("session"),
                    .cookie_path = VIEW("/"),
                    .has_ttl = true,
                    .cookie_ttl = NS_PER_S},
                   {.kind = HASH_SOURCE_IP}, {.kind = HASH_QUERY, .name = VIEW("id")});
    f->n_hash = 4;
    f->websocket_off = true;
    r.changes = changes(a);
    r.fault = ARENA_NEW(a, struct fault);
    *r.fault = (struct fault){.delay = 7 * NS_PER_S,
                              .delay_per_million = 100000,
                              .abort_status = 0,
                              .abort_grpc = 14,
                              .abort_per_million = 5};
    r.cors = ARENA_NEW(a, struct cors);
    *r.cors = (struct cors){.origins = LIST(a, struct text_match, {.kind = TEXT_REGEX, .value = VIEW("https://.*")}),
                            .n_origins = 1,
                            .methods = VIEW("GET"),
                            .headers = VIEW("x-a"),
                            .expose = VIEW("x-b"),
                            .max_age = VIEW("86400"),
                            .credentials = true,
                            .has_credentials = true,
                            .forward_unmatched_preflights = true};
    return r;
}

static void fill(struct route_table *t, struct arena *a)
{
    struct route redirect = {.path = {.kind = PATH_EXACT, .value = VIEW("/old")}, .action = ROUTE_REDIRECT};
    struct route direct = {.path = {.kind = PATH_REGEX, .value = VIEW("/h.*")}, .action = ROUTE_DIRECT};
    struct route one = {.path = {.kind = PATH_PREFIX, .value = VIEW("/")}, .action = ROUTE_FORWARD};

    redirect.redirect = ARENA_NEW(a, struct route_redirect);
    *redirect.redirect = (struct route_redirect){.status = 308,
                                                 .scheme = VIEW("https"),
                                                 .host = VIEW("new.example"),
                                                 .port = 8443,
                                                 .prefix_rewrite = VIEW("/new"),
                                                 .strip_query = true};
    direct.direct = ARENA_NEW(a, struct route_direct);
    *direct.direct = (struct route_direct){.status = 418, .body = VIEW("teapot")};
    one.fault = ARENA_NEW(a, struct fault);
    *one.fault = (struct fault){.abort_status = 503, .abort_grpc = -1, .abort_per_million = 1000000};
    one.forward.clusters =
        LIST(a, struct weighted_cluster, {.cluster = name_ref(VIEW("PassthroughCluster")), .weight = 1});
    one.forward.n_clusters = 1;
    one.forward.total_weight = 1;
    one.forward.cluster_not_found = 503;
    one.forward.prefix_rewrite = VIEW("/v2");
    one.forward.auto_host_rewrite = true;
    t->hosts = LIST(a, struct virtual_host,
                    {.name = VIEW("reviews.default.svc.cluster.local:9080"),
                     .domains = LIST(a, struct view, VIEW("reviews"), VIEW("reviews.default:9080"), VIEW("*.reviews")),
                     .n_domains = 3,
                     .routes = LIST(a, struct route, forward_route(a), redirect, direct, one),
                     .n_routes = 4,
                     .include_attempt_count = true,
                     .require_tls = REQUIRE_TLS_ALL,
                     .origin = origin("VirtualService", "")},
                    {.name = VIEW("allow_any"),
                     .domains = LIST(a, struct view, VIEW("*")),
                     .n_domains = 1,
                     .routes = LIST(a, struct route, one),
                     .n_routes = 1});
    t->n_hosts = 2;
    t->ignore_port = true;
    t->max_direct_body = 1 << 20;
}

struct route_table *rich_routes(const char *name)
{
    struct route_table *t = RESOURCE_NEW(struct route_table, RESOURCE_ROUTES, S(name));

    fill(t, &t->res.arena);
    resource_seal(&t->res);
    return t;
}

static struct access_log *logs(struct arena *a)
{
    return LIST(a, struct access_log,
                {.path = VIEW("/dev/stdout"), .text = VIEW("[%START_TIME%] \"%REQ(:METHOD)%\"\n")},
                {.path = VIEW("/dev/stderr"),
                 .only_no_route = true,
                 .fields = LIST(a, struct access_log_field, {VIEW("z"), VIEW("%RESPONSE_CODE%")},
                                {VIEW("a"), VIEW("%PROTOCOL%")}),
                 .n_fields = 2});
}

static struct http_manager *manager(struct arena *a, const char *rds)
{
    struct http_manager *h = ARENA_NEW(a, struct http_manager);

    *h = (struct http_manager){.stat_prefix = VIEW("outbound_9080"),
                               .codec = CODEC_HTTP2,
                               .server_name = VIEW("istio-envoy"),
                               .server_header = SERVER_APPEND_IF_ABSENT,
                               .xfcc = XFCC_APPEND_FORWARD,
                               .xfcc_details = XFCC_SUBJECT | XFCC_URI | XFCC_DNS,
                               .use_remote_address = true,
                               .xff_trusted_hops = 2,
                               .skip_xff_append = true,
                               .request_id = true,
                               .keep_request_id = true,
                               .websocket = true,
                               .normalize_path = true,
                               .merge_slashes = true,
                               .decode_slashes = true,
                               .accept_http10 = true,
                               .proxy_100_continue = true,
                               .idle_timeout = 3600 * NS_PER_S,
                               .stream_idle_timeout = NS_PER_S,
                               .request_timeout = 2 * NS_PER_S,
                               .headers_timeout = 3 * NS_PER_S,
                               .max_connection_duration = 4 * NS_PER_S,
                               .drain_timeout = 45 * NS_PER_S,
                               .logs = logs(a),
                               .n_logs = 2};
    h->filters =
        LIST(a, struct http_filter, {HTTP_FILTER_PEER_METADATA, VIEW("istio.metadata_exchange")},
             {HTTP_FILTER_GRPC_STATS, VIEW("envoy.filters.http.grpc_stats")}, {HTTP_FILTER_ALPN, VIEW("istio.alpn")},
             {HTTP_FILTER_FAULT, VIEW("envoy.filters.http.fault")}, {HTTP_FILTER_CORS, VIEW("envoy.filters.http.cors")},
             {HTTP_FILTER_STATS, VIEW("istio.stats")}, {HTTP_FILTER_ROUTER, VIEW("envoy.filters.http.router")});
    h->n_filters = 7;
    if (rds) {
        h->rds = name_ref(arena_view(a, S(rds)));
    } else {
        h->routes = ARENA_NEW(a, struct route_table);
        h->routes->res.kind = RESOURCE_ROUTES;
        h->routes->res.name = VIEW("inbound|9080||");
        fill(h->routes, a);
    }
    return h;
}

struct listener *rich_listener(const char *name, const char *rds)
{
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, S(name));
    struct arena *a = &l->res.arena;
    struct tls_server *tls = ARENA_NEW(a, struct tls_server);
    struct tcp_manager *tcp = ARENA_NEW(a, struct tcp_manager);
    struct ip_prefix p;

    *tls = (struct tls_server){.common = common(a), .require_client_cert = true};
    *tcp = (struct tcp_manager){
        .stat_prefix = VIEW("tcp"), .total_weight = 3, .idle_timeout = 60 * NS_PER_S, .logs = logs(a), .n_logs = 1};
    tcp->clusters = LIST(a, struct weighted_cluster, {.cluster = name_ref(VIEW("a")), .weight = 1},
                         {.cluster = name_ref(VIEW("b")), .weight = 2});
    tcp->n_clusters = 2;
    tcp->hash = ARENA_NEW(a, struct hash_policy);
    tcp->hash->kind = HASH_SOURCE_IP;
    must(ip_prefix_parse(VIEW("10.96.0.0/12"), &p) == 0);
    l->address = plan_addr_of(VIEW("0.0.0.0"), 15006);
    l->direction = TRAFFIC_INBOUND;
    l->use_original_dst = true;
    l->inspect = INSPECT_ORIGINAL_DST | INSPECT_TLS | INSPECT_HTTP | INSPECT_PROXY_PROTOCOL;
    l->skips = LIST(a, struct inspect_skip, {INSPECT_TLS, 3306, 3306}, {INSPECT_HTTP, 3306, 3306},
                    {INSPECT_HTTP, 65000, 65535});
    l->n_skips = 3;
    l->inspect_timeout = 100 * NS_PER_MS;
    l->continue_on_timeout = true;
    l->chains = LIST(
        a, struct filter_chain,
        {.name = VIEW("0.0.0.0_9080"),
         .tls = tls,
         .http = manager(a, rds),
         .origin = origin("Service", ""),
         .match = {.port = 9080,
                   .prefixes = LIST(a, struct ip_prefix, p),
                   .n_prefixes = 1,
                   .server_names = LIST(a, struct view, VIEW("a.example"), VIEW("*.b")),
                   .n_server_names = 2,
                   .transport = TRANSPORT_TLS,
                   .alpn = LIST(a, struct view, VIEW("istio"), VIEW("istio-h2")),
                   .n_alpn = 2,
                   .sources = LIST(a, struct ip_prefix, p),
                   .n_sources = 1}},
        {.name = VIEW("tcp"), .peer_exchange = true, .stats = true, .tcp = tcp, .match = {.transport = TRANSPORT_RAW}});
    l->n_chains = 2;
    l->default_chain = ARENA_NEW(a, struct filter_chain);
    *l->default_chain = (struct filter_chain){.name = VIEW("virtualInbound-blackhole"), .tcp = tcp};
    l->logs = logs(a);
    l->n_logs = 2;
    l->origin = origin("Gateway", "spec.servers[0]");
    resource_seal(&l->res);
    return l;
}

struct tls_secret *rich_secret(const char *name)
{
    struct tls_secret *s = tls_secret_new(S(name), VIEW("-----BEGIN CERTIFICATE-----\nchain\n"),
                                          VIEW("-----BEGIN PRIVATE KEY-----\nkey\n"), VIEW_NONE);

    resource_seal(&s->res);
    return s;
}
