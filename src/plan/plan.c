// SPDX-License-Identifier: Apache-2.0
/* Plans (plan.h): five hash tables of shared resources.
 *
 * A table doubles at half load and deletes by shifting back, so that lookups never meet tombstones. Listeners that do
 * not bind stand in a second table as well, by address: the way of every outbound connection.
 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct plan *plan_new(void)
{
    struct plan *p = mem_alloc(sizeof(*p));
    atomic_init(&p->refs, 1);
    return p;
}

static void copy_table(struct resource_table *to, const struct resource_table *from)
{
    *to = *from;
    if (!from->n_slots)
        return;
    to->slots = mem_alloc(from->n_slots * sizeof(*from->slots));
    memcpy(to->slots, from->slots, from->n_slots * sizeof(*from->slots));
}

struct plan *plan_copy(const struct plan *old)
{
    struct plan *p = plan_new();
    for (int k = 0; k < RESOURCE_KINDS; k++) {
        copy_table(&p->tables[k], &old->tables[k]);
        for (uint32_t i = 0; i < p->tables[k].n_slots; i++)
            if (p->tables[k].slots[i])
                resource_ref(p->tables[k].slots[i]);
    }
    copy_table(&p->by_address, &old->by_address);
    return p;
}

struct plan *plan_ref(const struct plan *p)
{
    struct plan *q = (struct plan *)p;
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
    return q;
}

void plan_unref(const struct plan *p)
{
    struct plan *q = (struct plan *)p;
    if (!q || atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int k = 0; k < RESOURCE_KINDS; k++) {
        for (uint32_t i = 0; i < q->tables[k].n_slots; i++)
            resource_unref(q->tables[k].slots[i]);
        mem_free(q->tables[k].slots);
    }
    mem_free(q->by_address.slots);
    mem_free(q);
}

static uint64_t key_of(const struct plan *p, const struct resource_table *t, const struct resource *r)
{
    return t == &p->by_address ? plan_addr_hash(&((const struct listener *)r)->address) : r->name_hash;
}

/* Where the resource of this key and name is, or the free slot where it would go. The table has a free slot. */
static uint32_t find_slot(const struct resource_table *t, const struct name_ref *name, uint64_t key)
{
    uint32_t i = (uint32_t)key & (t->n_slots - 1);
    while (t->slots[i] && !(t->slots[i]->name_hash == name->hash && view_eq(t->slots[i]->name, name->name)))
        i = (i + 1) & (t->n_slots - 1);
    return i;
}

static struct resource **place_of(const struct plan *p, struct resource_table *t, const struct resource *r)
{
    struct name_ref name = {r->name, r->name_hash};
    return &t->slots[find_slot(t, &name, key_of(p, t, r))];
}

static void grow(const struct plan *p, struct resource_table *t)
{
    struct resource **old = t->slots;
    uint32_t n_old = t->n_slots;
    t->n_slots = n_old ? n_old * 2 : 8;
    t->slots = mem_alloc(t->n_slots * sizeof(*t->slots));
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i])
            *place_of(p, t, old[i]) = old[i];
    mem_free(old);
}

/* Returns what stood there under the same key and name. */
static struct resource *table_put(struct plan *p, struct resource_table *t, struct resource *r)
{
    if ((t->n + 1) * 2 > t->n_slots)
        grow(p, t);
    struct resource **at = place_of(p, t, r), *before = *at;
    *at = r;
    t->n += before == NULL;
    return before;
}

static struct resource *table_del(const struct plan *p, struct resource_table *t, const struct name_ref *name,
                                  uint64_t key)
{
    if (!t->n)
        return NULL;
    uint32_t hole = find_slot(t, name, key), mask = t->n_slots - 1;
    struct resource *found = t->slots[hole];
    if (!found)
        return NULL;
    t->n--;
    for (uint32_t i = (hole + 1) & mask; t->slots[i]; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)key_of(p, t, t->slots[i]) & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* its home lies behind the hole: it may stay */
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole] = NULL;
    return found;
}

