// SPDX-License-Identifier: Apache-2.0
/* Delta discovery's envelopes: see discovery.h. Field numbers are those of envoy.service.discovery.v3. */
#include "xds/discovery.h"

#include <errno.h>
#include <stdio.h>

enum {
    REQUEST_NODE = 1,
    REQUEST_TYPE = 2,
    REQUEST_INITIAL = 5,
    REQUEST_NONCE = 6,
    REQUEST_ERROR = 7,
    RESPONSE_VERSION = 1,
    RESPONSE_RESOURCE = 2,
    RESPONSE_TYPE = 4,
    RESPONSE_NONCE = 5,
    RESPONSE_CONTROL_PLANE = 7,
    RESOURCE_VERSION = 1,
    RESOURCE_ANY = 2,
    RESOURCE_NAME = 3,
    ANY_TYPE = 1,
    ANY_VALUE = 2,
};

/* ---- reading ---- */

static bool read_pair(struct view bytes, uint32_t a, struct view *ret_a, uint32_t b, struct view *ret_b)
{
    struct pb_cursor c = pb_cursor(bytes);
    struct pb_field f;

    *ret_a = *ret_b = VIEW_NONE;
    while (pb_next(&c, &f)) {
        if (f.wire_type == 2 && f.number == a)
            *ret_a = f.bytes;
        else if (f.wire_type == 2 && f.number == b)
            *ret_b = f.bytes;
    }
    return !c.bad;
}

static bool read_error(struct view bytes, struct discovery_request *q)
{
    struct pb_cursor c = pb_cursor(bytes);
    struct pb_field f;

    q->has_error = true;
    while (pb_next(&c, &f)) {
        if (f.number == 1 && f.wire_type == 0)
            q->error_code = (int32_t)f.value;
        else if (f.number == 2 && f.wire_type == 2)
            q->error = f.bytes;
    }
    return !c.bad;
}

int discovery_read_request(struct view bytes, struct discovery_request *ret)
{
    struct discovery_request q = {.bytes = bytes};
    struct pb_cursor c = pb_cursor(bytes);
    struct view name, version;
    struct pb_field f;

    while (pb_next(&c, &f)) {
        if (f.wire_type != 2)
            continue;
        switch (f.number) {
        case REQUEST_NODE:
            q.node = f.bytes;
            break;
        case REQUEST_TYPE:
            q.type_url = f.bytes;
            break;
        case REQUEST_SUBSCRIBE:
            q.n_subscribe++;
            break;
        case REQUEST_UNSUBSCRIBE:
            q.n_unsubscribe++;
            break;
        case REQUEST_INITIAL:
            q.n_initial++;
            if (!read_pair(f.bytes, 1, &name, 2, &version))
                return -EINVAL;
            break;
        case REQUEST_NONCE:
            q.nonce = f.bytes;
            break;
        case REQUEST_ERROR:
            if (!read_error(f.bytes, &q))
                return -EINVAL;
            break;
        default:
            break;
        }
    }
    if (c.bad)
        return -EINVAL;
    *ret = q;
    return 0;
}

static bool read_resource(struct view bytes, struct discovery_resource *r)
{
    struct pb_cursor c = pb_cursor(bytes);
    struct pb_field f;

    *r = (struct discovery_resource){0};
    while (pb_next(&c, &f)) {
        if (f.wire_type != 2)
            continue;
        if (f.number == RESOURCE_VERSION)
            r->version = f.bytes;
        else if (f.number == RESOURCE_NAME)
            r->name = f.bytes;
        else if (f.number == RESOURCE_ANY && !read_pair(f.bytes, ANY_TYPE, &r->type_url, ANY_VALUE, &r->value))
            return false;
    }
    return !c.bad;
}

int discovery_read_response(struct view bytes, struct discovery_response *ret)
{
    struct discovery_response r = {.bytes = bytes};
    struct pb_cursor c = pb_cursor(bytes);
    struct discovery_resource one;
    struct view none;
    struct pb_field f;

    while (pb_next(&c, &f)) {
        if (f.wire_type != 2)
            continue;
        switch (f.number) {
        case RESPONSE_VERSION:
            r.version = f.bytes;
            break;
        case RESPONSE_RESOURCE:
            r.n_resources++;
            if (!read_resource(f.bytes, &one))
                return -EINVAL;
            break;
        case RESPONSE_TYPE:
            r.type_url = f.bytes;
            break;
        case RESPONSE_NONCE:
            r.nonce = f.bytes;
            break;
        case RESPONSE_REMOVED:
            r.n_removed++;
            break;
        case RESPONSE_CONTROL_PLANE:
            if (!read_pair(f.bytes, 1, &r.control_plane, 0, &none))
                return -EINVAL;
            break;
        default:
            break;
        }
    }
    if (c.bad)
        return -EINVAL;
    *ret = r;
    return 0;
}

