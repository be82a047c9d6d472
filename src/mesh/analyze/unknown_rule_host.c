// SPDX-License-Identifier: Apache-2.0
/* IST0174: a DestinationRule for a host that is neither a Service nor a ServiceEntry. */
#include "mesh/analyze/common.h"

static bool covers_any(const struct mesh_snapshot *snap, struct view pattern)
{
    MAP_EACH (&snap->hosts, it)
        if (host_matches(pattern, it->key))
            return true;
    return false;
}

void check_unknown_rule_host(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, DESTINATION_RULE, destination_rule, dr)
    {
        struct view host = mesh_fqdn(d->arena, dr->host, dr->o.meta.ns, snap->domain);
        bool known =
            view_starts(host, VIEW("*")) ? covers_any(snap, host) : snapshot_host_or_wildcard(snap, host) != NULL;
        if (known)
            continue;
        struct diag *one = mesh_warn(d, DIAG_WARNING, "IST0174", &dr->o, &dr->host_at);
        struct view near = nearest_host(snap, d->arena, dr->host, dr->o.meta.ns);
        one->title =
            diag_text(d, "DestinationRule `%.*s` is for a host that does not exist", VIEW_ARGS(dr->o.meta.name));
        one->label = diag_text(d, "no Service or ServiceEntry named `%.*s`", VIEW_ARGS(host));
        if (near.n)
            one->hint = diag_text(d, "did you mean `%.*s`?", VIEW_ARGS(near));
        one->effect = VIEW("the rule has no effect");
    }
}
