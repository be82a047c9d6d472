// SPDX-License-Identifier: Apache-2.0
/* What a proxy has of one type, told by plans that many proxies share, so that a proxy costs bytes and not tables.
 *
 * A proxy's plan has two layers: what it shares with its scope and what is its own. Of each layer it has everything that it
 * asked for of `base`, and of the difference from there to a newer plan the first `at` resources. What is otherwise (asked for
 * late, refused, to be removed) is an oddity by name: few, and gone when it is in order again.
 *
 *   diff = diff_get(shelf, kind, from, to);       // computed once however many proxies go this way; diff_unref
 *   set = names_share(shelf, &private_set);       // equal sets are one; names_unref
 *
 * Invariants: what a diff points to lives by its reference on `to` and `from`. Names are kept as 64-bit hashes: one that
 * collides only sends one resource too many to a proxy that asked for the other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/must.h"
#include "plan/plan.h"

/* ---- sets of name hashes, 16 bytes a name instead of 100 ---- */

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

/* ---- what is shared ---- */

enum { LAYER_SHARED, LAYER_OWN, LAYERS };

struct shelf { /* of a server: what streams share */
    struct map diffs, names;
};

struct diff {
    struct diff_key {
        uint64_t kind;
        const struct plan *from, *to;
    } key;
    uint32_t refs, n_changed, n_gone;
    struct resource **changed; /* of `to`: new, or another content than in `from` */
    struct resource **gone;    /* of `from` */
};

struct shared_names {
    uint32_t refs;
    uint64_t sum;
    struct name_set set;
    struct shared_names *next; /* another set of the same sum and size */
};

struct shared_text { /* versions: one text for all proxies that were told it */
    uint32_t refs, n;
    char text[];
};

struct oddity {
    uint64_t name_hash;
    struct resource *has; /* NULL: nothing */
    uint64_t denied;      /* content hash of what it refused; 0: nothing */
};

struct held {
    const struct plan *base[LAYERS]; /* NULL: nothing */
    struct diff *diff[LAYERS];       /* NULL: nothing is under way */
    uint32_t at[LAYERS];
    struct map odd; /* name hash → struct oddity */
};

void shelf_init(struct shelf *s);
void shelf_done(struct shelf *s); /* after everything on it was given back */

struct diff *diff_get(struct shelf *s, enum resource_kind kind, const struct plan *from, const struct plan *to);
void diff_unref(struct shelf *s, struct diff *d);
static inline bool diff_empty(const struct diff *d)
{
    return !d->n_changed && !d->n_gone;
}

/* Takes the set over. NULL for an empty one. */
struct shared_names *names_share(struct shelf *s, struct name_set *set);
void names_unref(struct shelf *s, struct shared_names *n);
void name_set_copy(struct name_set *to, const struct shared_names *from); /* from may be NULL */
static inline bool names_has(const struct shared_names *n, uint64_t hash)
{
    return n && name_set_has(&n->set, hash);
}

void shared_text_set(struct shared_text **to, struct view *ret, struct shared_text *from); /* either may be NULL */
struct shared_text *shared_text_new(struct view text);
void shared_text_unref(struct shared_text *t);

/* By hash alone. NULL: absent, also when there is no plan. */
struct resource *plan_by_hash(const struct plan *p, enum resource_kind kind, uint64_t name_hash);

struct oddity *held_odd(const struct held *h, uint64_t name_hash); /* NULL: none */
struct oddity *held_make_odd(struct held *h, uint64_t name_hash, struct resource *has);
void held_forget_odd(struct held *h, uint64_t name_hash);
/* Nothing is under way any more: the layer's plan is `to`. */
void held_arrive(struct shelf *s, struct held *h, int layer, const struct plan *to);
void held_clear(struct shelf *s, struct held *h);
