// SPDX-License-Identifier: Apache-2.0
/* Outbound listeners of sidecars. None binds but virtualOutbound (15001): the others are chosen by the address that the
 * application meant.
 *
 *   declared HTTP     0.0.0.0_<port>: HTTP by the route table "<port>"; what is not HTTP passes as unknown TCP
 *   declared TCP, TLS <ip>_<port>: the service's cluster at once; without an address 0.0.0.0_<port>, TLS told by its SNI
 *   undeclared        <ip>_<port>: sniffed; HTTP by the route table "<host>:<port>", else the service's cluster
 *   headless          the same for each address of its instances
 *
 * Several services may meet on 0.0.0.0_<port>: HTTP and SNI chains stand side by side, the first plain TCP service
 * takes what is left.
 */
#include "compile/scope.h"

#include "plan/defaults.h"

struct draft {
    struct listener *l;
    bool http;     /* has the chain for HTTP */
    bool declared; /* HTTP is declared: silence is a slow client, not a server-first protocol */
    bool shared;   /* on 0.0.0.0: connections to addresses that no service has arrive here, too */
};

struct drafts {
    struct scope *s;
    struct map by_name; /* listener name → struct draft */
};

static struct draft *draft_at(struct drafts *ds, struct view ip, uint32_t port)
{
    struct arena *scratch = &ds->s->c->arena;
    struct view name = arena_printf(scratch, "%.*s_%u", VIEW_ARGS(ip), port);
    struct draft *d = map_get(&ds->by_name, name);
    if (d)
        return d;
    struct plan_addr address;
    if (plan_addr_parse_ip(ip, (uint16_t)port, &address) < 0)
        return NULL;
    d = ARENA_NEW(scratch, struct draft);
    d->l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, name);
    d->l->address = address;
    d->l->direction = TRAFFIC_OUTBOUND;
    d->shared = view_is(ip, "0.0.0.0");
    map_put(&ds->by_name, name, d);
    return d;
}

static uint64_t inspect_timeout(const struct scope *s)
{
    const struct opt_duration *t = &s->c->config->protocol_detection_timeout;
    return t->set && t->ns ? t->ns : DEFAULT_INSPECT_TIMEOUT;
}

/* --- chains --- */

static struct tcp_manager *tcp_to(struct scope *s, struct arena *a, struct view cluster)
{
    return manager_tcp(s, a, cluster, cluster);
}

static struct filter_chain *unknown_tcp(struct scope *s, struct arena *a)
{
    struct filter_chain *c = ARENA_NEW(a, struct filter_chain);
    bool any = scope_allows_any(s);
    c->name = any ? VIEW("PassthroughFilterChain") : VIEW("BlackHoleFilterChain");
    c->stats = true;
    c->tcp = tcp_to(s, a, any ? VIEW("PassthroughCluster") : VIEW("BlackHoleCluster"));
    return c;
}

static void add_http(struct drafts *ds, struct draft *d, struct view rds, const struct registered *r)
{
    static const char *const alpn[] = {"http/1.0", "http/1.1", "h2c"};
    if (d->http)
        return;
    d->http = true;
    struct arena *a = &d->l->res.arena;
    struct filter_chain *c = ARENA_PUSH(a, d->l->chains, d->l->n_chains);
    c->match.transport = TRANSPORT_RAW;
    for (size_t i = 0; i < COUNT_OF(alpn); i++)
        *ARENA_PUSH(a, c->match.alpn, c->match.n_alpn) = view_of(alpn[i]);
    c->http = manager_new(ds->s, a, TRAFFIC_OUTBOUND, arena_printf(a, "outbound_%.*s;", VIEW_ARGS(d->l->res.name)));
    c->http->rds = name_ref_copy(a, rds);
    d->l->inspect |= INSPECT_TLS | INSPECT_HTTP;
    if (r)
        c->origin = plan_origin_of(a, &r->object->at, VIEW_NONE);
}

static struct filter_chain *add_tcp_chain(struct drafts *ds, struct draft *d, const struct registered *r,
                                          const struct reg_port *p)
{
    struct arena *a = &d->l->res.arena;
    struct filter_chain *c = ARENA_PUSH(a, d->l->chains, d->l->n_chains);
    c->name = arena_printf(a, "%.*s:%u", VIEW_ARGS(r->host), p->port);
    c->stats = true;
    c->tcp = tcp_to(ds->s, a, name_cluster(a, p->port, VIEW_NONE, r->host));
    c->origin = plan_origin_of(a, &r->object->at, VIEW_NONE);
    return c;
}

static void match_sni(struct draft *d, struct filter_chain *c, struct view name)
{
    c->match.transport = TRANSPORT_TLS;
    *ARENA_PUSH(&d->l->res.arena, c->match.server_names, c->match.n_server_names) = arena_view(&d->l->res.arena, name);
    d->l->inspect |= INSPECT_TLS;
}

