// SPDX-License-Identifier: Apache-2.0
/* Packed bytes of resources as they stand in a response (field `resources`: name, version, type, value), made once for each
 * version and shared by all proxies that are sent it.
 *
 *   struct xds_encoded *e = xds_encoded(cache, &cluster->res);  // one reference, the caller's
 *   xds_encoded_bytes(e) … xds_encoded_unref(e);
 *   xds_cache_sweep(cache, loop_now(l));                        // now and then: forgets what nobody used for a while
 *
 * The key is kind, name and content hash, so two proxies whose plans hold equal resources share them as well.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "plan/resource.h"

struct xds_encoded {
    struct xds_encoded_key {
        uint64_t kind, name_hash, hash;
    } key;
    char *data;
    size_t n;
    uint64_t used;
    uint32_t refs; /* the cache's own not counted */
};

struct xds_cache {
    struct map items;
    uint64_t now, encoded, encoded_bytes, held_bytes;
};

void xds_cache_init(struct xds_cache *c);
void xds_cache_done(struct xds_cache *c); /* after the last reference was given back */
struct xds_encoded *xds_encoded(struct xds_cache *c, const struct resource *r) __attribute__((returns_nonnull));
static inline struct view xds_encoded_bytes(const struct xds_encoded *e)
{
    return view_make(e->data, e->n);
}
static inline void xds_encoded_unref(struct xds_encoded *e)
{
    e->refs--;
}
void xds_cache_sweep(struct xds_cache *c, uint64_t now);
