// SPDX-License-Identifier: Apache-2.0
/* Endpoints of one cluster, grouped by locality and priority: what EDS delivers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/address.h"
#include "plan/resource.h"

enum endpoint_health {
    ENDPOINT_HEALTHY,
    ENDPOINT_UNHEALTHY,
    ENDPOINT_DRAINING,
};

struct endpoint {
    struct plan_addr address;
    struct view hostname; /* for auto_host_rewrite and hash_hostname; mostly empty */
    enum endpoint_health health;
    uint32_t weight;      /* ≥ 1 */
    struct view tls_mode; /* istio, or empty */
    /* Istio's metadata string: workload;namespace;canonical name;canonical revision;cluster id */
    struct view workload;
};

struct locality {
    struct view region, zone, subzone;
    uint32_t priority; /* 0 first */
    uint32_t weight;   /* sum of its endpoints' unless distributed; ≥ 1 */
    struct endpoint *endpoints;
    uint32_t n_endpoints;
};

struct endpoint_set {
    struct resource res; /* the cluster's name */
    struct locality *localities;
    uint32_t n_localities;
};

uint32_t endpoint_set_size(const struct endpoint_set *s);
