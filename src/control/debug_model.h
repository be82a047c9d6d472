// SPDX-License-Identifier: Apache-2.0
/* Figures about the objects themselves, for /metrics: what Istio's pilot_… gauges say of a model, counted from a snapshot
 * when somebody asks.
 *
 *   struct model_figures f;
 *   model_count(&f, snapshot, xds_server_proxies(x));
 */
#pragma once

#include <stdint.h>

#include "base/list.h"
#include "mesh/snapshot.h"

struct model_figures {
    uint64_t endpoints_without_pod; /* a slice names a pod that does not exist */
    uint64_t endpoints_not_ready;   /* pods behind a Service that are not ready */
    uint64_t services_without;      /* with a selector, and no endpoint that is ready */
    uint64_t proxies_without;       /* connected sidecars that are behind no Service */
    uint64_t duplicate_hosts;       /* VirtualServices for the mesh that another one speaks for */
    uint64_t duplicate_subsets;     /* DestinationRules' subsets that another one has defined for the host */
};

/* proxies: list of struct xds_proxy.link, or NULL. */
void model_count(struct model_figures *ret, const struct mesh_snapshot *s, const struct list *proxies);
