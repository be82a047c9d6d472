// SPDX-License-Identifier: Apache-2.0
/* Growable buffers and text building (buf.h). */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *buf_room(struct buf *b, size_t at_least, size_t *ret_room)
{
    if (b->cap - b->end < at_least && b->at > 0) {
        memmove(b->data, b->data + b->at, b->end - b->at);
        b->end -= b->at;
        b->at = 0;
    }
    if (b->cap - b->end < at_least) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap - b->end < at_least)
            cap *= 2;
        must(cap <= UINT32_MAX / 2);
        b->data = mem_grow(b->data, cap);
        b->cap = (uint32_t)cap;
    }
    if (ret_room)
        *ret_room = b->cap - b->end;
    return b->data + b->end;
}

void buf_clear(struct buf *b)
{
    b->at = b->end = 0;
}

void buf_done(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){0};
}

void buf_wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_done(b);
}

void buf_view(struct buf *b, struct view v)
{
    if (!v.n)
        return;
    memcpy(buf_room(b, v.n, NULL), v.p, v.n);
    buf_added(b, v.n);
}

void buf_str(struct buf *b, const char *s)
{
    buf_view(b, view_of(s));
}

void buf_char(struct buf *b, char c)
{
    *buf_room(b, 1, NULL) = c;
    buf_added(b, 1);
}

void buf_u64(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_view(b, view_make(digits + at, sizeof(digits) - at));
}

void buf_i64(struct buf *b, int64_t value)
{
    if (value < 0)
        buf_char(b, '-');
    buf_u64(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    must(n >= 0);
    vsnprintf(buf_room(b, (size_t)n + 1, NULL), (size_t)n + 1, fmt, args);
    va_end(args);
    buf_added(b, (size_t)n);
}

const char *buf_cstr(struct buf *b)
{
    *buf_room(b, 1, NULL) = 0;
    return b->data + b->at;
}

void buf_be16(struct buf *b, uint16_t value)
{
    char bytes[2] = {(char)(value >> 8), (char)value};
    buf_view(b, view_make(bytes, sizeof(bytes)));
}

void buf_be32(struct buf *b, uint32_t value)
{
    buf_be16(b, (uint16_t)(value >> 16));
    buf_be16(b, (uint16_t)value);
}

/* Length of the UTF-8 sequence at p (1..4), or 0 when it is not well formed (RFC 3629: no surrogates, no overlong). */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (len == 1)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    uint32_t rune = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        rune = rune << 6 | (p[i] & 0x3f);
    }
    bool ok = rune >= smallest[len] && rune <= 0x10ffff && !(rune >= 0xd800 && rune <= 0xdfff);
    return ok ? len : 0;
}

static size_t plain_run(struct view v, size_t from)
{
    size_t i = from;
    while (i < v.n && (unsigned char)v.p[i] >= 0x20 && (unsigned char)v.p[i] < 0x7f && v.p[i] != '"' && v.p[i] != '\\')
        i++;
    return i;
}

void buf_json_str(struct buf *b, struct view v)
{
    static const char short_escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    buf_char(b, '"');
    for (size_t i = 0; i < v.n;) {
        size_t run = plain_run(v, i);
        buf_view(b, view_make(v.p + i, run - i));
        if ((i = run) == v.n)
            break;
        unsigned char c = (unsigned char)v.p[i];
        size_t len = utf8_len((const unsigned char *)v.p + i, v.n - i);
        const char *escape = c && c < 0x60 ? strchr(short_escapes, c) : NULL;
        if (len > 1) {
            buf_view(b, view_make(v.p + i, len));
        } else if (len == 0) {
            buf_str(b, "\xef\xbf\xbd");
            len = 1;
        } else if (escape && (escape - short_escapes) % 2 == 0) {
            buf_char(b, '\\');
            buf_char(b, escape[1]);
        } else {
            buf_printf(b, "\\u%04x", c);
        }
        i += len;
    }
    buf_char(b, '"');
}
