// SPDX-License-Identifier: Apache-2.0
/* Inside of the balancers: balance.c keeps hosts, priorities and health; each balance_<name>.c picks from one set of
 * hosts. A policy's state for a set is rebuilt when the set changes (update, ejection), never on the way of a request.
 */
#pragma once

#include "plan/balance.h"

/* The hosts of one priority (and locality, when those are weighted) that may be picked now. */
struct host_set {
    struct host **hosts;
    uint32_t n;
    double *weights;    /* effective: slow start applied */
    bool weighted;      /* the weights differ */
    void *policy_state; /* of the policy; freed by its done() */
};

struct balance_rules { /* one policy */
    void (*build)(struct host_set *set, const struct lb_config *lb, struct rng *rng);
    struct host *(*pick)(struct host_set *set, const struct lb_config *lb, const struct pick *p, struct rng *rng,
                         uint32_t attempt);
    void (*done)(struct host_set *set);
};

extern const struct balance_rules balance_least_request, balance_round_robin, balance_random, balance_ring_hash,
    balance_maglev;

/* Earliest deadline first: hosts in proportion to their weights, evenly spread. */
struct edf_entry {
    double deadline;
    uint64_t order; /* ties: first in, first out */
    uint32_t host;
};
struct edf {
    struct edf_entry *heap;
    uint32_t n;
    double now;
    uint64_t next_order;
};
struct edf *edf_new(const struct host_set *set, struct rng *rng);
struct edf *edf_free(struct edf *e);
/* The next host; it comes back after 1/weight. */
uint32_t edf_next(struct edf *e, double (*weight_of)(const struct host_set *set, uint32_t host),
                  const struct host_set *set);

/* "10.0.0.1:80", or the endpoint's name: what consistent hashing places. In buf, which is cleared first. */
struct buf;
struct view balance_key(struct buf *buf, const struct host *h, const struct lb_config *lb);
