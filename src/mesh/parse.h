// SPDX-License-Identifier: Apache-2.0
/* From text or a tree to typed objects, with everything that is wrong told in diagnostics.
 *
 *   struct object_list objects = {0};
 *   int err = mesh_parse(&arena, &diags, &(struct mesh_source){.file = VIEW("a.yaml"), .text = text}, &objects);
 *
 * A file may hold many documents and `kind: List`; each document stands alone, so that one that cannot be read leaves
 * the others. Unknown kinds and fields, wrong types and values outside their range reject their object (DIAG_ERROR).
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "base/must.h"
#include "base/view.h"
#include "mesh/object.h"

struct mesh_source {
    struct view file;       /* as people should read it in messages; empty for an API server */
    struct view text;       /* must outlive the arena's use; copied into the arena by mesh_parse */
    struct view default_ns; /* for objects without metadata.namespace; empty: "default" */
};

/* Appends the good objects to ret. 0, or -EINVAL when something was rejected (diags says what; the rest is in ret). */
int mesh_parse(struct arena *a, struct diags *d, const struct mesh_source *src, struct object_list *ret) must_check;

/* One object from a tree, such as one that an API server sent or code made. The tree must outlive the object.
 * src may be NULL. -EINVAL: rejected. -ENOTSUP: a kind that is refused by name. */
int mesh_decode(struct arena *a, struct diags *d, const struct mesh_source *src, const struct node *tree,
                struct object **ret_object) must_check;

/* Only apiVersion, kind, namespace and name: enough to delete or look up an object without programming it. */
struct object_key {
    struct view api_version, kind, ns, name;
};
int mesh_key(const struct node *tree, struct object_key *ret_key) must_check;
