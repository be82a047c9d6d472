// SPDX-License-Identifier: Apache-2.0
/* The cache of packed resources (encoded.h): a map by kind, name and content hash; bytes of secrets are wiped when they
 * leave it.
 */
#include "xds/encoded.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "xds/codec.h"
#include "xds/discovery.h"
#include "xds/types.h"

#define KEPT (10 * NS_PER_S) /* proxies that come together are served within seconds; later ones pay for encoding */

void xds_cache_init(struct xds_cache *c)
{
    *c = (struct xds_cache){0};
    map_init(&c->items, NULL);
}

static void item_free(struct xds_cache *c, struct xds_encoded *it)
{
    c->held_bytes -= it->n;
    if (it->key.kind == RESOURCE_SECRET)
        explicit_bzero(it->data, it->n);
    free(it->data);
    free(it);
}

void xds_cache_done(struct xds_cache *c)
{
    MAP_EACH (&c->items, it) {
        must(((struct xds_encoded *)it->value)->refs == 0);
        item_free(c, it->value);
    }
    map_done(&c->items);
}

/* The value is encoded into a buffer of its own first, since its length stands before it; what is kept has no room to spare. */
static void encode(struct xds_encoded *it, const struct resource *r)
{
    struct buf value = {0}, all = {0};
    char version[XDS_VERSION_TEXT];

    xds_encode(r, &value);
    discovery_write_resource(&all, r->name, xds_version(r->hash, version), xds_type_of(r->kind)->url, buf_read(&value));
    it->n = buf_len(&all);
    it->data = malloc(it->n);
    must(it->data != NULL);
    memcpy(it->data, buf_read(&all).p, it->n);
    if (r->kind == RESOURCE_SECRET) {
        explicit_bzero(value.data, value.cap);
        explicit_bzero(all.data, all.cap);
    }
    buf_done(&value);
    buf_done(&all);
}

struct xds_encoded *xds_encoded(struct xds_cache *c, const struct resource *r)
{
    struct xds_encoded_key key = {r->kind, r->name_hash, r->hash};
    struct xds_encoded *it = map_get(&c->items, view_make(&key, sizeof(key)));

    if (!it) {
        it = calloc(1, sizeof(*it));
        must(it != NULL);
        it->key = key;
        encode(it, r);
        c->encoded++;
        c->encoded_bytes += it->n;
        c->held_bytes += it->n;
        map_put(&c->items, view_make(&it->key, sizeof(it->key)), it);
    }
    it->used = c->now;
    it->refs++;
    return it;
}

void xds_cache_sweep(struct xds_cache *c, uint64_t now)
{
    c->now = now;
    MAP_EACH (&c->items, at) {
        struct xds_encoded *it = at->value;
        if (!it->refs && now - it->used > KEPT) {
            map_del(&c->items, at->key);
            item_free(c, it);
        }
    }
}
