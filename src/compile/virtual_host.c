// SPDX-License-Identifier: Apache-2.0
/* Outbound route tables of sidecars. One for each HTTP port number ("9080"), with a virtual host for every visible service
 * that has this port, and one for each service with an undeclared port ("host:port"). What no virtual host knows is let
 * through (allow_any) or refused with 502 (block_all), as outboundTrafficPolicy says.
 *
 * A domain belongs to the first virtual host that claims it; ports in Host are ignored, so no domain has one.
 */
#include "compile/scope.h"

#include "plan/defaults.h"

struct table {
    struct scope *s;
    struct route_table *t;
    struct route_context x;
    struct map domains; /* taken */
};

static struct table table_new(struct scope *s, struct view name, uint32_t port)
{
    struct table b = {.s = s, .t = RESOURCE_NEW(struct route_table, RESOURCE_ROUTES, name)};
    b.x = (struct route_context){.s = s, .a = &b.t->res.arena, .port = port, .gateway = VIEW("mesh")};
    b.t->ignore_port = true;
    b.t->max_direct_body = DEFAULT_DIRECT_BODY_BYTES;
    map_init(&b.domains, NULL);
    return b;
}

static void add_domain(struct table *b, struct virtual_host *vh, struct view domain)
{
    if (!domain.n || map_get(&b->domains, domain))
        return;
    domain = arena_view(b->x.a, domain);
    map_put(&b->domains, domain, vh);
    *ARENA_PUSH(b->x.a, vh->domains, vh->n_domains) = domain;
}

/* reviews.default.svc.cluster.local is also reviews.default.svc, reviews.default and, for its own namespace, reviews. */
static void add_names(struct table *b, struct virtual_host *vh, struct view host)
{
    struct view domain = b->s->c->snap->domain;
    struct view suffix = arena_printf(&b->s->c->arena, ".svc.%.*s", VIEW_ARGS(domain));
    add_domain(b, vh, host);
    if (host.n && host.p[0] == '*')
        return;
    add_domain(b, vh, arena_printf(&b->s->c->arena, "%.*s.", VIEW_ARGS(host)));
    if (!view_ends(host, suffix))
        return;
    struct view short_name = view_head(host, host.n - suffix.n); /* reviews.default */
    size_t dot = view_find(short_name, '.');
    if (view_eq(view_from(short_name, dot + 1), b->s->ns))
        add_domain(b, vh, view_head(short_name, dot));
    add_domain(b, vh, view_head(host, short_name.n + 4));
    add_domain(b, vh, short_name);
}

static void add_service_domains(struct table *b, struct virtual_host *vh, const struct registered *r)
{
    add_names(b, vh, r->host);
    for (uint32_t i = 0; i < r->n_aliases; i++)
        if (scope_service(b->s, r->aliases[i]))
            add_names(b, vh, r->aliases[i]);
    if (r->headless) {
        uint32_t n = vh->n_domains;
        for (uint32_t i = 0; i < n; i++)
            add_domain(b, vh, arena_printf(&b->s->c->arena, "*.%.*s", VIEW_ARGS(vh->domains[i])));
    }
    struct plan_addr ip;
    for (uint32_t i = 0; i < r->n_addresses; i++)
        if (plan_addr_parse_ip(r->addresses[i], 0, &ip) == 0)
            add_domain(b, vh,
                       ip.kind == ADDR_IPV6 ? arena_printf(&b->s->c->arena, "[%.*s]", VIEW_ARGS(r->addresses[i]))
                                            : r->addresses[i]);
}

static struct virtual_host *host_new(struct table *b, struct view host, const struct object *o)
{
    struct virtual_host *vh = ARENA_PUSH(b->x.a, b->t->hosts, b->t->n_hosts);
    vh->name = arena_printf(b->x.a, "%.*s:%u", VIEW_ARGS(host), b->x.port);
    vh->include_attempt_count = true;
    vh->origin = plan_origin_of(b->x.a, &o->at, VIEW_NONE);
    return vh;
}

