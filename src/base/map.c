// SPDX-License-Identifier: Apache-2.0
/* The map of map.h: a dense item array in insertion order, and a slot table of indexes into it. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

void map_init(struct map *m, struct arena *a)
{
    *m = (struct map){.arena = a};
}

void map_done(struct map *m)
{
    if (!m->arena) {
        mem_free(m->items);
        mem_free(m->slots);
    }
    *m = (struct map){.arena = m->arena};
}

static uint32_t *find_slot(const struct map *m, struct view key, uint64_t hash)
{
    for (uint32_t i = (uint32_t)hash & (m->n_slots - 1);; i = (i + 1) & (m->n_slots - 1)) {
        uint32_t at = m->slots[i];
        if (!at)
            return &m->slots[i];
        struct map_item *item = &m->items[at - 1];
        if (item->hash == hash && view_eq(item->key, key))
            return &m->slots[i];
    }
}

void *map_get(const struct map *m, struct view key)
{
    if (!m->n_slots)
        return NULL;
    uint32_t at = *find_slot(m, key, view_hash(key));
    return at ? m->items[at - 1].value : NULL;
}

static void *take(struct map *m, size_t n)
{
    return m->arena ? arena_alloc(m->arena, n) : mem_alloc(n);
}

/* Rebuilds with room for one more; deleted items are dropped on the way. */
static void grow(struct map *m)
{
    struct map_item *old_items = m->items;
    uint32_t *old_slots = m->slots, n_old = m->n_items;
    uint32_t cap = 8;
    while (cap < (m->live + 1) * 2)
        cap *= 2;
    m->cap_items = cap;
    m->n_slots = cap * 2;
    m->items = take(m, cap * sizeof(*m->items));
    m->slots = take(m, m->n_slots * sizeof(*m->slots));
    m->n_items = 0;
    for (uint32_t i = 0; i < n_old; i++) {
        if (!old_items[i].value)
            continue;
        m->items[m->n_items] = old_items[i];
        *find_slot(m, old_items[i].key, old_items[i].hash) = ++m->n_items;
    }
    if (!m->arena) {
        mem_free(old_items);
        mem_free(old_slots);
    }
}

void map_put(struct map *m, struct view key, void *value)
{
    must(value != NULL);
    if (m->n_items == m->cap_items)
        grow(m);
    uint64_t hash = view_hash(key);
    uint32_t *slot = find_slot(m, key, hash);
    if (*slot) {
        struct map_item *item = &m->items[*slot - 1];
        m->live += item->value == NULL;
        item->value = value;
        item->key = key; /* the old key may live as long as the old value only */
        return;
    }
    m->items[m->n_items] = (struct map_item){.key = key, .value = value, .hash = hash};
    *slot = ++m->n_items;
    m->live++;
}

void *map_del(struct map *m, struct view key)
{
    if (!m->n_slots)
        return NULL;
    uint32_t at = *find_slot(m, key, view_hash(key));
    if (!at || !m->items[at - 1].value)
        return NULL;
    void *value = m->items[at - 1].value;
    m->items[at - 1].value = NULL;    /* the slot stays taken until the next grow: later probes must pass it */
    m->items[at - 1].key = VIEW_NONE; /* its bytes may go with the value */
    m->live--;
    return value;
}
