// SPDX-License-Identifier: Apache-2.0
/* The balancer of a cluster in one worker (balance.h): which hosts there are, which of them may be picked, and in which
 * group; the policy then picks within a group.
 *
 * Groups: one for each priority, or one for each locality of a priority when localities are weighted. They are rebuilt
 * when endpoints change, a host is ejected or returns, and once a second while hosts warm up; a pick only reads.
 */
#include "plan/balance.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/must.h"
#include "plan/balance_impl.h"

/* Share of health at which a priority or locality counts as whole: Envoy's overprovisioning factor. */
#define OVERPROVISION 1.4

struct group {
    struct host_set set;
    uint32_t priority;
    uint32_t n_all, n_healthy;
    const struct locality *locality; /* when localities are weighted */
    double load;                     /* share of the requests, all groups together 1 */
};

struct balancer {
    const struct cluster *cluster;
    const struct endpoint_set *set;
    struct rng rng;
    struct host **hosts;
    uint32_t n_hosts;
    struct group *groups;
    uint32_t n_groups;
    uint64_t warm_until, next_warm; /* some host is in slow start until; weights are due again at */
    uint64_t now;                   /* of the last update or pick, for refresh */
    struct outlier_state outlier;
};

static const struct balance_rules *rules_of(const struct balancer *b)
{
    static const struct balance_rules *const all[] = {
        [BALANCE_LEAST_REQUEST] = &balance_least_request,
        [BALANCE_ROUND_ROBIN] = &balance_round_robin,
        [BALANCE_RANDOM] = &balance_random,
        [BALANCE_RING_HASH] = &balance_ring_hash,
        [BALANCE_MAGLEV] = &balance_maglev,
        [BALANCE_CLUSTER_PROVIDED] = &balance_least_request,
    };
    return all[b->cluster->lb.policy];
}

struct balancer *balancer_new(const struct cluster *c, uint64_t seed)
{
    struct balancer *b = mem_alloc(sizeof(*b));
    b->cluster = resource_ref(c);
    rng_seed(&b->rng, seed);
    return b;
}

static void drop_groups(struct balancer *b)
{
    for (uint32_t i = 0; i < b->n_groups; i++) {
        if (b->groups[i].set.n)
            rules_of(b)->done(&b->groups[i].set);
        mem_free(b->groups[i].set.hosts);
        mem_free(b->groups[i].set.weights);
    }
    mem_free(b->groups);
    b->groups = NULL;
    b->n_groups = 0;
}

struct balancer *balancer_free(struct balancer *b)
{
    if (!b)
        return NULL;
    drop_groups(b);
    for (uint32_t i = 0; i < b->n_hosts; i++) {
        b->hosts[i]->gone = true;
        host_unref(b->hosts[i]);
    }
    mem_free(b->hosts);
    resource_unref(b->set);
    resource_unref(b->cluster);
    mem_free(b);
    return NULL;
}

void host_unref(struct host *h)
{
    if (--h->refs > 0)
        return;
    if (h->pool_free)
        h->pool_free(h);
    resource_unref(h->set);
    mem_free(h);
}

struct view balance_key(struct buf *buf, const struct host *h, const struct lb_config *lb)
{
    buf_clear(buf);
    if (lb->hash_hostname && h->endpoint->hostname.n)
        buf_view(buf, h->endpoint->hostname);
    else
        plan_addr_print(buf, &h->endpoint->address);
    return buf_read(buf);
}

/* --- groups --- */

static bool healthy(const struct host *h)
{
    return h->endpoint->health == ENDPOINT_HEALTHY && !outlier_ejected(&h->outlier);
}

static double warm_weight(const struct balancer *b, const struct host *h)
{
    const struct lb_config *lb = &b->cluster->lb;
    uint64_t age = b->now > h->since ? b->now - h->since : 0;
    if (!lb->warmup || age >= lb->warmup)
        return h->weight;
    double share = fmax((double)age, (double)NS_PER_S) / (double)lb->warmup;
    share = pow(fmin(share, 1), 1 / (lb->warmup_aggression > 0 ? lb->warmup_aggression : 1));
    return h->weight * fmax(lb->warmup_min_percent / 100.0, share);
}

static struct group *group_of(struct balancer *b, const struct host *h)
{
    const struct locality *l = b->cluster->lb.locality_weighted ? h->locality : NULL;
    for (uint32_t i = 0; i < b->n_groups; i++)
        if (b->groups[i].priority == h->priority && b->groups[i].locality == l)
            return &b->groups[i];
    struct group *g = &b->groups[b->n_groups++];
    g->priority = h->priority;
    g->locality = l;
    return g;
}

static void fill_group(struct balancer *b, struct group *g, bool everyone)
{
    struct host_set *s = &g->set;
    s->hosts = mem_alloc(sizeof(struct host *) * g->n_all);
    s->weights = mem_alloc(sizeof(double) * g->n_all);
    for (uint32_t i = 0; i < b->n_hosts; i++) {
        struct host *h = b->hosts[i];
        if (group_of(b, h) != g || (!everyone && !healthy(h)))
            continue;
        s->hosts[s->n] = h;
        s->weights[s->n] = warm_weight(b, h);
        s->weighted |= s->weights[s->n] != s->weights[0];
        s->n++;
    }
    if (s->n)
        rules_of(b)->build(s, &b->cluster->lb, &b->rng);
}