static void match_subnets(struct draft *d, struct filter_chain *c, const struct strings *subnets)
{
    struct ip_prefix prefix;
    for (uint32_t i = 0; i < subnets->n; i++)
        if (ip_prefix_parse(subnets->list[i], &prefix) == 0)
            *ARENA_PUSH(&d->l->res.arena, c->match.prefixes, c->match.n_prefixes) = prefix;
}

static void use_vs_route(struct drafts *ds, struct draft *d, struct filter_chain *c, const struct virtual_service *vs,
                         const struct l4_route *rule, uint32_t port)
{
    struct arena *a = &d->l->res.arena;
    c->tcp->clusters = l4_clusters(ds->s, a, rule, vs, port, &c->tcp->n_clusters, &c->tcp->total_weight);
    c->tcp->stat_prefix = c->tcp->n_clusters == 1 ? c->tcp->clusters[0].cluster.name : arena_view(a, vs->o.meta.name);
    c->origin = plan_origin_of(a, &vs->o.at, rule->part.at.path);
    if (rule->part.at.line)
        c->origin.line = rule->part.at.line;
}

/* The rules of `tls:` for a port that carries TLS; true when there was one. */
static bool add_tls_rules(struct drafts *ds, struct draft *d, const struct registered *r, const struct reg_port *p,
                          const struct virtual_service *vs)
{
    bool any = false;
    for (uint32_t i = 0; i < vs->n_tls; i++)
        for (uint32_t j = 0; j < vs->tls[i].n_match; j++) {
            const struct l4_match *m = &vs->tls[i].match[j];
            if (!l4_match_holds(ds->s, m, vs, p->port, VIEW("mesh")))
                continue;
            struct filter_chain *c = add_tcp_chain(ds, d, r, p);
            for (uint32_t k = 0; k < m->sni_hosts.n; k++)
                match_sni(d, c, m->sni_hosts.list[k]);
            match_subnets(d, c, &m->destination_subnets);
            use_vs_route(ds, d, c, vs, &vs->tls[i], p->port);
            any = true;
        }
    return any;
}

/* What no other chain takes. It is the default chain, not one without conditions: a more specific chain may match at
 * first and then fail, and from there only the default is reached. The first one on a shared address stays. */
static void make_last_the_rest(struct draft *d)
{
    struct filter_chain *c = &d->l->chains[d->l->n_chains - 1];
    if (!d->l->default_chain)
        d->l->default_chain = arena_copy(&d->l->res.arena, c, sizeof(*c));
    d->l->n_chains--;
}

/* The rules of `tcp:`; true when one takes every connection, so that nothing behind it is reached. */
static bool add_tcp_rules(struct drafts *ds, struct draft *d, const struct registered *r, const struct reg_port *p,
                          const struct virtual_service *vs)
{
    for (uint32_t i = 0; i < vs->n_tcp; i++) {
        const struct l4_route *rule = &vs->tcp[i];
        for (uint32_t j = 0; j < (rule->n_match ? rule->n_match : 1); j++) {
            const struct l4_match *m = rule->n_match ? &rule->match[j] : NULL;
            if (m && !l4_match_holds(ds->s, m, vs, p->port, VIEW("mesh")))
                continue;
            struct filter_chain *c = add_tcp_chain(ds, d, r, p);
            use_vs_route(ds, d, c, vs, rule, p->port);
            if (!m || !m->destination_subnets.n) {
                make_last_the_rest(d);
                return true;
            }
            match_subnets(d, c, &m->destination_subnets);
        }
    }
    return false;
}

/* --- services --- */

/* The TCP side of a port at one address. `shared`: the address is 0.0.0.0, where others stand too. */
static void add_tcp(struct drafts *ds, struct draft *d, const struct registered *r, const struct reg_port *p,
                    bool shared)
{
    const struct virtual_service *vs = scope_vs_for(ds->s, r->host);
    bool tls_rules = vs && port_is_tls(p) && add_tls_rules(ds, d, r, p, vs);
    if (vs && !port_is_tls(p) && add_tcp_rules(ds, d, r, p, vs))
        return;
    if (shared && port_is_tls(p)) {
        if (!tls_rules)
            match_sni(d, add_tcp_chain(ds, d, r, p), r->host);
        return;
    }
    add_tcp_chain(ds, d, r, p);
    make_last_the_rest(d);
}

