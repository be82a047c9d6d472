// SPDX-License-Identifier: Apache-2.0
/* Cuts an object of an API server down to what plans, checks and status read of it, before it is kept.
 *
 *   prune_object(kind, tree);                // a tree of one's own: changed in place
 *
 * A Pod arrives with 8 KB of environment, volumes and container states, and every object with the book-keeping of server-side
 * apply; of two thousand Pods that alone would be 200 MB of tree. Kinds that people write (VirtualService …) keep all of
 * their spec, because diagnostics show it.
 */
#pragma once

#include "mesh/object.h"
#include "wire/node.h"

void prune_object(enum mesh_kind kind, struct node *tree);
