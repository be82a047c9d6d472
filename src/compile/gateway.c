// SPDX-License-Identifier: Apache-2.0
/* The listeners and route tables of a gateway workload: all servers of all Gateways that select it, by port.
 *
 * HTTP servers of one port share the listener 0.0.0.0_<port> and the route table http.<port>; each HTTPS server has a
 * filter chain for its hosts (SNI) and a table https.<port>.<port name>.<gateway>.<namespace>; TLS that passes through and
 * TCP go to clusters. VirtualServices bind where their gateways name the Gateway and a host fits; several for one host add
 * up, with what matches everything moved behind the rest. A port where nothing binds answers 404.
 */
#include "compile/scope.h"

#include "plan/defaults.h"

struct bound_server {
    const struct gateway *gw;
    const struct gateway_server *server;
    uint32_t port; /* that the workload listens on */
};

struct gateway_compile {
    struct scope *s;
    struct plan *p;
    const struct proxy_facts *proxy;
    struct arena scratch;
    struct bound_server *servers;
    uint32_t n_servers;
};

/* --- servers and ports --- */

/* A Gateway names the Service's port; the workload listens on its target port. Without such a Service: as written. */
static uint32_t listen_port(struct gateway_compile *g, uint32_t port)
{
    struct compiler *c = g->s->c;
    struct object *o = snapshot_get(c->snap, KIND_POD, g->proxy->ns, g->proxy->pod);
    const struct pod *pod = OBJECT_AS(o, POD, pod);
    SNAPSHOT_EACH(c->snap, SERVICE, service, svc)
    {
        if (!view_eq(svc->o.meta.ns, g->proxy->ns) || !svc->selector.n ||
            !labels_match(&svc->selector, &g->proxy->labels))
            continue;
        const struct service_port *p = service_port_by_number(svc, port);
        if (!p || !p->target_port.set)
            continue;
        uint32_t target =
            p->target_port.text.n ? (pod ? pod_port(&pod->spec, &p->target_port) : 0) : (uint32_t)p->target_port.number;
        if (target)
            return target;
    }
    return port;
}

static void find_servers(struct gateway_compile *g)
{
    SNAPSHOT_EACH(g->s->c->snap, GATEWAY, gateway, gw)
    {
        if (gw->selector.n && !labels_match(&gw->selector, &g->proxy->labels))
            continue;
        for (uint32_t i = 0; i < gw->n_servers; i++)
            *ARENA_PUSH(&g->scratch, g->servers, g->n_servers) =
                (struct bound_server){gw, &gw->servers[i], listen_port(g, gw->servers[i].port)};
    }
}

static bool terminates(const struct gateway_server *sv)
{
    if (!sv->tls || !sv->tls->has_mode)
        return sv->tls && sv->protocol == PORT_HTTPS && !sv->tls->https_redirect;
    return sv->tls->mode != SERVER_TLS_PASSTHROUGH && sv->tls->mode != SERVER_TLS_AUTO_PASSTHROUGH;
}

static bool is_http(const struct gateway_server *sv)
{
    return port_protocol_is_http(sv->protocol) || (sv->protocol == PORT_HTTPS && terminates(sv));
}

static struct view gateway_name(struct arena *a, const struct gateway *gw)
{
    return arena_printf(a, "%.*s/%.*s", VIEW_ARGS(gw->o.meta.ns), VIEW_ARGS(gw->o.meta.name));
}

/* --- VirtualServices --- */

static bool names_gateway(const struct virtual_service *vs, const struct gateway *gw)
{
    for (uint32_t i = 0; i < vs->gateways.n; i++) {
        struct view ns, name;
        gateway_ref_resolve(vs->gateways.list[i], vs->o.meta.ns, &ns, &name);
        if (view_eq(ns, gw->o.meta.ns) && view_eq(name, gw->o.meta.name))
            return true;
    }
    return false;
}

static bool visible(const struct gateway_compile *g, const struct virtual_service *vs)
{
    const struct strings *to = vs->export_to.n ? &vs->export_to : &g->s->c->config->default_virtual_service_export_to;
    return export_visible(to, vs->o.meta.ns, g->proxy->ns);
}

