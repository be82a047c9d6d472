// SPDX-License-Identifier: Apache-2.0
/* ClusterLoadAssignment ⇄ struct endpoint_set. What Istio keeps beside an endpoint: filter_metadata
 * envoy.transport_socket_match.tlsMode (which transport of the cluster fits) and istio.workload (who it is, for metrics).
 */
#include "xds/convert.h"

static const struct pb_enum healths[] = {
    {ENDPOINT_HEALTHY, CORE__HEALTH_STATUS__HEALTHY},     {ENDPOINT_HEALTHY, CORE__HEALTH_STATUS__UNKNOWN},
    {ENDPOINT_UNHEALTHY, CORE__HEALTH_STATUS__UNHEALTHY}, {ENDPOINT_UNHEALTHY, CORE__HEALTH_STATUS__TIMEOUT},
    {ENDPOINT_DRAINING, CORE__HEALTH_STATUS__DRAINING},
};
#define N_HEALTHS (sizeof(healths) / sizeof(healths[0]))

static Endpoint__LbEndpoint *endpoint(struct arena *a, const struct endpoint *e)
{
    Endpoint__LbEndpoint *m = PB_NEW(a, Endpoint__LbEndpoint, endpoint__lb_endpoint__init);
    struct pb_metadata meta = {.arena = a};

    m->host_identifier_case = ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    m->endpoint = PB_NEW(a, Endpoint__Endpoint, endpoint__endpoint__init);
    m->endpoint->address = pb_address(a, &e->address);
    m->endpoint->hostname = pb_str(a, e->hostname);
    if (e->health != ENDPOINT_HEALTHY)
        m->health_status = pb_theirs(healths, N_HEALTHS, e->health);
    if (e->weight != 1)
        m->load_balancing_weight = pb_u32(a, e->weight);
    if (e->tls_mode.n)
        pb_put_str(a, pb_metadata_put(&meta, "envoy.transport_socket_match"), "tlsMode", e->tls_mode);
    if (e->workload.n)
        pb_put_str(a, pb_metadata_put(&meta, "istio"), "workload", e->workload);
    m->metadata = meta.m;
    return m;
}

Endpoint__ClusterLoadAssignment *xds_endpoints(struct arena *a, const struct endpoint_set *s)
{
    Endpoint__ClusterLoadAssignment *m =
        PB_NEW(a, Endpoint__ClusterLoadAssignment, endpoint__cluster_load_assignment__init);

    m->cluster_name = pb_str(a, s->res.name);
    for (uint32_t i = 0; i < s->n_localities; i++) {
        const struct locality *l = &s->localities[i];
        Endpoint__LocalityLbEndpoints *g =
            PB_NEW(a, Endpoint__LocalityLbEndpoints, endpoint__locality_lb_endpoints__init);

        if (l->region.n || l->zone.n || l->subzone.n) {
            g->locality = PB_NEW(a, Core__Locality, core__locality__init);
            g->locality->region = pb_str(a, l->region);
            g->locality->zone = pb_str(a, l->zone);
            g->locality->sub_zone = pb_str(a, l->subzone);
        }
        g->priority = l->priority;
        g->load_balancing_weight = pb_u32(a, l->weight);
        g->n_lb_endpoints = l->n_endpoints;
        g->lb_endpoints = l->n_endpoints ? ARENA_ARRAY(a, Endpoint__LbEndpoint *, l->n_endpoints) : NULL;
        for (uint32_t k = 0; k < l->n_endpoints; k++)
            g->lb_endpoints[k] = endpoint(a, &l->endpoints[k]);
        PB_PUSH(a, m, endpoints, g);
    }
    return m;
}

static void get_endpoint(struct xds_codec *d, const Endpoint__LbEndpoint *m, struct endpoint *e)
{
    if (m->host_identifier_case != ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT) {
        pb_refuse(d, "has no endpoint");
        return;
    }
    XDS_IN(d, "endpoint.address") e->address = pb_get_address(d, m->endpoint->address);
    e->hostname = pb_text(d, m->endpoint->hostname);
    XDS_IN(d, "health_status")
    e->health = pb_ours(d, healths, N_HEALTHS, m->health_status, &core__health_status__descriptor);
    e->weight = pb_get_u32(m->load_balancing_weight, 1);
    if (!e->weight)
        pb_refuse(d, "load_balancing_weight is 0");
    e->tls_mode =
        arena_view(d->out, pb_find_str(pb_metadata_get(m->metadata, "envoy.transport_socket_match"), "tlsMode"));
    e->workload = arena_view(d->out, pb_find_str(pb_metadata_get(m->metadata, "istio"), "workload"));
}

static void get_locality(struct xds_codec *d, const Endpoint__LocalityLbEndpoints *m, struct locality *l)
{
    uint64_t sum = 0;

    if (m->locality) {
        l->region = pb_text(d, m->locality->region);
        l->zone = pb_text(d, m->locality->zone);
        l->subzone = pb_text(d, m->locality->sub_zone);
    }
    l->priority = m->priority;
    if (l->priority > 128)
        pb_refuse(d, "priority is beyond 128");
    l->n_endpoints = (uint32_t)m->n_lb_endpoints;
    l->endpoints = l->n_endpoints ? ARENA_ARRAY(d->out, struct endpoint, l->n_endpoints) : NULL;
    for (uint32_t i = 0; i < l->n_endpoints; i++)
        XDS_AT(d, "lb_endpoints", i)
        {
            get_endpoint(d, m->lb_endpoints[i], &l->endpoints[i]);
            sum += l->endpoints[i].weight;
        }
    l->weight = pb_get_u32(m->load_balancing_weight, sum > UINT32_MAX ? UINT32_MAX : sum ? (uint32_t)sum : 1);
    if (!l->weight) /* Envoy: a locality without weight gets nothing */
        pb_refuse(d, "load_balancing_weight is 0");
}

void xds_get_endpoints(struct xds_codec *d, const Endpoint__ClusterLoadAssignment *m, struct endpoint_set *s)
{
    s->n_localities = (uint32_t)m->n_endpoints;
    s->localities = s->n_localities ? ARENA_ARRAY(d->out, struct locality, s->n_localities) : NULL;
    for (uint32_t i = 0; i < s->n_localities; i++)
        XDS_AT(d, "endpoints", i) get_locality(d, m->endpoints[i], &s->localities[i]);
}
