// SPDX-License-Identifier: Apache-2.0
/* Unpacking hostile bytes. protobuf-c recurses without bound, allocates without bound, and keeps fields that it does not
 * know without saying so; therefore one pass over the bytes comes before it, along the descriptor: nesting at most
 * LIMIT_XDS_DEPTH, and each unknown field looked up in unknown.def. The tree itself is bounded by the allocator.
 */
#include <string.h>

#include "base/limits.h"
#include "xds/pb.h"
#include "xds/pb_wire.h"

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
    struct pb_cursor c = pb_cursor(bytes);
    struct pb_field field;

    if (depth > LIMIT_XDS_DEPTH) {
        pb_refuse(d, "is nested deeper than %d", LIMIT_XDS_DEPTH);
        return;
    }
    while (!d->failed && pb_next(&c, &field)) {
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(type, field.number);

        if (!f) {
            check_unknown(d, type, field.number);
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE && field.wire_type == 2) {
            pb_enter(d, f->name, 0);
            check(d, f->descriptor, field.bytes, depth + 1);
            pb_leave(d);
        }
    }
    if (c.bad)
        pb_refuse(d, "is not a message of type %s", type->name);
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
