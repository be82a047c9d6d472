// SPDX-License-Identifier: Apache-2.0
/* SPIFFE identities of workloads: spiffe://<trust domain>/ns/<namespace>/sa/<service account>, as Istio writes them.
 *
 *   struct spiffe id;
 *   r = spiffe_parse(VIEW("spiffe://cluster.local/ns/default/sa/bookinfo-reviews"), &id);
 *   spiffe_print(&out, &id);
 *
 * Invariants: parts borrow from what was parsed; a parsed identity has three parts that are not empty.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct spiffe {
    struct view trust_domain, ns, sa;
};

int spiffe_parse(struct view uri, struct spiffe *ret_id) must_check; /* -EINVAL */
void spiffe_print(struct buf *out, const struct spiffe *id);
struct view spiffe_uri(struct arena *a, const struct spiffe *id);
/* A trust domain as MeshConfig has it, made fit for a URI: '@' becomes '.'. */
struct view spiffe_trust_domain(struct arena *a, struct view configured);
