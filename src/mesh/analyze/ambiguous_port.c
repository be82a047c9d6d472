// SPDX-License-Identifier: Apache-2.0
/* IST0112: a destination with several ports and none named. Istio then takes the port that the caller used, which
 * exists only by luck.
 */
#include "mesh/analyze/common.h"

struct context {
    const struct mesh_snapshot *snap;
    struct diags *d;
};

static void check_destination(const struct route_place *at, void *arg)
{
    struct context *x = arg;
    struct view fqdn = mesh_fqdn(x->d->arena, at->to->host, at->vs->o.meta.ns, x->snap->domain);
    const struct mesh_host *host = snapshot_host_or_wildcard(x->snap, fqdn);
    if (at->to->port || !host || host_port_count(host) < 2)
        return;
    /* The host that the rule is for: the caller's port is a port of it. */
    for (uint32_t i = 0; i < at->vs->hosts.n; i++)
        if (view_eq(mesh_fqdn(x->d->arena, at->vs->hosts.list[i], at->vs->o.meta.ns, x->snap->domain), fqdn))
            return;
    struct diag *one = mesh_warn(x->d, DIAG_WARNING, "IST0112", &at->vs->o, &at->to->host_at);
    one->title = diag_text(x->d, "VirtualService `%.*s` does not say which port of `%.*s` is meant",
                           VIEW_ARGS(at->vs->o.meta.name), VIEW_ARGS(at->to->host));
    one->label = diag_text(x->d, "it has the ports %.*s", VIEW_ARGS(host_ports_text(x->d->arena, host)));
    one->hint = VIEW("add `port: {number: …}` to the destination");
    one->effect = VIEW("requests go to the port that the caller used; when it is none of these they get 503 (flag NC)");
}

void check_ambiguous_port(const struct mesh_snapshot *snap, struct diags *d)
{
    struct context x = {snap, d};
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    each_destination(vs, check_destination, &x);
}
