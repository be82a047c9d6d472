// SPDX-License-Identifier: Apache-2.0
/* What every kind has: type, metadata, origin, and the tree it was decoded from.
 *
 * Each kind's struct begins with a `struct object o`, so a `struct object *` is cast by its kind:
 *
 *   struct virtual_service *vs = OBJECT_AS(object, VIRTUAL_SERVICE, virtual_service);   // NULL for another kind
 *
 * Objects are immutable and live in the arena that they were parsed into.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "mesh/label.h"
#include "wire/node.h"

enum mesh_kind {
#define KIND(symbol, kind, group, versions, plural, shorts, namespaced, type) KIND_##symbol,
#include "mesh/kinds.def"
    MESH_KINDS,
};

struct mesh_kind_info {
    struct view kind, group, versions, plural, shorts;
    bool namespaced;
};

extern const struct mesh_kind_info mesh_kinds[MESH_KINDS];

/* By Kind, plural, singular or short name, any case (`vs`, `virtualservice`, `deployments`); -ENOENT. */
int mesh_kind_find(struct view word, enum mesh_kind *ret_kind) must_check;
/* By apiVersion and Kind; -ENOENT. */
int mesh_kind_of(struct view api_version, struct view kind, enum mesh_kind *ret_kind) must_check;

struct owner_ref {
    struct view api_version, kind, name, uid;
    bool controller;
};

struct object_meta {
    struct view ns, name, generate_name, uid, resource_version; /* ns: "default" when a manifest names none */
    struct labels labels, annotations;
    struct owner_ref *owners;
    uint32_t n_owners;
    uint64_t created; /* wall clock ns; 0: unknown, sorts as the oldest */
    bool deleting;    /* has a deletionTimestamp */
    int64_t generation;
};

struct object {
    struct origin at;        /* of the whole object; at.path is empty */
    const struct node *node; /* the tree, for `get -o yaml` and for pictures in diagnostics */
    struct view source;      /* the text of the file, for pictures; empty for objects from an API server */
    uint32_t source_line;    /* the number of its first line */
    enum mesh_kind kind;
    struct view api_version;
    struct object_meta meta;
};

/* A message inside an object that can be named later begins with these two. `at` points at the message's first line
 * and carries its field path; mesh/decode.h finds the place of one of its fields. */
struct part {
    struct origin at;
    const struct node *node;
};

struct object_list {
    struct object **list;
    uint32_t n;
};

#define OBJECT_AS(object, symbol, type)                                                                                \
    ((object) && (object)->kind == KIND_##symbol ? (struct type *)(void *)(object) : NULL)
