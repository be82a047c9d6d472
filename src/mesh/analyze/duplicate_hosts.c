// SPDX-License-Identifier: Apache-2.0
/* IST0109: several VirtualServices for one host. Sidecars use the oldest and nothing of the others; at a gateway their
 * rules are joined, oldest first. The later object gets the message, which names the winner.
 */
#include "mesh/analyze/common.h"
#include "mesh/decode.h"

#include <stdio.h>

/* The gateways that two objects share; empty: none. */
static struct view shared_gateway(const struct virtual_service *a, const struct virtual_service *b)
{
    if (virtual_service_in_mesh(a) && virtual_service_in_mesh(b))
        return VIEW("mesh");
    for (uint32_t i = 0; i < a->gateways.n; i++)
        for (uint32_t j = 0; j < b->gateways.n; j++) {
            struct view ns_a, ns_b, name_a, name_b;
            gateway_ref_resolve(a->gateways.list[i], a->o.meta.ns, &ns_a, &name_a);
            gateway_ref_resolve(b->gateways.list[j], b->o.meta.ns, &ns_b, &name_b);
            if (!view_is(a->gateways.list[i], "mesh") && view_eq(ns_a, ns_b) && view_eq(name_a, name_b))
                return a->gateways.list[i];
        }
    return VIEW_NONE;
}

static void tell(struct diags *d, const struct virtual_service *winner, const struct virtual_service *vs, uint32_t host,
                 struct view gateway)
{
    char path[32];
    snprintf(path, sizeof(path), "hosts.%u", host);
    bool mesh = view_is(gateway, "mesh");
    struct origin place = part_field(d->arena, &vs->spec, path);
    struct diag *one = mesh_warn(d, mesh ? DIAG_WARNING : DIAG_INFO, "IST0109", &vs->o, &place);
    const struct origin *first = &winner->o.at;
    struct view where = first->file.n ? diag_text(d, " (%.*s:%u)", VIEW_ARGS(first->file), first->line) : VIEW_NONE;
    one->title = diag_text(d, "VirtualService `%.*s` is for a host that `%.*s/%.*s` already routes",
                           VIEW_ARGS(vs->o.meta.name), VIEW_ARGS(winner->o.meta.ns), VIEW_ARGS(winner->o.meta.name));
    one->label = diag_text(d, "`%.*s/%.*s`%.*s is older", VIEW_ARGS(winner->o.meta.ns), VIEW_ARGS(winner->o.meta.name),
                           VIEW_ARGS(where));
    one->effect = mesh ? diag_text(d, "sidecars use none of its rules for `%.*s`", VIEW_ARGS(vs->hosts.list[host]))
                       : diag_text(d, "its rules come behind the other's at gateway `%.*s`", VIEW_ARGS(gateway));
    one->hint = mesh ? VIEW("merge the rules into one VirtualService") : VIEW_NONE;
}

void check_duplicate_hosts(const struct mesh_snapshot *snap, struct diags *d)
{
    struct map first; /* host → struct object_list of the VirtualServices that have it */
    map_init(&first, d->arena);
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    for (uint32_t h = 0; h < vs->hosts.n; h++) {
        struct view host = mesh_fqdn(d->arena, vs->hosts.list[h], vs->o.meta.ns, snap->domain);
        struct object_list *l = map_get(&first, host);
        if (!l) {
            l = ARENA_NEW(d->arena, struct object_list);
            map_put(&first, host, l);
        }
        for (uint32_t i = 0; i < l->n; i++) {
            const struct virtual_service *other = (const void *)l->list[i];
            struct view gateway = shared_gateway(other, vs);
            if (gateway.n &&
                (!view_is(gateway, "mesh") || export_visible(&other->export_to, other->o.meta.ns, vs->o.meta.ns))) {
                tell(d, other, vs, h, gateway);
                break;
            }
        }
        *ARENA_PUSH(d->arena, l->list, l->n) = (struct object *)&vs->o;
    }
}
