// SPDX-License-Identifier: Apache-2.0
/* Snapshots (snapshot.h): sorting the objects, and the indexes over them, built once. */
#include "mesh/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "mesh/decode.h"

/* Istio's order: oldest first, ties by name, then namespace. */
static int by_age(const void *a, const void *b)
{
    const struct object *x = *(const struct object *const *)a, *y = *(const struct object *const *)b;
    if (x->meta.created != y->meta.created)
        return x->meta.created < y->meta.created ? -1 : 1;
    int c = view_cmp(x->meta.name, y->meta.name);
    return c ? c : view_cmp(x->meta.ns, y->meta.ns);
}

static struct view object_key_text(struct arena *a, enum mesh_kind kind, struct view ns, struct view name)
{
    return arena_printf(a, "%d/%.*s/%.*s", (int)kind, VIEW_ARGS(ns), VIEW_ARGS(name));
}

static void add_host(struct mesh_snapshot *s, struct view name, const struct service *service,
                     const struct service_entry *entry, struct view ns)
{
    struct mesh_host *h = ARENA_NEW(s->arena, struct mesh_host);
    *h = (struct mesh_host){.name = name, .service = service, .entry = entry, .ns = ns};
    if (!map_get(&s->hosts, name))
        map_put(&s->hosts, name, h);
    if (view_starts(name, VIEW("*")))
        *ARENA_PUSH(s->arena, s->wildcard_hosts, s->n_wildcard_hosts) = h;
}

static void add_to(struct mesh_snapshot *s, struct map *m, struct view key, struct object *o)
{
    struct object_list *l = map_get(m, key);
    if (!l) {
        l = ARENA_NEW(s->arena, struct object_list);
        map_put(m, key, l);
    }
    *ARENA_PUSH(s->arena, l->list, l->n) = o;
}

static struct view ns_name(struct arena *a, struct view ns, struct view name)
{
    return arena_printf(a, "%.*s/%.*s", VIEW_ARGS(ns), VIEW_ARGS(name));
}

static void build_indexes(struct mesh_snapshot *s)
{
    SNAPSHOT_EACH(s, SERVICE, service, svc)
    add_host(s, service_host(s->arena, svc, s->domain), svc, NULL, svc->o.meta.ns);
    SNAPSHOT_EACH(s, SERVICE_ENTRY, service_entry, entry)
    for (uint32_t i = 0; i < entry->hosts.n; i++)
        add_host(s, entry->hosts.list[i], NULL, entry, entry->o.meta.ns);
    SNAPSHOT_EACH(s, POD, pod, p)
    add_to(s, &s->pods_by_ns, p->o.meta.ns, (struct object *)&p->o);
    SNAPSHOT_EACH(s, ENDPOINT_SLICE, endpoint_slice, slice)
    add_to(s, &s->slices, ns_name(s->arena, slice->o.meta.ns, endpoint_slice_service(slice)),
           (struct object *)&slice->o);
}

/* Which namespace is the root, the ConfigMap itself says; where it is itself, only the control plane can be told. */
static const struct mesh_config *find_config(struct mesh_snapshot *s, struct diags *d,
                                             const struct mesh_config_place *p)
{
    struct mesh_config *c = mesh_config_default(s->arena);
    const struct object *cm = snapshot_get(s, KIND_CONFIG_MAP, p->ns, p->name);
    s->config_object = cm;
    if (cm && mesh_config_parse(s->arena, d, (const struct config_map *)(const void *)cm, &c) < 0)
        c = mesh_config_default(s->arena);
    return c;
}

struct mesh_snapshot *snapshot_new(struct arena *a, struct diags *d, struct object *const *objects, uint32_t n)
{
    static const struct mesh_config_place standard = {{"istio-system", 12}, {"istio", 5}};
    return snapshot_new_at(a, d, objects, n, &standard);
}

struct mesh_snapshot *snapshot_new_at(struct arena *a, struct diags *d, struct object *const *objects, uint32_t n,
                                      const struct mesh_config_place *place)
{
    struct mesh_snapshot *s = ARENA_NEW(a, struct mesh_snapshot);
    s->arena = a;
    s->domain = VIEW("cluster.local");
    map_init(&s->by_key, a);
    map_init(&s->hosts, a);
    map_init(&s->pods_by_ns, a);
    map_init(&s->slices, a);
    for (uint32_t i = 0; i < n; i++)
        map_put(&s->by_key, object_key_text(a, objects[i]->kind, objects[i]->meta.ns, objects[i]->meta.name),
                objects[i]);
    MAP_EACH (&s->by_key, it) {
        struct object *o = it->value;
        *ARENA_PUSH(a, s->by_kind[o->kind].list, s->by_kind[o->kind].n) = o;
    }
    for (int k = 0; k < MESH_KINDS; k++)
        if (s->by_kind[k].n)
            qsort(s->by_kind[k].list, s->by_kind[k].n, sizeof(struct object *), by_age);
    s->config = find_config(s, d, place);
    build_indexes(s);
    return s;
}

