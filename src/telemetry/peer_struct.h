// SPDX-License-Identifier: Apache-2.0
/* The protobuf Struct of the metadata exchange, read and written by hand: a flat map of strings with one nested map for
 * labels. A general decoder would recurse as deep as the peer likes. Private to telemetry/.
 */
#pragma once

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

/* One protobuf field: its number, wire type, and for length-delimited ones the bytes. */
struct pb_field {
    uint32_t number;
    uint8_t type;
    uint64_t number_value;
    struct view bytes;
};

/* Cuts the next field off; 1, 0 at the end, -EPROTO. */
int pb_next(struct view *rest, struct pb_field *ret) must_check;

/* The next entry of a Struct as key and the bytes of its Value; other fields are skipped. 1, 0 at the end, -EPROTO. */
int pb_struct_next(struct view *rest, struct view *ret_key, struct view *ret_value) must_check;
struct view pb_value_string(struct view value); /* empty when the Value is no string */
struct view pb_value_struct(struct view value); /* the bytes of a nested Struct; empty when it is none */

void pb_put_bytes(struct buf *out, uint32_t number, struct view bytes);
void pb_put_struct_string(struct buf *out, struct view key,
                          struct view text); /* one entry; nothing when text is empty */
void pb_put_struct_struct(struct buf *out, struct view key, struct view nested);