/* Health of a priority in 0..1, over-provisioned. */
static double health_of(const struct balancer *b, uint32_t priority, uint32_t *ret_all, uint32_t *ret_healthy)
{
    *ret_all = *ret_healthy = 0;
    for (uint32_t i = 0; i < b->n_groups; i++)
        if (b->groups[i].priority == priority) {
            *ret_all += b->groups[i].n_all;
            *ret_healthy += b->groups[i].n_healthy;
        }
    return *ret_all ? fmin(1, OVERPROVISION * *ret_healthy / *ret_all) : 0;
}

/* The share of one group within its priority, by locality weight and availability. */
static double locality_share(const struct balancer *b, const struct group *g)
{
    if (!g->locality)
        return 1;
    double mine = 0, total = 0;
    for (uint32_t i = 0; i < b->n_groups; i++) {
        const struct group *at = &b->groups[i];
        if (at->priority != g->priority || !at->set.n)
            continue;
        double weight = at->locality->weight * fmin(1, OVERPROVISION * at->n_healthy / at->n_all);
        total += weight;
        mine = at == g ? weight : mine;
    }
    return total > 0 ? mine / total : 0;
}

static void share_load(struct balancer *b)
{
    uint32_t last = 0, all, good;
    double sum = 0, left = 1;
    for (uint32_t i = 0; i < b->n_groups; i++)
        last = b->groups[i].priority > last ? b->groups[i].priority : last;
    for (uint32_t p = 0; p <= last; p++)
        sum += health_of(b, p, &all, &good);
    for (uint32_t p = 0; p <= last; p++) {
        double health = health_of(b, p, &all, &good);
        /* Together less than whole: each takes its part of what is there. Nobody healthy: panic, if at all, at the first. */
        double load = sum >= 1 ? fmin(health, left) : sum > 0 ? health / sum : p == 0;
        left -= load;
        for (uint32_t i = 0; i < b->n_groups; i++)
            if (b->groups[i].priority == p)
                b->groups[i].load = load * locality_share(b, &b->groups[i]);
    }
}

void balancer_refresh(struct balancer *b)
{
    drop_groups(b);
    if (!b->n_hosts)
        return;
    b->groups = mem_alloc(sizeof(struct group) * b->n_hosts);
    for (uint32_t i = 0; i < b->n_hosts; i++) {
        struct group *g = group_of(b, b->hosts[i]);
        g->n_all++;
        g->n_healthy += healthy(b->hosts[i]);
    }
    for (uint32_t i = 0; i < b->n_groups; i++) {
        uint32_t all, good;
        health_of(b, b->groups[i].priority, &all, &good);
        bool panic = (uint64_t)good * 100 < (uint64_t)all * b->cluster->lb.panic_percent;
        fill_group(b, &b->groups[i], panic);
    }
    share_load(b);
}

/* --- updates --- */

static struct host *find_host(const struct map *old, const struct endpoint *e, uint64_t hash)
{
    struct host *h = map_get(old, view_make(&hash, sizeof(hash)));
    return h && plan_addr_eq(&h->endpoint->address, &e->address) ? h : NULL;
}

static struct host *host_new(const struct endpoint *e, uint64_t hash, uint64_t now)
{
    struct host *h = mem_alloc(sizeof(*h));
    h->refs = 1;
    h->since = now;
    h->address_hash = hash;
    h->endpoint = e;
    return h;
}

static void describe(struct host *h, const struct endpoint_set *s, const struct locality *l, const struct endpoint *e)
{
    const struct endpoint_set *before = h->set;
    h->set = resource_ref(s);
    h->endpoint = e;
    h->locality = l;
    h->weight = e->weight ? e->weight : 1;
    h->priority = l->priority;
    resource_unref(before); /* last: the old set may hold the bytes of the address just compared */
}

static void collect(struct balancer *b, const struct endpoint_set *s, struct map *old, uint64_t now)
{
    for (uint32_t i = 0; i < s->n_localities; i++)
        for (uint32_t j = 0; j < s->localities[i].n_endpoints; j++) {
            const struct endpoint *e = &s->localities[i].endpoints[j];
            uint64_t hash = plan_addr_hash(&e->address);
            struct host *h = find_host(old, e, hash);
            if (h)
                map_del(old, view_make(&hash, sizeof(hash)));
            else
                h = host_new(e, hash, now);
            describe(h, s, &s->localities[i], e);
            b->hosts[b->n_hosts++] = h;
        }
}

static void retire(struct balancer *b, struct host *h)
{
    h->gone = true;
    b->outlier.n_ejected -= outlier_ejected(&h->outlier);
    host_unref(h);
}

