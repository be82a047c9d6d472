// SPDX-License-Identifier: Apache-2.0
/* Circuit breakers (breaker.h): four counters with ceilings. */
#include "plan/breaker.h"

#include "base/must.h"

static uint32_t share(uint32_t limit, uint32_t workers)
{
    if (limit == UINT32_MAX || workers <= 1)
        return limit;
    uint32_t part = limit / workers;
    return part == 0 && limit > 0 ? 1 : part;
}

void breaker_configure(struct breaker_state *s, const struct breaker_limits *limits, uint32_t workers)
{
    s->limit[BREAKER_CONNECTIONS] = share(limits->connections, workers);
    s->limit[BREAKER_PENDING] = share(limits->pending, workers);
    s->limit[BREAKER_REQUESTS] = share(limits->requests, workers);
    s->limit[BREAKER_RETRIES] = share(limits->retries, workers);
}

bool breaker_take(struct breaker_state *s, enum breaker which)
{
    if (s->used[which] >= s->limit[which]) {
        s->overflows[which]++;
        return false;
    }
    s->used[which]++;
    return true;
}

void breaker_give(struct breaker_state *s, enum breaker which)
{
    if (odd(s->used[which] > 0))
        s->used[which]--;
}
