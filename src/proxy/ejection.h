// SPDX-License-Identifier: Apache-2.0
/* Endpoints that outlier detection has set aside, beyond the worker that noticed. Each worker counts failures of its own
 * requests; who ejects an endpoint tells the control loop, which tells the other workers and remembers it for the pages
 * /clusters and /stats. So an endpoint that is bad for one connection is bad for all, as with Envoy, and no counter is
 * shared on the way of a request.
 *
 *   worker → WORKER_EJECTED (report) → ejections_add(…) → WORKER_EJECT (letter) → balancer_eject(…)
 *
 * Times are of the loops' clock, which all threads share. An ejection that others have made too is one. Not kept: when a
 * worker lets an endpoint back, as all do it by the same clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "plan/address.h"
#include "plan/cluster.h"
#include "plan/plan.h"

struct ejection {
    const struct cluster *cluster; /* in a letter: referenced */
    struct plan_addr address;      /* an IP address: names would not live long enough */
    uint64_t until;
    uint32_t times; /* how often in a row: the multiplier of the time */
};

struct ejections {
    struct list clusters;
};

void ejections_init(struct ejections *e);
void ejections_done(struct ejections *e);
void ejections_add(struct ejections *e, const struct ejection *one, uint64_t now);
void ejections_plan(struct ejections *e, const struct plan *plan); /* forgets clusters that are gone */
bool ejections_has(const struct ejections *e, const struct cluster *c, const struct plan_addr *address, uint64_t now);
void ejections_print(const struct ejections *e, struct buf *out, uint64_t now); /* lines of /stats */
