// SPDX-License-Identifier: Apache-2.0
/* The checks' list, how they are run, and what they share (common.h). */
#include "mesh/analyze/common.h"

#include "mesh/decode.h"

const struct mesh_check mesh_checks[] = {
#define CHECK(code, function, what) {#code, #function, what, check_##function},
#include "mesh/analyze/checks.def"
#undef CHECK
};
const unsigned n_mesh_checks = COUNT_OF(mesh_checks);

void mesh_analyze(const struct mesh_snapshot *snap, struct diags *d)
{
    for (unsigned i = 0; i < n_mesh_checks; i++)
        mesh_checks[i].run(snap, d);
}

static bool is_suppressed(const struct object *o, const char *code)
{
    struct view list = labels_get(&o->meta.annotations, VIEW("galley.istio.io/analyze-suppress")), one;
    while (view_cut(&list, ',', &one)) {
        one = view_trim(one);
        if (view_is(one, "*") || view_is(one, code))
            return true;
    }
    return false;
}

struct diag *mesh_warn(struct diags *d, enum diag_severity severity, const char *code, const struct object *o,
                       const struct origin *at)
{
    if (is_suppressed(o, code))
        return ARENA_NEW(d->arena, struct diag); /* filled by the caller and never seen */
    struct diag *one = diag_add(d, severity, code, at ? at : &o->at);
    one->source_line = object_line(o, one->at.line);
    return one;
}

void rule_index_build(struct rule_index *x, const struct mesh_snapshot *snap, struct arena *a)
{
    *x = (struct rule_index){.snap = snap, .arena = a};
    map_init(&x->by_host, a);
    SNAPSHOT_EACH(snap, DESTINATION_RULE, destination_rule, dr)
    {
        struct view host = mesh_fqdn(a, dr->host, dr->o.meta.ns, snap->domain);
        struct object_list *l = &x->wildcards;
        if (!view_starts(host, VIEW("*"))) {
            l = map_get(&x->by_host, host);
            if (!l) {
                l = ARENA_NEW(a, struct object_list);
                map_put(&x->by_host, host, l);
            }
        }
        *ARENA_PUSH(a, l->list, l->n) = (struct object *)&dr->o;
    }
}

const struct destination_rule *rule_index_next(const struct rule_index *x, struct view fqdn, uint32_t *i)
{
    const struct object_list *exact = map_get(&x->by_host, fqdn);
    uint32_t n = exact ? exact->n : 0;
    if (*i < n)
        return (const struct destination_rule *)(const void *)exact->list[(*i)++];
    while (*i - n < x->wildcards.n) {
        const struct destination_rule *dr = (const void *)x->wildcards.list[(*i)++ - n];
        if (host_matches(dr->host, fqdn))
            return dr;
    }
    return NULL;
}

struct view nearest_host(const struct mesh_snapshot *snap, struct arena *a, struct view host, struct view ns)
{
    struct view *names = NULL;
    size_t n = 0;
    bool is_short = view_find(host, '.') == host.n;
    SNAPSHOT_EACH(snap, SERVICE, service, svc)
    if (is_short && view_eq(svc->o.meta.ns, ns))
        *ARENA_PUSH(a, names, n) = svc->o.meta.name;
    MAP_EACH (&snap->hosts, it)
        if (!is_short)
            *ARENA_PUSH(a, names, n) = it->key;
    return diag_nearest(host, names, n);
}

bool host_has_port(const struct mesh_host *h, uint32_t port)
{
    if (h->service)
        return service_port_by_number(h->service, port) != NULL;
    for (uint32_t i = 0; i < h->entry->n_ports; i++)
        if (h->entry->ports[i].port == port)
            return true;
    return false;
}

uint32_t host_port_count(const struct mesh_host *h)
{
    return h->service ? h->service->n_ports : h->entry->n_ports;
}

struct view host_ports_text(struct arena *a, const struct mesh_host *h)
{
    struct buf b = {0};
    for (uint32_t i = 0; i < host_port_count(h); i++)
        buf_printf(&b, "%s%u", i ? ", " : "", h->service ? h->service->ports[i].port : h->entry->ports[i].port);
    struct view text = arena_view(a, buf_read(&b));
    buf_done(&b);
    return text;
}

static unsigned share_of(int64_t weight, int64_t sum, uint32_t n)
{
    return n == 1 ? 100 : sum ? (unsigned)(weight * 100 / sum) : 0;
}

static void each_l4(const struct virtual_service *vs, const struct l4_route *routes, uint32_t n,
                    void (*fn)(const struct route_place *at, void *arg), void *arg)
{
    for (uint32_t i = 0; i < n; i++) {
        int64_t sum = 0;
        for (uint32_t j = 0; j < routes[i].n_route; j++)
            sum += routes[i].route[j].weight;
        for (uint32_t j = 0; j < routes[i].n_route; j++) {
            struct route_place at = {.vs = vs,
                                     .to = &routes[i].route[j].destination,
                                     .rule = i + 1,
                                     .share = share_of(routes[i].route[j].weight, sum, routes[i].n_route)};
            fn(&at, arg);
        }
    }
}

void each_destination(const struct virtual_service *vs, void (*fn)(const struct route_place *at, void *arg), void *arg)
{
    for (uint32_t i = 0; i < vs->n_http; i++) {
        const struct http_route *r = &vs->http[i];
        int64_t sum = 0;
        for (uint32_t j = 0; j < r->n_route; j++)
            sum += r->route[j].weight;
        for (uint32_t j = 0; j < r->n_route; j++) {
            struct route_place at = {.vs = vs,
                                     .to = &r->route[j].destination,
                                     .rule = i + 1,
                                     .http = true,
                                     .share = share_of(r->route[j].weight, sum, r->n_route)};
            fn(&at, arg);
        }
        for (uint32_t j = 0; j < r->n_mirrors; j++) {
            struct route_place at = {
                .vs = vs, .to = &r->mirrors[j].destination, .rule = i + 1, .http = true, .mirror = true};
            fn(&at, arg);
        }
    }
    each_l4(vs, vs->tls, vs->n_tls, fn, arg);
    each_l4(vs, vs->tcp, vs->n_tcp, fn, arg);
}
