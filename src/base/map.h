// SPDX-License-Identifier: Apache-2.0
/* A map from bytes to a pointer: open addressing, insertion order kept, memory from an arena or the heap.
 *
 *   struct map services;
 *   map_init(&services, &arena);            // NULL: heap, then map_done frees it
 *   map_put(&services, name, svc);          // the key's bytes must outlive the map
 *   struct service *s = map_get(&services, name);
 *   MAP_EACH(&services, it) use(it->key, it->value);     // in the order of insertion: output is deterministic
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/view.h"

struct map_item {
    struct view key;
    void *value; /* NULL: deleted */
    uint64_t hash;
};

struct map {
    struct arena *arena; /* NULL: heap */
    struct map_item *items;
    uint32_t *slots; /* index + 1 into items; 0 is free */
    uint32_t n_items, cap_items, n_slots, live;
};

void map_init(struct map *m, struct arena *a);
void map_done(struct map *m);
void *map_get(const struct map *m, struct view key);       /* NULL when absent */
void map_put(struct map *m, struct view key, void *value); /* replaces; value must not be NULL */
void *map_del(struct map *m, struct view key);             /* what was there, or NULL */
static inline uint32_t map_size(const struct map *m)
{
    return m->live;
}

#define MAP_EACH(m, it)                                                                                                \
    for (struct map_item *it = (m)->items; it && it < (m)->items + (m)->n_items; it++)                                 \
        if (it->value)
