// SPDX-License-Identifier: Apache-2.0
/* The resource types of xDS (types.def) and the paths of the aggregated service.
 *
 * A type is named by the plan's resource kind; xds_types lists them in push order.
 */
#pragma once

#include <stdbool.h>

#include "base/view.h"
#include "plan/resource.h"

#define XDS_DELTA_PATH "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
#define XDS_SOTW_PATH "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"

struct xds_type {
    enum resource_kind kind;
    const char *name; /* CDS */
    struct view url;
    bool wildcard;
};

extern const struct xds_type xds_types[RESOURCE_KINDS]; /* in push order */

const struct xds_type *xds_type_of(enum resource_kind kind) __attribute__((returns_nonnull));
const struct xds_type *xds_type_by_url(struct view url); /* NULL: not ours */
