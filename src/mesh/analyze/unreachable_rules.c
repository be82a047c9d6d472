// SPDX-License-Identifier: Apache-2.0
/* IST0130: http rules behind one that matches every request. First match wins, so they never run. */
#include "mesh/analyze/common.h"

static bool matches_all(const struct http_match *m)
{
    bool any_uri = !m->uri.set || (m->uri.type == MATCH_PREFIX && view_is(m->uri.text, "/"));
    return any_uri && !m->scheme.set && !m->method.set && !m->authority.set && !m->n_headers && !m->n_query_params &&
           !m->n_without_headers && !m->port && !m->source_labels.n && !m->gateways.n && !m->source_ns.n;
}

static bool takes_all(const struct http_route *r)
{
    for (uint32_t i = 0; i < r->n_match; i++)
        if (matches_all(&r->match[i]))
            return true;
    return r->n_match == 0;
}

void check_unreachable_rules(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    {
        uint32_t all = 0;
        while (all < vs->n_http && !takes_all(&vs->http[all]))
            all++;
        for (uint32_t i = all + 1; i < vs->n_http; i++) {
            struct diag *one = mesh_warn(d, DIAG_WARNING, "IST0130", &vs->o, &vs->http[i].part.at);
            one->title =
                diag_text(d, "VirtualService `%.*s`: rule %u can never match", VIEW_ARGS(vs->o.meta.name), i + 1);
            one->label = diag_text(d, "rule %u matches everything (line %u)", all + 1, vs->http[all].part.at.line);
            one->hint = diag_text(d, "move it before rule %u", all + 1);
            one->effect = VIEW("no request gets here");
        }
    }
}
