// SPDX-License-Identifier: Apache-2.0
/* Everything that sources know, as typed objects, and from time to time as one snapshot.
 *
 *   store_put_json(st, json);                      // one object of an API server
 *   store_put_file(st, path, text);                // all objects of one file; what was in it before and is not now, goes
 *   store_del(st, KIND_SERVICE, ns, name);
 *   store_expect(st); … store_synced(st);          // a source that has not said all yet holds snapshots back
 *   … owner woken with bits:  if (store_take(st, &snap)) …use…; store_release(st, old snap)
 *
 * The first change is told at once, further ones at most every STORE_DEBOUNCE. An object that does not parse is named in
 * the diagnostics and the last good one of its name stays (Kubernetes keeps the bad one out by the webhook; files don't).
 *
 * Invariants: objects that a snapshot borrows live until it is released. One loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "mesh/snapshot.h"

struct loop;
struct store;
struct task;

struct store_snapshot {
    struct mesh_snapshot *mesh;
    struct diags diags; /* what snapshot_new found */
    struct arena arena; /* of both */
    uint64_t number;    /* counts from 1 */
    uint64_t waited;    /* ns since the first change that the one before does not have */
    uint32_t n_objects;
    bool touched[MESH_KINDS]; /* kinds of which something was put or deleted since the one before */
};

struct store *store_new(struct loop *loop, struct task *owner, uint32_t bits) __attribute__((returns_nonnull));
/* Whose MeshConfig counts: ConfigMap `istio` or `istio-<revision>` of the control plane's namespace. Before the first object;
 * empty: istio-system, default. */
void store_mesh_config(struct store *st, struct view home, struct view revision);
struct store *store_free(struct store *st); /* after its snapshots were released; NULL */

void store_put_json(struct store *st, struct view json);
int store_put_file(struct store *st, struct view path, struct view text); /* 0, -EINVAL: something in it was rejected */
void store_del_file(struct store *st, struct view path);
void store_del(struct store *st, enum mesh_kind kind, struct view ns, struct view name);

/* An object of an API server that was rejected. Valid until the store changes. */
struct store_rejected {
    struct view api_version, kind, ns, name, uid, resource_version;
    int64_t generation;
    const struct object *good; /* the last good one of its name, which stays in force; NULL: there is none */
    const struct diags *diags;
};
/* One after the other: `i` starts at 0 and is moved. false: no more. */
bool store_rejected_next(const struct store *st, uint32_t *i, struct store_rejected *ret);
/* One more task that is woken when an object is rejected, or no longer is; NULL: nobody. */
void store_listen(struct store *st, struct task *task, uint32_t bits);

void store_expect(struct store *st); /* a source was added that has to say something */
void store_synced(struct store *st); /* it did, for the first time */
bool store_ready(const struct store *st);

/* A snapshot of now, if anything changed since the last one and all sources have spoken; NULL: none. The caller's. */
struct store_snapshot *store_take(struct store *st);
void store_release(struct store *st, struct store_snapshot *s); /* NULL is fine */

void store_print_json(const struct store *st, struct buf *out); /* those that are kept whole (prune.h), but Secrets */
void store_print_rejected(const struct store *st, struct buf *out); /* diagnostics of rejected objects: an array */
enum store_event { STORE_ADD, STORE_UPDATE, STORE_DELETE, STORE_EVENTS };
uint64_t store_events(const struct store *st, enum mesh_kind kind, enum store_event e); /* so far, by its sources */
uint32_t store_count(const struct store *st, enum mesh_kind kind);                      /* objects of one kind */
uint32_t store_rejected(const struct store *st);
