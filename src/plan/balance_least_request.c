// SPDX-License-Identifier: Apache-2.0
/* Least request, Istio's default. Equal weights: the power of two choices, of `choices` random hosts the one with the
 * fewest requests in flight. Different weights: a schedule by weight ÷ (requests + 1), so that a loaded host comes later.
 */
#include "plan/balance_impl.h"

#include "base/must.h"
#include "plan/defaults.h"

static double weight_of(const struct host_set *set, uint32_t host)
{
    return set->weights[host] / (set->hosts[host]->active + 1.0);
}

static void build(struct host_set *set, const struct lb_config *lb, struct rng *rng)
{
    (void)lb;
    set->policy_state = set->weighted ? edf_new(set, rng) : NULL;
}

static struct host *pick(struct host_set *set, const struct lb_config *lb, const struct pick *p, struct rng *rng,
                         uint32_t attempt)
{
    (void)p, (void)attempt;
    if (set->policy_state)
        return set->hosts[edf_next(set->policy_state, weight_of, set)];
    struct host *best = NULL;
    uint32_t choices = lb->choices ? lb->choices : (uint32_t)DEFAULT_LB_CHOICES;
    for (uint32_t i = 0; i < choices; i++) {
        struct host *h = set->hosts[rng_below(rng, set->n)];
        if (!best || h->active < best->active)
            best = h;
    }
    return best;
}

static void done(struct host_set *set)
{
    edf_free(set->policy_state);
}

const struct balance_rules balance_least_request = {build, pick, done};
