// SPDX-License-Identifier: Apache-2.0
/* The cache of packed resources (encoded.h): a map by kind, name and content hash; bytes of secrets are wiped when they
 * leave it.
 */
#include "xds/encoded.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "xds/codec.h"

#define KEPT (60 * NS_PER_S)

struct key {
    uint64_t kind, name_hash, hash;
};

struct item {
    struct key key;
    struct buf bytes;
    uint64_t used;
};

void xds_cache_init(struct xds_cache *c)
{
    *c = (struct xds_cache){0};
    map_init(&c->items, NULL);
}

static void item_free(struct xds_cache *c, struct item *it)
{
    c->held_bytes -= buf_len(&it->bytes);
    if (it->key.kind == RESOURCE_SECRET && it->bytes.data)
        explicit_bzero(it->bytes.data, it->bytes.cap);
    buf_done(&it->bytes);
    free(it);
}

void xds_cache_done(struct xds_cache *c)
{
    MAP_EACH (&c->items, it) {
        item_free(c, it->value);
    }
    map_done(&c->items);
}

struct view xds_encoded(struct xds_cache *c, const struct resource *r)
{
    struct key key = {r->kind, r->name_hash, r->hash};
    struct item *it = map_get(&c->items, view_make(&key, sizeof(key)));

    if (!it) {
        it = calloc(1, sizeof(*it));
        must(it != NULL);
        it->key = key;
        xds_encode(r, &it->bytes);
        c->encoded++;
        c->encoded_bytes += buf_len(&it->bytes);
        c->held_bytes += buf_len(&it->bytes);
        map_put(&c->items, view_make(&it->key, sizeof(it->key)), it);
    }
    it->used = c->now;
    return buf_read(&it->bytes);
}

void xds_cache_sweep(struct xds_cache *c, uint64_t now)
{
    c->now = now;
    MAP_EACH (&c->items, at) {
        struct item *it = at->value;
        if (now - it->used > KEPT) {
            map_del(&c->items, at->key);
            item_free(c, it);
        }
    }
}
