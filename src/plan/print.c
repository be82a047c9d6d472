// SPDX-License-Identifier: Apache-2.0
/* Clusters, endpoints, listeners and secrets as text (print.h). Route tables are in print_route.c. */
#include "plan/print.h"

#include <inttypes.h>

#include "plan/print_line.h"
#include "plan/tls.h"

static void print_ref_names(struct buf *out, int depth, const char *key, const struct name_ref *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        line_view(out, depth, key, names[i].name);
}

static const char *const tls_versions[] = {NULL, "1.0", "1.1", "1.2", "1.3"};

static void print_tls_common(struct buf *out, int depth, const struct tls_common *c)
{
    print_ref_names(out, depth, "identity", c->identities, c->n_identities);
    line_view(out, depth, "trust", c->trust.name);
    for (uint32_t i = 0; i < c->n_sans; i++) {
        line_start(out, depth, "san ");
        print_text_match(out, &c->sans[i]);
        buf_char(out, '\n');
    }
    line_views(out, depth, "alpn", c->alpn, c->n_alpn);
    line_views(out, depth, "ciphers", c->ciphers, c->n_ciphers);
    line_str(out, depth, "min-version", tls_versions[c->min]);
    line_str(out, depth, "max-version", tls_versions[c->max]);
}

static void print_transport(struct buf *out, int depth, const struct cluster_transport *t)
{
    line_start(out, depth, "transport ");
    buf_view(out, t->name);
    if (t->tls_mode.n) {
        buf_str(out, " when tlsMode=");
        buf_view(out, t->tls_mode);
    }
    buf_str(out, t->tls ? " tls\n" : " plaintext\n");
    if (!t->tls)
        return;
    print_tls_common(out, depth + 1, &t->tls->common);
    line_view(out, depth + 1, "sni", t->tls->sni);
    line_flag(out, depth + 1, "auto-sni", t->tls->auto_sni);
    line_flag(out, depth + 1, "auto-san", t->tls->auto_san);
    line_flag(out, depth + 1, "insecure", t->tls->insecure);
}

static void print_lb(struct buf *out, int depth, const struct lb_config *lb)
{
    static const char *const policies[] = {"LEAST_REQUEST", "ROUND_ROBIN", "RANDOM",
                                           "RING_HASH",     "MAGLEV",      "CLUSTER_PROVIDED"};
    line_str(out, depth, "lb", policies[lb->policy]);
    line_u64(out, depth + 1, "choices", lb->choices);
    line_u64(out, depth + 1, "ring-min", lb->ring_min);
    line_u64(out, depth + 1, "ring-max", lb->ring_max);
    line_u64(out, depth + 1, "maglev-size", lb->maglev_size);
    line_flag(out, depth + 1, "hash-hostname", lb->hash_hostname);
    line_u64(out, depth + 1, "panic-percent", lb->panic_percent);
    if (lb->warmup) {
        line_duration(out, depth + 1, "warmup", lb->warmup);
        line_u64(out, depth + 1, "warmup-min-percent", lb->warmup_min_percent);
        line_start(out, depth + 1, "warmup-aggression ");
        buf_printf(out, "%g\n", lb->warmup_aggression);
    }
    line_flag(out, depth + 1, "locality-weighted", lb->locality_weighted);
}

static void print_limit(struct buf *out, int depth, const char *key, uint32_t limit)
{
    if (limit == UINT32_MAX)
        return;
    line_start(out, depth, key);
    buf_printf(out, " %u\n", limit);
}

static void print_outlier(struct buf *out, int depth, const struct outlier_config *o)
{
    if (!o->on)
        return;
    line_flag(out, depth, "outlier-detection", true);
    line_u64(out, depth + 1, "consecutive-5xx", o->consecutive_5xx);
    line_u64(out, depth + 1, "consecutive-gateway", o->consecutive_gateway);
    line_u64(out, depth + 1, "consecutive-local", o->consecutive_local);
    line_flag(out, depth + 1, "split-local", o->split_local);
    line_duration(out, depth + 1, "interval", o->interval);
    line_duration(out, depth + 1, "base-ejection", o->base_ejection);
    line_duration(out, depth + 1, "max-ejection", o->max_ejection);
    line_u64(out, depth + 1, "max-ejection-percent", o->max_ejection_percent);
}

