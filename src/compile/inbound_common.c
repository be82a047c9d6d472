// SPDX-License-Identifier: Apache-2.0
/* What the inbound listeners of all sidecars say alike, kept once and not in each of thousands: TLS, what the chains match by
 * ALPN, and what serves the ports that no Service names.
 */
#include "compile/scope.h"

static const char *const alpn_sets[ALPN_SETS][6] = {
    [ALPN_ANY] = {NULL},
    [ALPN_ISTIO] = {"istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"},
    [ALPN_ISTIO_HTTP] = {"istio-http/1.0", "istio-http/1.1", "istio-h2"},
    [ALPN_ISTIO_TCP] = {"istio-peer-exchange", "istio"},
    [ALPN_PLAIN_HTTP] = {"http/1.0", "http/1.1", "h2c"},
};

static const char *const protocols[] = {"istio-peer-exchange", "h2", "http/1.1", NULL};

static const char *const ciphers[] = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    NULL,
};

static struct strings views_of(struct arena *a, const char *const *words)
{
    struct strings s = {0};
    while (words[s.n])
        s.n++;
    s.list = s.n ? ARENA_ARRAY(a, struct view, s.n) : NULL;
    for (uint32_t i = 0; i < s.n; i++)
        s.list[i] = view_of(words[i]);
    return s;
}

static struct tls_server *tls_of(struct arena *a, const struct mesh_config *m, bool http)
{
    struct tls_server *tls = ARENA_NEW(a, struct tls_server);
    struct strings alpn = views_of(a, protocols + http), suites = views_of(a, ciphers);
    tls->require_client_cert = true;
    *ARENA_PUSH(a, tls->common.identities, tls->common.n_identities) = name_ref(VIEW("default"));
    tls->common.trust = name_ref(VIEW("ROOTCA"));
    tls->common.min = TLS_PROTOCOL_1_2;
    tls->common.max = TLS_PROTOCOL_1_3;
    tls->common.alpn = alpn.list;
    tls->common.n_alpn = alpn.n;
    tls->common.ciphers = suites.list;
    tls->common.n_ciphers = suites.n;
    for (uint32_t i = 0; i <= m->trust_domain_aliases.n; i++) {
        struct view domain = i ? m->trust_domain_aliases.list[i - 1] : m->trust_domain;
        *ARENA_PUSH(a, tls->common.sans, tls->common.n_sans) =
            (struct text_match){.kind = TEXT_PREFIX, .value = arena_printf(a, "spiffe://%.*s/", VIEW_ARGS(domain))};
    }
    return tls;
}

struct http_manager *inbound_http(struct scope *s, struct arena *a, struct view cluster, uint32_t target, uint32_t port)
{
    struct http_manager *m = manager_new(s, a, TRAFFIC_INBOUND, arena_printf(a, "inbound_0.0.0.0_%u;", target));
    struct route_table *t = m->routes = ARENA_NEW(a, struct route_table);
    t->res.kind = RESOURCE_ROUTES;
    t->res.name = arena_view(a, cluster);
    struct virtual_host *vh = ARENA_PUSH(a, t->hosts, t->n_hosts);
    vh->name = arena_printf(a, "inbound|http|%u", port);
    *ARENA_PUSH(a, vh->domains, vh->n_domains) = VIEW("*");
    struct route_context x = {.s = s, .a = a, .port = port ? port : target, .gateway = VIEW("mesh")};
    route_default(&x, vh, cluster, VIEW("default"), NULL, 0);
    return m;
}

const struct inbound_common *inbound_common(struct scope *s)
{
    struct compiler *c = s->c;
    if (c->inbound)
        return c->inbound;
    struct resource_part *part = resource_part_new();
    struct arena *a = &part->arena;
    struct view any = VIEW("InboundPassthroughCluster"), black_hole = VIEW("BlackHoleCluster");
    struct inbound_common *n = c->inbound = ARENA_NEW(a, struct inbound_common);
    n->part = part;
    for (int i = 0; i < ALPN_SETS; i++)
        n->alpn[i] = views_of(a, alpn_sets[i]);
    for (int http = 0; http < 2; http++)
        n->tls[http] = tls_of(a, c->config, http);
    n->http = inbound_http(s, a, any, 0, 0);
    n->tcp = manager_tcp(s, a, any, any);
    n->black_hole = manager_tcp(s, a, black_hole, black_hole);
    return n;
}

void inbound_common_forget(struct compiler *c)
{
    if (c->inbound)
        resource_part_unref(c->inbound->part);
}
