// SPDX-License-Identifier: Apache-2.0
/* What the checks share: looking names up as a VirtualService means them, and naming what is near. */
#pragma once

#include "mesh/analyze.h"

#define CHECK(code, function, what) void check_##function(const struct mesh_snapshot *snap, struct diags *d);
#include "mesh/analyze/checks.def"
#undef CHECK

/* The DestinationRules of a host, whatever namespace they are in: for "does this subset exist at all". */
struct rule_index {
    const struct mesh_snapshot *snap;
    struct arena *arena;
    struct map by_host; /* FQDN → struct object_list of DestinationRules */
    struct object_list wildcards;
};
void rule_index_build(struct rule_index *x, const struct mesh_snapshot *snap, struct arena *a);
/* `i` as in snapshot_pod. Those with the exact host first. */
const struct destination_rule *rule_index_next(const struct rule_index *x, struct view fqdn, uint32_t *i);

/* The name nearest to a host as written: a short name of the namespace, or a FQDN. Empty: none is near. */
struct view nearest_host(const struct mesh_snapshot *snap, struct arena *a, struct view host, struct view ns);

bool host_has_port(const struct mesh_host *h, uint32_t port);
uint32_t host_port_count(const struct mesh_host *h);
struct view host_ports_text(struct arena *a, const struct mesh_host *h); /* "80, 9080" */

/* Calls fn for every destination of every route of a VirtualService; rule counts from 1 and names what it is part of
 * ("rule 2"); share is the percentage of the rule's requests (0: a mirror). */
struct route_place {
    const struct virtual_service *vs;
    const struct destination *to;
    uint32_t rule;
    unsigned share;
    bool mirror, http;
};
void each_destination(const struct virtual_service *vs, void (*fn)(const struct route_place *at, void *arg), void *arg);
