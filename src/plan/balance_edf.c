// SPDX-License-Identifier: Apache-2.0
/* The schedule for different weights: a heap of deadlines. A host with weight w is due every 1/w units of time, so picks
 * interleave instead of coming in runs. Envoy's EdfScheduler works the same way.
 */
#include "plan/balance_impl.h"

#include "base/must.h"

static bool earlier(const struct edf_entry *a, const struct edf_entry *b)
{
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->order < b->order);
}

static void sift_down(struct edf *e, uint32_t at)
{
    for (;;) {
        uint32_t best = at, left = at * 2 + 1;
        for (uint32_t child = left; child < left + 2 && child < e->n; child++)
            if (earlier(&e->heap[child], &e->heap[best]))
                best = child;
        if (best == at)
            return;
        struct edf_entry swap = e->heap[at];
        e->heap[at] = e->heap[best];
        e->heap[best] = swap;
        at = best;
    }
}

struct edf *edf_new(const struct host_set *set, struct rng *rng)
{
    struct edf *e = mem_alloc(sizeof(*e));
    e->heap = mem_alloc(sizeof(*e->heap) * (set->n ? set->n : 1));
    e->n = set->n;
    for (uint32_t i = 0; i < set->n; i++)
        e->heap[i] = (struct edf_entry){.deadline = 1.0 / set->weights[i], .order = e->next_order++, .host = i};
    for (uint32_t i = e->n / 2; i-- > 0;)
        sift_down(e, i);
    /* Workers must not all begin with the same host: skip a random number of turns. */
    for (uint64_t skip = set->n ? rng_below(rng, set->n) : 0; skip > 0; skip--) {
        struct edf_entry *first = &e->heap[0];
        e->now = first->deadline;
        first->deadline += 1.0 / set->weights[first->host];
        first->order = e->next_order++;
        sift_down(e, 0);
    }
    return e;
}

struct edf *edf_free(struct edf *e)
{
    if (e) {
        mem_free(e->heap);
        mem_free(e);
    }
    return NULL;
}

uint32_t edf_next(struct edf *e, double (*weight_of)(const struct host_set *set, uint32_t host),
                  const struct host_set *set)
{
    struct edf_entry *first = &e->heap[0];
    uint32_t host = first->host;
    e->now = first->deadline;
    first->deadline = e->now + 1.0 / weight_of(set, host);
    first->order = e->next_order++;
    sift_down(e, 0);
    return host;
}
