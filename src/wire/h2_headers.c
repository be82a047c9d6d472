// SPDX-License-Identifier: Apache-2.0
/* Header blocks of HTTP/2: see h2_headers.h. nghttp2 has checked names, values, the set of pseudo headers and the
 * connection headers by then; here follows what a hop to HTTP/1 could be fooled with (RFC 9113 §8.2.1, §8.3.1, §10.3).
 */
#include "wire/h2_headers.h"

#include <errno.h>

#include "wire/scan.h"
#include "wire/uri.h"

int h2_block_add(struct headers *block, struct view name, struct view value)
{
    int r = headers_grow(block);
    if (r < 0)
        return r;
    enum header_id id = header_id_of(name);
    size_t name_n = id == HEADER_OTHER ? name.n : 0;
    char *copy = (char *)arena_alloc_raw(block->arena, name_n + value.n, 1);
    memcpy(copy, name.p, name_n);
    memcpy(copy + name_n, value.p, value.n);
    const char *kept = name_n ? copy : header_id_name(id).p;
    headers_push(block, id, kept, name.n, copy + name_n, value.n)->flags |= HEADER_VALID;
    return 0;
}

/* RFC 9113 §8.2.3: one cookie header again, before anybody reads only the first crumb. */
static void join_cookies(struct headers *block)
{
    struct header *first = headers_find(block, HEADER_COOKIE);
    if (!first || !headers_next_same(block, first))
        return;
    size_t n = 0;
    for (struct header *e = first; e; e = headers_next_same(block, e))
        n += e->value_n + 2;
    char *all = (char *)arena_alloc_raw(block->arena, n, 1), *at = all;
    for (struct header *e = first; e; e = headers_next_same(block, e)) {
        if (at != all) {
            memcpy(at, "; ", 2);
            at += 2;
        }
        memcpy(at, e->value, e->value_n);
        at += e->value_n;
    }
    if (headers_set(block, HEADER_COOKIE, (struct view){all, (size_t)(at - all)}) == 0)
        first->flags |= HEADER_VALID;
}

static const char *check_authority(struct headers *block)
{
    struct header *host = headers_find(block, HEADER_HOST), *authority = headers_find(block, HEADER_AUTHORITY);
    if (host && headers_next_same(block, host))
        return "h2.host_repeated";
    if (authority && !uri_authority_valid(header_value(authority)))
        return "h2.authority_invalid";
    if (!host)
        return NULL;
    if (authority && !view_ieq(header_value(host), header_value(authority)))
        return "h2.host_differs_from_authority";
    if (authority) {
        headers_del(block, HEADER_HOST);
        return NULL;
    }
    if (!uri_authority_valid(header_value(host)))
        return "h2.host_invalid";
    block->first[HEADER_AUTHORITY] = block->first[HEADER_HOST];
    block->first[HEADER_HOST] = 0;
    *host = (struct header){":authority", host->value, host->value_n, 10, HEADER_AUTHORITY, HEADER_VALID};
    return NULL;
}

static const char *check_request(struct headers *block)
{
    struct view method = headers_value(block, HEADER_METHOD), path = headers_value(block, HEADER_PATH),
                scheme = headers_value(block, HEADER_SCHEME);
    if (method.n > 32 || !scan_all(method.p, method.n, SCAN_METHOD))
        return "h2.method_invalid";
    if (path.p && !uri_path_valid(path) && !(view_is(path, "*") && view_is(method, "OPTIONS")))
        return "h2.path_invalid";
    if (scheme.p && !view_is(scheme, "http") && !view_is(scheme, "https"))
        return "h2.scheme_invalid";
    const char *bad = check_authority(block);
    if (bad)
        return bad;
    if (!headers_has(block, HEADER_AUTHORITY))
        return "h2.authority_missing";
    join_cookies(block);
    return NULL;
}

const char *h2_block_check(struct headers *block, enum h2_block kind)
{
    if (kind == H2_REQUEST)
        return check_request(block);
    if (kind == H2_TRAILERS)
        for (int id = HEADER_METHOD; id <= HEADER_CONTENT_LENGTH; id++)
            if (headers_has(block, (enum header_id)id))
                return "h2.trailer_not_allowed";
    return NULL;
}

/* A name in lower case: borrowed if it is already. */
static const char *lower_name(const struct header *e, struct arena *scratch)
{
    if (e->id != HEADER_OTHER)
        return header_id_name((enum header_id)e->id).p;
    for (size_t i = 0; i < e->name_n; i++) {
        if (e->name[i] < 'A' || e->name[i] > 'Z')
            continue;
        char *copy = (char *)arena_alloc_raw(scratch, e->name_n, 1);
        for (size_t k = 0; k < e->name_n; k++)
            copy[k] = (char)(e->name[k] >= 'A' && e->name[k] <= 'Z' ? e->name[k] | 0x20 : e->name[k]);
        return copy;
    }
    return e->name;
}

static bool sendable(const struct header *e)
{
    struct view v = header_value(e);
    if (e->flags & HEADER_VALID)
        return true;
    if (e->id == HEADER_PATH && !uri_path_valid(v) && !view_is(v, "*"))
        return false;
    if (e->id == HEADER_AUTHORITY && !uri_authority_valid(v))
        return false;
    if (e->id == HEADER_METHOD && !scan_all(v.p, v.n, SCAN_METHOD))
        return false;
    return scan_all_value(v.p, v.n) && (e->id != HEADER_OTHER || scan_all_name(e->name, e->name_n));
}

static bool left_out(const struct header *e)
{
    if (e->id == HEADER_OTHER)
        return false;
    if (e->id == HEADER_TE)
        return !view_is(header_value(e), "trailers");
    return (header_id_flags[e->id] & HEADER_HOP) || e->id == HEADER_HOST;
}

static void put(nghttp2_nv *nv, const char *name, const struct header *e, uint8_t id_flags)
{
    nv->name = (uint8_t *)(uintptr_t)name;
    nv->namelen = e->name_n;
    nv->value = (uint8_t *)(uintptr_t)e->value;
    nv->valuelen = e->value_n;
    nv->flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    if (id_flags & HEADER_VARIES)
        nv->flags |= NGHTTP2_NV_FLAG_NO_INDEX;
}

ssize_t h2_block_make(const struct headers *headers, nghttp2_nv *nv, struct arena *scratch, enum h2_block kind)
{
    size_t n = 0;
    for (int id = HEADER_METHOD; id <= HEADER_PROTOCOL; id++) {
        const struct header *e = headers_find(headers, (enum header_id)id);
        if (!e)
            continue;
        if (kind == H2_TRAILERS || !sendable(e) || (id == HEADER_STATUS) == (kind == H2_REQUEST))
            return -EINVAL;
        put(&nv[n++], header_id_name((enum header_id)id).p, e, 0);
    }
    HEADERS_EACH (headers, e) {
        if ((e->id >= HEADER_METHOD && e->id <= HEADER_PROTOCOL) || left_out(e))
            continue;
        if (!sendable(e))
            return -EINVAL;
        put(&nv[n++], lower_name(e, scratch), e, header_id_flags[e->id]);
    }
    return (ssize_t)n;
}
