// SPDX-License-Identifier: Apache-2.0
/* What all resources of a plan have in common: a kind, a name, an arena of their own, a reference count.
 *
 * A resource is built by one thread (compile/ or the decoder of xds/), sealed, and from then on immutable and shared:
 * between plans, proxies and worker threads. It never points into another resource or into mesh/, only into parts that its
 * arena keeps: other resources are named, by struct name_ref, whose hash is computed once so that the hot path looks them up
 * without hashing.
 *
 *   struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, name);   // one reference, the caller's
 *   c->connect_timeout = …; c->service.host = arena_view(&c->res.arena, host);
 *   resource_seal(&c->res);            // control plane: content hash, equal content ⇒ equal hash
 *   resource_prepare(&c->res, …);      // data plane: regexes compiled, lookup tables built
 *   resource_unref(&c->res);
 */
#pragma once

#include <stdint.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

enum resource_kind {
    RESOURCE_CLUSTER,   /* struct cluster        CDS */
    RESOURCE_ENDPOINTS, /* struct endpoint_set   EDS */
    RESOURCE_LISTENER,  /* struct listener       LDS */
    RESOURCE_ROUTES,    /* struct route_table    RDS */
    RESOURCE_SECRET,    /* struct tls_secret         SDS */
};
#define RESOURCE_KINDS 5

const char *resource_kind_name(enum resource_kind kind); /* "cluster" … */

struct resource {
    atomic_uint refs;
    enum resource_kind kind;
    struct view name;
    uint64_t name_hash; /* view_hash(name) */
    uint64_t hash;      /* of the content, set by resource_seal; on the data plane 0 */
    struct arena arena; /* owns everything that the resource points to, itself included */
};

/* The name of another resource. hash 0 means empty. */
struct name_ref {
    struct view name;
    uint64_t hash;
};

static inline struct name_ref name_ref(struct view name) /* borrows */
{
    return (struct name_ref){name, name.n ? view_hash(name) : 0};
}

struct name_ref name_ref_copy(struct arena *a, struct view name);

/* Zeroed, of `size` bytes, starting with struct resource. The name is copied. */
void *resource_new(enum resource_kind kind, size_t size, struct view name) __attribute__((returns_nonnull));
#define RESOURCE_NEW(type, kind, name) ((type *)resource_new((kind), sizeof(type), (name)))

void *resource_ref(const void *resource);  /* any struct that starts with struct resource; atomic */
void resource_unref(const void *resource); /* NULL is fine; the last one frees */

void resource_seal(struct resource *r); /* sets hash from the printed form (plan/print.h) */

/* What running needs and describing does not: regexes, virtual host tables. Idempotent. -EINVAL: a pattern does not
 * compile or a name is ambiguous; *ret_error (in the arena of the resource) is a sentence, as NACKs carry it. */
int resource_prepare(struct resource *r, struct view *ret_error) must_check;

/* Memory that several resources point into: what the control plane says alike in many of them, kept once. It is written
 * before the first one that points to it is sealed, and lives until the arenas that keep it have ended. */
struct resource_part {
    atomic_uint refs;
    struct arena arena;
};
struct resource_part *resource_part_new(void) __attribute__((returns_nonnull)); /* one reference, the caller's */
void resource_part_keep(struct arena *a, struct resource_part *p);              /* takes a reference of its own */
void resource_part_unref(struct resource_part *p);
