// SPDX-License-Identifier: Apache-2.0
/* The plan: everything that one proxy does, as one immutable snapshot of shared resources.
 *
 * The compiler makes it, xDS carries it, the proxy runs it, `weft why` explains it. A change makes a new plan that
 * shares what did not change:
 *
 *   struct plan *next = plan_copy(now);                 // references, no copies
 *   plan_put(next, &cluster->res);                      // adds or replaces; takes a reference of its own
 *   plan_del(next, RESOURCE_ROUTES, VIEW("9080"));
 *   publish(next); plan_unref(now);                     // after publishing it never changes again
 *
 * Threads hold their own reference; lookups take no lock.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan/cluster.h"
#include "plan/endpoint.h"
#include "plan/listener.h"
#include "plan/resource.h"
#include "plan/route.h"

struct resource_table { /* open addressing by name_hash */
    struct resource **slots;
    uint32_t n_slots, n;
};

struct plan {
    atomic_uint refs;
    struct resource_table tables[RESOURCE_KINDS];
    struct resource_table by_address; /* listeners that don't bind, by plan_addr_hash(address); holds no references */
};

struct plan *plan_new(void) __attribute__((returns_nonnull)); /* empty, one reference */
struct plan *plan_copy(const struct plan *p) __attribute__((returns_nonnull));
struct plan *plan_ref(const struct plan *p);
void plan_unref(const struct plan *p); /* NULL is fine */

/* Only while nobody else has the plan. */
void plan_put(struct plan *p, const struct resource *r);
bool plan_del(struct plan *p, enum resource_kind kind, struct view name);

/* Lookups: NULL when absent. The plan keeps the reference. */
const struct resource *plan_get(const struct plan *p, enum resource_kind kind, const struct name_ref *name);
const struct cluster *plan_cluster(const struct plan *p, const struct name_ref *name);
const struct endpoint_set *plan_endpoints(const struct plan *p, const struct name_ref *name);
const struct listener *plan_listener(const struct plan *p, const struct name_ref *name);
const struct route_table *plan_routes(const struct plan *p, const struct name_ref *name);
const struct tls_secret *plan_secret(const struct plan *p, const struct name_ref *name);

/* use_original_dst: the listener on exactly this address and port, else on the wildcard address and this port; NULL:
 * the virtual listener serves the connection itself. Never one that binds. */
const struct listener *plan_listener_for(const struct plan *p, const struct plan_addr *destination);

static inline uint32_t plan_count(const struct plan *p, enum resource_kind kind)
{
    return p->tables[kind].n;
}

/* In no order. plan_sorted gives them by name, in the arena. */
#define PLAN_EACH(p, kind, r)                                                                                          \
    for (struct resource **r##_at = (p)->tables[kind].slots, *r;                                                       \
         r##_at && r##_at < (p)->tables[kind].slots + (p)->tables[kind].n_slots; r##_at++)                             \
        if ((r = *r##_at) != NULL)
const struct resource **plan_sorted(const struct plan *p, enum resource_kind kind, struct arena *a);
