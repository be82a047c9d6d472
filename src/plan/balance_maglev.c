// SPDX-License-Identifier: Apache-2.0
/* Maglev (Eisenbud et al., NSDI 2016), filled as Envoy fills it: hosts in the order of their keys, offset and skip from
 * XXH64 with seeds 0 and 1, a host with less weight takes part in fewer rounds.
 */
#include "plan/balance_impl.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "plan/defaults.h"

struct maglev {
    uint64_t n;
    uint32_t table[]; /* index into the set + 1; 0: free while it is filled */
};

struct entry {
    struct view key;
    uint32_t host;
    uint64_t offset, skip, next;
    double weight, target;
};

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return view_cmp(x->key, y->key);
}

static struct entry *entries(struct arena *a, const struct host_set *set, const struct lb_config *lb, uint64_t size)
{
    struct entry *list = ARENA_ARRAY(a, struct entry, set->n);
    struct buf key = {0};
    double total = 0;
    for (uint32_t i = 0; i < set->n; i++)
        total += set->weights[i];
    for (uint32_t i = 0; i < set->n; i++) {
        struct view v = arena_view(a, balance_key(&key, set->hosts[i], lb));
        list[i] = (struct entry){
            .key = v,
            .host = i + 1,
            .offset = XXH64(v.p, v.n, 0) % size,
            .skip = XXH64(v.p, v.n, 1) % (size - 1) + 1,
            .weight = set->weights[i] / total,
        };
    }
    buf_done(&key);
    qsort(list, set->n, sizeof(list[0]), by_key);
    return list;
}

static void build(struct host_set *set, const struct lb_config *lb, struct rng *rng)
{
    (void)rng;
    uint64_t size = lb->maglev_size > 1 ? lb->maglev_size : DEFAULT_MAGLEV_SIZE, filled = 0;
    struct maglev *m = mem_alloc(sizeof(*m) + size * sizeof(m->table[0]));
    struct arena a;
    arena_init(&a, 0);
    struct entry *list = entries(&a, set, lb, size);
    double heaviest = 0;
    for (uint32_t i = 0; i < set->n; i++)
        heaviest = list[i].weight > heaviest ? list[i].weight : heaviest;
    m->n = size;
    for (double round = 1; filled < size; round++)
        for (uint32_t i = 0; i < set->n && filled < size; i++) {
            struct entry *e = &list[i];
            if (round * e->weight < e->target)
                continue;
            e->target += heaviest;
            uint64_t at;
            do
                at = (e->offset + e->skip * e->next++) % size;
            while (m->table[at]);
            m->table[at] = e->host;
            filled++;
        }
    arena_done(&a);
    set->policy_state = m;
}

static struct host *pick(struct host_set *set, const struct lb_config *lb, const struct pick *p, struct rng *rng,
                         uint32_t attempt)
{
    (void)lb;
    const struct maglev *m = set->policy_state;
    uint64_t hash = p->has_hash ? p->hash : rng_next(rng);
    if (attempt > 0) /* another host for the next attempt, the same one every time */
        hash ^= ~UINT64_C(0) - attempt + 1;
    return set->hosts[m->table[hash % m->n] - 1];
}

static void done(struct host_set *set)
{
    mem_free(set->policy_state);
}

const struct balance_rules balance_maglev = {build, pick, done};
