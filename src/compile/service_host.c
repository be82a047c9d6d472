// SPDX-License-Identifier: Apache-2.0
/* A thousand services are in the route tables of every namespace, and all but their short names is the same in each: it is
 * made once and the tables point to it.
 *
 * A host is found again by a print of what it is made of, in this compiler and from the one before (see reuse.c): whoever makes
 * it depend on one more object adds that to print_of().
 */
#include "compile/scope.h"

static uint64_t print_of(const struct route_context *x, const struct registered *r)
{
    const struct consistent_hash *hashing = route_hashing(x->s, r, x->port, VIEW_NONE);
    uint64_t print = print_object(x->port, r->object);

    print = print_mix(print, view_hash(r->host)); /* a ServiceEntry has several */
    return print_object(print_object(print, hashing), x->s->c->snap->config_object);
}

static struct view key_of(const uint64_t *print)
{
    return view_make(print, sizeof(*print));
}

/* reviews.default.svc.cluster.local is also reviews.default.svc, reviews.default and, for its own namespace, reviews. */
struct host_names host_names(const struct compiler *c, struct view dotted)
{
    struct view host = view_head(dotted, dotted.n - 1), domain = c->snap->domain, svc = VIEW(".svc.");
    struct host_names names = {.list = {host, dotted}, .n = host.n && host.p[0] == '*' ? 1 : 2};
    struct view head = view_ends(host, domain) ? view_head(host, host.n - domain.n) : VIEW_NONE;

    if (names.n == 1 || !view_ends(head, svc))
        return names;
    names.list[names.n++] = view_head(head, head.n - 1);
    head = names.list[names.n++] = view_head(head, head.n - svc.n); /* reviews.default */
    names.own = view_head(head, view_find(head, '.'));
    names.ns = view_from(head, names.own.n + 1);
    return names;
}

struct view host_address(struct arena *a, struct view text)
{
    struct plan_addr ip;

    if (plan_addr_parse_ip(text, 0, &ip) < 0)
        return VIEW_NONE;
    return ip.kind == ADDR_IPV6 ? arena_printf(a, "[%.*s]", VIEW_ARGS(text)) : arena_view(a, text);
}

static void list_domains(const struct compiler *c, struct service_host *h, const struct registered *r)
{
    struct host_names names = host_names(c, h->dotted);
    struct arena *a = &h->part->arena;

    h->domains.list = ARENA_ARRAY(a, struct view, names.n + r->n_addresses);
    for (uint32_t i = 0; i < names.n; i++)
        h->domains.list[h->domains.n++] = names.list[i];
    for (uint32_t i = 0; i < r->n_addresses; i++) {
        struct view address = host_address(a, r->addresses[i]);
        if (address.n && !strings_has(&h->domains, address)) /* a ServiceEntry's host may be its address */
            h->domains.list[h->domains.n++] = address;
    }
}

static struct service_host *host_make(const struct route_context *x, const struct registered *r)
{
    struct resource_part *part = resource_part_new();
    struct arena *a = &part->arena;
    struct service_host *h = ARENA_NEW(a, struct service_host);
    struct route_context mine = *x;
    struct virtual_host vh = {0};

    mine.a = a;
    h->part = part;
    h->name = arena_printf(a, "%.*s:%u", VIEW_ARGS(r->host), x->port);
    h->dotted = arena_printf(a, "%.*s.", VIEW_ARGS(r->host));
    h->origin = vh.origin = plan_origin_of(a, &r->object->at, VIEW_NONE);
    route_default(&mine, &vh, name_cluster(a, x->port, VIEW_NONE, r->host), VIEW("default"), r, x->port);
    h->routes = vh.routes;
    h->n_routes = vh.n_routes;
    list_domains(x->s->c, h, r);
    return h;
}

const struct service_host *service_host_get(const struct route_context *x, const struct registered *r)
{
    struct compiler *c = x->s->c;
    uint64_t print = print_of(x, r);
    struct service_host *h = map_get(&c->hosts, key_of(&print));

    if (h)
        return h;
    h = map_del(&c->hosts_before, key_of(&print));
    if (!h)
        h = host_make(x, r);
    h->print = print;
    map_put(&c->hosts, key_of(&h->print), h);
    return h;
}

void service_hosts_forget(struct map *hosts)
{
    MAP_EACH (hosts, it)
        resource_part_unref(((struct service_host *)it->value)->part);
    map_done(hosts);
}
