// SPDX-License-Identifier: Apache-2.0
/* One table: how each kind of resource becomes a message and comes back. */
#include "xds/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "xds/convert.h"
#include "xds/tls.h"
#include "xds/types.h"

const struct xds_type xds_types[RESOURCE_KINDS] = {
#define XDS_TYPE(kind, name, url, wildcard) {RESOURCE_##kind, name, {url, sizeof(url) - 1}, wildcard},
#include "xds/types.def"
#undef XDS_TYPE
};

const struct xds_type *xds_type_of(enum resource_kind kind)
{
    for (int i = 0; i < RESOURCE_KINDS; i++)
        if (xds_types[i].kind == kind)
            return &xds_types[i];
    must(!"every kind has a row in types.def");
    return xds_types;
}

const struct xds_type *xds_type_by_url(struct view url)
{
    for (int i = 0; i < RESOURCE_KINDS; i++)
        if (view_eq(xds_types[i].url, url))
            return &xds_types[i];
    return NULL;
}

struct view xds_version(uint64_t hash, char text[XDS_VERSION_TEXT])
{
    for (int i = XDS_VERSION_TEXT - 1; i >= 0; i--, hash >>= 4)
        text[i] = "0123456789abcdef"[hash & 15];
    return view_make(text, XDS_VERSION_TEXT);
}

/* ---- one pair of functions a kind ---- */

static const void *encode_cluster(struct arena *a, const struct resource *r)
{
    return xds_cluster(a, (const struct cluster *)r);
}

static const void *encode_endpoints(struct arena *a, const struct resource *r)
{
    return xds_endpoints(a, (const struct endpoint_set *)r);
}

static const void *encode_listener(struct arena *a, const struct resource *r)
{
    return xds_listener(a, (const struct listener *)r);
}

static const void *encode_routes(struct arena *a, const struct resource *r)
{
    return xds_routes(a, (const struct route_table *)r);
}

static const void *encode_secret(struct arena *a, const struct resource *r)
{
    return xds_secret(a, (const struct tls_secret *)r);
}

static void *begin(struct xds_codec *d, enum resource_kind kind, size_t size, const char *name)
{
    struct resource *r;

    pb_enter(d, name[0] ? name : "(no name)", 0);
    if (!name[0])
        pb_refuse(d, "has no name");
    r = resource_new(kind, size, view_of(name));
    d->res = r;
    d->out = &r->arena;
    return r;
}

static void decode_cluster(struct xds_codec *d, const void *message)
{
    const Cluster__Cluster *m = message;

    xds_get_cluster(d, m, begin(d, RESOURCE_CLUSTER, sizeof(struct cluster), m->name));
}

static void decode_endpoints(struct xds_codec *d, const void *message)
{
    const Endpoint__ClusterLoadAssignment *m = message;

    xds_get_endpoints(d, m, begin(d, RESOURCE_ENDPOINTS, sizeof(struct endpoint_set), m->cluster_name));
}

static void decode_listener(struct xds_codec *d, const void *message)
{
    const Listener__Listener *m = message;

    xds_get_listener(d, m, begin(d, RESOURCE_LISTENER, sizeof(struct listener), m->name));
}

static void decode_routes(struct xds_codec *d, const void *message)
{
    const Route__RouteConfiguration *m = message;

    xds_get_routes(d, m, begin(d, RESOURCE_ROUTES, sizeof(struct route_table), m->name));
}

static void wipe(const Core__DataSource *s)
{
    if (s && s->specifier_case == CORE__DATA_SOURCE__SPECIFIER_INLINE_BYTES)
        explicit_bzero(s->inline_bytes.data, s->inline_bytes.len);
    else if (s && s->specifier_case == CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING)
        explicit_bzero(s->inline_string, strlen(s->inline_string));
}

static void decode_secret(struct xds_codec *d, const void *message)
{
    const Tls__Secret *m = message;
    struct tls_secret *s;

    pb_enter(d, m->name[0] ? m->name : "(no name)", 0);
    if (!m->name[0])
        pb_refuse(d, "has no name");
    s = xds_get_secret(d, m);
    d->res = s ? &s->res : NULL;
    if (m->type_case == TLS__SECRET__TYPE_TLS_CERTIFICATE)
        wipe(m->tls_certificate->private_key);
}

static const struct coder {
    enum resource_kind kind;
    const char *name;
    const ProtobufCMessageDescriptor *type;
    const void *(*encode)(struct arena *a, const struct resource *r);
    void (*decode)(struct xds_codec *d, const void *message);
} coders[RESOURCE_KINDS] = {
    {RESOURCE_CLUSTER, "Cluster", &cluster__cluster__descriptor, encode_cluster, decode_cluster},
    {RESOURCE_ENDPOINTS, "ClusterLoadAssignment", &endpoint__cluster_load_assignment__descriptor, encode_endpoints,
     decode_endpoints},
    {RESOURCE_LISTENER, "Listener", &listener__listener__descriptor, encode_listener, decode_listener},
    {RESOURCE_ROUTES, "RouteConfiguration", &route__route_configuration__descriptor, encode_routes, decode_routes},
    {RESOURCE_SECRET, "Secret", &tls__secret__descriptor, encode_secret, decode_secret},
};

static const struct coder *coder_of(enum resource_kind kind)
{
    for (int i = 0; i < RESOURCE_KINDS; i++)
        if (coders[i].kind == kind)
            return &coders[i];
    must(!"every kind has a coder");
    return NULL;
}

/* ---- codec ---- */

void xds_encode(const struct resource *r, struct buf *out)
{
    struct arena a;

    arena_init(&a, 64 * 1024);
    pb_pack(coder_of(r->kind)->encode(&a, r), out);
    arena_done(&a);
}

static void *tree_alloc(void *data, size_t n)
{
    struct xds_codec *d = data;

    if (n > LIMIT_XDS_TREE_BYTES - d->tree_bytes)
        return NULL;
    d->tree_bytes += n;
    return arena_alloc_raw(&d->scratch, n ? n : 1, 16);
}

static void tree_free(void *data, void *p)
{
}

struct xds_codec *xds_codec_new(void)
{
    struct xds_codec *d = calloc(1, sizeof(*d));

    must(d != NULL);
    arena_init(&d->scratch, 64 * 1024);
    d->alloc = (ProtobufCAllocator){.alloc = tree_alloc, .free = tree_free, .allocator_data = d};
    return d;
}

struct xds_codec *xds_codec_free(struct xds_codec *d)
{
    if (d) {
        arena_done(&d->scratch);
        buf_done(&d->why);
        free(d);
    }
    return NULL;
}

void xds_codec_reset(struct xds_codec *d)
{
    arena_clear(&d->scratch);
    d->tree_bytes = 0;
    d->res = NULL;
    d->out = NULL;
    d->depth = 0;
    d->failed = false;
    buf_clear(&d->why);
}

int xds_decode(struct xds_codec *d, enum resource_kind kind, struct view bytes, struct resource **ret_resource,
               struct view *ret_why)
{
    const struct coder *c = coder_of(kind);
    const void *m;

    xds_codec_reset(d);
    buf_str(&d->why, c->name);
    buf_char(&d->why, ' ');
    m = pb_unpack(d, c->type, bytes);
    if (m)
        c->decode(d, m);
    if (d->failed) {
        resource_unref(d->res);
        *ret_why = buf_read(&d->why);
        return -EINVAL;
    }
    *ret_resource = d->res;
    return 0;
}
