// SPDX-License-Identifier: Apache-2.0
/* What the proxies of one kind in one namespace see, compiled once for all of them: the visible services, the
 * VirtualServices that bind to hosts, and the outbound plan. Sidecars have outbound listeners and routes; gateways share
 * the clusters only, their listeners depend on their labels (gateway.c).
 */
#include "compile/scope.h"

#include "base/must.h"
#include "plan/print.h"

/* --- names and kinds of ports --- */

struct view name_cluster(struct arena *a, uint32_t port, struct view subset, struct view host)
{
    return arena_printf(a, "outbound|%u|%.*s|%.*s", port, VIEW_ARGS(subset), VIEW_ARGS(host));
}

struct view name_sni(struct arena *a, uint32_t port, struct view subset, struct view host)
{
    return arena_printf(a, "outbound_.%u_.%.*s_.%.*s", port, VIEW_ARGS(subset), VIEW_ARGS(host));
}

bool port_is_sniffed(const struct reg_port *p)
{
    return p->protocol == PORT_AUTO;
}

bool port_is_http(const struct reg_port *p)
{
    return port_protocol_is_http(p->protocol);
}

bool port_is_tls(const struct reg_port *p)
{
    return p->protocol == PORT_HTTPS || p->protocol == PORT_TLS;
}

bool port_is_tcp(const struct reg_port *p)
{
    return !port_is_http(p) && !port_is_sniffed(p) && p->protocol != PORT_UDP;
}

/* --- sharing --- */

static struct view hash_key(const struct resource *r)
{
    return view_make(&r->hash, sizeof(r->hash));
}

static struct resource *find_equal(const struct map *among, const struct resource *r)
{
    struct resource *same = map_get(among, hash_key(r));
    return same && same->kind == r->kind && view_eq(same->name, r->name) ? same : NULL;
}

void scope_intern(struct compiler *c, const struct resource *r)
{
    if (!map_get(&c->interned, hash_key(r)))
        map_put(&c->interned, hash_key(r), resource_ref(r));
}

void scope_put(struct compiler *c, struct plan *p, void *resource)
{
    struct resource *r = resource;
    resource_seal(r);
    struct resource *same = find_equal(&c->interned, r);
    if (!same)
        same = find_equal(&c->before, r);
    scope_intern(c, same ? same : r);
    plan_put(p, same ? same : r);
    reuse_record(c, same ? same : r);
    resource_unref(r);
}

/* --- services --- */

static bool visible(const struct scope *s, const struct registered *r)
{
    return export_visible(r->export_to, r->ns, s->ns);
}

/* Two objects that claim one host: the one of our namespace, else the first (Services before ServiceEntries). */
static void see_services(struct scope *s)
{
    struct compiler *c = s->c;
    map_init(&s->by_host, NULL);
    for (uint32_t i = 0; i < c->n_services; i++) {
        struct registered *r = c->services[i], *before;
        if (!visible(s, r))
            continue;
        before = map_get(&s->by_host, r->host);
        if (!before || (!view_eq(before->ns, s->ns) && view_eq(r->ns, s->ns) && !before->service))
            map_put(&s->by_host, r->host, r);
    }
    s->services = ARENA_ARRAY(&c->arena, struct registered *, map_size(&s->by_host));
    MAP_EACH (&s->by_host, it)
        s->services[s->n_services++] = it->value;
}

const struct registered *scope_service(const struct scope *s, struct view host)
{
    return map_get(&s->by_host, host);
}

const struct registered *scope_resolve(const struct scope *s, struct view host)
{
    const struct registered *r = scope_service(s, host);
    for (int hops = 0; r && r->resolution == RESOLVE_ALIAS && hops < 8; hops++) {
        const struct registered *to = scope_service(s, r->alias_of);
        if (!to)
            return r;
        r = to;
    }
    if (r)
        return r;
    struct registered *best = NULL; /* the longest ServiceEntry wildcard that covers the host */
    for (uint32_t i = 0; i < s->n_services; i++)
        if (s->services[i]->host.n && s->services[i]->host.p[0] == '*' && host_matches(s->services[i]->host, host) &&
            (!best || s->services[i]->host.n > best->host.n))
            best = s->services[i];
    return best;
}

