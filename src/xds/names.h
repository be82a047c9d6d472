// SPDX-License-Identifier: Apache-2.0
/* A set of names kept as 64-bit hashes: what a proxy has subscribed to, at 16 bytes a name instead of 100. A hash that
 * collides only sends one resource too many to a proxy that asked for the other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"

struct name_set {
    uint64_t *slots; /* 0: free; 1: deleted */
    uint32_t n_slots, n, used;
};

static inline uint64_t name_set_key(uint64_t hash)
{
    return hash < 2 ? hash + 2 : hash;
}

static inline uint64_t *name_set_find(const struct name_set *s, uint64_t key)
{
    for (uint32_t i = (uint32_t)key & (s->n_slots - 1);; i = (i + 1) & (s->n_slots - 1))
        if (s->slots[i] == key || s->slots[i] == 0)
            return &s->slots[i];
}

static inline bool name_set_has(const struct name_set *s, uint64_t hash)
{
    return s->n && *name_set_find(s, name_set_key(hash)) != 0;
}

static inline void name_set_grow(struct name_set *s)
{
    struct name_set bigger = {.n_slots = 16};

    while (bigger.n_slots < (s->n + 1) * 2)
        bigger.n_slots *= 2;
    bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
    must(bigger.slots != NULL);
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i] > 1) {
            *name_set_find(&bigger, s->slots[i]) = s->slots[i];
            bigger.n++;
        }
    bigger.used = bigger.n;
    free(s->slots);
    *s = bigger;
}

static inline bool name_set_add(struct name_set *s, uint64_t hash) /* whether it was new */
{
    uint64_t key = name_set_key(hash), *slot;

    if ((s->used + 1) * 4 > s->n_slots * 3)
        name_set_grow(s);
    slot = name_set_find(s, key);
    if (*slot == key)
        return false;
    *slot = key;
    s->n++;
    s->used++;
    return true;
}

static inline void name_set_del(struct name_set *s, uint64_t hash)
{
    uint64_t *slot = s->n ? name_set_find(s, name_set_key(hash)) : NULL;

    if (slot && *slot != 0) {
        *slot = 1;
        s->n--;
    }
}

static inline void name_set_done(struct name_set *s)
{
    free(s->slots);
    *s = (struct name_set){0};
}
