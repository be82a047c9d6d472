// SPDX-License-Identifier: Apache-2.0
/* Outlier detection: endpoints that keep failing are set aside for a while, longer each time.
 *
 * The worker owns the state: one outlier_host inside each struct host, one outlier_state for each cluster. Ejection is
 * immediate on the n-th failure in a row; return is decided by outlier_sweep, called at `next_sweep`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/cluster.h"

enum outlier_event {
    OUTLIER_OK,      /* any answer below 500 */
    OUTLIER_5XX,     /* 500 and up, except: */
    OUTLIER_GATEWAY, /* 502, 503, 504 */
    OUTLIER_LOCAL,   /* connect failure, timeout, reset: no answer of the endpoint */
};

struct outlier_host {
    uint32_t row_5xx, row_gateway, row_local; /* failures in a row */
    uint32_t ejections;                       /* multiplies the ejection time; decays while healthy */
    uint64_t until;                           /* ejected until then; 0: not ejected */
};

struct outlier_state {
    uint32_t n_hosts, n_ejected;
    uint64_t next_sweep; /* 0: nothing to do */
    uint64_t ejected_total;
};

enum outlier_event outlier_event_of_status(uint16_t status);

/* true: this event ejected the host just now; the worker then calls balancer_refresh. */
bool outlier_record(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h,
                    enum outlier_event event, uint64_t now);

/* Another worker has ejected this host until then, for the n-th time in a row; true: it is ejected here too, just now. */
bool outlier_eject(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h, uint64_t until,
                   uint32_t times, uint64_t now);

/* true: the host's time is over and it is back. */
bool outlier_sweep_host(const struct outlier_config *c, struct outlier_state *s, struct outlier_host *h, uint64_t now);

static inline bool outlier_ejected(const struct outlier_host *h)
{
    return h->until != 0;
}
