// SPDX-License-Identifier: Apache-2.0
/* Cuts an object of an API server down to what plans, checks and status read of it, before it is kept.
 *
 *   prune_object(kind, tree);                      // a tree of one's own: changed in place
 *   tree = prune_own(&arena, kind, tree);          // what is to stay is in the arena now
 *   if (mesh_decode(&arena, …, tree, &object) == 0) prune_decoded(object);
 *
 * A Pod arrives with 8 KB of environment, volumes and container states, and every object with the book-keeping of server-side
 * apply; of two thousand Pods that alone would be 200 MB of tree. Of Pods, EndpointSlices, Namespaces and Services not even the
 * pruned tree is kept. Kinds that people write (VirtualService …) keep all of their spec, because diagnostics show it.
 */
#pragma once

#include <stdbool.h>

#include "mesh/object.h"
#include "wire/node.h"

void prune_object(enum mesh_kind kind, struct node *tree);
bool prune_all(enum mesh_kind kind); /* its tree is not kept, nor its resourceVersion */
/* A copy; or, where the tree is not kept, the same tree, whose texts alone are in the arena. */
struct node *prune_own(struct arena *a, enum mesh_kind kind, struct node *tree);
void prune_decoded(struct object *o); /* forgets a tree that is not kept */

/* Whether an object says anything new: a Pod's heartbeat does not, nor does our own status. By hash where no tree is kept. */
uint64_t prune_hash(const struct node *tree);
bool prune_same(const struct node *a, const struct node *b);
