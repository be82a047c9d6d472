// SPDX-License-Identifier: Apache-2.0
/* Who a proxy says it is: xDS Node with Istio's id and metadata.
 *
 *   id   sidecar~10.1.0.4~reviews-v1-5d.default~default.svc.cluster.local      (type~ip~pod.ns~dns domain)
 *
 * Metadata keys are Istio's (LABELS, NAMESPACE, SERVICE_ACCOUNT, WORKLOAD_NAME, CLUSTER_ID, ISTIO_VERSION, INTERCEPTION_MODE
 * …); those that weft-control reads have a field, the rest is not kept. Nothing here is proof of anything: control/
 * compares the namespace with the peer's token or certificate.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct xds_label {
    struct view name, value;
};

struct xds_node {
    struct view type; /* sidecar, router, waypoint, ztunnel */
    struct view ip;   /* the first of them when there are several */
    struct view pod, ns;
    struct view domain; /* default.svc.cluster.local */

    struct view cluster;         /* Node.cluster: reviews.default */
    struct view service_account; /* SERVICE_ACCOUNT */
    struct view workload_name;   /* WORKLOAD_NAME */
    struct view owner;           /* OWNER */
    struct view cluster_id;      /* CLUSTER_ID */
    struct view mesh_id;         /* MESH_ID */
    struct view network;         /* NETWORK */
    struct view node_name;       /* NODE_NAME */
    struct view version;         /* ISTIO_VERSION: what we are compatible with */
    struct view revision;        /* ISTIO_REVISION */
    struct view interception;    /* INTERCEPTION_MODE: REDIRECT, TPROXY, NONE */
    struct view build;           /* user_agent_version */
    struct view ips;             /* INSTANCE_IPS, comma separated */
    struct xds_label *labels;    /* LABELS */
    uint32_t n_labels;
    struct view region, zone, subzone;
};

/* Parses id into type, ip, pod, ns and domain (views into it). -EINVAL: not of Istio's form. */
int xds_node_parse_id(struct view id, struct xds_node *ret_node) must_check;
void xds_node_print_id(struct buf *out, const struct xds_node *n);
struct view xds_node_label(const struct xds_node *n, struct view name); /* empty: none */
struct xds_node xds_node_copy(struct arena *a, const struct xds_node *n);
