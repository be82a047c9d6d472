// SPDX-License-Identifier: Apache-2.0
/* DestinationRule (destination_rule.h). */
#include "mesh/destination_rule.h"

#include "mesh/messages.h"
#include "mesh/virtual_service_parts.h"

/* --- load balancing --- */

static const struct enum_word simple_words[] = {{"UNSPECIFIED", LB_UNSPECIFIED},
                                                {"LEAST_CONN", LB_LEAST_CONN},
                                                {"RANDOM", LB_RANDOM},
                                                {"PASSTHROUGH", LB_PASSTHROUGH},
                                                {"ROUND_ROBIN", LB_ROUND_ROBIN},
                                                {"LEAST_REQUEST", LB_LEAST_REQUEST},
                                                {NULL}};

static const struct field cookie_fields[] = {
    {"name", FIELD_STR, AT(struct hash_cookie, name), .required = true},
    {"path", FIELD_STR, AT(struct hash_cookie, path)},
    {"ttl", FIELD_DURATION, AT(struct hash_cookie, ttl)},
    {"attributes", FIELD_REFUSED},
};
static const struct message cookie_message = PART("HTTPCookie", struct hash_cookie, cookie_fields);

static const struct field ring_fields[] = {
    {"minimumRingSize", FIELD_U64, AT(struct consistent_hash, ring_size), .lo = 0, .hi = 8 * 1024 * 1024},
};
static const struct message ring_message = MESSAGE("RingHash", struct consistent_hash, ring_fields);

static bool is_prime(uint64_t n)
{
    for (uint64_t i = 2; i * i <= n; i++)
        if (n % i == 0)
            return false;
    return n > 1;
}

static void check_maglev(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct consistent_hash *h = msg;
    h->maglev = true;
    if (h->table_size && !is_prime(h->table_size))
        decode_bad_field(d, n, at, "tableSize", "`tableSize` must be a prime number")->hint =
            VIEW("65537 is the default");
}
static const struct field maglev_fields[] = {
    {"tableSize", FIELD_U64, AT(struct consistent_hash, table_size), .lo = 0, .hi = 5000011},
};
static const struct message maglev_message = {MESSAGE_FIELDS("MagLev", struct consistent_hash, maglev_fields),
                                              .check = check_maglev};

static void check_hash(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct consistent_hash *h = msg;
    int keys = (h->header.n > 0) + (h->query_param.n > 0) + (h->cookie != NULL) + h->source_ip;
    if (keys != 1)
        decode_bad(
            d, n, at,
            "consistentHash needs exactly one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName");
    if (node_get(n, VIEW("ringHash")) && h->maglev)
        decode_bad_field(d, n, at, "maglev", "`ringHash` and `maglev` exclude each other");
}
static const struct field hash_fields[] = {
    {"httpHeaderName", FIELD_STR, AT(struct consistent_hash, header)},
    {"httpQueryParameterName", FIELD_STR, AT(struct consistent_hash, query_param)},
    {"httpCookie", FIELD_MSG, AT(struct consistent_hash, cookie), .msg = &cookie_message},
    {"useSourceIp", FIELD_BOOL, AT(struct consistent_hash, source_ip)},
    {"ringHash", FIELD_INLINE, .msg = &ring_message},
    {"maglev", FIELD_INLINE, .msg = &maglev_message},
    {"minimumRingSize", FIELD_U64, AT(struct consistent_hash, ring_size), .lo = 0,
     .hi = 8 * 1024 * 1024}, /* deprecated */
};
static const struct message hash_message = {MESSAGE_FIELDS("ConsistentHashLB", struct consistent_hash, hash_fields),
                                            .part = true, .check = check_hash};

static const struct field warmup_fields[] = {
    {"duration", FIELD_DURATION, AT(struct load_balancer, warmup), .required = true, .lo = NS_PER_MS},
    {"minimumPercent", FIELD_F64, AT(struct load_balancer, warmup_min_percent), .lo = 0, .hi = 100},
    {"aggression", FIELD_F64, AT(struct load_balancer, warmup_aggression), .lo = 1, .hi = 1000},
};
static const struct message warmup_message = MESSAGE("WarmupConfiguration", struct load_balancer, warmup_fields);

