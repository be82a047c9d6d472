// SPDX-License-Identifier: Apache-2.0
/* See status/reach.h. Objects are numbers, what concerns a group of proxies is an array of them; counting is then one walk over
 * proxies times what concerns each.
 */
#include "control/status/reach.h"

#include <stdlib.h>

#include "plan/plan.h"
#include "xds/server.h"

struct target { /* an object that is counted */
    const struct object *object;
    uint64_t since;
    struct reach_count count;
    uint32_t mark; /* the walk that has seen it last: each object once a walk */
};

struct group {
    uint32_t *members; /* targets */
    uint32_t n;
    bool walked;
};

struct reach {
    const struct mesh_snapshot *snap;
    uint64_t number;
    struct arena arena; /* of this snapshot */
    struct target *targets;
    uint32_t n, walk;
    struct map by_key; /* "<kind>/ns/name" → index + 1 */
    struct map groups; /* "type/ns/labels" → struct group */
    struct buf key;
};

struct reach *reach_new(void)
{
    struct reach *r = calloc(1, sizeof(*r));

    must(r != NULL);
    return r;
}

static void clear(struct reach *r)
{
    arena_done(&r->arena);
    r->targets = NULL;
    r->n = 0;
}

struct reach *reach_free(struct reach *r)
{
    if (r) {
        clear(r);
        buf_done(&r->key);
        free(r);
    }
    return NULL;
}

void reach_begin(struct reach *r, const struct mesh_snapshot *snapshot, uint64_t number)
{
    clear(r);
    r->snap = snapshot;
    r->number = number;
    r->walk = 0;
    arena_init(&r->arena, 16 * 1024);
    map_init(&r->by_key, &r->arena);
    map_init(&r->groups, &r->arena);
}

static struct view key_of(struct reach *r, struct view kind, struct view ns, struct view name)
{
    buf_clear(&r->key);
    buf_view(&r->key, kind);
    buf_char(&r->key, '/');
    buf_view(&r->key, ns);
    buf_char(&r->key, '/');
    buf_view(&r->key, name);
    return buf_read(&r->key);
}

uint32_t reach_object(struct reach *r, const struct object *o, uint64_t since)
{
    struct view key = key_of(r, mesh_kinds[o->kind].kind, o->meta.ns, o->meta.name);

    *ARENA_PUSH(&r->arena, r->targets, r->n) = (struct target){.object = o, .since = since};
    map_put(&r->by_key, arena_view(&r->arena, key), (void *)(uintptr_t)r->n); /* index + 1 */
    return r->n - 1;
}

const struct reach_count *reach_result(const struct reach *r, uint32_t i)
{
    return &r->targets[i].count;
}

/* ---- what came of which object ---- */

static void add(struct reach *r, struct group *g, uint32_t i)
{
    if (r->targets[i].mark == r->walk)
        return;
    r->targets[i].mark = r->walk;
    *ARENA_PUSH(&r->arena, g->members, g->n) = i;
}

static void add_key(struct reach *r, struct group *g, struct view kind, struct view ns, struct view name)
{
    uintptr_t i = (uintptr_t)map_get(&r->by_key, key_of(r, kind, ns, name));

    if (i)
        add(r, g, (uint32_t)(i - 1));
}

static void add_origin(struct reach *r, struct group *g, const struct plan_origin *o)
{
    if (o->kind.n && !view_is(o->kind, "Service") && !view_is(o->kind, "Pod"))
        add_key(r, g, o->kind, o->ns, o->name);
}

static void add_routes(struct reach *r, struct group *g, const struct route_table *t)
{
    for (uint32_t i = 0; i < t->n_hosts; i++) {
        const struct virtual_host *h = &t->hosts[i];
        const struct plan_origin *last = &h->origin;
        add_origin(r, g, last);
        for (uint32_t k = 0; k < h->n_routes; k++) { /* a rule becomes several routes: the same name in a row */
            const struct plan_origin *o = &h->routes[k].origin;
            if (!view_eq(o->name, last->name) || !view_eq(o->ns, last->ns) || !view_eq(o->kind, last->kind))
                add_origin(r, g, o);
            last = o;
        }
    }
}

