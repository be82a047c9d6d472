// SPDX-License-Identifier: Apache-2.0
/* google.protobuf.Struct on the wire (peer_struct.h): Struct{1: entry{1: key, 2: Value{3: string, 5: Struct}}}. */
#include "telemetry/peer_struct.h"

#include <errno.h>

enum { TYPE_VARINT = 0, TYPE_FIXED64 = 1, TYPE_BYTES = 2, TYPE_FIXED32 = 5 };
enum { STRUCT_ENTRY = 1, ENTRY_KEY = 1, ENTRY_VALUE = 2, VALUE_STRING = 3, VALUE_STRUCT = 5 };

static int read_varint(struct view *rest, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && i < rest->n; i++) {
        unsigned char c = (unsigned char)rest->p[i];
        value |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c < 0x80) {
            *rest = (struct view){rest->p + i + 1, rest->n - i - 1};
            *ret = value;
            return 0;
        }
    }
    return -EPROTO;
}

static int take(struct view *rest, uint64_t n, struct view *ret)
{
    if (n > rest->n)
        return -EPROTO;
    *ret = view_head(*rest, n);
    *rest = (struct view){rest->p + n, rest->n - n};
    return 0;
}

int pb_next(struct view *rest, struct pb_field *ret)
{
    uint64_t tag, n;
    if (!rest->n)
        return 0;
    if (read_varint(rest, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return -EPROTO;
    *ret = (struct pb_field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
    int r = -EPROTO;
    if (ret->type == TYPE_VARINT)
        r = read_varint(rest, &ret->number_value);
    else if (ret->type == TYPE_FIXED64)
        r = take(rest, 8, &ret->bytes);
    else if (ret->type == TYPE_FIXED32)
        r = take(rest, 4, &ret->bytes);
    else if (ret->type == TYPE_BYTES && read_varint(rest, &n) == 0)
        r = take(rest, n, &ret->bytes);
    return r < 0 ? r : 1;
}

/* The last field with this number, as protobuf wants it. */
static struct view field_of(struct view message, uint32_t number)
{
    struct view found = VIEW_NONE;
    struct pb_field f;
    while (pb_next(&message, &f) == 1)
        if (f.number == number && f.type == TYPE_BYTES)
            found = f.bytes;
    return found;
}

int pb_struct_next(struct view *rest, struct view *ret_key, struct view *ret_value)
{
    struct pb_field f;
    int r;
    while ((r = pb_next(rest, &f)) == 1) {
        if (f.number != STRUCT_ENTRY || f.type != TYPE_BYTES)
            continue;
        *ret_key = field_of(f.bytes, ENTRY_KEY);
        *ret_value = field_of(f.bytes, ENTRY_VALUE);
        return 1;
    }
    return r;
}

struct view pb_value_string(struct view value)
{
    return field_of(value, VALUE_STRING);
}

struct view pb_value_struct(struct view value)
{
    return field_of(value, VALUE_STRUCT);
}

static void put_varint(struct buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_char(out, (char)(value | 0x80));
    buf_char(out, (char)value);
}

void pb_put_bytes(struct buf *out, uint32_t number, struct view bytes)
{
    put_varint(out, (uint64_t)number << 3 | TYPE_BYTES);
    put_varint(out, bytes.n);
    buf_view(out, bytes);
}

static void put_entry(struct buf *out, struct view key, uint32_t kind, struct view content)
{
    struct buf value = {0}, entry = {0};
    pb_put_bytes(&value, kind, content);
    pb_put_bytes(&entry, ENTRY_KEY, key);
    pb_put_bytes(&entry, ENTRY_VALUE, buf_read(&value));
    pb_put_bytes(out, STRUCT_ENTRY, buf_read(&entry));
    buf_done(&value);
    buf_done(&entry);
}

void pb_put_struct_string(struct buf *out, struct view key, struct view text)
{
    if (text.n)
        put_entry(out, key, VALUE_STRING, text);
}

void pb_put_struct_struct(struct buf *out, struct view key, struct view nested)
{
    put_entry(out, key, VALUE_STRUCT, nested);
}
