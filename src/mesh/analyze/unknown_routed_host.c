// SPDX-License-Identifier: Apache-2.0
/* WEFT0009: a VirtualService for sidecars whose host is no Service and no ServiceEntry: usually a misspelt name, and then
 * nobody's requests meet its rules.
 */
#include "mesh/analyze/common.h"
#include "mesh/decode.h"

#include <stdio.h>

void check_unknown_routed_host(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    for (uint32_t i = 0; virtual_service_in_mesh(vs) && i < vs->hosts.n; i++) {
        struct view host = vs->hosts.list[i], full = mesh_fqdn(d->arena, host, vs->o.meta.ns, snap->domain);
        if (view_starts(host, VIEW("*")) || snapshot_host_or_wildcard(snap, full))
            continue;
        char path[32];
        snprintf(path, sizeof(path), "hosts.%u", i);
        struct origin place = part_field(d->arena, &vs->spec, path);
        struct diag *one = mesh_warn(d, DIAG_WARNING, "WEFT0009", &vs->o, &place);
        struct view near = nearest_host(snap, d->arena, host, vs->o.meta.ns);
        one->title =
            diag_text(d, "VirtualService `%.*s` is for a host that does not exist", VIEW_ARGS(vs->o.meta.name));
        one->label = diag_text(d, "no Service or ServiceEntry named `%.*s`", VIEW_ARGS(full));
        if (near.n)
            one->hint = diag_text(d, "did you mean `%.*s`?", VIEW_ARGS(near));
        one->effect = VIEW("its rules apply only to requests that name this host on port 80");
    }
}