/* The part of a server's dnsName after its namespace. */
static struct view dns_part(struct view host)
{
    size_t slash = view_find(host, '/');
    return slash < host.n ? view_from(host, slash + 1) : host;
}

/* The hosts that a VirtualService and a server have in common: the narrower of the two. */
static struct view common_host(const struct gateway_server *sv, const struct gateway *gw,
                               const struct virtual_service *vs, struct view vs_host)
{
    for (uint32_t i = 0; i < sv->hosts.n; i++) {
        if (gateway_host_matches(sv->hosts.list[i], gw->o.meta.ns, vs->o.meta.ns, vs_host))
            return vs_host;
        struct view name = dns_part(sv->hosts.list[i]);
        if (vs_host.n && vs_host.p[0] == '*' && host_matches(vs_host, name) &&
            gateway_host_matches(sv->hosts.list[i], gw->o.meta.ns, vs->o.meta.ns, name))
            return name;
    }
    return VIEW_NONE;
}

/* --- route tables --- */

struct host_of { /* one virtual host while rules add up */
    struct view name;
    struct virtual_host vh;
    bool redirect;
};

struct gateway_table {
    struct gateway_compile *g;
    struct route_table *t;
    struct host_of **hosts;
    uint32_t n_hosts;
    uint32_t port;
};

static struct host_of *host_for(struct gateway_table *b, struct view name)
{
    for (uint32_t i = 0; i < b->n_hosts; i++)
        if (view_ieq(b->hosts[i]->name, name))
            return b->hosts[i];
    struct host_of *h = ARENA_NEW(&b->g->scratch, struct host_of);
    h->name = name;
    *ARENA_PUSH(&b->g->scratch, b->hosts, b->n_hosts) = h;
    return h;
}

static void add_rules(struct gateway_table *b, const struct bound_server *at)
{
    struct scope *s = b->g->s;
    struct route_context x = {.s = s,
                              .a = &b->t->res.arena,
                              .port = at->server->port,
                              .gateway = gateway_name(&b->g->scratch, at->gw),
                              .https = terminates(at->server)};
    SNAPSHOT_EACH(s->c->snap, VIRTUAL_SERVICE, virtual_service, vs)
    {
        if (!names_gateway(vs, at->gw) || !visible(b->g, vs))
            continue;
        for (uint32_t i = 0; i < vs->hosts.n; i++) {
            struct view full = mesh_fqdn(&b->g->scratch, vs->hosts.list[i], vs->o.meta.ns, s->c->snap->domain);
            struct view host = common_host(at->server, at->gw, vs, full);
            if (!host.n)
                continue;
            struct host_of *h = host_for(b, host);
            if (!h->vh.origin.kind.n)
                h->vh.origin = plan_origin_of(x.a, &vs->o.at, VIEW_NONE);
            if (at->server->tls && at->server->tls->https_redirect)
                h->vh.require_tls = REQUIRE_TLS_ALL;
            routes_of_vs(&x, &h->vh, vs);
        }
    }
    if (at->server->tls && at->server->tls->https_redirect) /* redirects need no rule */
        for (uint32_t i = 0; i < at->server->hosts.n; i++)
            host_for(b, dns_part(at->server->hosts.list[i]))->vh.require_tls = REQUIRE_TLS_ALL;
}

static bool catches_all(const struct route *r)
{
    return r->path.kind == PATH_PREFIX && view_is(r->path.value, "/") && !r->n_headers && !r->n_queries;
}

/* What matches everything goes behind the rules of the other VirtualServices for this host; the rest keeps its order. */
static void sort_routes(struct arena *a, struct virtual_host *vh)
{
    struct route *sorted = ARENA_ARRAY(a, struct route, vh->n_routes + 1);
    uint32_t n = 0;
    for (int last = 0; last < 2; last++)
        for (uint32_t i = 0; i < vh->n_routes; i++)
            if (catches_all(&vh->routes[i]) == (last == 1))
                sorted[n++] = vh->routes[i];
    vh->routes = sorted;
}