/* Takes a listener out of the address table. */
static void forget_address(struct plan *p, const struct resource *r)
{
    if (r && r->kind == RESOURCE_LISTENER && !((const struct listener *)r)->bind_to_port)
        table_del(p, &p->by_address, &(struct name_ref){r->name, r->name_hash}, key_of(p, &p->by_address, r));
}

void plan_put(struct plan *p, const struct resource *r)
{
    struct resource *mine = resource_ref(r);
    struct resource *before = table_put(p, &p->tables[r->kind], mine);
    forget_address(p, before);
    if (r->kind == RESOURCE_LISTENER && !((const struct listener *)r)->bind_to_port)
        table_put(p, &p->by_address, mine);
    resource_unref(before);
}

bool plan_del(struct plan *p, enum resource_kind kind, struct view name)
{
    struct name_ref ref = name_ref(name);
    struct resource *found = table_del(p, &p->tables[kind], &ref, ref.hash);
    forget_address(p, found);
    resource_unref(found);
    return found != NULL;
}

const struct resource *plan_get(const struct plan *p, enum resource_kind kind, const struct name_ref *name)
{
    const struct resource_table *t = &p->tables[kind];
    return t->n && name->hash ? t->slots[find_slot(t, name, name->hash)] : NULL;
}

const struct cluster *plan_cluster(const struct plan *p, const struct name_ref *name)
{
    return (const struct cluster *)plan_get(p, RESOURCE_CLUSTER, name);
}

const struct endpoint_set *plan_endpoints(const struct plan *p, const struct name_ref *name)
{
    return (const struct endpoint_set *)plan_get(p, RESOURCE_ENDPOINTS, name);
}

const struct listener *plan_listener(const struct plan *p, const struct name_ref *name)
{
    return (const struct listener *)plan_get(p, RESOURCE_LISTENER, name);
}

const struct route_table *plan_routes(const struct plan *p, const struct name_ref *name)
{
    return (const struct route_table *)plan_get(p, RESOURCE_ROUTES, name);
}

const struct tls_secret *plan_secret(const struct plan *p, const struct name_ref *name)
{
    return (const struct tls_secret *)plan_get(p, RESOURCE_SECRET, name);
}

/* Among several on one address the smallest name wins: the answer must not depend on the order of arrival. */
static const struct listener *at_address(const struct plan *p, const struct plan_addr *a)
{
    const struct resource_table *t = &p->by_address;
    const struct listener *best = NULL;
    if (!t->n)
        return NULL;
    for (uint32_t i = (uint32_t)plan_addr_hash(a) & (t->n_slots - 1); t->slots[i]; i = (i + 1) & (t->n_slots - 1)) {
        const struct listener *l = (const struct listener *)t->slots[i];
        if (plan_addr_eq(&l->address, a) && (!best || view_cmp(l->res.name, best->res.name) < 0))
            best = l;
    }
    return best;
}

const struct listener *plan_listener_for(const struct plan *p, const struct plan_addr *destination)
{
    const struct listener *l = at_address(p, destination);
    if (l)
        return l;
    struct plan_addr any = {.kind = destination->kind, .port = destination->port};
    l = at_address(p, &any);
    if (!l && any.kind == ADDR_IPV4) { /* [::]:port serves IPv4 too */
        any.kind = ADDR_IPV6;
        l = at_address(p, &any);
    }
    return l;
}

static int by_name(const void *a, const void *b)
{
    const struct resource *const *x = a, *const *y = b;
    return view_cmp((*x)->name, (*y)->name);
}

const struct resource **plan_sorted(const struct plan *p, enum resource_kind kind, struct arena *a)
{
    uint32_t n = 0;
    const struct resource **all = ARENA_ARRAY(a, const struct resource *, plan_count(p, kind) + 1);
    PLAN_EACH(p, kind, r)
    all[n++] = r;
    qsort(all, n, sizeof(all[0]), by_name);
    return all;
}
