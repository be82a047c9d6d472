// SPDX-License-Identifier: Apache-2.0
/* Circuit breakers: counters with a ceiling, one set for each cluster and worker. A worker sees only its own counters,
 * so its ceiling is the cluster's divided by the number of workers, at least 1.
 *
 *   if (!breaker_take(&state, BREAKER_REQUESTS)) → END_OVERFLOW (503, UO, x-envoy-overloaded)
 *   … breaker_give(&state, BREAKER_REQUESTS);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/cluster.h"

enum breaker {
    BREAKER_CONNECTIONS,
    BREAKER_PENDING,
    BREAKER_REQUESTS,
    BREAKER_RETRIES,
};
#define BREAKERS 4

struct breaker_state {
    uint32_t used[BREAKERS];
    uint32_t limit[BREAKERS];
    uint64_t overflows[BREAKERS];
};

/* Keeps the counters; to be called again when the cluster changes. */
void breaker_configure(struct breaker_state *s, const struct breaker_limits *limits, uint32_t workers);
bool breaker_take(struct breaker_state *s, enum breaker which); /* false: counted as an overflow, nothing taken */
void breaker_give(struct breaker_state *s, enum breaker which);
