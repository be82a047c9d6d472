// SPDX-License-Identifier: Apache-2.0
/* See debug_model.h: one pass over each kind, with sets of names in an arena that goes at the end. */
#include "control/debug_model.h"

#include "base/map.h"
#include "xds/server.h"

/* Whether it was there before; it is from now on. The key's bytes must be the arena's or the snapshot's. */
static bool seen(struct map *set, struct view key)
{
    static char here;

    if (map_get(set, key))
        return true;
    map_put(set, key, &here);
    return false;
}

static bool is_ready(const struct slice_endpoint *e)
{
    return !e->ready.set || e->ready.value;
}

static void count_slices(struct model_figures *f, const struct mesh_snapshot *s, struct map *addresses)
{
    SNAPSHOT_EACH(s, ENDPOINT_SLICE, endpoint_slice, slice)
    {
        for (uint32_t i = 0; i < slice->n_endpoints; i++) {
            const struct slice_endpoint *e = &slice->endpoints[i];
            struct view ns = e->target.ns.n ? e->target.ns : slice->o.meta.ns;
            f->endpoints_not_ready += !is_ready(e);
            f->endpoints_without_pod +=
                view_is(e->target.kind, "Pod") && !snapshot_get(s, KIND_POD, ns, e->target.name);
            for (uint32_t k = 0; k < e->addresses.n; k++)
                seen(addresses, e->addresses.list[k]);
        }
    }
}

static bool has_ready(const struct mesh_snapshot *s, const struct service *svc)
{
    const struct object_list *slices = snapshot_slices(s, svc->o.meta.ns, svc->o.meta.name);

    for (uint32_t i = 0; slices && i < slices->n; i++) {
        const struct endpoint_slice *slice = (const struct endpoint_slice *)(void *)slices->list[i];
        for (uint32_t k = 0; k < slice->n_endpoints; k++)
            if (is_ready(&slice->endpoints[k]) || svc->publish_not_ready)
                return true;
    }
    return false;
}

static void count_rules(struct model_figures *f, const struct mesh_snapshot *s, struct arena *a)
{
    struct map hosts, subsets;

    map_init(&hosts, a);
    map_init(&subsets, a);
    SNAPSHOT_EACH(s, VIRTUAL_SERVICE, virtual_service, vs)
    {
        for (uint32_t i = 0; virtual_service_in_mesh(vs) && i < vs->hosts.n; i++)
            f->duplicate_hosts += seen(&hosts, mesh_fqdn(a, vs->hosts.list[i], vs->o.meta.ns, s->domain));
    }
    SNAPSHOT_EACH(s, DESTINATION_RULE, destination_rule, dr)
    {
        struct view host = mesh_fqdn(a, dr->host, dr->o.meta.ns, s->domain);
        for (uint32_t i = 0; i < dr->n_subsets; i++)
            f->duplicate_subsets += seen(&subsets, arena_printf(a, "%.*s/%.*s/%.*s", VIEW_ARGS(dr->o.meta.ns),
                                                                VIEW_ARGS(host), VIEW_ARGS(dr->subsets[i].name)));
    }
}

void model_count(struct model_figures *ret, const struct mesh_snapshot *s, const struct list *proxies)
{
    struct map addresses;
    struct arena a;

    *ret = (struct model_figures){0};
    if (!s)
        return;
    arena_init(&a, 4096);
    map_init(&addresses, &a);
    count_slices(ret, s, &addresses);
    SNAPSHOT_EACH(s, SERVICE, service, svc)
    {
        ret->services_without += svc->selector.n && !has_ready(s, svc);
    }
    count_rules(ret, s, &a);
    if (proxies)
        LIST_EACH ((struct list *)(uintptr_t)proxies, struct xds_proxy, link, p) {
            ret->proxies_without += view_is(p->node.type, "sidecar") && !map_get(&addresses, p->node.ip);
        }
    map_done(&addresses);
    arena_done(&a);
}
