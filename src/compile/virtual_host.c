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
    struct map taken;       /* domains */
    struct strings domains; /* of the virtual host at hand, in scratch */
    struct arena scratch;   /* lists while they grow */
};

static struct table table_new(struct scope *s, struct view name, uint32_t port)
{
    struct table b = {.s = s, .t = RESOURCE_NEW(struct route_table, RESOURCE_ROUTES, name)};
    b.x = (struct route_context){.s = s, .a = &b.t->res.arena, .port = port, .gateway = VIEW("mesh")};
    b.t->ignore_port = true;
    b.t->max_direct_body = DEFAULT_DIRECT_BODY_BYTES;
    map_init(&b.taken, NULL);
    arena_init(&b.scratch, 0);
    return b;
}

/* The text is the table's, or of a part that it keeps. */
static void add_domain(struct table *b, struct view domain)
{
    if (!domain.n || map_get(&b->taken, domain))
        return;
    map_put(&b->taken, domain, b->t);
    *ARENA_PUSH(&b->scratch, b->domains.list, b->domains.n) = domain;
}

static void add_names(struct table *b, struct view dotted)
{
    struct host_names names = host_names(b->s->c, dotted);
    for (uint32_t i = 0; i < names.n; i++) {
        add_domain(b, names.list[i]);
        if (i == 1 && view_eq(names.ns, b->s->ns))
            add_domain(b, names.own);
    }
}

static struct view dotted(struct table *b, struct view host)
{
    return arena_printf(b->x.a, "%.*s.", VIEW_ARGS(host));
}

static void add_service_domains(struct table *b, const struct registered *r, struct view name)
{
    add_names(b, name);
    for (uint32_t i = 0; i < r->n_aliases; i++)
        if (scope_service(b->s, r->aliases[i]))
            add_names(b, dotted(b, r->aliases[i]));
    if (r->headless) {
        uint32_t n = b->domains.n;
        for (uint32_t i = 0; i < n; i++)
            add_domain(b, arena_printf(b->x.a, "*.%.*s", VIEW_ARGS(b->domains.list[i])));
    }
    for (uint32_t i = 0; i < r->n_addresses; i++)
        add_domain(b, host_address(b->x.a, r->addresses[i]));
}

static struct virtual_host *host_new(struct table *b, struct view name)
{
    struct virtual_host *vh = ARENA_PUSH(&b->scratch, b->t->hosts, b->t->n_hosts);
    vh->name = name;
    vh->include_attempt_count = true;
    return vh;
}

static struct virtual_host *host_of_vs(struct table *b, struct view host, const struct virtual_service *vs)
{
    struct virtual_host *vh = host_new(b, arena_printf(b->x.a, "%.*s:%u", VIEW_ARGS(host), b->x.port));
    vh->origin = plan_origin_of(b->x.a, &vs->o.at, VIEW_NONE);
    return vh;
}

/* A virtual host whose domains all belong to others would never be asked. */
static void end_host(struct table *b, struct virtual_host *vh)
{
    vh->n_domains = b->domains.n;
    vh->domains = arena_copy(b->x.a, b->domains.list, b->domains.n * sizeof(struct view));
    b->domains = (struct strings){0};
    if (!vh->n_domains)
        b->t->n_hosts--;
}

static bool any_taken(const struct table *b, const struct strings *domains)
{
    for (uint32_t i = 0; i < domains->n; i++)
        if (map_get(&b->taken, domains->list[i]))
            return true;
    return false;
}

/* Of a service that nobody has rules for. */
static void add_plain_service(struct table *b, const struct registered *r)
{
    const struct service_host *h = service_host_get(&b->x, r);
    struct virtual_host *vh = host_new(b, h->name);
    resource_part_keep(b->x.a, h->part);
    vh->origin = h->origin;
    vh->routes = h->routes;
    vh->n_routes = h->n_routes;
    bool more = r->n_aliases || r->headless || view_eq(host_names(b->s->c, h->dotted).ns, b->s->ns);
    if (more || any_taken(b, &h->domains)) {
        add_service_domains(b, r, h->dotted);
        end_host(b, vh);
        return;
    }
    vh->domains = h->domains.list;
    vh->n_domains = h->domains.n;
    for (uint32_t i = 0; i < h->domains.n; i++)
        map_put(&b->taken, h->domains.list[i], b->t);
}

static void add_service(struct table *b, const struct registered *r)
{
    const struct virtual_service *vs = scope_vs_for(b->s, r->host);
    if (!vs) {
        add_plain_service(b, r);
        return;
    }
    struct virtual_host *vh = host_of_vs(b, r->host, vs);
    add_service_domains(b, r, dotted(b, r->host));
    if (routes_of_vs(&b->x, vh, vs) == 0) {
        struct view cluster = name_cluster(b->x.a, b->x.port, VIEW_NONE, r->host);
        route_default(&b->x, vh, cluster, VIEW("default"), r, b->x.port);
    }
    end_host(b, vh);
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
        struct virtual_host *vh = host_of_vs(b, h->host, h->vs);
        if (routes_of_vs(&b->x, vh, h->vs) > 0)
            add_names(b, dotted(b, h->host));
        end_host(b, vh);
    }
}

static void add_catch_all(struct table *b)
{
    if (map_get(&b->taken, VIEW("*")))
        return;
    bool any = scope_allows_any(b->s);
    struct virtual_host *vh = host_new(b, any ? VIEW("allow_any") : VIEW("block_all"));
    add_domain(b, VIEW("*"));
    end_host(b, vh);
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
    struct route_table *t = b->t;
    add_catch_all(b);
    t->hosts = arena_copy(b->x.a, t->hosts, t->n_hosts * sizeof(*t->hosts));
    map_done(&b->taken);
    arena_done(&b->scratch);
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