static void finish_table(struct gateway_table *b)
{
    struct arena *a = &b->t->res.arena;
    for (uint32_t i = 0; i < b->n_hosts; i++) {
        struct virtual_host *vh = ARENA_PUSH(a, b->t->hosts, b->t->n_hosts);
        *vh = b->hosts[i]->vh;
        vh->name = arena_printf(a, "%.*s:%u", VIEW_ARGS(b->hosts[i]->name), b->port);
        *ARENA_PUSH(a, vh->domains, vh->n_domains) = arena_view(a, b->hosts[i]->name);
        vh->include_attempt_count = true;
        sort_routes(a, vh);
    }
    if (!b->n_hosts) {
        struct virtual_host *vh = ARENA_PUSH(a, b->t->hosts, b->t->n_hosts);
        vh->name = arena_printf(a, "blackhole:%u", b->port);
        *ARENA_PUSH(a, vh->domains, vh->n_domains) = VIEW("*");
    }
    scope_put(b->g->s->c, b->g->p, b->t);
}

static struct gateway_table table_new(struct gateway_compile *g, struct view name, uint32_t port)
{
    struct gateway_table b = {.g = g, .t = RESOURCE_NEW(struct route_table, RESOURCE_ROUTES, name), .port = port};
    b.t->ignore_port = true;
    b.t->max_direct_body = DEFAULT_DIRECT_BODY_BYTES;
    return b;
}

static struct view rds_name(struct gateway_compile *g, const struct bound_server *at)
{
    if (!terminates(at->server))
        return arena_printf(&g->scratch, "http.%u", at->port);
    return arena_printf(&g->scratch, "https.%u.%.*s.%.*s.%.*s", at->port, VIEW_ARGS(at->server->port_name),
                        VIEW_ARGS(at->gw->o.meta.name), VIEW_ARGS(at->gw->o.meta.ns));
}

static void compile_table(struct gateway_compile *g, const struct bound_server *first)
{
    struct view name = rds_name(g, first);
    struct gateway_table b = table_new(g, name, first->port);
    for (uint32_t i = 0; i < g->n_servers; i++)
        if (is_http(g->servers[i].server) && view_eq(rds_name(g, &g->servers[i]), name))
            add_rules(&b, &g->servers[i]);
    finish_table(&b);
}

/* --- listeners --- */

static void set_trust(struct gateway_compile *g, struct arena *a, struct tls_server *out, const struct server_tls *from)
{
    bool mutual = from->mode == SERVER_TLS_MUTUAL || from->mode == SERVER_TLS_OPTIONAL_MUTUAL;
    if (from->mode == SERVER_TLS_ISTIO_MUTUAL)
        out->common.trust = name_ref(VIEW("ROOTCA"));
    else if (mutual && from->credential_name.n)
        out->common.trust = name_ref(arena_printf(a, "kubernetes://%.*s-cacert", VIEW_ARGS(from->credential_name)));
    else if (mutual)
        out->common.trust = name_ref(arena_printf(a, "file-root:%.*s", VIEW_ARGS(from->ca_certificates)));
    out->require_client_cert = from->mode == SERVER_TLS_MUTUAL || from->mode == SERVER_TLS_ISTIO_MUTUAL;
    if (from->mode == SERVER_TLS_ISTIO_MUTUAL || !from->credential_name.n)
        return;
    compile_identity(g->s, g->p, from->credential_name);
    if (mutual)
        compile_authorities(g->s, g->p, from->credential_name);
}

