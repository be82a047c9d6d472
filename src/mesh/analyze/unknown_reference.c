// SPDX-License-Identifier: Apache-2.0
/* IST0101: a VirtualService names a host, subset, port or gateway that does not exist. The rule is programmed as it is
 * written (its target may be applied next), so its requests get 503 NC; the warning says whose.
 */
#include <stdio.h>

#include "mesh/analyze/common.h"
#include "mesh/decode.h"

struct context {
    const struct mesh_snapshot *snap;
    struct diags *d;
    struct rule_index rules;
};

static struct view effect_of(struct diags *d, const struct route_place *at)
{
    if (at->mirror)
        return diag_text(d, "nothing is mirrored for rule %u; the requests themselves are served", at->rule);
    if (!at->http)
        return diag_text(d, "connections of rule %u are closed; other rules keep working", at->rule);
    if (at->share >= 100)
        return diag_text(d, "requests matching rule %u get 503 (flag NC); other rules keep working", at->rule);
    return diag_text(d, "%u %% of the requests matching rule %u get 503 (flag NC); the rest keep working", at->share,
                     at->rule);
}

static void no_host(struct context *x, const struct route_place *at, struct view fqdn)
{
    const struct virtual_service *vs = at->vs;
    struct diag *one = mesh_warn(x->d, DIAG_WARNING, "IST0101", &vs->o, &at->to->host_at);
    struct view near = nearest_host(x->snap, x->d->arena, at->to->host, vs->o.meta.ns);
    one->title = diag_text(x->d, "VirtualService `%.*s` %s to a host that does not exist", VIEW_ARGS(vs->o.meta.name),
                           at->mirror ? "mirrors" : "routes");
    one->label = diag_text(x->d, "no Service or ServiceEntry named `%.*s`", VIEW_ARGS(fqdn));
    if (near.n)
        one->hint = diag_text(x->d, "did you mean `%.*s`?", VIEW_ARGS(near));
    one->effect = effect_of(x->d, at);
}

static void no_port(struct context *x, const struct route_place *at, const struct mesh_host *host)
{
    const struct virtual_service *vs = at->vs;
    struct origin place = part_field(x->d->arena, &at->to->part, "port.number");
    struct diag *one = mesh_warn(x->d, DIAG_WARNING, "IST0101", &vs->o, &place);
    one->title =
        diag_text(x->d, "VirtualService `%.*s` routes to a port that does not exist", VIEW_ARGS(vs->o.meta.name));
    one->label = diag_text(x->d, "`%.*s` has no port %u", VIEW_ARGS(at->to->host), at->to->port);
    one->hint = diag_text(x->d, "it has %.*s", VIEW_ARGS(host_ports_text(x->d->arena, host)));
    one->effect = effect_of(x->d, at);
}

static void check_subset(struct context *x, const struct route_place *at, struct view fqdn)
{
    struct view *known = NULL;
    size_t n = 0;
    const struct destination_rule *dr;
    for (uint32_t i = 0; (dr = rule_index_next(&x->rules, fqdn, &i));) {
        if (destination_rule_subset(dr, at->to->subset))
            return;
        for (uint32_t j = 0; j < dr->n_subsets; j++)
            *ARENA_PUSH(x->d->arena, known, n) = dr->subsets[j].name;
    }
    struct origin place = part_field(x->d->arena, &at->to->part, "subset");
    struct diag *one = mesh_warn(x->d, DIAG_WARNING, "IST0101", &at->vs->o, &place);
    one->title =
        diag_text(x->d, "VirtualService `%.*s` routes to a subset that does not exist", VIEW_ARGS(at->vs->o.meta.name));
    one->label = diag_text(x->d, "no DestinationRule for `%.*s` has a subset `%.*s`", VIEW_ARGS(at->to->host),
                           VIEW_ARGS(at->to->subset));
    struct buf list = {0};
    for (size_t i = 0; i < n; i++)
        buf_printf(&list, "%s%.*s", i ? ", " : "", VIEW_ARGS(known[i]));
    one->hint = n ? diag_text(x->d, "there is %s", buf_cstr(&list))
                  : diag_text(x->d, "apply a DestinationRule for `%.*s` with this subset", VIEW_ARGS(at->to->host));
    one->effect = effect_of(x->d, at);
    buf_done(&list);
}

static void check_destination(const struct route_place *at, void *arg)
{
    struct context *x = arg;
    const struct destination *to = at->to;
    struct view fqdn = mesh_fqdn(x->d->arena, to->host, at->vs->o.meta.ns, x->snap->domain);
    const struct mesh_host *host = snapshot_host_or_wildcard(x->snap, fqdn);
    if (!host) {
        no_host(x, at, fqdn);
        return;
    }
    if (to->port && !host_has_port(host, to->port))
        no_port(x, at, host);
    if (to->subset.n)
        check_subset(x, at, fqdn);
}

static void check_gateways(struct context *x, const struct virtual_service *vs)
{
    for (uint32_t i = 0; i < vs->gateways.n; i++) {
        struct view ref = vs->gateways.list[i], ns, name;
        if (view_is(ref, "mesh"))
            continue;
        gateway_ref_resolve(ref, vs->o.meta.ns, &ns, &name);
        if (snapshot_get(x->snap, KIND_GATEWAY, ns, name))
            continue;
        char path[32];
        snprintf(path, sizeof(path), "gateways.%u", i);
        struct origin place = part_field(x->d->arena, &vs->spec, path);
        struct diag *one = mesh_warn(x->d, DIAG_WARNING, "IST0101", &vs->o, &place);
        struct view *known = NULL;
        size_t n = 0;
        SNAPSHOT_EACH(x->snap, GATEWAY, gateway, g)
        *ARENA_PUSH(x->d->arena, known, n) =
            view_eq(g->o.meta.ns, vs->o.meta.ns)
                ? g->o.meta.name
                : diag_text(x->d, "%.*s/%.*s", VIEW_ARGS(g->o.meta.ns), VIEW_ARGS(g->o.meta.name));
        struct view near = diag_nearest(ref, known, n);
        one->title =
            diag_text(x->d, "VirtualService `%.*s` is for a gateway that does not exist", VIEW_ARGS(vs->o.meta.name));
        one->label = diag_text(x->d, "no Gateway named `%.*s/%.*s`", VIEW_ARGS(ns), VIEW_ARGS(name));
        if (near.n)
            one->hint = diag_text(x->d, "did you mean `%.*s`?", VIEW_ARGS(near));
        one->effect = virtual_service_in_mesh(vs) ? VIEW("no gateway uses it; sidecars do")
                      : vs->gateways.n == 1       ? VIEW("nobody uses it, as if it did not exist")
                                                  : VIEW("only its other gateways use it");
    }
}

void check_unknown_reference(const struct mesh_snapshot *snap, struct diags *d)
{
    struct context x = {.snap = snap, .d = d};
    rule_index_build(&x.rules, snap, d->arena);
    SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs)
    {
        each_destination(vs, check_destination, &x);
        check_gateways(&x, vs);
    }
}