void balancer_update(struct balancer *b, const struct cluster *c, const struct endpoint_set *s, uint64_t now)
{
    drop_groups(b); /* with the policy that built them */
    const struct cluster *last_cluster = b->cluster;
    const struct endpoint_set *last_set = b->set;
    b->cluster = resource_ref(c);
    b->set = s ? resource_ref(s) : NULL;
    b->now = now;

    struct map old;
    struct host **before = b->hosts;
    uint32_t n_before = b->n_hosts;
    map_init(&old, NULL);
    for (uint32_t i = 0; i < n_before; i++) {
        struct view key = view_make(&before[i]->address_hash, sizeof(before[i]->address_hash));
        if (map_get(&old, key)) /* one address twice: the second one starts anew */
            retire(b, before[i]);
        else
            map_put(&old, key, before[i]);
    }
    uint32_t n = s ? endpoint_set_size(s) : 0;
    b->hosts = n ? mem_alloc(sizeof(struct host *) * n) : NULL;
    b->n_hosts = 0;
    if (s)
        collect(b, s, &old, now);
    MAP_EACH (&old, it) {
        struct host *h = it->value;
        h->gone = true;
        b->outlier.n_ejected -= outlier_ejected(&h->outlier);
        host_unref(h);
    }
    map_done(&old);
    mem_free(before);

    b->outlier.n_hosts = b->n_hosts;
    b->warm_until = c->lb.warmup ? now + c->lb.warmup : 0;
    b->next_warm = now + NS_PER_S;
    balancer_refresh(b);
    resource_unref(last_set);
    resource_unref(last_cluster);
}

/* --- picking --- */

static bool was_tried(const struct pick *p, const struct host *h)
{
    for (uint32_t i = 0; i < p->n_tried; i++)
        if (p->tried[i] == h)
            return true;
    return false;
}

static struct group *pick_group(struct balancer *b, const struct pick *p)
{
    if (b->n_groups == 1)
        return b->groups[0].set.n ? &b->groups[0] : NULL;
    /* By the hash where there is one, so that a key stays with its priority. */
    double at = p->has_hash ? (double)(p->hash % 100000) / 100000 : rng_unit(&b->rng);
    struct group *last = NULL;
    for (uint32_t i = 0; i < b->n_groups; i++) {
        if (!b->groups[i].set.n || b->groups[i].load <= 0)
            continue;
        last = &b->groups[i];
        if ((at -= last->load) < 0)
            break;
    }
    return last;
}

struct host *balancer_pick(struct balancer *b, const struct pick *p)
{
    if (p->now < b->warm_until && p->now >= b->next_warm) {
        b->now = p->now;
        b->next_warm = p->now + NS_PER_S;
        balancer_refresh(b);
    }
    struct host *h = NULL;
    for (uint32_t attempt = 0; attempt <= p->attempts; attempt++) {
        struct group *g = pick_group(b, p);
        if (!g)
            return NULL;
        h = rules_of(b)->pick(&g->set, &b->cluster->lb, p, &b->rng, attempt);
        if (!was_tried(p, h))
            break;
    }
    return h;
}

/* --- outliers --- */

bool balancer_record(struct balancer *b, struct host *h, enum outlier_event event, uint64_t now)
{
    if (!b->cluster->outlier.on || h->gone)
        return false;
    if (!outlier_record(&b->cluster->outlier, &b->outlier, &h->outlier, event, now))
        return false;
    b->now = now;
    balancer_refresh(b);
    return true;
}

bool balancer_eject(struct balancer *b, const struct plan_addr *address, uint64_t until, uint32_t times, uint64_t now)
{
    for (uint32_t i = 0; i < b->n_hosts; i++) {
        struct host *h = b->hosts[i];
        if (!plan_addr_eq(&h->endpoint->address, address))
            continue;
        if (!outlier_eject(&b->cluster->outlier, &b->outlier, &h->outlier, until, times, now))
            return false;
        b->now = now;
        balancer_refresh(b);
        return true;
    }
    return false;
}

uint64_t balancer_sweep(struct balancer *b, uint64_t now)
{
    struct outlier_state *o = &b->outlier;
    if (!o->next_sweep || now < o->next_sweep)
        return o->next_sweep;
    bool back = false, remembers = false;
    for (uint32_t i = 0; i < b->n_hosts; i++) {
        back |= outlier_sweep_host(&b->cluster->outlier, o, &b->hosts[i]->outlier, now);
        remembers |= b->hosts[i]->outlier.ejections > 0;
    }
    b->now = now;
    if (back)
        balancer_refresh(b);
    o->next_sweep = remembers ? now + b->cluster->outlier.interval : 0;
    return o->next_sweep;
}

uint32_t balancer_hosts(const struct balancer *b, struct host *const **ret_hosts)
{
    *ret_hosts = b->hosts;
    return b->n_hosts;
}

uint32_t balancer_healthy(const struct balancer *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_hosts; i++)
        n += healthy(b->hosts[i]);
    return n;
}

struct outlier_state *balancer_outlier(struct balancer *b)
{
    return &b->outlier;
}
