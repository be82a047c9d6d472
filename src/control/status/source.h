// SPDX-License-Identifier: Apache-2.0
/* What a writer of statuses has to read itself, because sources keep status out of the store: the statuses that objects have
 * when it begins to be the writer, and objects of Istio's kinds that weft does not support.
 *
 *   struct status_source *f = status_source_new(loop, api, watch_unsupported, take, arg, &task);
 *   … woken with KUBE_WAKE:  status_source_drain(f); if (status_source_complete(f)) …
 *   status_source_free(f);
 *
 * take() is called inside of drain() with each object; for an object that is gone `tree` is NULL. A kind that the API server
 * does not have counts as read.
 */
#pragma once

#include <stdbool.h>

#include "kube/client.h"
#include "mesh/object.h"

struct node;
struct status_source;

struct status_object {
    struct kube_resource resource; /* lives as long as the source; version: that of the object */
    struct view kind, ns, name;
    bool unsupported;
    const struct node *tree;
};
typedef void (*status_take_fn)(void *arg, const struct status_object *o);

/* The kinds that have a status of ours and that the mesh is made of. */
extern const enum mesh_kind status_kinds[];
extern const unsigned n_status_kinds;

struct status_source *status_source_new(struct loop *loop, struct kube_client *api, bool watch_unsupported,
                                        status_take_fn take, void *arg, struct task *wake)
    __attribute__((returns_nonnull));
struct status_source *status_source_free(struct status_source *f); /* NULL */
void status_source_drain(struct status_source *f);
bool status_source_complete(const struct status_source *f); /* all that was there at the beginning was taken */
