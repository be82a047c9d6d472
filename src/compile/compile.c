// SPDX-License-Identifier: Apache-2.0
/* The compiler (compile.h): a registry and policies made once for a snapshot, scopes made on demand, and for each proxy
 * a copy of its scope's plan with its own inbound or gateway side added.
 */
#include "compile/compile.h"

#include "compile/scope.h"

static bool vs_by_labels(const struct virtual_service *vs)
{
    for (uint32_t i = 0; i < vs->n_http; i++)
        for (uint32_t j = 0; j < vs->http[i].n_match; j++)
            if (vs->http[i].match[j].source_labels.n)
                return true;
    const struct {
        const struct l4_route *routes;
        uint32_t n;
    } l4[] = {{vs->tls, vs->n_tls}, {vs->tcp, vs->n_tcp}};
    for (size_t k = 0; k < COUNT_OF(l4); k++)
        for (uint32_t i = 0; i < l4[k].n; i++)
            for (uint32_t j = 0; j < l4[k].routes[i].n_match; j++)
                if (l4[k].routes[i].match[j].source_labels.n)
                    return true;
    return false;
}

struct compiler *compiler_new(const struct mesh_snapshot *snapshot, struct compiler *last)
{
    struct compiler *c = mem_alloc(sizeof(*c));
    arena_init(&c->arena, 64 * 1024);
    c->snap = snapshot;
    c->config = snapshot->config;
    map_init(&c->scopes, NULL);
    map_init(&c->interned, NULL);
    map_init(&c->before, NULL);
    map_init(&c->memos, NULL);
    map_init(&c->memos_before, NULL);
    map_init(&c->hosts, NULL);
    map_init(&c->hosts_before, NULL);
    map_init(&c->plans_before, NULL);
    if (last) { /* what it made is kept for one generation, so that equal resources stay the same ones */
        c->before = last->interned;
        map_init(&last->interned, NULL);
        c->memos_before = last->memos;
        map_init(&last->memos, NULL);
        c->hosts_before = last->hosts;
        map_init(&last->hosts, NULL);
        c->outbound_before = last->outbound_print;
        MAP_EACH (&last->scopes, it)
            map_put(&c->plans_before, arena_view(&c->arena, it->key),
                    (void *)(uintptr_t)plan_ref(((struct scope *)it->value)->plan));
    }
    registry_build(c);
    policy_build(c);
    reuse_build(c);
    SNAPSHOT_EACH(snapshot, VIRTUAL_SERVICE, virtual_service, vs)
    c->by_labels |= vs_by_labels(vs);
    return c;
}

static void forget(struct map *resources)
{
    MAP_EACH (resources, it)
        resource_unref(it->value);
    map_done(resources);
}

struct compiler *compiler_free(struct compiler *c)
{
    if (!c)
        return NULL;
    MAP_EACH (&c->scopes, it) {
        struct scope *s = it->value;
        plan_unref(s->plan);
        map_done(&s->by_host);
    }
    map_done(&c->scopes);
    forget(&c->interned);
    forget(&c->before);
    reuse_forget(&c->memos);
    reuse_forget(&c->memos_before);
    inbound_common_forget(c);
    service_hosts_forget(&c->hosts);
    service_hosts_forget(&c->hosts_before);
    MAP_EACH (&c->plans_before, it)
        plan_unref(it->value);
    map_done(&c->plans_before);
    arena_done(&c->arena);
    mem_free(c);
    return NULL;
}

struct plan *compile_layers(struct compiler *c, const struct proxy_facts *proxy, const struct plan **ret_shared)
{
    struct scope *s = scope_get(c, proxy);
    struct plan *p = plan_new();
    switch (proxy->kind) {
    case PROXY_SIDECAR:
        compile_inbound(s, p, proxy);
        break;
    case PROXY_GATEWAY:
        compile_gateway(s, p, proxy);
        break;
    }
    compile_cluster_secrets(s, p);
    *ret_shared = s->plan;
    return p;
}

struct plan *compile_plan(struct compiler *c, const struct proxy_facts *proxy)
{
    const struct plan *shared;
    struct plan *own = compile_layers(c, proxy, &shared), *p = plan_copy(shared);
    for (int k = 0; k < RESOURCE_KINDS; k++)
        PLAN_EACH(own, k, r)
    plan_put(p, r);
    plan_unref(own);
    return p;
}
