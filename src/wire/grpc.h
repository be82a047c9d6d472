// SPDX-License-Identifier: Apache-2.0
/* The parts of gRPC over HTTP/2 that are bytes: five-byte message framing, statuses, grpc-timeout, percent-encoding of
 * grpc-message. Follows "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and its HTTP status mapping. The calls are http/grpc_call.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

enum grpc_status {
#define GRPC_STATUS(name, value) GRPC_##name = (value),
#include "wire/grpc_status.def"
#undef GRPC_STATUS
};

enum { GRPC_FRAME_BYTES = 5 };

/* "UNAVAILABLE"; "" for a number that is none of them. */
const char *grpc_status_name(unsigned status);
/* "14" → UNAVAILABLE; a text that is no known number → UNKNOWN. */
enum grpc_status grpc_status_parse(struct view text);
/* What a client makes of a response without grpc-status. */
enum grpc_status grpc_status_of_http(unsigned http_status);

/* "1S", "500m", "20u": at most 8 digits and a unit of H M S m u n. -EINVAL otherwise. Saturates, never overflows. */
int grpc_timeout_parse(struct view text, uint64_t *ret_ns) must_check;
void grpc_timeout_print(struct buf *b, uint64_t ns); /* rounded up to what 8 digits can say */

void grpc_message_encode(struct buf *b, struct view text); /* percent-encoding: all but 0x20..0x7e without % */
void grpc_message_decode(struct buf *b, struct view text); /* bad escapes stay as they are */

void grpc_frame_write(uint8_t head[GRPC_FRAME_BYTES], uint32_t n);
/* The first complete message at the front of `bytes`: its payload, and how many bytes it took with its frame.
 * -EAGAIN: incomplete (*ret_need: bytes of the whole frame when its head is there, else GRPC_FRAME_BYTES);
 * -EMSGSIZE: longer than `most`; -EOPNOTSUPP: compressed; -EINVAL: flag byte is neither 0 nor 1. */
int grpc_frame_read(struct view bytes, uint32_t most, struct view *ret_message, size_t *ret_need) must_check;

/* application/grpc, with any +suffix or parameters (grpc-web is something else). */
bool grpc_content_type(struct view content_type);
