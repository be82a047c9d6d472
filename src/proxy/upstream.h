// SPDX-License-Identifier: Apache-2.0
/* An upstream: what a worker knows about one cluster while it is in use. The balancer and its hosts, the circuit
 * breakers, what DNS said, and by each host the pool of connections (pool.h).
 *
 *   struct upstream *u = worker_upstream(w, &weighted->cluster);      // NULL: 503 NC
 *   struct host *h = upstream_pick(u, &pick, &destination);           // NULL: 503 UH
 *
 * Invariants: one worker. A cluster that leaves the plan is retired: nothing new starts, and the last user frees it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/addr.h"
#include "net/resolve.h"
#include "net/task.h"
#include "net/timer.h"
#include "net/tls.h"
#include "plan/balance.h"
#include "plan/breaker.h"
#include "plan/cluster.h"

struct ejection;
struct worker;
struct original_host;

struct upstream {
    struct worker *worker;
    const struct cluster *cluster; /* referenced */
    uint64_t name_hash;
    uint32_t refs; /* streams, relays, pools */
    bool retired;
    struct balancer *balancer;
    struct breaker_state breaker;
    struct list originals; /* CLUSTER_ORIGINAL_DST: struct original_host, one for each destination in use */
    struct list retired_link;
    struct list pools; /* struct host_pool: all hosts' */
    /* STRICT_DNS and LOGICAL_DNS */
    struct task task;
    struct timer refresh;
    struct query *queries; /* one for each name */
    uint32_t n_queries;
    bool resolved, dns_failed;
    struct list waiting; /* struct upstream_wait: for the first answer */
    /* Cluster TLS: SAN conditions by transport, in the cluster's order. */
    struct arena arena;
    struct upstream_transport *transports;
};

struct upstream_transport {
    const struct tls_client *tls; /* NULL: plaintext */
    struct tls_san *sans;
    size_t n_sans;
    bool refused; /* a SAN condition that we cannot check: connecting fails */
};

struct upstream_wait {
    struct list link;
    struct task *task;
    uint32_t bits;
};

struct upstream *upstream_new(struct worker *w, const struct cluster *c);
void upstream_update(struct upstream *u, const struct cluster *c); /* the plan changed: cluster, endpoints */
void upstream_retire(struct upstream *u);                          /* not in the plan any more */

static inline struct upstream *upstream_ref(struct upstream *u)
{
    u->refs++;
    return u;
}
void upstream_unref(struct upstream *u); /* NULL is fine */

/* True when names are still being resolved for the first time: wait (w->bits are set once they are). */
bool upstream_resolving(struct upstream *u, struct upstream_wait *w);
void upstream_wait_done(struct upstream_wait *w);
static inline bool upstream_is_resolving(const struct upstream *u)
{
    return u->n_queries && !u->resolved;
}

/* The endpoint for one try. `original` is where the connection wanted to go (CLUSTER_ORIGINAL_DST; NULL: nowhere). */
struct host *upstream_pick(struct upstream *u, const struct pick *pick, const struct addr *original);
void upstream_record(struct upstream *u, struct host *h, enum outlier_event event);
void upstream_eject(struct upstream *u, const struct ejection *e); /* another worker has */
/* Ends ejections that are over, forgets idle original destinations; when to call again, 0: not needed. */
uint64_t upstream_sweep(struct upstream *u, uint64_t now);
/* Which of u->transports an endpoint uses; never NULL. */
const struct upstream_transport *upstream_transport(const struct upstream *u, const struct host *h);

/* plan addresses to net addresses; -EINVAL for names. */
int addr_of_plan(const struct plan_addr *p, struct addr *ret_addr) must_check;
struct plan_addr plan_addr_from(const struct addr *a);
