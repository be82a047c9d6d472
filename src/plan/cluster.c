// SPDX-License-Identifier: Apache-2.0
/* The few questions that a cluster and its endpoints answer themselves (cluster.h, endpoint.h). */
#include "plan/cluster.h"

const struct tls_client *cluster_transport_for(const struct cluster *c, struct view tls_mode)
{
    for (uint32_t i = 0; i < c->n_transports; i++)
        if (!c->transports[i].tls_mode.n || view_eq(c->transports[i].tls_mode, tls_mode))
            return c->transports[i].tls;
    return NULL;
}

uint32_t endpoint_set_size(const struct endpoint_set *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_localities; i++)
        n += s->localities[i].n_endpoints;
    return n;
}
