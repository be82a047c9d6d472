// SPDX-License-Identifier: Apache-2.0
/* Between the store and the runtime: Pod objects are started and ended as the store says, and what the runtime tells
 * about them becomes their status; Services and their endpoints become the node's rules and names.
 *
 *   kubelet_sync(k);       // after the store changed: start, end, update labels, services
 *   kubelet_collect(k);    // after the runtime woke us: statuses into the store
 */
#pragma once

#include "sandbox/cluster.h"
#include "sandbox/runtime.h"

struct kubelet;

struct kubelet *kubelet_new(struct cluster *cluster, struct runtime *rt);
struct kubelet *kubelet_free(struct kubelet *k);
void kubelet_sync(struct kubelet *k);
void kubelet_collect(struct kubelet *k);
size_t kubelet_running(const struct kubelet *k); /* pods whose processes are not all gone */

/* Services and endpoints of the store as the runtime wants them; all in `a` (service_table.c). */
struct runtime_services service_table(struct store *store, struct arena *a);