struct object *snapshot_get(const struct mesh_snapshot *s, enum mesh_kind kind, struct view ns, struct view name)
{
    char text[640];
    int n = snprintf(text, sizeof(text), "%d/%.*s/%.*s", (int)kind, VIEW_ARGS(ns), VIEW_ARGS(name));
    return n > 0 && (size_t)n < sizeof(text) ? map_get(&s->by_key, view_make(text, (size_t)n)) : NULL;
}

struct view mesh_fqdn(struct arena *a, struct view host, struct view ns, struct view domain)
{
    if (!host.n || view_find(host, '.') < host.n || view_is(host, "*") || is_ip(host))
        return host;
    return arena_printf(a, "%.*s.%.*s.svc.%.*s", VIEW_ARGS(host), VIEW_ARGS(ns), VIEW_ARGS(domain));
}

const struct mesh_host *snapshot_host(const struct mesh_snapshot *s, struct view fqdn)
{
    return map_get(&s->hosts, fqdn);
}

const struct mesh_host *snapshot_host_or_wildcard(const struct mesh_snapshot *s, struct view fqdn)
{
    const struct mesh_host *best = snapshot_host(s, fqdn);
    for (uint32_t i = 0; !best && i < s->n_wildcard_hosts; i++)
        if (host_matches(s->wildcard_hosts[i]->name, fqdn))
            best = s->wildcard_hosts[i];
    for (uint32_t i = 0; best && i < s->n_wildcard_hosts; i++)
        if (view_starts(best->name, VIEW("*")) && s->wildcard_hosts[i]->name.n > best->name.n &&
            host_matches(s->wildcard_hosts[i]->name, fqdn))
            best = s->wildcard_hosts[i];
    return best;
}

bool host_matches(struct view pattern, struct view host)
{
    if (view_is(pattern, "*") || view_ieq(pattern, host))
        return true;
    if (!view_starts(pattern, VIEW("*.")) || host.n < pattern.n)
        return false;
    struct view suffix = view_from(pattern, 1); /* with its dot: *.example.com does not cover example.com */
    return view_ieq(view_from(host, host.n - suffix.n), suffix);
}

void gateway_ref_resolve(struct view ref, struct view vs_ns, struct view *ret_ns, struct view *ret_name)
{
    size_t slash = view_find(ref, '/'), dot = view_find(ref, '.');
    if (slash < ref.n) {
        *ret_ns = view_is(view_head(ref, slash), ".") ? vs_ns : view_head(ref, slash);
        *ret_name = view_from(ref, slash + 1);
    } else if (dot < ref.n) { /* the old form: name.ns.svc.cluster.local */
        struct view rest = view_from(ref, dot + 1);
        *ret_name = view_head(ref, dot);
        *ret_ns = view_head(rest, view_find(rest, '.'));
    } else {
        *ret_ns = vs_ns;
        *ret_name = ref;
    }
}

bool export_visible(const struct strings *export_to, struct view obj_ns, struct view ns)
{
    if (!export_to->n)
        return true;
    for (uint32_t i = 0; i < export_to->n; i++) {
        struct view e = export_to->list[i];
        if (view_is(e, "*") || view_eq(e, ns) || (view_is(e, ".") && view_eq(obj_ns, ns)))
            return true;
    }
    return false;
}

const struct pod *snapshot_pod(const struct mesh_snapshot *s, struct view ns, const struct labels *selector,
                               uint32_t *i)
{
    const struct object_list *l = map_get(&s->pods_by_ns, ns);
    while (l && *i < l->n) {
        const struct object *o = l->list[(*i)++];
        if (labels_match(selector, &o->meta.labels))
            return (const struct pod *)(const void *)o;
    }
    return NULL;
}

const struct object_list *snapshot_slices(const struct mesh_snapshot *s, struct view ns, struct view service)
{
    char text[640];
    int n = snprintf(text, sizeof(text), "%.*s/%.*s", VIEW_ARGS(ns), VIEW_ARGS(service));
    return n > 0 && (size_t)n < sizeof(text) ? map_get(&s->slices, view_make(text, (size_t)n)) : NULL;
}