static void lb_defaults(void *msg)
{
    struct load_balancer *lb = msg;
    lb->warmup_min_percent = 10;
    lb->warmup_aggression = 1;
}
static void check_lb(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct load_balancer *lb = msg;
    if (lb->consistent_hash && node_get(n, VIEW("simple")))
        decode_bad_field(d, n, at, "simple", "`simple` and `consistentHash` exclude each other");
    if (lb->warmup.set && lb->consistent_hash)
        decode_bad(d, n, at, "a warm-up needs the balancers ROUND_ROBIN or LEAST_REQUEST");
}
static const struct field lb_fields[] = {
    {"simple", FIELD_ENUM, AT(struct load_balancer, simple), .words = simple_words},
    {"consistentHash", FIELD_MSG, AT(struct load_balancer, consistent_hash), .msg = &hash_message},
    {"warmup", FIELD_INLINE, .msg = &warmup_message},
    {"warmupDurationSecs", FIELD_DURATION, AT(struct load_balancer, warmup), .lo = NS_PER_MS},
    {"localityLbSetting", FIELD_REFUSED, .why = "endpoints are balanced without regard to their locality"},
    {"zoneAwareLbSetting", FIELD_REFUSED, .why = "endpoints are balanced without regard to their locality"},
};
static const struct message lb_message = {MESSAGE_FIELDS("LoadBalancerSettings", struct load_balancer, lb_fields),
                                          .part = true, .init = lb_defaults, .check = check_lb};

/* --- connection pools --- */

static const struct field keepalive_fields[] = {
    {"probes", FIELD_OPT_U32, AT(struct tcp_keepalive, probes)},
    {"time", FIELD_DURATION, AT(struct tcp_keepalive, time), .lo = NS_PER_S},
    {"interval", FIELD_DURATION, AT(struct tcp_keepalive, interval), .lo = NS_PER_S},
};
const struct message tcp_keepalive_message = PART("TcpKeepalive", struct tcp_keepalive, keepalive_fields);

static const struct field tcp_fields[] = {
    {"maxConnections", FIELD_I32, AT(struct tcp_pool, max_connections), .lo = 0, .hi = INT32_MAX},
    {"connectTimeout", FIELD_DURATION, AT(struct tcp_pool, connect_timeout), .lo = NS_PER_MS},
    {"tcpKeepalive", FIELD_MSG, AT(struct tcp_pool, keepalive), .msg = &tcp_keepalive_message},
    {"maxConnectionDuration", FIELD_DURATION, AT(struct tcp_pool, max_connection_duration), .lo = NS_PER_MS},
    {"idleTimeout", FIELD_REFUSED, .why = "idle TCP connections are closed after one hour"},
};
static const struct message tcp_message = PART("TCPSettings", struct tcp_pool, tcp_fields);

static const struct enum_word h2_words[] = {
    {"DEFAULT", H2_UPGRADE_DEFAULT}, {"DO_NOT_UPGRADE", H2_UPGRADE_OFF}, {"UPGRADE", H2_UPGRADE_ON}, {NULL}};
#define COUNT(name, member)                                                                                            \
    {                                                                                                                  \
        name, FIELD_I32, AT(struct http_pool, member), .lo = 0, .hi = INT32_MAX                                        \
    }
static const struct field http_fields[] = {
    COUNT("http1MaxPendingRequests", max_pending),
    COUNT("http2MaxRequests", max_requests),
    COUNT("maxRequestsPerConnection", max_requests_per_connection),
    COUNT("maxRetries", max_retries),
    COUNT("maxConcurrentStreams", max_concurrent_streams),
    {"idleTimeout", FIELD_DURATION, AT(struct http_pool, idle_timeout)},
    {"h2UpgradePolicy", FIELD_ENUM, AT(struct http_pool, h2_upgrade), .words = h2_words},
    {"useClientProtocol", FIELD_BOOL, AT(struct http_pool, use_client_protocol)},
    {"http2KeepAlive", FIELD_REFUSED, .why = "use tcp.tcpKeepalive"},
};
static void check_http(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct http_pool *h = msg;
    if (h->use_client_protocol && h->h2_upgrade == H2_UPGRADE_ON)
        decode_bad_field(d, n, at, "useClientProtocol",
                         "`useClientProtocol` and `h2UpgradePolicy: UPGRADE` exclude each other");
}
static const struct message http_message = {MESSAGE_FIELDS("HTTPSettings", struct http_pool, http_fields), .part = true,
                                            .check = check_http};

static const struct field pool_fields[] = {
    {"tcp", FIELD_MSG, AT(struct connection_pool, tcp), .msg = &tcp_message},
    {"http", FIELD_MSG, AT(struct connection_pool, http), .msg = &http_message},
};
static void check_pool(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct connection_pool *p = msg;
    if (!p->tcp && !p->http)
        decode_bad(d, n, at, "connectionPool needs `tcp` or `http`");
}
static const struct message pool_message = {
    MESSAGE_FIELDS("ConnectionPoolSettings", struct connection_pool, pool_fields), .part = true, .check = check_pool};

