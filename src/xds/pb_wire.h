// SPDX-License-Identifier: Apache-2.0
/* Protobuf's wire format by hand, where a tree would be a waste: the envelopes of discovery and the checks before
 * unpacking. A cursor walks over the fields of one message; writers append fields to a buf.
 *
 *   struct pb_cursor c = pb_cursor(bytes); struct pb_field f;
 *   while (pb_next(&c, &f)) if (f.number == 3) use(f.bytes);
 *   if (c.bad) refuse();
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

struct pb_cursor {
    const uint8_t *p, *end;
    bool bad;
};

struct pb_field {
    uint32_t number;
    unsigned wire_type; /* 0 varint, 1 and 5 fixed, 2 bytes */
    uint64_t value;     /* wire type 0 */
    struct view bytes;  /* wire type 2 */
};

static inline struct pb_cursor pb_cursor(struct view v)
{
    return (struct pb_cursor){(const uint8_t *)v.p, (const uint8_t *)v.p + v.n, false};
}

static inline bool pb_varint(struct pb_cursor *c, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && c->p < c->end; shift += 7) {
        uint8_t b = *c->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* False at the end, and when the bytes are broken: then c->bad. */
static inline bool pb_next(struct pb_cursor *c, struct pb_field *f)
{
    uint64_t tag, n = 0;

    if (c->p >= c->end)
        return false;
    *f = (struct pb_field){0};
    if (!pb_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        goto bad;
    f->number = (uint32_t)(tag >> 3);
    f->wire_type = (unsigned)(tag & 7);
    if (f->wire_type == 0) {
        if (!pb_varint(c, &f->value))
            goto bad;
        return true;
    }
    if (f->wire_type == 2) {
        if (!pb_varint(c, &n))
            goto bad;
    } else if (f->wire_type == 1 || f->wire_type == 5) {
        n = f->wire_type == 1 ? 8 : 4;
    } else { /* groups are gone since proto3 */
        goto bad;
    }
    if (n > (uint64_t)(c->end - c->p))
        goto bad;
    f->bytes = view_make(c->p, n);
    c->p += n;
    return true;
bad:
    c->bad = true;
    return false;
}

static inline size_t pb_varint_size(uint64_t v)
{
    size_t n = 1;

    for (; v > 127; v >>= 7)
        n++;
    return n;
}

static inline void pb_write_varint(struct buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        buf_char(b, (char)(v | 0x80));
    buf_char(b, (char)v);
}

static inline size_t pb_bytes_size(uint32_t number, size_t n) /* of a field with n bytes inside */
{
    return pb_varint_size((uint64_t)number << 3) + pb_varint_size(n) + n;
}

/* The head of a length-delimited field whose n bytes the caller appends. */
static inline void pb_write_head(struct buf *b, uint32_t number, size_t n)
{
    pb_write_varint(b, (uint64_t)number << 3 | 2);
    pb_write_varint(b, n);
}

static inline void pb_write_bytes(struct buf *b, uint32_t number, struct view v)
{
    pb_write_head(b, number, v.n);
    buf_view(b, v);
}

static inline void pb_write_str(struct buf *b, uint32_t number, struct view v) /* nothing when empty */
{
    if (v.n)
        pb_write_bytes(b, number, v);
}

static inline void pb_write_u64(struct buf *b, uint32_t number, uint64_t v)
{
    if (v) {
        pb_write_varint(b, (uint64_t)number << 3);
        pb_write_varint(b, v);
    }
}