static void add_chain(struct reach *r, struct group *g, const struct filter_chain *c)
{
    add_origin(r, g, &c->origin);
    if (c->http && c->http->routes)
        add_routes(r, g, c->http->routes);
}

static void add_listener(struct reach *r, struct group *g, const struct listener *l)
{
    add_origin(r, g, &l->origin);
    for (uint32_t i = 0; i < l->n_chains; i++)
        add_chain(r, g, &l->chains[i]);
    if (l->default_chain)
        add_chain(r, g, l->default_chain);
}

/* The origin of a ServiceEntry's cluster may be a DestinationRule: so the entry is found by its host. */
static void add_cluster(struct reach *r, struct group *g, const struct cluster *c)
{
    add_origin(r, g, &c->origin);
    for (uint32_t i = 0; i < c->n_services; i++) {
        const struct mesh_host *h = snapshot_host(r->snap, c->services[i].host);
        if (h && h->entry)
            add_key(r, g, mesh_kinds[KIND_SERVICE_ENTRY].kind, h->entry->o.meta.ns, h->entry->o.meta.name);
    }
}

static void add_resource(struct reach *r, struct group *g, const struct resource *res)
{
    switch (res->kind) {
    case RESOURCE_CLUSTER:
        add_cluster(r, g, (const struct cluster *)res);
        break;
    case RESOURCE_LISTENER:
        add_listener(r, g, (const struct listener *)res);
        break;
    case RESOURCE_ROUTES:
        add_routes(r, g, (const struct route_table *)res);
        break;
    case RESOURCE_ENDPOINTS: /* came of Services and pods */
    case RESOURCE_SECRET:
        break;
    }
}

/* Mesh, then namespace, then workload; the oldest of a scope counts (compile/policy.c). */
static void add_policies(struct reach *r, struct group *g, struct view ns, const struct labels *labels)
{
    bool mesh = false, space = false, workload = false, *scope;

    SNAPSHOT_EACH(r->snap, PEER_AUTHENTICATION, peer_authentication, p)
    {
        bool root = view_eq(p->o.meta.ns, r->snap->config->root_ns), here = view_eq(p->o.meta.ns, ns);
        scope = p->has_selector && p->selector.n ? &workload : root ? &mesh : &space;
        if (*scope || !(scope == &mesh || here) || (scope == &workload && !labels_match(&p->selector, labels)))
            continue;
        *scope = true;
        add_key(r, g, mesh_kinds[KIND_PEER_AUTHENTICATION].kind, p->o.meta.ns, p->o.meta.name);
    }
}

static void add_gateways(struct reach *r, struct group *g, const struct labels *labels)
{
    SNAPSHOT_EACH(r->snap, GATEWAY, gateway, gw)
    if (labels_match(&gw->selector, labels))
        add_key(r, g, mesh_kinds[KIND_GATEWAY].kind, gw->o.meta.ns, gw->o.meta.name);
}

/* ---- groups ---- */

static struct group *group_of(struct reach *r, const struct xds_proxy *p)
{
    struct group *g;

    buf_clear(&r->key);
    buf_view(&r->key, p->node.type);
    buf_char(&r->key, '/');
    buf_view(&r->key, p->node.ns);
    for (uint32_t i = 0; i < p->node.n_labels; i++) {
        buf_char(&r->key, '\n');
        buf_view(&r->key, p->node.labels[i].name);
        buf_char(&r->key, '=');
        buf_view(&r->key, p->node.labels[i].value);
    }
    g = map_get(&r->groups, buf_read(&r->key));
    if (!g) {
        g = ARENA_NEW(&r->arena, struct group);
        map_put(&r->groups, arena_view(&r->arena, buf_read(&r->key)), g);
    }
    return g;
}

static void add_plan(struct reach *r, struct group *g, const struct plan *plan)
{
    for (int kind = 0; plan && kind < RESOURCE_KINDS; kind++)
        PLAN_EACH(plan, kind, res)
    add_resource(r, g, res);
}