static struct tls_server *tls_of(struct gateway_compile *g, struct arena *a, const struct gateway_server *sv)
{
    static const enum tls_protocol versions[] = {
        [TLS_VERSION_AUTO] = TLS_PROTOCOL_AUTO, [TLS_VERSION_1_0] = TLS_PROTOCOL_1_0,
        [TLS_VERSION_1_1] = TLS_PROTOCOL_1_1,   [TLS_VERSION_1_2] = TLS_PROTOCOL_1_2,
        [TLS_VERSION_1_3] = TLS_PROTOCOL_1_3,
    };
    const struct server_tls *from = sv->tls;
    struct tls_server *out = ARENA_NEW(a, struct tls_server);
    struct tls_common *c = &out->common;
    struct view identity =
        from->mode == SERVER_TLS_ISTIO_MUTUAL ? VIEW("default")
        : from->credential_name.n
            ? arena_printf(a, "kubernetes://%.*s", VIEW_ARGS(from->credential_name))
            : arena_printf(a, "file-cert:%.*s~%.*s", VIEW_ARGS(from->server_certificate), VIEW_ARGS(from->private_key));
    *ARENA_PUSH(a, c->identities, c->n_identities) = name_ref(identity);
    set_trust(g, a, out, from);
    for (uint32_t i = 0; i < from->subject_alt_names.n; i++)
        *ARENA_PUSH(a, c->sans, c->n_sans) =
            (struct text_match){.kind = TEXT_EXACT, .value = arena_view(a, from->subject_alt_names.list[i])};
    for (uint32_t i = 0; i < from->cipher_suites.n; i++)
        *ARENA_PUSH(a, c->ciphers, c->n_ciphers) = arena_view(a, from->cipher_suites.list[i]);
    if (is_http(sv)) {
        *ARENA_PUSH(a, c->alpn, c->n_alpn) = VIEW("h2");
        *ARENA_PUSH(a, c->alpn, c->n_alpn) = VIEW("http/1.1");
    }
    c->min = from->min_version == TLS_VERSION_AUTO ? TLS_PROTOCOL_1_2 : versions[from->min_version];
    c->max = versions[from->max_version];
    return out;
}

static void match_hosts(struct arena *a, struct filter_chain *c, const struct strings *hosts)
{
    for (uint32_t i = 0; i < hosts->n; i++) {
        struct view name = dns_part(hosts->list[i]);
        if (view_is(name, "*")) {
            c->match.n_server_names = 0; /* any name, and none */
            return;
        }
        *ARENA_PUSH(a, c->match.server_names, c->match.n_server_names) = arena_view(a, name);
    }
}

/* tls and tcp routes of the VirtualServices that are bound to a server: SNI routing, or plain TCP. */
static void add_l4_chains(struct gateway_compile *g, struct listener *l, const struct bound_server *at)
{
    struct arena *a = &l->res.arena;
    struct view name = gateway_name(&g->scratch, at->gw);
    bool passthrough =
        !terminates(at->server) && (at->server->protocol == PORT_TLS || at->server->protocol == PORT_HTTPS);
    SNAPSHOT_EACH(g->s->c->snap, VIRTUAL_SERVICE, virtual_service, vs)
    {
        bool bound = false;
        for (uint32_t i = 0; i < vs->hosts.n && !bound; i++)
            bound = common_host(at->server, at->gw, vs,
                                mesh_fqdn(&g->scratch, vs->hosts.list[i], vs->o.meta.ns, g->s->c->snap->domain))
                        .n > 0;
        if (!bound || !names_gateway(vs, at->gw) || !visible(g, vs))
            continue;
        const struct l4_route *rules = passthrough ? vs->tls : vs->tcp;
        uint32_t n = passthrough ? vs->n_tls : vs->n_tcp;
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < (rules[i].n_match ? rules[i].n_match : 1); j++) {
                const struct l4_match *m = rules[i].n_match ? &rules[i].match[j] : NULL;
                if (m && !l4_match_holds(g->s, m, vs, at->server->port, name))
                    continue;
                struct filter_chain *c = ARENA_PUSH(a, l->chains, l->n_chains);
                c->name = arena_view(a, vs->o.meta.name);
                if (passthrough) {
                    c->match.transport = TRANSPORT_TLS;
                    l->inspect |= INSPECT_TLS;
                    match_hosts(a, c, m && m->sni_hosts.n ? &m->sni_hosts : &at->server->hosts);
                } else if (terminates(at->server)) {
                    c->match.transport = TRANSPORT_TLS;
                    l->inspect |= INSPECT_TLS;
                    match_hosts(a, c, &at->server->hosts);
                    c->tls = tls_of(g, a, at->server);
                }
                c->stats = true;
                c->tcp = manager_tcp(g->s, a, VIEW_NONE, VIEW_NONE);
                c->tcp->clusters =
                    l4_clusters(g->s, a, &rules[i], vs, at->server->port, &c->tcp->n_clusters, &c->tcp->total_weight);
                c->tcp->stat_prefix = c->tcp->clusters[0].cluster.name;
                c->origin = plan_origin_of(a, &vs->o.at, rules[i].part.at.path);
            }
    }
}

