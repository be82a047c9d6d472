// SPDX-License-Identifier: Apache-2.0
/* Packed bytes of resources, made once for each version and shared by all proxies that are sent it.
 *
 *   struct view bytes = xds_encoded(cache, &cluster->res);      // valid until the next sweep
 *   xds_cache_sweep(cache, loop_now(l));                        // between turns: forgets what was not used for a minute
 *
 * The key is kind, name and content hash, so two proxies whose plans hold equal resources share them as well.
 */
#pragma once

#include <stdint.h>

#include "base/map.h"
#include "base/view.h"
#include "plan/resource.h"

struct xds_cache {
    struct map items;
    uint64_t now, encoded, encoded_bytes, held_bytes;
};

void xds_cache_init(struct xds_cache *c);
void xds_cache_done(struct xds_cache *c);
struct view xds_encoded(struct xds_cache *c, const struct resource *r);
void xds_cache_sweep(struct xds_cache *c, uint64_t now);
