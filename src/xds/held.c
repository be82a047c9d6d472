// SPDX-License-Identifier: Apache-2.0
/* See held.h. Differences and name sets are found again by their keys while somebody uses them. */
#include "xds/held.h"

#include <stdlib.h>
#include <string.h>

void shelf_init(struct shelf *s)
{
    map_init(&s->diffs, NULL);
    map_init(&s->names, NULL);
}

void shelf_done(struct shelf *s)
{
    must(!map_size(&s->diffs) && !map_size(&s->names));
    map_done(&s->diffs);
    map_done(&s->names);
}

/* ---- differences ---- */

struct resource *plan_by_hash(const struct plan *p, enum resource_kind kind, uint64_t name_hash)
{
    const struct resource_table *t = p ? &p->tables[kind] : NULL;

    if (!t || !t->n)
        return NULL;
    for (uint32_t i = (uint32_t)name_hash & (t->n_slots - 1); t->slots[i]; i = (i + 1) & (t->n_slots - 1))
        if (t->slots[i]->name_hash == name_hash)
            return t->slots[i];
    return NULL;
}

static struct view diff_key(const struct diff_key *k)
{
    return view_make(k, sizeof(*k));
}

static void compare(struct diff *d)
{
    enum resource_kind kind = (enum resource_kind)d->key.kind;
    const struct plan *from = d->key.from, *to = d->key.to;
    uint32_t n_to = to ? plan_count(to, kind) : 0, n_from = from ? plan_count(from, kind) : 0;

    d->changed = calloc(n_to + n_from + 1, sizeof(*d->changed));
    must(d->changed != NULL);
    if (to)
        PLAN_EACH(to, kind, r)
        {
            const struct resource *old = plan_by_hash(from, kind, r->name_hash);
            if (!old || old->hash != r->hash)
                d->changed[d->n_changed++] = r;
        }
    d->gone = d->changed + d->n_changed;
    if (from)
        PLAN_EACH(from, kind, r)
        {
            if (!plan_by_hash(to, kind, r->name_hash))
                d->gone[d->n_gone++] = r;
        }
}

struct diff *diff_get(struct shelf *s, enum resource_kind kind, const struct plan *from, const struct plan *to)
{
    struct diff_key key = {kind, from, to};
    struct diff *d = map_get(&s->diffs, diff_key(&key));

    if (!d) {
        d = calloc(1, sizeof(*d));
        must(d != NULL);
        d->key = key;
        if (from)
            plan_ref(from);
        if (to)
            plan_ref(to);
        compare(d);
        map_put(&s->diffs, diff_key(&d->key), d);
    }
    d->refs++;
    return d;
}

void diff_unref(struct shelf *s, struct diff *d)
{
    if (!d || --d->refs)
        return;
    map_del(&s->diffs, diff_key(&d->key));
    free(d->changed);
    plan_unref(d->key.from);
    plan_unref(d->key.to);
    free(d);
}

/* ---- sets of names ---- */

static uint64_t sum_of(const struct name_set *set)
{
    uint64_t sum = set->n;

    for (uint32_t i = 0; i < set->n_slots; i++)
        if (set->slots[i] > 1)
            sum += set->slots[i] * 0x9e3779b97f4a7c15u;
    return sum;
}

/* Compared in full: a sum may collide, and on purpose. */
static bool same(const struct name_set *a, const struct name_set *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n_slots; i++)
        if (a->slots[i] > 1 && *name_set_find(b, a->slots[i]) != a->slots[i])
            return false;
    return true;
}

static struct view sum_key(const struct shared_names *n)
{
    return view_make(&n->sum, sizeof(n->sum));
}

struct shared_names *names_share(struct shelf *s, struct name_set *set)
{
    struct shared_names key = {.sum = sum_of(set)}, *first, *n;

