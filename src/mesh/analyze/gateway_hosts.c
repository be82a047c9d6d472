// SPDX-License-Identifier: Apache-2.0
/* IST0132: a VirtualService is for a Gateway that serves none of its hosts. */
#include "mesh/analyze/common.h"
#include "mesh/decode.h"

#include <stdio.h>

static bool serves(const struct gateway *g, const struct virtual_service *vs, struct view host)
{
    for (uint32_t s = 0; s < g->n_servers; s++)
        for (uint32_t h = 0; h < g->servers[s].hosts.n; h++)
            if (gateway_host_matches(g->servers[s].hosts.list[h], g->o.meta.ns, vs->o.meta.ns, host))
                return true;
    return false;
}

static void check_gateway(struct diags *d, const struct mesh_snapshot *snap, const struct virtual_service *vs,
                          const struct gateway *g)
{
    for (uint32_t i = 0; i < vs->hosts.n; i++) {
        struct view host = vs->hosts.list[i], full = mesh_fqdn(d->arena, host, vs->o.meta.ns, snap->domain);
        if (serves(g, vs, host) || serves(g, vs, full))
            continue;
        char path[32];
        snprintf(path, sizeof(path), "hosts.%u", i);
        struct origin place = part_field(d->arena, &vs->spec, path);
        struct diag *one = mesh_warn(d, DIAG_WARNING, "IST0132", &vs->o, &place);
        one->title = diag_text(d, "VirtualService `%.*s` is for a host that Gateway `%.*s` does not serve",
                               VIEW_ARGS(vs->o.meta.name), VIEW_ARGS(g->o.meta.name));
        one->label =
            diag_text(d, "no server of `%.*s/%.*s` has it", VIEW_ARGS(g->o.meta.ns), VIEW_ARGS(g->o.meta.name));
        one->hint = diag_text(d, "add `%.*s` to the hosts of a server of the Gateway", VIEW_ARGS(host));
        one->effect = VIEW("the gateway answers requests for it with 404 (flag NR)");
    }
}

void check_gateway_hosts(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    for (uint32_t i = 0; i < vs->gateways.n; i++) {
        struct view ns, name;
        if (view_is(vs->gateways.list[i], "mesh"))
            continue;
        gateway_ref_resolve(vs->gateways.list[i], vs->o.meta.ns, &ns, &name);
        const struct gateway *g = (const void *)snapshot_get(snap, KIND_GATEWAY, ns, name);
        if (g && !(virtual_service_in_mesh(vs) && vs->gateways.n > 1))
            check_gateway(d, snap, vs, g);
    }
}
