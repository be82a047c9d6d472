// SPDX-License-Identifier: Apache-2.0
/* Random: each host with the same chance; as in Envoy, weights do not count here. */
#include "plan/balance_impl.h"

static void build(struct host_set *set, const struct lb_config *lb, struct rng *rng)
{
    (void)set, (void)lb, (void)rng;
}

static struct host *pick(struct host_set *set, const struct lb_config *lb, const struct pick *p, struct rng *rng,
                         uint32_t attempt)
{
    (void)lb, (void)p, (void)attempt;
    return set->hosts[rng_below(rng, set->n)];
}

static void done(struct host_set *set)
{
    (void)set;
}

const struct balance_rules balance_random = {build, pick, done};