/* What proxies share is walked once, however many there are. */
static const struct group *shared_group(struct reach *r, const struct plan *plan)
{
    struct view key = view_make(&plan, sizeof(const struct plan *));
    struct group *g = map_get(&r->groups, key);

    if (!g) {
        g = ARENA_NEW(&r->arena, struct group);
        map_put(&r->groups, arena_view(&r->arena, key), g);
        r->walk++;
        add_plan(r, g, plan);
    }
    return g;
}

static void walk_group(struct reach *r, struct group *g, const struct xds_proxy *p)
{
    const struct group *shared = shared_group(r, xds_proxy_layer(p, 0));
    struct labels labels = {.n = p->node.n_labels};

    g->walked = true;
    r->walk++;
    for (uint32_t i = 0; i < shared->n; i++)
        add(r, g, shared->members[i]);
    add_plan(r, g, xds_proxy_layer(p, 1));
    labels.list = labels.n ? ARENA_ARRAY(&r->arena, struct label, labels.n) : NULL;
    for (uint32_t i = 0; i < labels.n; i++)
        labels.list[i] = (struct label){p->node.labels[i].name, p->node.labels[i].value};
    if (view_is(p->node.type, "router"))
        add_gateways(r, g, &labels);
    else
        add_policies(r, g, p->node.ns, &labels);
}

/* ---- counting ---- */

/* Versions end in the number of their snapshot (push.h). */
static uint64_t number_of(struct view version)
{
    uint64_t n;

    return view_u64(view_from(version, view_find(version, '/') + 1), &n) == 0 ? n : 0;
}

/* What came of objects and was refused: usually nothing. All that a refused listener serves counts as refused. */
static struct group *refused_by(struct reach *r, const struct xds_proxy *p, struct view *ret_nack)
{
    struct group *g = NULL;

    for (int at = 0; at < 2 * RESOURCE_KINDS; at++) {
        const struct plan *plan = xds_proxy_layer(p, at / RESOURCE_KINDS);
        int kind = at % RESOURCE_KINDS;
        if (!plan || p->types[kind].sync != XDS_REFUSED)
            continue;
        PLAN_EACH(plan, kind, res)
        {
            if (!xds_proxy_refuses(p, res))
                continue;
            if (!g) {
                g = ARENA_NEW(&r->arena, struct group);
                r->walk++;
            }
            *ret_nack = p->types[kind].nack;
            add_resource(r, g, res);
            if (kind == RESOURCE_LISTENER && view_is(res->name, "virtualInbound")) {
                struct group *all = group_of(r, p);
                for (uint32_t i = 0; i < all->n; i++)
                    if (r->targets[all->members[i]].object->kind == KIND_PEER_AUTHENTICATION)
                        add(r, g, all->members[i]);
            }
        }
    }
    return g;
}

static void count_proxy(struct reach *r, const struct xds_proxy *p)
{
    uint64_t settled = number_of(p->settled);
    struct view nack = VIEW_NONE;
    struct group *g, *refused;

    if (!xds_proxy_layer(p, 0))
        return; /* just connected, or refused as a proxy */
    g = group_of(r, p);
    if (!g->walked)
        walk_group(r, g, p);
    refused = refused_by(r, p, &nack);
    for (uint32_t i = 0; i < g->n; i++) {
        struct target *t = &r->targets[g->members[i]];
        t->count.proxies++;
        if (refused && t->mark == r->walk) {
            t->count.refused_by = p->id;
            t->count.nack = nack;
        } else if (settled >= t->since) {
            t->count.acked++;
        } else {
            t->count.waiting = p->id;
        }
    }
}

void reach_count(struct reach *r, struct xds_server *server)
{
    for (uint32_t i = 0; i < r->n; i++)
        r->targets[i].count = (struct reach_count){0};
    LIST_EACH (xds_server_proxies(server), struct xds_proxy, link, p) {
        count_proxy(r, p);
    }
}