static void print_endpoints(struct buf *out, int depth, const struct endpoint_set *s)
{
    static const char *const health[] = {NULL, "unhealthy", "draining"};
    for (uint32_t i = 0; i < s->n_localities; i++) {
        const struct locality *l = &s->localities[i];
        line_start(out, depth, "locality ");
        buf_printf(out, "%.*s/%.*s/%.*s priority %u weight %u\n", VIEW_ARGS(l->region), VIEW_ARGS(l->zone),
                   VIEW_ARGS(l->subzone), l->priority, l->weight);
        for (uint32_t j = 0; j < l->n_endpoints; j++) {
            const struct endpoint *e = &l->endpoints[j];
            line_start(out, depth + 1, "endpoint ");
            plan_addr_print(out, &e->address);
            buf_char(out, '\n');
            line_view(out, depth + 2, "hostname", e->hostname);
            line_str(out, depth + 2, "health", health[e->health]);
            if (e->weight != 1)
                line_u64(out, depth + 2, "weight", e->weight);
            line_view(out, depth + 2, "tlsMode", e->tls_mode);
            line_view(out, depth + 2, "workload", e->workload);
        }
    }
}

static void print_connections(struct buf *out, const struct cluster *c)
{
    static const char *const protocols[] = {"http1", "http2", "downstream"};
    line_str(out, 1, "protocol", protocols[c->protocol]);
    line_flag(out, 1, "alpn-override", c->allow_alpn_override);
    line_duration(out, 1, "idle-timeout", c->idle_timeout);
    line_duration(out, 1, "max-connection-duration", c->max_connection_duration);
    line_u64(out, 1, "max-requests-per-connection", c->max_requests_per_connection);
    line_u64(out, 1, "max-streams", c->max_streams);
    if (c->keepalive.on) {
        line_flag(out, 1, "keepalive", true);
        line_u64(out, 2, "probes", c->keepalive.probes);
        line_duration(out, 2, "time", c->keepalive.time);
        line_duration(out, 2, "interval", c->keepalive.interval);
    }
    if (c->bind.kind != ADDR_UNSET) {
        line_start(out, 1, "bind ");
        plan_addr_print(out, &c->bind);
        buf_char(out, '\n');
    }
}

static void print_cluster(struct buf *out, const struct cluster *c)
{
    static const char *const types[] = {"EDS", "STATIC", "STRICT_DNS", "LOGICAL_DNS", "ORIGINAL_DST"};
    line_view(out, 0, "cluster", c->res.name);
    line_str(out, 1, "type", types[c->type]);
    if (c->type == CLUSTER_EDS && !view_eq(c->eds_name.name, c->res.name))
        line_view(out, 1, "eds-name", c->eds_name.name);
    line_flag(out, 1, "dns-v4-only", c->dns_v4_only);
    line_duration(out, 1, "dns-refresh", c->dns_refresh);
    print_lb(out, 1, &c->lb);
    line_duration(out, 1, "connect-timeout", c->connect_timeout);
    print_limit(out, 1, "max-connections", c->breaker.connections);
    print_limit(out, 1, "max-pending", c->breaker.pending);
    print_limit(out, 1, "max-requests", c->breaker.requests);
    print_limit(out, 1, "max-retries", c->breaker.retries);
    print_outlier(out, 1, &c->outlier);
    for (uint32_t i = 0; i < c->n_transports; i++)
        print_transport(out, 1, &c->transports[i]);
    line_flag(out, 1, "peer-exchange", c->peer_exchange);
    print_connections(out, c);
    for (uint32_t i = 0; i < c->n_services; i++) {
        line_start(out, 1, "service ");
        buf_printf(out, "%.*s name %.*s namespace %.*s\n", VIEW_ARGS(c->services[i].host),
                   VIEW_ARGS(c->services[i].name), VIEW_ARGS(c->services[i].ns));
    }
    line_view(out, 1, "subset", c->subset);
    line_origin(out, 1, &c->origin);
    if (c->endpoints)
        print_endpoints(out, 1, c->endpoints);
}

static void print_logs(struct buf *out, int depth, const struct access_log *logs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        line_view(out, depth, logs[i].text.n ? "access-log text" : "access-log json", logs[i].path);
        line_flag(out, depth + 1, "only-no-route", logs[i].only_no_route);
        line_view(out, depth + 1, "format", logs[i].text);
        for (uint32_t j = 0; j < logs[i].n_fields; j++) {
            line_start(out, depth + 1, "");
            buf_view(out, logs[i].fields[j].key);
            buf_char(out, ' ');
            line_value(out, logs[i].fields[j].format);
            buf_char(out, '\n');
        }
    }
}

