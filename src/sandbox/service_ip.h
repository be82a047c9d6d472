// SPDX-License-Identifier: Apache-2.0
/* ClusterIPs: one address for each Service that is neither headless nor an ExternalName, from the service network.
 * The same Service gets the same address in every sandbox when it is free (a hash of its name decides where the search
 * begins), so that logs of two runs can be compared.
 */
#pragma once

#include "sandbox/cluster.h"

/* Fills spec.clusterIP of a Service's tree: kept from `old` when it had one, else the one asked for, else a new one.
 * -EINVAL (the one asked for is outside the network or another Service's) or -ENOSPC, with *ret_why. */
int service_ip_assign(struct cluster *c, struct arena *a, struct node *tree, const struct record *old,
                      struct view *ret_why) must_check;
