// SPDX-License-Identifier: Apache-2.0
/* Ring hash (ketama), placed as Envoy places it: XXH64 with seed 0 over "<address>_<i>", a number of points in proportion
 * to the weight, the lightest host a whole number of them. So weft and Envoy send the same key to the same host.
 */
#include "plan/balance_impl.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/must.h"
#include "plan/defaults.h"

struct point {
    uint64_t hash;
    struct host *host;
};

struct ring {
    uint64_t n;
    struct point points[];
};

static int by_hash(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void build(struct host_set *set, const struct lb_config *lb, struct rng *rng)
{
    (void)rng;
    double total = 0, lightest = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        total += set->weights[i];
        lightest = i == 0 || set->weights[i] < lightest ? set->weights[i] : lightest;
    }
    lightest /= total;
    double ring_min = (double)(lb->ring_min ? lb->ring_min : DEFAULT_RING_MIN);
    double ring_max = (double)(lb->ring_max ? lb->ring_max : DEFAULT_RING_MAX);
    double scale = fmin(ceil(lightest * ring_min) / lightest, ring_max);
    uint64_t room = (uint64_t)ceil(scale) + set->n;
    struct ring *ring = mem_alloc(sizeof(*ring) + room * sizeof(ring->points[0]));
    struct buf key = {0};
    double current = 0, target = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        target += scale * (set->weights[i] / total);
        for (uint64_t k = 0; current < target && ring->n < room; k++, current++) {
            balance_key(&key, set->hosts[i], lb);
            buf_char(&key, '_');
            buf_u64(&key, k);
            struct view v = buf_read(&key);
            ring->points[ring->n++] = (struct point){XXH64(v.p, v.n, 0), set->hosts[i]};
        }
    }
    buf_done(&key);
    qsort(ring->points, ring->n, sizeof(ring->points[0]), by_hash);
    set->policy_state = ring;
}

static struct host *pick(struct host_set *set, const struct lb_config *lb, const struct pick *p, struct rng *rng,
                         uint32_t attempt)
{
    (void)lb;
    const struct ring *ring = set->policy_state;
    uint64_t hash = p->has_hash ? p->hash : rng_next(rng), low = 0, high = ring->n;
    while (low < high) { /* the first point at or behind the hash */
        uint64_t middle = (low + high) / 2;
        if (ring->points[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return ring->points[(low + attempt) % ring->n].host;
}

static void done(struct host_set *set)
{
    mem_free(set->policy_state);
}

const struct balance_rules balance_ring_hash = {build, pick, done};
