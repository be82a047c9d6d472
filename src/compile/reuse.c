// SPDX-License-Identifier: Apache-2.0
/* What need not be made again: the clusters and endpoints of a service for another scope or after a change elsewhere, and all
 * listeners and routes of a scope after a change of endpoints.
 *
 * A print is a hash of the addresses of all objects that an output was made from. Objects are immutable, and those of a
 * snapshot and of the one before it are alive together while the snapshot is made, so the same address is the same object:
 * equal prints in two compilers that follow each other mean equal output. A memo that one compiler does not use is gone for
 * the next. What is reused wrongly would be served wrongly: whoever makes an output depend on one more object adds it here.
 */
#include "compile/scope.h"

struct memo {
    uint64_t print;
    struct resource **list; /* referenced */
    uint32_t n, cap;
};

static uint64_t mix_kind(uint64_t print, const struct mesh_snapshot *s, enum mesh_kind kind)
{
    print = print_mix(print, s->by_kind[kind].n);
    for (uint32_t i = 0; i < s->by_kind[kind].n; i++)
        print = print_object(print, s->by_kind[kind].list[i]);
    return print;
}

/* ---- prints ---- */

static uint64_t of_slices(const struct compiler *c, const struct registered *r, uint64_t print)
{
    const struct object_list *slices = snapshot_slices(c->snap, r->ns, r->name);

    for (uint32_t i = 0; slices && i < slices->n; i++) {
        const struct endpoint_slice *s = OBJECT_AS(slices->list[i], ENDPOINT_SLICE, endpoint_slice);
        print = print_object(print, s);
        for (uint32_t j = 0; j < s->n_endpoints; j++)
            print = print_object(print, registry_target(c, &s->endpoints[j].target, r->ns));
    }
    if (slices && slices->n)
        return print;
    struct object *o = snapshot_get(c->snap, KIND_ENDPOINTS, r->ns, r->name);
    const struct endpoints *e = OBJECT_AS(o, ENDPOINTS, endpoints);
    print = print_object(print, e);
    for (uint32_t i = 0; e && i < e->n_subsets; i++)
        for (uint32_t j = 0; j < e->subsets[i].n_addresses; j++)
            print = print_object(print, registry_target(c, &e->subsets[i].addresses[j].target, r->ns));
    return print;
}

/* Of everything that the service's instances are made from. */
static uint64_t instances_print(const struct compiler *c, const struct registered *r)
{
    struct registered *mine = (struct registered *)r;
    const struct pod *pod;
    uint64_t print = 1;

    if (r->print)
        return r->print;
    if (r->service)
        print = of_slices(c, r, print);
    for (uint32_t i = 0; r->entry && r->entry->has_workload_selector &&
                         (pod = snapshot_pod(c->snap, r->ns, &r->entry->workload_selector, &i));)
        print = print_object(print, pod);
    return mine->print = print ? print : 1;
}

static bool listens_by_instance(const struct registered *r)
{
    return r->resolution == RESOLVE_PASSTHROUGH || (r->entry && r->entry->has_workload_selector);
}

void reuse_build(struct compiler *c)
{
    static const enum mesh_kind kinds[] = {KIND_SERVICE, KIND_SERVICE_ENTRY, KIND_VIRTUAL_SERVICE,
                                           KIND_DESTINATION_RULE};

    c->policy_print = print_object(1, c->snap->config_object);
    c->policy_print = mix_kind(c->policy_print, c->snap, KIND_PEER_AUTHENTICATION);
    c->outbound_print = c->policy_print;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        c->outbound_print = mix_kind(c->outbound_print, c->snap, kinds[i]);
    for (uint32_t i = 0; i < c->n_services; i++)
        if (listens_by_instance(c->services[i]))
            c->outbound_print = print_mix(c->outbound_print, instances_print(c, c->services[i]));
}

static uint64_t service_print(const struct scope *s, const struct registered *r, const struct rule_set *rules)
{
    uint64_t print = print_mix(s->c->policy_print, instances_print(s->c, r));

    print = print_object(print_mix(print_mix(print, s->kind), view_hash(s->cluster_id)), r->object);
    print = print_mix(print, view_hash(r->host));
    if (!rules)
        return print;
    print = print_object(print_object(print, rules->first), rules->policy_of);
    for (uint32_t i = 0; i < rules->n_subsets; i++)
        print = print_object(print_object(print, rules->subsets[i]), rules->subset_of[i]);
    return print;
}

/* ---- memos ---- */

static struct view print_key(const uint64_t *print)
{
    return view_make(print, sizeof(*print));
}

static struct memo *memo_free(struct memo *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        resource_unref(m->list[i]);
    mem_free(m->list);
    mem_free(m);
    return NULL;
}

void reuse_forget(struct map *memos)
{
    MAP_EACH (memos, it)
        memo_free(it->value);
    map_done(memos);
}

void reuse_record(struct compiler *c, struct resource *r)
{
    struct memo *m = c->recording;

    if (!m)
        return;
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 2;
        m->list = mem_grow(m->list, m->cap * sizeof(*m->list));
    }
    m->list[m->n++] = resource_ref(r);
}

bool reuse_service(struct scope *s, const struct registered *r, const struct rule_set *rules)
{
    struct compiler *c = s->c;
    uint64_t print = service_print(s, r, rules);
    struct memo *m = map_get(&c->memos, print_key(&print));

    if (!m && (m = map_del(&c->memos_before, print_key(&print)))) {
        map_put(&c->memos, print_key(&m->print), m);
        for (uint32_t i = 0; i < m->n; i++)
            scope_intern(c, m->list[i]);
    }
    if (m) {
        for (uint32_t i = 0; i < m->n; i++)
            plan_put(s->plan, m->list[i]);
        return true;
    }
    m = mem_alloc(sizeof(*m));
    m->print = print;
    map_put(&c->memos, print_key(&m->print), m);
    c->recording = m;
    return false;
}

void reuse_end(struct compiler *c)
{
    c->recording = NULL;
}

/* ---- whole scopes ---- */

bool reuse_outbound(struct scope *s, struct view key)
{
    static const enum resource_kind kinds[] = {RESOURCE_LISTENER, RESOURCE_ROUTES};
    const struct plan *before = map_get(&s->c->plans_before, key);

    if (!before || s->c->outbound_print != s->c->outbound_before)
        return false;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        PLAN_EACH(before, kinds[i], r)
        {
            scope_intern(s->c, r);
            plan_put(s->plan, r);
        }
    return true;
}

/* Equal plans are the same one: then nothing is compared for any proxy. */
void reuse_plan(struct scope *s, struct view key)
{
    const struct plan *before = map_get(&s->c->plans_before, key);

    if (!before)
        return;
    for (int k = 0; k < RESOURCE_KINDS; k++) {
        if (plan_count(before, k) != plan_count(s->plan, k))
            return;
        PLAN_EACH(s->plan, k, r)
        {
            if (plan_get(before, k, &(struct name_ref){r->name, r->name_hash}) != r)
                return;
        }
    }
    plan_unref(s->plan);
    s->plan = (struct plan *)(uintptr_t)plan_ref(before); /* complete: never written again */
}
