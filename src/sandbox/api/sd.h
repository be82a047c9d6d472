// SPDX-License-Identifier: Apache-2.0
/* HTTP service discovery for Prometheus: one target for each declared port of each container, with the labels that
 * Prometheus' own Kubernetes discovery gives (`__meta_kubernetes_pod_*`), so that relabelling rules written for a
 * cluster work unchanged: the stock ones of Istio keep `__meta_kubernetes_pod_container_port_name` `.*-envoy-prom`.
 */
#pragma once

#include "base/buf.h"
#include "sandbox/store.h"

void sd_print(const struct store *store, struct buf *out); /* a JSON array of target groups */
