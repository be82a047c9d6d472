// SPDX-License-Identifier: Apache-2.0
/* See fleet_book.h: three tables of interned bytes, and references by (kind, name, version). */
#include "fleet_book.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/map.h"
#include "plan/cluster.h"
#include "plan/listener.h"
#include "xds/codec.h"

struct texts {
    struct map numbers; /* text → number */
    struct view *list;
    uint32_t n, cap;
};

struct refs_entry {
    struct refs_key {
        uint64_t kind;
        uint32_t name, version;
    } key;
    struct book_refs refs;
};

struct book {
    struct arena arena;
    struct texts names[RESOURCE_KINDS], versions;
    struct map refs;
    struct xds_codec *codec;
};

static uint32_t intern(struct book *b, struct texts *t, struct view text)
{
    uintptr_t number = (uintptr_t)map_get(&t->numbers, text);

    if (number)
        return (uint32_t)number;
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 256;
        t->list = realloc(t->list, t->cap * sizeof(*t->list));
        must(t->list != NULL);
    }
    t->list[t->n] = arena_view(&b->arena, text);
    number = ++t->n;
    map_put(&t->numbers, t->list[number - 1], (void *)number);
    return (uint32_t)number;
}

struct book *book_new(void)
{
    struct book *b = calloc(1, sizeof(*b));

    must(b != NULL);
    arena_init(&b->arena, 64 * 1024);
    for (int i = 0; i < RESOURCE_KINDS; i++)
        map_init(&b->names[i].numbers, NULL);
    map_init(&b->versions.numbers, NULL);
    map_init(&b->refs, NULL);
    b->codec = xds_codec_new();
    return b;
}

struct book *book_free(struct book *b)
{
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        map_done(&b->names[i].numbers);
        free(b->names[i].list);
    }
    map_done(&b->versions.numbers);
    free(b->versions.list);
    map_done(&b->refs);
    xds_codec_free(b->codec);
    arena_done(&b->arena);
    free(b);
    return NULL;
}

uint32_t book_name(struct book *b, enum resource_kind kind, struct view name)
{
    return intern(b, &b->names[kind], name);
}

uint32_t book_version(struct book *b, struct view version)
{
    return intern(b, &b->versions, version);
}

struct view book_name_text(const struct book *b, enum resource_kind kind, uint32_t name)
{
    return b->names[kind].list[name - 1];
}

struct view book_version_text(const struct book *b, uint32_t version)
{
    return b->versions.list[version - 1];
}

uint32_t book_names(const struct book *b, enum resource_kind kind)
{
    return b->names[kind].n;
}

/* ---- references, as xds/state.c follows them ---- */

struct collect {
    struct book *b;
    struct book_ref *list;
    uint32_t n;
    struct arena arena;
};

static void refer(struct collect *c, enum resource_kind kind, struct view name)
{
    if (name.n)
        *ARENA_PUSH(&c->arena, c->list, c->n) = (struct book_ref){kind, book_name(c->b, kind, name)};
}

static void of_chain(struct collect *c, const struct filter_chain *f)
{
    if (f->http)
        refer(c, RESOURCE_ROUTES, f->http->rds.name);
}

static void of_resource(struct collect *c, const struct resource *r)
{
    if (r->kind == RESOURCE_CLUSTER) {
        const struct cluster *cl = (const struct cluster *)r;
        if (cl->type == CLUSTER_EDS)
            refer(c, RESOURCE_ENDPOINTS, cl->eds_name.name);
    } else if (r->kind == RESOURCE_LISTENER) {
        const struct listener *l = (const struct listener *)r;
        for (uint32_t i = 0; i < l->n_chains; i++)
            of_chain(c, &l->chains[i]);
        if (l->default_chain)
            of_chain(c, l->default_chain);
    }
}

const struct book_refs *book_refs(struct book *b, enum resource_kind kind, uint32_t name, uint32_t version,
                                  struct view bytes, struct view *ret_why)
{
    struct refs_key key = {kind, name, version};
    struct refs_entry *e = map_get(&b->refs, view_make(&key, sizeof(key)));
    struct collect c = {.b = b};
    struct resource *r;

    if (e)
        return &e->refs;
    if (xds_decode(b->codec, kind, bytes, &r, ret_why) < 0)
        return NULL;
    arena_init(&c.arena, 1024);
    of_resource(&c, r);
    resource_unref(r);
    e = arena_alloc(&b->arena, sizeof(*e) + c.n * sizeof(struct book_ref));
    e->key = key;
    e->refs.n = c.n;
    if (c.n)
        memcpy(e->refs.list, c.list, c.n * sizeof(struct book_ref));
    arena_done(&c.arena);
    map_put(&b->refs, view_make(&e->key, sizeof(e->key)), e);
    return &e->refs;
}
