// SPDX-License-Identifier: Apache-2.0
/* Choosing an endpoint. A worker owns one balancer for each cluster in use; policies are in balance_<name>.c.
 *
 *   struct balancer *b = balancer_new(cluster, seed);
 *   balancer_update(b, cluster, endpoint_set, now);      // at first and whenever either changes
 *   struct host *h = balancer_pick(b, &pick);            // NULL: 503 UH
 *   h->active++; … h->active--;  host_ref/host_unref around each use that outlives the call
 *
 * A host survives updates as long as its address stays, so its pool, failures and load survive too. A host that left
 * has gone == true: nothing new is sent there; it is freed with its last reference.
 * Priorities: the first with healthy hosts; health is spread over the next ones with Envoy's factor 1.4.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "plan/cluster.h"
#include "plan/endpoint.h"
#include "plan/outlier.h"
#include "plan/route.h"

struct host {
    const struct endpoint *endpoint; /* in `set` */
    const struct endpoint_set *set;  /* referenced */
    const struct locality *locality;
    uint32_t refs;
    uint32_t active; /* requests or connections in flight: counted by the worker, read by least_request */
    uint32_t weight;
    uint32_t priority;
    uint64_t since; /* for slow start */
    uint64_t address_hash;
    bool gone;
    struct outlier_host outlier;
    void *pool;                       /* the worker's: connections to this host */
    void (*pool_free)(struct host *); /* called before the host is freed, when set */
};

struct pick {
    uint64_t now;
    uint64_t hash;             /* of the hash policy */
    bool has_hash;             /* false: consistent hashing picks at random */
    struct host *const *tried; /* previous_hosts: avoided while attempts last */
    uint32_t n_tried, attempts;
};

struct balancer;
struct hash_policy;

struct balancer *balancer_new(const struct cluster *c, uint64_t seed) __attribute__((returns_nonnull));
struct balancer *balancer_free(struct balancer *b);
/* `s` may be NULL (no endpoints known). Takes references of both. */
void balancer_update(struct balancer *b, const struct cluster *c, const struct endpoint_set *s, uint64_t now);
void balancer_refresh(struct balancer *b); /* a host was ejected or came back */
struct host *balancer_pick(struct balancer *b, const struct pick *p);

/* Ejections whose time is over end here; returns the time of the next call, 0: none. */
uint64_t balancer_sweep(struct balancer *b, uint64_t now);
/* Records a result and ejects if the cluster's policy says so; true when the host was ejected just now. */
bool balancer_record(struct balancer *b, struct host *h, enum outlier_event event, uint64_t now);

/* Another worker's ejection (outlier_eject); true: the host is here and is ejected just now. */
bool balancer_eject(struct balancer *b, const struct plan_addr *address, uint64_t until, uint32_t times, uint64_t now);

uint32_t balancer_hosts(const struct balancer *b,
                        struct host *const **ret_hosts); /* current ones, for admin and tests */
uint32_t balancer_healthy(const struct balancer *b);
struct outlier_state *balancer_outlier(struct balancer *b);

static inline struct host *host_ref(struct host *h)
{
    h->refs++;
    return h;
}
void host_unref(struct host *h);

/* Hash of a request by a route's policies, as Envoy combines them (rotate left, xor); false: none produced a value.
 * HASH_COOKIE without the cookie and with a TTL sets *ret_new_cookie to the policy: the worker must add Set-Cookie with
 * `fresh` in 16 hex digits as its value. */
struct hash_facts {
    const struct match_request *request;
    const struct plan_addr *source;
    bool (*cookie)(const void *headers, struct view name, struct view *ret_value);
    uint64_t fresh; /* random: the value of a new cookie */
};
bool hash_request(const struct hash_policy *policies, uint32_t n, const struct hash_facts *facts, uint64_t *ret_hash,
                  const struct hash_policy **ret_new_cookie);