static void print_prefixes(struct buf *out, int depth, const char *key, const struct ip_prefix *p, uint32_t n)
{
    if (!n)
        return;
    line_start(out, depth, key);
    for (uint32_t i = 0; i < n; i++) {
        buf_str(out, i ? ", " : " ");
        ip_prefix_print(out, &p[i]);
    }
    buf_char(out, '\n');
}

static void print_chain_match(struct buf *out, int depth, const struct filter_chain_match *m)
{
    static const char *const transports[] = {NULL, "raw", "tls"};
    line_u64(out, depth, "match port", m->port);
    print_prefixes(out, depth, "match destination", m->prefixes, m->n_prefixes);
    line_views(out, depth, "match server-name", m->server_names, m->n_server_names);
    line_str(out, depth, "match transport", transports[m->transport]);
    line_views(out, depth, "match alpn", m->alpn, m->n_alpn);
    print_prefixes(out, depth, "match source", m->sources, m->n_sources);
}

static void print_xfcc(struct buf *out, int depth, const struct http_manager *m)
{
    static const char *const modes[] = {NULL, "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"};
    static const char *const details[] = {" subject", " uri", " dns", " cert", " chain"};
    if (m->xfcc == XFCC_SANITIZE)
        return;
    line_start(out, depth, "xfcc ");
    buf_str(out, modes[m->xfcc]);
    for (size_t i = 0; i < COUNT_OF(details); i++)
        if (m->xfcc_details & (1u << i))
            buf_str(out, details[i]);
    buf_char(out, '\n');
}

static void print_http(struct buf *out, int depth, const struct http_manager *m)
{
    static const char *const codecs[] = {"auto", "http1", "http2"};
    static const char *const server[] = {NULL, "append-if-absent", "pass-through"};
    line_view(out, depth, "http", m->stat_prefix);
    depth++;
    line_str(out, depth, "codec", codecs[m->codec]);
    line_view(out, depth, "rds", m->rds.name);
    for (uint32_t i = 0; i < m->n_filters; i++)
        line_view(out, depth, "filter", m->filters[i].name);
    line_view(out, depth, "server-name", m->server_name);
    line_str(out, depth, "server-header", server[m->server_header]);
    print_xfcc(out, depth, m);
    line_flag(out, depth, "use-remote-address", m->use_remote_address);
    line_u64(out, depth, "xff-trusted-hops", m->xff_trusted_hops);
    line_flag(out, depth, "skip-xff-append", m->skip_xff_append);
    line_flag(out, depth, "request-id", m->request_id);
    line_flag(out, depth, "keep-request-id", m->keep_request_id);
    line_flag(out, depth, "websocket", m->websocket);
    line_flag(out, depth, "normalize-path", m->normalize_path);
    line_flag(out, depth, "merge-slashes", m->merge_slashes);
    line_flag(out, depth, "decode-slashes", m->decode_slashes);
    line_flag(out, depth, "accept-http10", m->accept_http10);
    line_flag(out, depth, "proxy-100-continue", m->proxy_100_continue);
    line_duration(out, depth, "idle-timeout", m->idle_timeout);
    line_duration(out, depth, "stream-idle-timeout", m->stream_idle_timeout);
    line_duration(out, depth, "request-timeout", m->request_timeout);
    line_duration(out, depth, "headers-timeout", m->headers_timeout);
    line_duration(out, depth, "max-connection-duration", m->max_connection_duration);
    line_duration(out, depth, "drain-timeout", m->drain_timeout);
    print_logs(out, depth, m->logs, m->n_logs);
    if (m->routes) {
        line_view(out, depth, "routes", m->routes->res.name);
        print_route_table(out, depth + 1, m->routes);
    }
}

static void print_tcp(struct buf *out, int depth, const struct tcp_manager *t)
{
    line_view(out, depth, "tcp", t->stat_prefix);
    for (uint32_t i = 0; i < t->n_clusters; i++) {
        line_start(out, depth + 1, "cluster ");
        buf_view(out, t->clusters[i].cluster.name);
        if (t->n_clusters > 1)
            buf_printf(out, " weight %u", t->clusters[i].weight);
        buf_char(out, '\n');
    }
    line_duration(out, depth + 1, "idle-timeout", t->idle_timeout);
    print_hash_policies(out, depth + 1, t->hash, t->hash != NULL);
    print_logs(out, depth + 1, t->logs, t->n_logs);
}

