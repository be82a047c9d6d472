// SPDX-License-Identifier: Apache-2.0
/* WEFT0007: two DestinationRules for one host in one namespace. They are merged (subsets of both, the older one's policy
 * and the older one's subset where both have it), which is rarely what the second author thinks.
 */
#include "mesh/analyze/common.h"

void check_merged_rules(const struct mesh_snapshot *snap, struct diags *d)
{
    struct map first;
    map_init(&first, d->arena);
    SNAPSHOT_EACH(snap, DESTINATION_RULE, destination_rule, dr)
    {
        if (dr->workload_selector.n)
            continue;
        struct view host = mesh_fqdn(d->arena, dr->host, dr->o.meta.ns, snap->domain);
        struct view key = arena_printf(d->arena, "%.*s %.*s", VIEW_ARGS(dr->o.meta.ns), VIEW_ARGS(host));
        const struct destination_rule *older = map_get(&first, key);
        if (!older) {
            map_put(&first, key, (void *)dr);
            continue;
        }
        struct diag *one = mesh_warn(d, DIAG_INFO, "WEFT0007", &dr->o, &dr->host_at);
        one->title = diag_text(d, "DestinationRules `%.*s` and `%.*s` are for the same host",
                               VIEW_ARGS(older->o.meta.name), VIEW_ARGS(dr->o.meta.name));
        one->label = diag_text(d, "`%.*s` is older", VIEW_ARGS(older->o.meta.name));
        one->effect = older->policy && dr->policy
                          ? VIEW("they are merged; this one's trafficPolicy is not used")
                          : VIEW("they are merged; where both name a subset, the older one's is used");
        one->hint = VIEW("write one DestinationRule");
    }
}
