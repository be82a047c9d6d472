// SPDX-License-Identifier: Apache-2.0
/* Unpacking hostile bytes. protobuf-c recurses without bound, allocates without bound, and keeps fields that it does not
 * know without saying so; therefore one pass over the bytes comes before it, along the descriptor: nesting at most
 * LIMIT_XDS_DEPTH, and each unknown field looked up in unknown.def. The tree itself is bounded by the allocator.
 */
#include <string.h>

#include "base/limits.h"
#include "xds/pb.h"

enum unknown_what { SKIP, REFUSE };

static const struct unknown {
    const char *message;
    uint32_t number;
    enum unknown_what what;
    const char *name, *why;
} unknowns[] = {
#define XDS_UNKNOWN(message, number, name, what, why) {message, number, what, name, why},
#include "xds/unknown.def"
#undef XDS_UNKNOWN
};

struct cursor {
    const uint8_t *p, *end;
};

static bool varint(struct cursor *c, uint64_t *ret)
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

/* Moves behind one value; *ret_bytes is what a length-delimited one holds. */
static bool skip_value(struct cursor *c, unsigned wire_type, struct view *ret_bytes)
{
    uint64_t n;

    switch (wire_type) {
    case 0:
        return varint(c, &n);
    case 1:
        n = 8;
        break;
    case 2:
        if (!varint(c, &n))
            return false;
        break;
    case 5:
        n = 4;
        break;
    default: /* groups are gone since proto3 */
        return false;
    }
    if (n > (uint64_t)(c->end - c->p))
        return false;
    *ret_bytes = view_make(c->p, n);
    c->p += n;
    return true;
}

static void check_unknown(struct xds_codec *d, const ProtobufCMessageDescriptor *type, uint32_t number)
{
    for (size_t i = 0; i < sizeof(unknowns) / sizeof(unknowns[0]); i++) {
        const struct unknown *u = &unknowns[i];
        if (u->number == number && strcmp(u->message, type->name) == 0) {
            if (u->what == REFUSE)
                pb_refuse(d, "%s is not supported: %s", u->name, u->why);
            return;
        }
    }
    pb_refuse(d, "field %u of %s is not supported", number, type->name);
}

static void check(struct xds_codec *d, const ProtobufCMessageDescriptor *type, struct view bytes, unsigned depth)
{
    struct cursor c = {(const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n};

    if (depth > LIMIT_XDS_DEPTH) {
        pb_refuse(d, "is nested deeper than %d", LIMIT_XDS_DEPTH);
        return;
    }
    while (c.p < c.end && !d->failed) {
        const ProtobufCFieldDescriptor *f;
        struct view inner = VIEW_NONE;
        uint64_t tag;

        if (!varint(&c, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff || !skip_value(&c, tag & 7, &inner)) {
            pb_refuse(d, "is not a message of type %s", type->name);
            return;
        }
        f = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (!f) {
            check_unknown(d, type, (uint32_t)(tag >> 3));
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE && (tag & 7) == 2) {
            pb_enter(d, f->name, 0);
            check(d, f->descriptor, inner, depth + 1);
            pb_leave(d);
        }
    }
}

void *pb_unpack(struct xds_codec *d, const ProtobufCMessageDescriptor *type, struct view bytes)
{
    void *m;

    if (d->failed)
        return NULL;
    if (bytes.n > LIMIT_XDS_RESOURCE_BYTES) {
        pb_refuse(d, "is %zu bytes long, more than %d", bytes.n, LIMIT_XDS_RESOURCE_BYTES);
        return NULL;
    }
    check(d, type, bytes, d->depth);
    if (d->failed)
        return NULL;
    m = protobuf_c_message_unpack(type, &d->alloc, bytes.n, (const uint8_t *)bytes.p);
    if (!m)
        pb_refuse(d, "is not a message of type %s, or larger than %d bytes", type->name, LIMIT_XDS_TREE_BYTES);
    return m;
}
