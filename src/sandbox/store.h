// SPDX-License-Identifier: Apache-2.0
/* The sandbox's one store: every object of the stand-in cluster, as the tree that people wrote and as the typed object
 * of mesh/, with a version that counts every change.
 *
 * A record is immutable and counted: a change makes a new record, watchers and controllers keep the one they hold. What
 * cannot be decoded never gets in, so whoever reads a record reads a valid object; the last good one stays.
 *
 *   struct store_put put = {.tree = tree, .mode = STORE_SPEC};
 *   err = store_write(store, &put, &diags, &record);         // -EINVAL: diags says why; unchanged: no new version
 *   struct record **pods = store_list(store, KIND_POD, ns, &arena, &n);      // sorted; lives as long as the arena
 *
 * The last LIMIT_STORE_EVENTS changes are kept for watches (store_event). `changed` is called after every change and
 * must only wake somebody.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/must.h"
#include "mesh/object.h"

struct store;

/* The text of a file of manifests, shared by the records that came from it: for pictures in diagnostics. */
struct manifest {
    uint32_t refs;
    struct view file, text;
};
struct manifest *manifest_new(struct view file, struct view text); /* copied */
struct manifest *manifest_ref(struct manifest *m);
struct manifest *manifest_unref(struct manifest *m); /* takes NULL, returns NULL */

struct record {
    uint32_t refs;
    enum mesh_kind kind;
    struct arena arena;
    struct node *tree;     /* all of it: apiVersion, kind, metadata, spec, status */
    struct object *object; /* decoded from tree */
    struct view key;       /* "ns/name", or "name" */
    struct view ns, name, uid;
    uint64_t version;
    struct view
        applied; /* JSON of what `apply` was last given: the base of its three-way merge; empty: never applied */
    struct manifest *manifest; /* NULL: made by code or through the API */
};
struct record *record_ref(struct record *r);
struct record *record_unref(struct record *r);

struct store *store_new(void (*changed)(void *arg), void *arg);
struct store *store_free(struct store *s);

struct record *store_get(const struct store *s, enum mesh_kind kind, struct view ns, struct view name); /* borrowed */
/* Sorted by namespace and name; an empty ns: all. The array and a reference to each record live as long as `a`. */
struct record **store_list(const struct store *s, enum mesh_kind kind, struct view ns, struct arena *a, size_t *ret_n);
uint64_t store_version(const struct store *s);

enum store_mode {
    STORE_SPEC,   /* everything but status, which stays as it is (of a new object: as given) */
    STORE_STATUS, /* only status */
};

struct store_put {
    const struct node *tree; /* copied */
    enum store_mode mode;
    bool create;               /* -EEXIST when it is there already */
    uint64_t expect;           /* -ESTALE when the present version differs; 0: whatever it is */
    struct view applied;       /* empty: kept */
    struct manifest *manifest; /* NULL: kept */
};

/* Sets uid, creationTimestamp, resourceVersion and generation. ret_record (borrowed) may be NULL. */
int store_write(struct store *s, const struct store_put *put, struct diags *d, struct record **ret_record) must_check;
/* Removes at once; finalizing and graceful ends are the controllers' business (sandbox/cluster.h). */
void store_remove(struct store *s, enum mesh_kind kind, struct view ns, struct view name);

enum store_event_type { STORE_ADDED, STORE_MODIFIED, STORE_DELETED };
struct store_event {
    enum store_event_type type;
    uint64_t version;
    struct record *record; /* of a deletion: the last one, with the version of the deletion */
};
/* The first change after `version`; NULL: none yet. -ESTALE in *ret_err: so old that it is no longer known: list again. */
const struct store_event *store_event(const struct store *s, uint64_t version, int *ret_err);

/* Strings that the API makes: "x7k2p" and UUIDs. buf holds n characters and a NUL, 37 bytes. */
void store_suffix(char *buf, size_t n);
void store_uuid(char *buf);