static bool next(struct discovery_walk *w, uint32_t number, struct view *ret)
{
    struct pb_field f;

    if (!w->begun) {
        w->c = pb_cursor(w->bytes);
        w->begun = true;
    }
    while (pb_next(&w->c, &f)) {
        if (f.number == number && f.wire_type == 2) {
            *ret = f.bytes;
            return true;
        }
    }
    return false;
}

bool discovery_next_name(struct discovery_walk *w, enum discovery_list list, struct view *ret_name)
{
    return next(w, list, ret_name);
}

bool discovery_next_initial(struct discovery_walk *w, struct view *ret_name, struct view *ret_version)
{
    struct view pair;

    return next(w, REQUEST_INITIAL, &pair) && read_pair(pair, 1, ret_name, 2, ret_version);
}

bool discovery_next_resource(struct discovery_walk *w, struct discovery_resource *ret)
{
    struct view bytes;

    return next(w, RESPONSE_RESOURCE, &bytes) && read_resource(bytes, ret);
}

/* ---- writing ---- */

void discovery_write_node(struct buf *b, struct view packed_node)
{
    pb_write_bytes(b, REQUEST_NODE, packed_node);
}

void discovery_write_type(struct buf *b, struct view type_url)
{
    pb_write_bytes(b, REQUEST_TYPE, type_url);
}

void discovery_write_name(struct buf *b, enum discovery_list list, struct view name)
{
    pb_write_bytes(b, list, name);
}

void discovery_write_initial(struct buf *b, struct view name, struct view version)
{
    pb_write_head(b, REQUEST_INITIAL, pb_bytes_size(1, name.n) + pb_bytes_size(2, version.n));
    pb_write_bytes(b, 1, name);
    pb_write_bytes(b, 2, version);
}

void discovery_write_nonce(struct buf *b, struct view nonce)
{
    pb_write_str(b, REQUEST_NONCE, nonce);
}

void discovery_write_error(struct buf *b, int32_t code, struct view text)
{
    size_t n = 1 + pb_varint_size((uint64_t)code) + pb_bytes_size(2, text.n);

    pb_write_head(b, REQUEST_ERROR, n);
    pb_write_varint(b, 1 << 3);
    pb_write_varint(b, (uint64_t)code);
    pb_write_bytes(b, 2, text);
}

void discovery_write_resource(struct buf *b, struct view name, struct view version, struct view type_url,
                              struct view value)
{
    size_t any = pb_bytes_size(ANY_TYPE, type_url.n) + pb_bytes_size(ANY_VALUE, value.n);

    pb_write_head(b, RESPONSE_RESOURCE,
                  pb_bytes_size(RESOURCE_VERSION, version.n) + pb_bytes_size(RESOURCE_ANY, any) +
                      pb_bytes_size(RESOURCE_NAME, name.n));
    pb_write_bytes(b, RESOURCE_VERSION, version);
    pb_write_head(b, RESOURCE_ANY, any);
    pb_write_bytes(b, ANY_TYPE, type_url);
    pb_write_bytes(b, ANY_VALUE, value);
    pb_write_bytes(b, RESOURCE_NAME, name);
}

void discovery_write_tail(struct buf *b, struct view version, struct view type_url, uint64_t nonce,
                          struct view control_plane)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)nonce);

    pb_write_str(b, RESPONSE_VERSION, version);
    pb_write_bytes(b, RESPONSE_TYPE, type_url);
    pb_write_bytes(b, RESPONSE_NONCE, view_make(text, (size_t)n));
    if (control_plane.n) {
        pb_write_head(b, RESPONSE_CONTROL_PLANE, pb_bytes_size(1, control_plane.n));
        pb_write_bytes(b, 1, control_plane);
    }
}
