// SPDX-License-Identifier: Apache-2.0
/* Which proxies an object concerns, and which of them have it: n of m, from plans and acknowledgements.
 *
 *   struct reach *r = reach_new();
 *   reach_begin(r, snapshot);
 *   i = reach_object(r, kind, ns, name, since);      // since: number of the first snapshot that has this version of it
 *   reach_count(r, server);                          // all proxies
 *   reach_result(r, i)->acked …
 *   reach_free(r);
 *
 * A VirtualService or DestinationRule concerns a proxy whose plan has a listener, route or cluster that came of it
 * (plan/origin.h); a ServiceEntry one that has a cluster for one of its hosts; a Gateway and a PeerAuthentication those that
 * they select. A proxy has it when it acknowledged everything of a plan of that snapshot or a later one and refused nothing
 * that came of it.
 *
 * Proxies of one namespace and one set of labels have the same outbound plan, so only one plan of each such group is walked,
 * and only when the snapshot is another one.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"
#include "mesh/snapshot.h"

struct reach;
struct xds_server;

struct reach_count {
    uint32_t acked, proxies;
    struct view waiting;          /* a proxy that does not have it yet; empty: none */
    struct view refused_by, nack; /* a proxy that refused it, and its words; empty: none */
};

struct reach *reach_new(void) __attribute__((returns_nonnull));
struct reach *reach_free(struct reach *r); /* NULL */
void reach_begin(struct reach *r, const struct mesh_snapshot *snapshot, uint64_t number);
/* The objects that are to be counted, in any order, the same for the same snapshot. */
uint32_t reach_object(struct reach *r, const struct object *o, uint64_t since);
void reach_count(struct reach *r, struct xds_server *server);
const struct reach_count *reach_result(const struct reach *r, uint32_t i); /* views: until the loop turns */
