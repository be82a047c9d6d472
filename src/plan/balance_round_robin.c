// SPDX-License-Identifier: Apache-2.0
/* Round robin: one after the other; with different weights, by deadlines in proportion (balance_edf.c). */
#include "plan/balance_impl.h"

#include "base/must.h"

struct turn {
    uint32_t next;
    struct edf *edf;
};

static double weight_of(const struct host_set *set, uint32_t host)
{
    return set->weights[host];
}

static void build(struct host_set *set, const struct lb_config *lb, struct rng *rng)
{
    (void)lb;
    struct turn *t = mem_alloc(sizeof(*t));
    t->next = (uint32_t)rng_below(rng, set->n);
    t->edf = set->weighted ? edf_new(set, rng) : NULL;
    set->policy_state = t;
}

static struct host *pick(struct host_set *set, const struct lb_config *lb, const struct pick *p, struct rng *rng,
                         uint32_t attempt)
{
    (void)lb, (void)p, (void)rng, (void)attempt;
    struct turn *t = set->policy_state;
    if (t->edf)
        return set->hosts[edf_next(t->edf, weight_of, set)];
    struct host *h = set->hosts[t->next];
    t->next = t->next + 1 == set->n ? 0 : t->next + 1;
    return h;
}

static void done(struct host_set *set)
{
    struct turn *t = set->policy_state;
    if (t)
        edf_free(t->edf);
    mem_free(t);
}

const struct balance_rules balance_round_robin = {build, pick, done};
