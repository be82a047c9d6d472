// SPDX-License-Identifier: Apache-2.0
/* WEFT0008: a VirtualService for sidecars in which every rule has a condition. A request that meets none gets 404: there
 * is no falling back to the Service.
 */
#include "mesh/analyze/common.h"

static bool can_miss(const struct http_route *r)
{
    for (uint32_t i = 0; i < r->n_match; i++) {
        const struct http_match *m = &r->match[i];
        bool any_uri = !m->uri.set || (m->uri.type == MATCH_PREFIX && view_is(m->uri.text, "/"));
        if (any_uri && !m->scheme.set && !m->method.set && !m->authority.set && !m->n_headers && !m->n_query_params &&
            !m->n_without_headers)
            return false;
    }
    return r->n_match > 0;
}

void check_no_default_rule(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    {
        uint32_t i = 0;
        while (i < vs->n_http && can_miss(&vs->http[i]))
            i++;
        if (!vs->n_http || i < vs->n_http || !virtual_service_in_mesh(vs))
            continue;
        struct diag *one = mesh_warn(d, DIAG_INFO, "WEFT0008", &vs->o, &vs->http[vs->n_http - 1].part.at);
        one->title =
            diag_text(d, "VirtualService `%.*s` has no rule for all other requests", VIEW_ARGS(vs->o.meta.name));
        one->label = VIEW("every rule has conditions");
        one->hint = VIEW("end with a rule without `match`");
        one->effect = VIEW("requests that no rule matches get 404 (flag NR); they do not reach the service");
    }
}
