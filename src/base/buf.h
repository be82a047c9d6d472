// SPDX-License-Identifier: Apache-2.0
/* Bytes in flight: one contiguous growable buffer with a read end and a write end.
 *
 * Used for what a connection has received and not consumed, for what waits to be sent, and for building text.
 *
 *   struct buf b = {0};
 *   size_t room; char *to = buf_room(&b, 4096, &room);   // at least 4096 free bytes
 *   buf_added(&b, recv(fd, to, room, 0));
 *   buf_drop(&b, parsed);                                 // consumed from the front
 *   buf_done(&b);
 *
 * Text: buf_str, buf_view, buf_printf, buf_u64, buf_json_str append. Writers of the hot path use buf_u64 and buf_view,
 * never buf_printf.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"

struct buf {
    char *data;
    uint32_t at, end, cap; /* readable bytes: data[at..end) */
};

static inline struct view buf_read(const struct buf *b) /* valid until the next append, drop or done */
{
    return (struct view){b->data + b->at, b->end - b->at};
}

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->at;
}

char *buf_room(struct buf *b, size_t at_least, size_t *ret_room); /* moves or grows; earlier views end */
static inline void buf_added(struct buf *b, size_t n)
{
    b->end += (uint32_t)n;
}

static inline void buf_drop(struct buf *b, size_t n)
{
    b->at += (uint32_t)n;
    if (b->at == b->end)
        b->at = b->end = 0;
}

void buf_clear(struct buf *b); /* empty; memory is kept */
void buf_done(struct buf *b);  /* frees */
void buf_wipe(struct buf *b);  /* overwrites what it holds, then frees: for keys and tokens */

void buf_view(struct buf *b, struct view v);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_u64(struct buf *b, uint64_t value);
void buf_i64(struct buf *b, int64_t value);
void buf_printf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
void buf_json_str(struct buf *b, struct view v); /* with its quotes; bytes that are not UTF-8 become U+FFFD */
const char *buf_cstr(struct buf *b);             /* NUL behind the end, which is not counted */

/* Big-endian integers of wire formats. */
void buf_be16(struct buf *b, uint16_t value);
void buf_be32(struct buf *b, uint32_t value);