    if (!set->n) {
        name_set_done(set);
        return NULL;
    }
    first = map_get(&s->names, sum_key(&key));
    for (n = first; n; n = n->next)
        if (same(&n->set, set)) {
            name_set_done(set);
            n->refs++;
            return n;
        }
    n = calloc(1, sizeof(*n));
    must(n != NULL);
    *n = (struct shared_names){.refs = 1, .sum = key.sum, .set = *set};
    *set = (struct name_set){0};
    if (first) { /* the key belongs to the first */
        n->next = first->next;
        first->next = n;
    } else {
        map_put(&s->names, sum_key(n), n);
    }
    return n;
}

void names_unref(struct shelf *s, struct shared_names *n)
{
    struct shared_names *first;

    if (!n || --n->refs)
        return;
    first = map_del(&s->names, sum_key(n));
    if (first == n) {
        first = n->next;
    } else {
        struct shared_names *at = first;
        while (at->next != n)
            at = at->next;
        at->next = n->next;
    }
    if (first)
        map_put(&s->names, sum_key(first), first);
    name_set_done(&n->set);
    free(n);
}

void name_set_copy(struct name_set *to, const struct shared_names *from)
{
    *to = (struct name_set){0};
    if (!from)
        return;
    *to = from->set;
    to->slots = malloc(to->n_slots * sizeof(*to->slots));
    must(to->slots != NULL);
    memcpy(to->slots, from->set.slots, to->n_slots * sizeof(*to->slots));
}

/* ---- texts ---- */

struct shared_text *shared_text_new(struct view text)
{
    struct shared_text *t = malloc(sizeof(*t) + text.n);

    must(t != NULL);
    t->refs = 1;
    t->n = (uint32_t)text.n;
    if (text.n)
        memcpy(t->text, text.p, text.n);
    return t;
}

void shared_text_unref(struct shared_text *t)
{
    if (t && --t->refs == 0)
        free(t);
}

void shared_text_set(struct shared_text **to, struct view *ret, struct shared_text *from)
{
    if (from)
        from->refs++;
    shared_text_unref(*to);
    *to = from;
    *ret = from ? view_make(from->text, from->n) : VIEW_NONE;
}

/* ---- oddities ---- */

static struct view odd_key(const uint64_t *hash)
{
    return view_make(hash, sizeof(*hash));
}

struct oddity *held_odd(const struct held *h, uint64_t name_hash)
{
    return map_size(&h->odd) ? map_get(&h->odd, odd_key(&name_hash)) : NULL;
}

struct oddity *held_make_odd(struct held *h, uint64_t name_hash, struct resource *has)
{
    struct oddity *o = held_odd(h, name_hash);

    if (!o) {
        o = calloc(1, sizeof(*o));
        must(o != NULL);
        o->name_hash = name_hash;
        map_put(&h->odd, odd_key(&o->name_hash), o);
    }
    if (has)
        resource_ref(has);
    resource_unref(o->has);
    o->has = has;
    return o;
}

void held_forget_odd(struct held *h, uint64_t name_hash)
{
    struct oddity *o = map_size(&h->odd) ? map_del(&h->odd, odd_key(&name_hash)) : NULL;

    if (!o)
        return;
    resource_unref(o->has);
    free(o);
    if (!map_size(&h->odd)) { /* a thousand at the beginning, none later */
        map_done(&h->odd);
        map_init(&h->odd, NULL);
    }
}

void held_arrive(struct shelf *s, struct held *h, int layer, const struct plan *to)
{
    if (to)
        plan_ref(to);
    plan_unref(h->base[layer]);
    h->base[layer] = to;
    diff_unref(s, h->diff[layer]);
    h->diff[layer] = NULL;
    h->at[layer] = 0;
}

void held_clear(struct shelf *s, struct held *h)
{
    for (int i = 0; i < LAYERS; i++)
        held_arrive(s, h, i, NULL);
    MAP_EACH (&h->odd, it) {
        struct oddity *o = it->value;
        resource_unref(o->has);
        free(o);
    }
    map_done(&h->odd);
    map_init(&h->odd, NULL);
}