/* A virtual host whose domains all belong to others would never be asked. */
static void drop_if_mute(struct table *b, const struct virtual_host *vh)
{
    if (!vh->n_domains)
        b->t->n_hosts--;
}

static void add_service(struct table *b, const struct registered *r)
{
    const struct virtual_service *vs = scope_vs_for(b->s, r->host);
    struct virtual_host *vh = host_new(b, r->host, vs ? &vs->o : r->object);
    add_service_domains(b, vh, r);
    if (!vs || routes_of_vs(&b->x, vh, vs) == 0) {
        struct view cluster = name_cluster(b->x.a, b->x.port, VIEW_NONE, r->host);
        route_default(&b->x, vh, cluster, VIEW("default"), r, b->x.port);
    }
    drop_if_mute(b, vh);
}

static bool binds_a_service(const struct scope *s, const struct bound_host *h)
{
    for (uint32_t i = 0; i < s->n_services; i++)
        if (host_matches(h->host, s->services[i]->host))
            return true;
    return false;
}

/* Hosts that the registry does not know exist on port 80 only, as in Istio. */
static void add_unknown_hosts(struct table *b)
{
    for (uint32_t i = 0; i < b->s->n_bound; i++) {
        const struct bound_host *h = &b->s->bound[i];
        if (binds_a_service(b->s, h))
            continue;
        struct virtual_host *vh = host_new(b, h->host, &h->vs->o);
        if (routes_of_vs(&b->x, vh, h->vs) > 0)
            add_names(b, vh, h->host);
        drop_if_mute(b, vh);
    }
}

static void add_catch_all(struct table *b)
{
    if (map_get(&b->domains, VIEW("*")))
        return;
    bool any = scope_allows_any(b->s);
    struct virtual_host *vh = ARENA_PUSH(b->x.a, b->t->hosts, b->t->n_hosts);
    vh->name = any ? VIEW("allow_any") : VIEW("block_all");
    vh->include_attempt_count = true;
    add_domain(b, vh, VIEW("*"));
    if (any) {
        route_default(&b->x, vh, VIEW("PassthroughCluster"), vh->name, NULL, 0);
        return;
    }
    struct route *r = ARENA_PUSH(b->x.a, vh->routes, vh->n_routes);
    r->name = vh->name;
    r->path = (struct path_match){.kind = PATH_PREFIX, .value = VIEW("/")};
    r->action = ROUTE_DIRECT;
    r->direct = ARENA_NEW(b->x.a, struct route_direct);
    r->direct->status = 502;
}

static void finish(struct table *b)
{
    add_catch_all(b);
    map_done(&b->domains);
    scope_put(b->s->c, b->s->plan, b->t);
}

static void compile_port(struct scope *s, uint32_t port)
{
    struct table b = table_new(s, arena_printf(&s->c->arena, "%u", port), port);
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct registered *r = s->services[i];
        const struct reg_port *p = r->resolution == RESOLVE_ALIAS ? NULL : registry_port(r, port);
        if (p && !port_is_tcp(p))
            add_service(&b, r);
    }
    if (port == 80)
        add_unknown_hosts(&b);
    finish(&b);
}

void compile_outbound_routes(struct scope *s)
{
    struct map done;
    map_init(&done, NULL);
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct registered *r = s->services[i];
        if (r->resolution == RESOLVE_ALIAS)
            continue;
        for (uint32_t j = 0; j < r->n_ports; j++) {
            const struct reg_port *p = &r->ports[j];
            struct view number = arena_printf(&s->c->arena, "%u", p->port);
            bool by_port = port_is_http(p) || (port_is_sniffed(p) && !r->n_addresses && !r->headless);
            if (by_port && !map_get(&done, number)) {
                map_put(&done, number, s);
                compile_port(s, p->port);
            } else if (port_is_sniffed(p) && !by_port) {
                struct view name = arena_printf(&s->c->arena, "%.*s:%u", VIEW_ARGS(r->host), p->port);
                struct table b = table_new(s, name, p->port);
                add_service(&b, r);
                finish(&b);
            }
        }
    }
    map_done(&done);
}
