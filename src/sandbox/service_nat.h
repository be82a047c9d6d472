// SPDX-License-Identifier: Apache-2.0
/* ClusterIPs, as kube-proxy's nftables mode does them: destinations are rewritten to a ready endpoint at random, in the
 * node's namespace, for packets of pods and of the node itself.
 *
 *   service_nat_rules(&table, &config, &text);      // pure: input for `nft -f -`, one transaction
 *   service_nat_set(nat, &table);                   // applied soon, when it differs from what the kernel has
 *
 * A Service without a ready endpoint, or a port that it does not have, is refused (ICMP port unreachable: connection
 * refused at once instead of a time-out). A pod that reaches itself through its Service gets the node as source.
 * sessionAffinity ClientIP chooses by a hash of the source; it needs no state and does not expire.
 */
#pragma once

#include "base/buf.h"
#include "net/task.h"
#include "sandbox/runtime.h"

struct service_nat;

struct service_nat_config {
    uint32_t service_cidr, dns_ip, node_ip; /* host byte order */
};

void service_nat_rules(const struct runtime_services *table, const struct service_nat_config *config, struct buf *out);

struct service_nat *service_nat_new(struct loop *loop, const struct service_nat_config *config);
struct service_nat *service_nat_free(struct service_nat *n);
void service_nat_set(struct service_nat *n, const struct runtime_services *table);
bool service_nat_settled(const struct service_nat *n);
