// SPDX-License-Identifier: Apache-2.0
/* Endpoints of a cluster: the instances of one port that carry the subset's labels, by locality.
 *
 * An endpoint says tlsMode istio when its pod has a sidecar and its port does not refuse mTLS: that is what automatic
 * mTLS goes by, endpoint by endpoint.
 */
#include "compile/scope.h"

static struct locality *locality_for(struct arena *a, struct endpoint_set *set, const struct instance *i)
{
    for (uint32_t k = 0; k < set->n_localities; k++) {
        struct locality *l = &set->localities[k];
        if (view_eq(l->region, i->region) && view_eq(l->zone, i->zone) && view_eq(l->subzone, i->subzone))
            return l;
    }
    struct locality *l = ARENA_PUSH(a, set->localities, set->n_localities);
    l->region = arena_view(a, i->region);
    l->zone = arena_view(a, i->zone);
    l->subzone = arena_view(a, i->subzone);
    return l;
}

void endpoints_fill(struct scope *s, struct arena *a, struct endpoint_set *set, const struct registered *r,
                    const struct reg_port *p, const struct labels *subset, bool mtls_allowed)
{
    uint32_t n;
    const struct instance *list = registry_instances(s->c, r, p, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (subset && !labels_match(subset, list[i].labels))
            continue;
        struct plan_addr address = plan_addr_of(list[i].address, (uint16_t)list[i].port);
        if (address.kind == ADDR_NAME)
            address.name = arena_view(a, address.name);
        struct locality *l = locality_for(a, set, &list[i]);
        struct endpoint *e = ARENA_PUSH(a, l->endpoints, l->n_endpoints);
        e->address = address;
        e->weight = list[i].weight;
        l->weight += e->weight;
        e->hostname = address.kind == ADDR_NAME ? address.name : VIEW_NONE;
        if (list[i].workload.n)
            e->workload = arena_printf(a, "%.*s;%.*s", VIEW_ARGS(list[i].workload), VIEW_ARGS(s->cluster_id));
        if (mtls_allowed && list[i].sidecar &&
            policy_mtls(s->c, list[i].ns, list[i].labels, list[i].port) != MTLS_DISABLE)
            e->tls_mode = VIEW("istio");
    }
}
