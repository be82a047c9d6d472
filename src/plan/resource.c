// SPDX-License-Identifier: Apache-2.0
/* Resources (resource.h): one allocation lifetime each, shared by counting references.
 *
 * The struct itself lies in its own arena, so freeing copies the arena out first. Secrets are wiped before that.
 */
#include "plan/resource.h"

#include <string.h>

#include "base/buf.h"
#include "plan/listener.h"
#include "plan/print.h"
#include "plan/route.h"
#include "plan/tls.h"

/* Chunk of a resource's arena: small, because a sidecar holds hundreds of them and most are under a kilobyte. */
#define RESOURCE_CHUNK 512

const char *resource_kind_name(enum resource_kind kind)
{
    static const char *const names[RESOURCE_KINDS] = {
        [RESOURCE_CLUSTER] = "cluster", [RESOURCE_ENDPOINTS] = "endpoints", [RESOURCE_LISTENER] = "listener",
        [RESOURCE_ROUTES] = "routes",   [RESOURCE_SECRET] = "secret",
    };
    return names[kind];
}

struct name_ref name_ref_copy(struct arena *a, struct view name)
{
    return name_ref(arena_view(a, name));
}

void *resource_new(enum resource_kind kind, size_t size, struct view name)
{
    struct arena a;
    arena_init(&a, RESOURCE_CHUNK);
    struct resource *r = arena_alloc(&a, size);
    atomic_init(&r->refs, 1);
    r->kind = kind;
    r->name = arena_view(&a, name);
    r->name_hash = name_ref(r->name).hash;
    r->arena = a;
    return r;
}

void *resource_ref(const void *resource)
{
    struct resource *r = (struct resource *)resource;
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

struct resource_part *resource_part_new(void)
{
    struct arena a;
    arena_init(&a, RESOURCE_CHUNK);
    struct resource_part *p = ARENA_NEW(&a, struct resource_part);
    atomic_init(&p->refs, 1);
    p->arena = a;
    return p;
}

void resource_part_unref(struct resource_part *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct arena a = p->arena;
    arena_done(&a);
}

static void let_go(void *part)
{
    resource_part_unref(part);
}

void resource_part_keep(struct arena *a, struct resource_part *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    arena_cleanup(a, let_go, p);
}

static void wipe_secret(struct tls_secret *s)
{
    if (s->private_key.n)
        explicit_bzero((char *)s->private_key.p, s->private_key.n);
}

void resource_unref(const void *resource)
{
    struct resource *r = (struct resource *)resource;
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (r->kind == RESOURCE_SECRET)
        wipe_secret((struct tls_secret *)r);
    struct arena a = r->arena;
    arena_done(&a);
}

void resource_seal(struct resource *r)
{
    struct buf text = {0};
    resource_print(&text, r);
    r->hash = view_hash(buf_read(&text));
    if (r->hash == 0)
        r->hash = 1; /* 0 says: not sealed */
    buf_done(&text);
}

static int prepare_sans(struct tls_common *c, struct arena *a, struct view *ret_error)
{
    for (uint32_t i = 0; i < c->n_sans; i++) {
        int r = text_match_prepare(&c->sans[i], a, ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int prepare_chain(struct filter_chain *c, struct arena *a, struct view *ret_error)
{
    int r = c->tls ? prepare_sans(&c->tls->common, a, ret_error) : 0;
    if (r == 0 && c->http && c->http->routes)
        r = route_table_prepare(c->http->routes, a, ret_error);
    return r;
}

static int prepare_listener(struct listener *l, struct view *ret_error)
{
    int r = l->default_chain ? prepare_chain(l->default_chain, &l->res.arena, ret_error) : 0;
    for (uint32_t i = 0; i < l->n_chains && r == 0; i++)
        r = prepare_chain(&l->chains[i], &l->res.arena, ret_error);
    return r;
}

static int prepare_cluster(struct cluster *c, struct view *ret_error)
{
    int r = 0;
    for (uint32_t i = 0; i < c->n_transports && r == 0; i++)
        if (c->transports[i].tls)
            r = prepare_sans(&c->transports[i].tls->common, &c->res.arena, ret_error);
    return r;
}

int resource_prepare(struct resource *r, struct view *ret_error)
{
    switch (r->kind) {
    case RESOURCE_CLUSTER:
        return prepare_cluster((struct cluster *)r, ret_error);
    case RESOURCE_LISTENER:
        return prepare_listener((struct listener *)r, ret_error);
    case RESOURCE_ROUTES:
        return route_table_prepare((struct route_table *)r, &r->arena, ret_error);
    case RESOURCE_ENDPOINTS:
    case RESOURCE_SECRET:
        return 0;
    }
    return 0;
}

struct tls_secret *tls_secret_new(struct view name, struct view cert_chain, struct view private_key,
                                  struct view trusted_ca)
{
    struct tls_secret *s = RESOURCE_NEW(struct tls_secret, RESOURCE_SECRET, name);
    s->cert_chain = arena_view(&s->res.arena, cert_chain);
    s->private_key = arena_view(&s->res.arena, private_key);
    s->trusted_ca = arena_view(&s->res.arena, trusted_ca);
    return s;
}