/* --- outlier detection and TLS --- */

static void decode_old_errors(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    static const struct field f = {"consecutiveErrors", FIELD_OPT_U32};
    struct outlier_detection *o = base;
    if (!o->consecutive_gateway.set) /* deprecated: counted gateway errors */
        value_decode(d, &f, &o->consecutive_gateway, NULL, n, at);
}

static const struct field outlier_fields[] = {
    {"splitExternalLocalOriginErrors", FIELD_BOOL, AT(struct outlier_detection, split_external_local)},
    {"consecutiveLocalOriginFailures", FIELD_OPT_U32, AT(struct outlier_detection, consecutive_local)},
    {"consecutiveGatewayErrors", FIELD_OPT_U32, AT(struct outlier_detection, consecutive_gateway)},
    {"consecutive5xxErrors", FIELD_OPT_U32, AT(struct outlier_detection, consecutive_5xx)},
    {"consecutiveErrors", FIELD_CUSTOM, .custom = decode_old_errors},
    {"interval", FIELD_DURATION, AT(struct outlier_detection, interval), .lo = NS_PER_MS},
    {"baseEjectionTime", FIELD_DURATION, AT(struct outlier_detection, base_ejection), .lo = NS_PER_MS},
    {"maxEjectionPercent", FIELD_I32, AT(struct outlier_detection, max_ejection_percent), .lo = 0, .hi = 100},
    {"minHealthPercent", FIELD_I32, AT(struct outlier_detection, min_health_percent), .lo = 0, .hi = 100},
    {"outlierDetectionHttpErrorCodes", FIELD_REFUSED, .why = "use consecutive5xxErrors or consecutiveGatewayErrors"},
};
static const struct message outlier_message = PART("OutlierDetection", struct outlier_detection, outlier_fields);

static void check_tls(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct client_tls *t = msg;
    bool files = t->client_certificate.n || t->private_key.n;
    if (t->mode == CLIENT_TLS_MUTUAL && !t->credential_name.n && !(t->client_certificate.n && t->private_key.n))
        decode_bad(d, n, at, "tls mode MUTUAL needs `credentialName`, or `clientCertificate` and `privateKey`");
    if (t->mode == CLIENT_TLS_ISTIO_MUTUAL && (files || t->ca_certificates.n || t->credential_name.n))
        decode_bad(d, n, at, "tls mode ISTIO_MUTUAL uses the workload's own certificate")->hint =
            VIEW("remove the certificate fields, or use mode MUTUAL");
    if (t->credential_name.n && (files || t->ca_certificates.n))
        decode_bad_field(d, n, at, "credentialName", "`credentialName` and certificate files exclude each other");
}

static const struct enum_word tls_words[] = {{"DISABLE", CLIENT_TLS_DISABLE},
                                             {"SIMPLE", CLIENT_TLS_SIMPLE},
                                             {"MUTUAL", CLIENT_TLS_MUTUAL},
                                             {"ISTIO_MUTUAL", CLIENT_TLS_ISTIO_MUTUAL},
                                             {NULL}};
static const struct field tls_fields[] = {
    {"mode", FIELD_ENUM, AT(struct client_tls, mode), .words = tls_words},
    {"clientCertificate", FIELD_STR, AT(struct client_tls, client_certificate)},
    {"privateKey", FIELD_STR, AT(struct client_tls, private_key)},
    {"caCertificates", FIELD_STR, AT(struct client_tls, ca_certificates)},
    {"credentialName", FIELD_STR, AT(struct client_tls, credential_name)},
    {"subjectAltNames", FIELD_STRS, AT(struct client_tls, subject_alt_names)},
    {"sni", FIELD_STR, AT(struct client_tls, sni)},
    {"insecureSkipVerify", FIELD_OPT_BOOL, AT(struct client_tls, insecure_skip_verify)},
    {"caCrl", FIELD_REFUSED},
};
static const struct message tls_message = {MESSAGE_FIELDS("ClientTLSSettings", struct client_tls, tls_fields),
                                           .part = true, .check = check_tls};

/* --- policies, subsets, the rule --- */