static void add_http_chain(struct gateway_compile *g, struct listener *l, const struct bound_server *at)
{
    struct arena *a = &l->res.arena;
    bool tls = terminates(at->server);
    for (uint32_t i = 0; i < l->n_chains && !tls; i++)
        if (l->chains[i].http && !l->chains[i].tls)
            return; /* HTTP servers share one chain */
    struct filter_chain *c = ARENA_PUSH(a, l->chains, l->n_chains);
    struct view rds = rds_name(g, at);
    c->name = arena_view(a, rds);
    c->http = manager_new(g->s, a, TRAFFIC_UNSPECIFIED, arena_printf(a, "outbound_%.*s;", VIEW_ARGS(l->res.name)));
    c->http->rds = name_ref_copy(a, rds);
    c->origin = plan_origin_of(a, &at->gw->o.at, at->server->part.at.path);
    if (!tls)
        return;
    c->match.transport = TRANSPORT_TLS;
    l->inspect |= INSPECT_TLS;
    match_hosts(a, c, &at->server->hosts);
    c->tls = tls_of(g, a, at->server);
}

/* One protocol family a port: plaintext HTTP and TLS on the same port cannot both be meant; the first server decides. */
static bool fits(const struct bound_server *first, const struct bound_server *at)
{
    bool tls_a = first->server->protocol == PORT_HTTPS || first->server->protocol == PORT_TLS;
    bool tls_b = at->server->protocol == PORT_HTTPS || at->server->protocol == PORT_TLS;
    return tls_a == tls_b && (tls_a || is_http(first->server) == is_http(at->server));
}

static void compile_listener(struct gateway_compile *g, const struct bound_server *first)
{
    struct view bind = first->server->bind.n ? first->server->bind : VIEW("0.0.0.0");
    struct view name = arena_printf(&g->scratch, "%.*s_%u", VIEW_ARGS(bind), first->port);
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, name);
    if (plan_addr_parse_ip(bind, (uint16_t)first->port, &l->address) < 0) {
        resource_unref(l);
        return;
    }
    l->bind_to_port = true;
    l->direction = TRAFFIC_OUTBOUND;
    l->origin = plan_origin_of(&l->res.arena, &first->gw->o.at, VIEW_NONE);
    manager_logs(g->s, &l->res.arena, &l->logs, &l->n_logs, true);
    for (const struct bound_server *at = first; at < g->servers + g->n_servers; at++) {
        if (at->port != first->port || !fits(first, at))
            continue;
        if (is_http(at->server))
            add_http_chain(g, l, at);
        else
            add_l4_chains(g, l, at);
    }
    if (l->n_chains)
        scope_put(g->s->c, g->p, l);
    else
        resource_unref(l);
}

void compile_gateway(struct scope *s, struct plan *p, const struct proxy_facts *proxy)
{
    struct gateway_compile g = {.s = s, .p = p, .proxy = proxy};
    arena_init(&g.scratch, 0);
    find_servers(&g);
    for (uint32_t i = 0; i < g.n_servers; i++) {
        bool new_port = true, new_table = is_http(g.servers[i].server);
        for (uint32_t j = 0; j < i; j++) {
            new_port &= g.servers[j].port != g.servers[i].port;
            new_table &=
                !(is_http(g.servers[j].server) && view_eq(rds_name(&g, &g.servers[j]), rds_name(&g, &g.servers[i])));
        }
        if (new_port)
            compile_listener(&g, &g.servers[i]);
        if (new_table)
            compile_table(&g, &g.servers[i]);
    }
    arena_done(&g.scratch);
}
