// SPDX-License-Identifier: Apache-2.0
/* From what people write to what a proxy does: one snapshot in, one plan for each proxy out. Pure: no I/O, no clock.
 *
 *   struct compiler *c = compiler_new(snapshot, last);        // takes last's resources over; last may be NULL
 *   compiler_free(last);                                      // which is good for nothing else now
 *   struct plan *p = compile_plan(c, &facts);                 // one reference, the caller's; plan_unref later
 *
 * What is equal for many proxies is compiled once: everything outbound depends only on the kind, the namespace and, where
 * an object selects by labels, on the labels of the proxy. So a plan for the thousandth sidecar of a namespace costs its
 * inbound side and a table of references. Resources are sealed: equal content has an equal hash, also across snapshots,
 * so a push sends what differs. The compiler borrows the snapshot; plans borrow nothing.
 *
 * What was made of objects that are still the same ones is taken over from `last` (reuse.c). So the snapshot of `last` must have
 * been alive when this one was taken: an address then means one object.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"
#include "mesh/snapshot.h"
#include "plan/plan.h"

enum proxy_kind {
    PROXY_SIDECAR,
    PROXY_GATEWAY,
};

/* What is known of a proxy: its xDS node, checked against its identity. */
struct proxy_facts {
    enum proxy_kind kind;
    struct view ns, pod, ip;
    struct labels labels;   /* of the pod */
    struct view cluster_id; /* of the mesh's only cluster, for endpoints' metadata; empty: Kubernetes */
};

struct compiler;

struct compiler *compiler_new(const struct mesh_snapshot *snapshot, struct compiler *last)
    __attribute__((returns_nonnull));
struct compiler *compiler_free(struct compiler *c);
struct plan *compile_plan(struct compiler *c, const struct proxy_facts *proxy) __attribute__((returns_nonnull));
/* The same in two layers: what it shares with all proxies of its scope (borrowed; the same pointer as long as nothing in it
 * changes, also across compilers), and its own, one reference, the caller's. No resource is in both. */
struct plan *compile_layers(struct compiler *c, const struct proxy_facts *proxy, const struct plan **ret_shared)
    __attribute__((returns_nonnull));