static void add_prefix(struct drafts *ds, const struct registered *r, const struct reg_port *p, struct view address)
{
    struct draft *d = draft_at(ds, VIEW("0.0.0.0"), p->port);
    struct ip_prefix prefix;
    if (ip_prefix_parse(address, &prefix) < 0)
        return;
    struct filter_chain *c = add_tcp_chain(ds, d, r, p);
    *ARENA_PUSH(&d->l->res.arena, c->match.prefixes, c->match.n_prefixes) = prefix;
}

static void add_at(struct drafts *ds, const struct registered *r, const struct reg_port *p, struct view ip, bool shared)
{
    struct draft *d = draft_at(ds, ip, p->port);
    if (!d)
        return;
    if (!shared && d->l->n_chains + (d->l->default_chain != NULL) > 0)
        return; /* the address belongs to the first that claimed it */
    if (port_is_sniffed(p))
        add_http(ds, d,
                 shared ? arena_printf(&ds->s->c->arena, "%u", p->port)
                        : arena_printf(&ds->s->c->arena, "%.*s:%u", VIEW_ARGS(r->host), p->port),
                 shared ? NULL : r);
    add_tcp(ds, d, r, p, shared);
    if (!d->l->origin.kind.n && !shared)
        d->l->origin = plan_origin_of(&d->l->res.arena, &r->object->at, VIEW_NONE);
}

static void add_port(struct drafts *ds, const struct registered *r, const struct reg_port *p)
{
    if (port_is_http(p)) {
        struct draft *d = draft_at(ds, VIEW("0.0.0.0"), p->port);
        d->declared = true;
        add_http(ds, d, arena_printf(&ds->s->c->arena, "%u", p->port), NULL);
        return;
    }
    if (r->headless) {
        uint32_t n;
        const struct instance *list = registry_instances(ds->s->c, r, p, &n);
        for (uint32_t i = 0; i < n; i++)
            add_at(ds, r, p, list[i].address, false);
        return;
    }
    for (uint32_t i = 0; i < r->n_addresses; i++) {
        if (view_find(r->addresses[i], '/') < r->addresses[i].n)
            add_prefix(ds, r, p, r->addresses[i]);
        else
            add_at(ds, r, p, r->addresses[i], false);
    }
    if (!r->n_addresses && r->entry)
        add_at(ds, r, p, VIEW("0.0.0.0"), true);
}

/* --- finishing --- */

static void finish(struct drafts *ds, struct draft *d)
{
    struct listener *l = d->l;
    if (!l->n_chains && !l->default_chain) {
        resource_unref(l);
        return;
    }
    if (!l->default_chain && d->shared)
        l->default_chain = unknown_tcp(ds->s, &l->res.arena);
    if (!l->n_chains) { /* only the service itself: no need to call it a default */
        l->chains = l->default_chain;
        l->n_chains = 1;
        l->default_chain = NULL;
    }
    /* Where HTTP is declared, or only TLS is told apart by name, the client speaks first: there is time. */
    if ((l->inspect & INSPECT_HTTP) && !d->declared) {
        l->inspect_timeout = inspect_timeout(ds->s);
        l->continue_on_timeout = true;
    }
    scope_put(ds->s->c, ds->s->plan, l);
}

static void add_virtual_outbound(struct scope *s)
{
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, VIEW("virtualOutbound"));
    struct arena *a = &l->res.arena;
    must(plan_addr_parse_ip(VIEW("0.0.0.0"), 15001, &l->address) == 0);
    l->direction = TRAFFIC_OUTBOUND;
    l->bind_to_port = true;
    l->use_original_dst = true;
    l->inspect = INSPECT_ORIGINAL_DST;
    manager_logs(s, a, &l->logs, &l->n_logs, true);
    struct filter_chain *loop = ARENA_PUSH(a, l->chains, l->n_chains);
    loop->name = VIEW("virtualOutbound-blackhole"); /* to 15001 itself: would be handed to itself for ever */
    loop->match.port = 15001;
    loop->tcp = tcp_to(s, a, VIEW("BlackHoleCluster"));
    struct filter_chain *rest = ARENA_PUSH(a, l->chains, l->n_chains);
    rest->name = VIEW("virtualOutbound-catchall-tcp");
    rest->stats = true;
    rest->tcp = tcp_to(s, a, scope_allows_any(s) ? VIEW("PassthroughCluster") : VIEW("BlackHoleCluster"));
    scope_put(s->c, s->plan, l);
}

void compile_outbound_listeners(struct scope *s)
{
    struct drafts ds = {.s = s};
    map_init(&ds.by_name, NULL);
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct registered *r = s->services[i];
        for (uint32_t j = 0; j < r->n_ports && r->resolution != RESOLVE_ALIAS; j++)
            add_port(&ds, r, &r->ports[j]);
    }
    MAP_EACH (&ds.by_name, it)
        finish(&ds, it->value);
    map_done(&ds.by_name);
    add_virtual_outbound(s);
}
