// SPDX-License-Identifier: Apache-2.0
/* A worker: one thread, one loop, and everything that the data path touches. Nothing here is shared with another worker
 * but immutable resources of the plan, identities and trust bundles (all counted by reference).
 *
 * The control loop talks to a worker by letters (struct worker_letter): a new plan, new certificates, drain, stop. The
 * worker applies them between requests: listeners are opened and closed, clusters in use follow, and streams that still
 * run keep what they started with (struct generation).
 *
 * Invariants: worker_* functions are called on the worker's thread, but worker_post. A stream holds a generation, a
 * connection holds its listener, an upstream holds its cluster; all counts but those of resources are plain integers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/resolve.h"
#include "net/timer.h"
#include "plan/listener.h"
#include "plan/plan.h"
#include "proxy/ejection.h"
#include "proxy/tls_shelf.h"

struct access_logger;
struct http_shared;
struct metrics_worker;
struct peer_cache;
struct peer_self;
struct proxy;
struct series_cache;
struct upstream;
struct worker;

enum { WORKER_SPARE = 8 };

/* One plan as a worker ran it. Streams hold it without atomics; the plan is let go with the last of them. */
struct generation {
    const struct plan *plan;
    uint32_t refs;
    struct worker *worker;
};

enum worker_letter_kind {
    WORKER_PLAN,     /* plan: run it (takes over the reference) */
    WORKER_IDENTITY, /* identity and trust of the workload: for handshakes from now on (takes over both references) */
    WORKER_EJECT,    /* ejection: another worker has found an endpoint bad (takes over the cluster's reference) */
    WORKER_DRAIN_INBOUND, /* say goodbye to inbound connections */
    WORKER_DRAIN,         /* and to all */
    WORKER_CLOSE,         /* close everything now, then report WORKER_CLOSED */
};

struct worker_letter {
    struct letter letter;
    enum worker_letter_kind kind;
    uint64_t version; /* WORKER_PLAN: comes back in the report */
    const struct plan *plan;
    struct tls_identity *identity;
    struct tls_trust *trust;
    struct ejection ejection;
};

/* What a worker tells the control loop. */
enum worker_report_kind {
    WORKER_RUNS,    /* version is in force; error: a listener that could not be opened, empty when all is well */
    WORKER_EJECTED, /* ejection: an endpoint was found bad (hands over the cluster's reference) */
    WORKER_CLOSED,  /* nothing of it is left on its loop */
};

struct worker_report {
    struct letter letter;
    enum worker_report_kind kind;
    uint32_t worker;
    uint64_t version;
    struct ejection ejection;
    char error[200];
};

struct worker_counters { /* the control loop reads them while we count: worker_count and worker_counted only */
    uint64_t connections, connections_active, requests, requests_active, bad_requests, no_chain;
    uint64_t upstream_connects, upstream_connect_failures, upstream_active, retries;
};

/* One writer: no locked instruction is needed, only a store that a reader cannot see torn. Returns the new value. */
static inline uint64_t worker_count(uint64_t *counter, int by)
{
    uint64_t n = *counter + (uint64_t)(int64_t)by;
    __atomic_store_n(counter, n, __ATOMIC_RELAXED);
    return n;
}

static inline uint64_t worker_counted(const uint64_t *counter) /* any thread */
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

struct worker {
    struct proxy *proxy;
    struct loop *loop;
    uint32_t index, n_workers;
    struct task task;
    struct mailbox inbox;
    struct timer sweep; /* outliers, idle original-destination hosts */
    struct http_shared *http;
    struct resolver *resolver; /* made at its first use */
    struct tls_shelf tls;
    struct generation *now;
    struct upstream **upstreams; /* clusters in use: open addressing by name_hash */
    uint32_t n_upstreams, cap_upstreams;
    struct list bounds;             /* struct bound: listeners with a socket */
    struct list connections;        /* struct connection: downstream */
    struct list retired;            /* struct upstream: gone from the plan, still in use */
    struct list mirrors;            /* struct mirror: copies of requests on their way */
    struct list loggers;            /* struct worker_log: one for each access log of the plan that was used */
    struct buf spare[WORKER_SPARE]; /* buffers with memory, for bodies that wait */
    uint32_t n_spare;
    struct metrics_worker *metrics; /* NULL: none are kept */
    struct series_cache *series;
    struct peer_cache *peers;
    const struct peer_self *self; /* the proxy's; NULL: tells nobody who it is */
    struct pool *connection_pool, *stream_pool;
    bool draining, drains_all, closing, closed;
    struct worker_counters counters;
};

struct worker *worker_new(struct proxy *proxy, struct loop *loop, uint32_t index, uint32_t n_workers);
struct worker *worker_free(struct worker *w);                           /* after WORKER_CLOSED; NULL */
void worker_post(struct worker *w, const struct worker_letter *letter); /* any thread; copies */

/* Whether connections of this listener are told to come to an end (drain.h). */
static inline bool worker_drains(const struct worker *w, const struct listener *l)
{
    return w->drains_all || (w->draining && l->direction == TRAFFIC_INBOUND);
}

static inline struct generation *generation_ref(struct generation *g)
{
    g->refs++;
    return g;
}
void generation_unref(struct generation *g);

/* The state of a cluster, made at its first use; NULL: the plan has no such cluster. */
struct upstream *worker_upstream(struct worker *w, const struct name_ref *cluster);
struct resolver *worker_resolver(struct worker *w); /* NULL: no usable resolv.conf */
void worker_sweep_at(struct worker *w, uint64_t at);
void worker_tell_ejection(struct worker *w, const struct ejection *e); /* the other workers and the admin pages */
struct buf worker_take_buf(struct worker *w);                          /* empty; give it back instead of buf_done */
void worker_give_buf(struct worker *w, struct buf *b);                 /* *b is empty afterwards */
void worker_check_closed(struct worker *w); /* connections and upstreams call it when the last of them goes */