static void print_chain(struct buf *out, int depth, const char *what, const struct filter_chain *c)
{
    line_start(out, depth, what);
    buf_char(out, ' ');
    line_value(out, c->name);
    buf_char(out, '\n');
    depth++;
    print_chain_match(out, depth, &c->match);
    if (c->tls) {
        line_flag(out, depth, "tls", true);
        print_tls_common(out, depth + 1, &c->tls->common);
        line_flag(out, depth + 1, "require-client-cert", c->tls->require_client_cert);
    }
    line_flag(out, depth, "peer-exchange", c->peer_exchange);
    line_flag(out, depth, "stats", c->stats);
    if (c->http)
        print_http(out, depth, c->http);
    if (c->tcp)
        print_tcp(out, depth, c->tcp);
    line_origin(out, depth, &c->origin);
}

static void print_listener(struct buf *out, const struct listener *l)
{
    static const char *const directions[] = {NULL, "inbound", "outbound"};
    static const char *const inspectors[] = {" original-dst", " tls", " http", " proxy-protocol"};
    line_view(out, 0, "listener", l->res.name);
    line_start(out, 1, "address ");
    plan_addr_print(out, &l->address);
    buf_char(out, '\n');
    line_str(out, 1, "direction", directions[l->direction]);
    line_flag(out, 1, "bind-to-port", l->bind_to_port);
    line_flag(out, 1, "use-original-dst", l->use_original_dst);
    for (size_t i = 0; i < COUNT_OF(inspectors); i++)
        if (l->inspect & (1u << i)) {
            line_start(out, 1, "inspect");
            buf_str(out, inspectors[i]);
            buf_char(out, '\n');
        }
    for (uint32_t i = 0; i < l->n_skips; i++)
        for (size_t k = 0; k < COUNT_OF(inspectors); k++)
            if (l->skips[i].inspector & (1u << k)) {
                line_start(out, 1, "skip");
                buf_printf(out, "%s %u-%u\n", inspectors[k], l->skips[i].first, l->skips[i].last);
            }
    line_duration(out, 1, "inspect-timeout", l->inspect_timeout);
    line_flag(out, 1, "continue-on-timeout", l->continue_on_timeout);
    print_logs(out, 1, l->logs, l->n_logs);
    for (uint32_t i = 0; i < l->n_chains; i++)
        print_chain(out, 1, "chain", &l->chains[i]);
    if (l->default_chain)
        print_chain(out, 1, "default-chain", l->default_chain);
    line_origin(out, 1, &l->origin);
}

static void print_secret(struct buf *out, const struct tls_secret *s)
{
    line_view(out, 0, "secret", s->res.name);
    if (s->cert_chain.n)
        buf_printf(out, "  certificate %016" PRIx64 "\n", view_hash(s->cert_chain));
    if (s->trusted_ca.n)
        buf_printf(out, "  trusted-ca %016" PRIx64 "\n", view_hash(s->trusted_ca));
}

void resource_print(struct buf *out, const struct resource *r)
{
    switch (r->kind) {
    case RESOURCE_CLUSTER:
        print_cluster(out, (const struct cluster *)r);
        break;
    case RESOURCE_ENDPOINTS:
        line_view(out, 0, "endpoints", r->name);
        print_endpoints(out, 1, (const struct endpoint_set *)r);
        break;
    case RESOURCE_LISTENER:
        print_listener(out, (const struct listener *)r);
        break;
    case RESOURCE_ROUTES:
        line_view(out, 0, "routes", r->name);
        print_route_table(out, 1, (const struct route_table *)r);
        break;
    case RESOURCE_SECRET:
        print_secret(out, (const struct tls_secret *)r);
        break;
    }
}

void plan_print(struct buf *out, const struct plan *p)
{
    struct arena a;
    arena_init(&a, 0);
    for (int k = 0; k < RESOURCE_KINDS; k++) {
        const struct resource **all = plan_sorted(p, (enum resource_kind)k, &a);
        for (uint32_t i = 0; i < plan_count(p, (enum resource_kind)k); i++) {
            resource_print(out, all[i]);
            buf_char(out, '\n');
        }
    }
    arena_done(&a);
}
