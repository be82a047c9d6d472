// SPDX-License-Identifier: Apache-2.0
/* What the writer of statuses knows of each object: its identity and version, what the decoder and the analyzers say about it,
 * how many proxies have it, the status that it has and the one that it should get.
 *
 *   status_world_init(&w, store, writer);
 *   status_world_take(&w, snapshot, analyze);          // another snapshot, or another rejected object
 *   status_world_listed(&w, object);                   // an object of an API server with the status that it has
 *   MAP_EACH (&w.entries, it) judge(it->value);
 *   status_world_done(&w);
 *
 * Only objects of an API server are here: those of files have no status.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "control/status/condition.h"
#include "control/status/reach.h"
#include "control/status/source.h"
#include "control/status/write.h"

struct store;
struct store_snapshot;

#define STATUS_NO_REACH UINT32_MAX

struct status_entry { /* an object */
    struct status_item item;
    struct arena arena; /* of the names */
    struct view key, kind, ns, name;
    struct kube_resource resource;
    struct view version; /* of its apiVersion */
    struct buf uid, rv;  /* resourceVersion that the next write is for */
    struct buf source_rv;
    int64_t generation, in_force;      /* in_force -1: none */
    bool rejected, unsupported, known; /* known: `have` is what it has */
    uint64_t since;                    /* number of the first snapshot with the version in force */
    uint64_t seen;                     /* look */
    uint64_t changed_at;               /* when that version came: loop time */
    uint64_t pending_since, fewer_since, written_at, blocked_until;
    uint64_t refused_hash;
    uint32_t reach;
    struct status_verdict verdict;
    struct arena have_in, wish_in;
    struct status_text have, wish; /* wish: while one is due */
};

struct status_world {
    struct store *store;
    struct status_writer *writer;
    struct reach *reach;
    struct map entries; /* "Kind/ns/name" → struct status_entry */
    struct buf key;
    uint64_t number;      /* of the snapshot that was taken last; 0: none */
    uint64_t looks;       /* takes so far */
    uint64_t snapshot_at; /* loop time at which the newest snapshot came: set by the owner */
    uint32_t objects;
};

void status_world_init(struct status_world *w, struct store *store, struct status_writer *writer);
void status_world_done(struct status_world *w);
void status_world_clear(struct status_world *w); /* forgets all objects */
void status_world_take(struct status_world *w, const struct store_snapshot *now, bool analyze);
void status_world_listed(void *world, const struct status_object *o); /* a status_take_fn */

/* The object as the API server just said. */
void status_entry_learn(struct status_entry *e, const struct node *tree);
struct status_facts status_entry_facts(const struct status_world *w, const struct status_entry *e);
