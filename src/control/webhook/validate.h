// SPDX-License-Identifier: Apache-2.0
/* The validating webhook's word on one object: what can never be right is refused with the wording of `weft apply`; what the
 * analyzers think of it in the mesh of this moment comes along as warnings. A pure function over text, like inject_review().
 *
 *   status = validate_review(&arena, body, snapshot, &out, &seen);
 *
 * Let in without a look: deletions, changes of status, changes that leave the spec as it is (somebody must be able to take a
 * finalizer or a label off an object that became wrong), and kinds that are not Istio's. Kinds of Istio that weft does not
 * know yet: security.istio.io ones are refused, because a policy that nobody enforces is worse than none; others are let in with
 * a warning. An object with the annotation VALIDATE_PROBE is always refused: bundle.c asks with one whether we are reached.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct mesh_snapshot;

#define VALIDATE_PROBE "internal.istio.io/webhook-always-reject"
#define VALIDATE_PROBE_ANSWER "weft validates objects: this one was sent to see whether it does"

struct validate_outcome { /* views in the arena */
    bool allowed, probe;
    struct view group, version, resource, ns, name;
    struct view why; /* of a refusal */
};

/* snapshot: NULL: only the object by itself is looked at. 0: `out` holds an AdmissionReview; else an HTTP status, why says it. */
int validate_review(struct arena *a, struct view body, const struct mesh_snapshot *snapshot, struct buf *out,
                    struct validate_outcome *ret) must_check;