#define POLICY_FIELDS(type)                                                                                            \
    {"loadBalancer", FIELD_MSG, AT(struct type, load_balancer), .msg = &lb_message},                                   \
        {"connectionPool", FIELD_MSG, AT(struct type, connection_pool), .msg = &pool_message},                         \
        {"outlierDetection", FIELD_MSG, AT(struct type, outlier), .msg = &outlier_message},                            \
    {                                                                                                                  \
        "tls", FIELD_MSG, AT(struct type, tls), .msg = &tls_message                                                    \
    }

static const struct field port_selector_fields[] = {
    {"number", FIELD_PORT, AT(struct port_policy, port), .required = true},
};
static const struct message port_selector_message = MESSAGE("PortSelector", struct port_policy, port_selector_fields);
static const struct field port_policy_fields[] = {
    {"port", FIELD_INLINE, .msg = &port_selector_message, .required = true},
    POLICY_FIELDS(port_policy),
};
static const struct message port_policy_message = PART("PortTrafficPolicy", struct port_policy, port_policy_fields);

static void check_policy(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct traffic_policy *p = msg;
    for (uint32_t i = 0; i < p->n_ports; i++)
        for (uint32_t j = 0; j < i; j++)
            if (p->ports[i].port == p->ports[j].port)
                decode_bad(d, p->ports[i].part.node, at, "port %u has two policies", p->ports[i].port);
}
static const struct field policy_fields[] = {
    POLICY_FIELDS(traffic_policy),
    {"portLevelSettings", FIELD_LIST, AT_LIST(struct traffic_policy, ports, n_ports), .msg = &port_policy_message},
    {"tunnel", FIELD_REFUSED},
    {"proxyProtocol", FIELD_REFUSED},
    {"retryBudget", FIELD_REFUSED, .why = "use connectionPool.http.maxRetries"},
};
static const struct message policy_message = {MESSAGE_FIELDS("TrafficPolicy", struct traffic_policy, policy_fields),
                                              .part = true, .check = check_policy};

static const struct field subset_fields[] = {
    {"name", FIELD_STR, AT(struct subset, name), .required = true, .format = FORMAT_LABEL},
    {"labels", FIELD_MAP, AT(struct subset, labels), .format = FORMAT_LABELS},
    {"trafficPolicy", FIELD_MSG, AT(struct subset, policy), .msg = &policy_message},
};
static const struct message subset_message = PART("Subset", struct subset, subset_fields);

static void check_spec(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct destination_rule *dr = msg;
    struct place host = {.up = at, .key = VIEW("host")}, subsets = {.up = at, .key = VIEW("subsets")};
    dr->spec.at = decode_origin(d, n, at);
    dr->spec.node = n;
    dr->host_at = decode_origin(d, node_get(n, VIEW("host")), &host);
    check_export_to(d, &dr->export_to, n, at);
    for (uint32_t i = 0; i < dr->n_subsets; i++)
        for (uint32_t j = 0; j < i; j++)
            if (view_eq(dr->subsets[i].name, dr->subsets[j].name)) {
                struct place here = {.up = &subsets, .index = i};
                decode_bad_field(d, dr->subsets[i].part.node, &here, "name", "two subsets are named `%.*s`",
                                 VIEW_ARGS(dr->subsets[i].name));
            }
}

static const struct field spec_fields[] = {
    {"host", FIELD_STR, AT(struct destination_rule, host), .required = true, .format = FORMAT_HOST},
    {"trafficPolicy", FIELD_MSG, AT(struct destination_rule, policy), .msg = &policy_message},
    {"subsets", FIELD_LIST, AT_LIST(struct destination_rule, subsets, n_subsets), .msg = &subset_message},
    {"exportTo", FIELD_STRS, AT(struct destination_rule, export_to)},
    {"workloadSelector", FIELD_EMBED, AT(struct destination_rule, workload_selector), .msg = &match_labels_message},
};
static const struct message spec_message = {MESSAGE_FIELDS("DestinationRule", struct destination_rule, spec_fields),
                                            .check = check_spec};
static const struct field destination_rule_fields[] = {
    OBJECT_FIELDS,
    {"spec", FIELD_INLINE, .msg = &spec_message, .required = true},
    {"status", FIELD_ANY},
};
const struct message destination_rule_message =
    MESSAGE("DestinationRule", struct destination_rule, destination_rule_fields);

const struct subset *destination_rule_subset(const struct destination_rule *dr, struct view name)
{
    for (uint32_t i = 0; i < dr->n_subsets; i++)
        if (view_eq(dr->subsets[i].name, name))
            return &dr->subsets[i];
    return NULL;
}