bool scope_allows_any(const struct scope *s)
{
    return mesh_config_allow_any(s->c->config);
}

/* --- VirtualServices of the mesh --- */

enum precedence { PRIVATE, EXPORTED, PUBLIC, HIDDEN };

static enum precedence precedence_of(const struct scope *s, const struct virtual_service *vs)
{
    const struct strings *to = vs->export_to.n ? &vs->export_to : &s->c->config->default_virtual_service_export_to;
    bool own = view_eq(vs->o.meta.ns, s->ns);
    if (!export_visible(to, vs->o.meta.ns, s->ns))
        return HIDDEN;
    if (!to->n || strings_has(to, VIEW("*")))
        return PUBLIC;
    return own && strings_has(to, VIEW(".")) ? PRIVATE : EXPORTED;
}

static void see_virtual_services(struct scope *s)
{
    for (int level = PRIVATE; level < HIDDEN; level++)
        SNAPSHOT_EACH(s->c->snap, VIRTUAL_SERVICE, virtual_service, vs)
        {
            if (virtual_service_in_mesh(vs) && (int)precedence_of(s, vs) == level)
                *ARENA_PUSH(&s->c->arena, s->vs, s->n_vs) = vs;
        }
}

static void bind_hosts(struct scope *s)
{
    struct map taken;
    map_init(&taken, NULL);
    for (uint32_t i = 0; i < s->n_vs; i++)
        for (uint32_t j = 0; j < s->vs[i]->hosts.n; j++) {
            struct view host =
                mesh_fqdn(&s->c->arena, s->vs[i]->hosts.list[j], s->vs[i]->o.meta.ns, s->c->snap->domain);
            if (map_get(&taken, host))
                continue; /* an older one speaks for it: this one is ignored for the host (IST0109) */
            map_put(&taken, host, (void *)s->vs[i]);
            *ARENA_PUSH(&s->c->arena, s->bound, s->n_bound) = (struct bound_host){host, s->vs[i]};
        }
    map_done(&taken);
}

const struct virtual_service *scope_vs_for(const struct scope *s, struct view host)
{
    const struct bound_host *best = NULL;
    for (uint32_t i = 0; i < s->n_bound; i++) {
        const struct bound_host *b = &s->bound[i];
        if (view_eq(b->host, host))
            return b->vs;
        bool wild = b->host.n && b->host.p[0] == '*';
        if (wild && host_matches(b->host, host) && (!best || b->host.n > best->host.n))
            best = b;
    }
    return best ? best->vs : NULL;
}

/* --- scopes --- */

static struct view scope_key(struct compiler *c, const struct proxy_facts *p)
{
    struct view key = arena_printf(&c->arena, "%d/%.*s/%.*s", (int)p->kind, VIEW_ARGS(p->cluster_id), VIEW_ARGS(p->ns));
    for (uint32_t i = 0; c->by_labels && i < p->labels.n; i++)
        key = arena_printf(&c->arena, "%.*s/%.*s=%.*s", VIEW_ARGS(key), VIEW_ARGS(p->labels.list[i].key),
                           VIEW_ARGS(p->labels.list[i].value));
    return key;
}

struct scope *scope_get(struct compiler *c, const struct proxy_facts *proxy)
{
    struct view key = scope_key(c, proxy);
    struct scope *s = map_get(&c->scopes, key);
    if (s)
        return s;
    s = ARENA_NEW(&c->arena, struct scope);
    s->c = c;
    s->kind = proxy->kind;
    s->ns = arena_view(&c->arena, proxy->ns);
    s->cluster_id = proxy->cluster_id.n ? arena_view(&c->arena, proxy->cluster_id) : VIEW("Kubernetes");
    if (c->by_labels)
        s->labels = *labels_copy(&c->arena, &proxy->labels);
    s->plan = plan_new();
    map_put(&c->scopes, key, s);
    see_services(s);
    see_virtual_services(s);
    bind_hosts(s);
    compile_clusters(s);
    find_credentials(s);
    if (s->kind == PROXY_SIDECAR && !reuse_outbound(s, key)) {
        compile_outbound_listeners(s);
        compile_outbound_routes(s);
    }
    reuse_plan(s, key);
    return s;
}
