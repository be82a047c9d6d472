// SPDX-License-Identifier: Apache-2.0
/* Message bodies of HTTP/1: how many bytes follow, chunk sizes and extensions, trailers, and the end. See h1.h.
 */
#include "base/limits.h"
#include "wire/h1_parse.h"
#include "wire/scan.h"

void h1_begin_body(struct h1 *p)
{
    static const uint8_t first_state[] = {
        [H1_NO_BODY] = DONE, [H1_LENGTH] = DATA, [H1_CHUNKED] = CHUNK_SIZE, [H1_CLOSE] = DATA, [H1_TUNNEL] = DATA};
    p->state = first_state[p->framing];
    p->run = p->framing == H1_LENGTH ? p->length : p->framing >= H1_CLOSE ? UINT64_MAX : 0;
    p->line = p->scanned = 0;
}

bool h1_done(const struct h1 *p)
{
    return p->state == DONE || (p->state == DATA && p->run == 0 && p->framing == H1_LENGTH);
}

/* chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the optional whitespace that servers read
 * differently. Returns its end, NULL when refused or incomplete as the line parsers do. */
static const char *chunk_extensions(struct h1 *p, const char *at, const char *end)
{
    while (at < end && *at == ';') {
        const char *name = ++at;
        at = scan_slow(at, end, SCAN_TOKEN);
        if (at < end && at == name)
            return h1_bad(p, H1_CHUNK_EXTENSION);
        if (at == end || *at != '=')
            continue;
        const char *value = ++at;
        if (at < end && *at == '"') {
            for (at++; at < end && *at != '"'; at++) {
                if (*at == '\\' && ++at == end)
                    break;
                if (!scan_is((unsigned char)*at, SCAN_VALUE))
                    return h1_bad(p, H1_CHUNK_EXTENSION);
            }
            if (at == end)
                return NULL;
            at++;
        } else {
            at = scan_slow(at, end, SCAN_TOKEN);
            if (at < end && at == value)
                return h1_bad(p, H1_CHUNK_EXTENSION);
        }
    }
    return at == end ? NULL : at;
}

static const char *chunk_size(struct h1 *p, const char *at, const char *end)
{
    uint64_t n = 0;
    const char *digits = at;
    for (; at < end; at++) {
        unsigned c = (unsigned char)*at, digit = c - '0';
        if (digit > 9) {
            digit = (c | 0x20) - 'a' + 10;
            if (digit < 10 || digit > 15)
                break;
        }
        if (at - digits == 15) /* 2^60 and leading zeros without end */
            return h1_bad(p, H1_CHUNK_SIZE);
        n = n << 4 | digit;
    }
    if (at == end)
        return NULL;
    if (at == digits || (*at != '\r' && *at != ';'))
        return h1_bad(p, H1_CHUNK_SIZE);
    const char *line_end = at;
    if (*at == ';') {
        line_end = chunk_extensions(p, at, end);
        if (p->reason)
            return NULL;
        if (p->extension_n + (size_t)((line_end ? line_end : end) - at) > LIMIT_HTTP_CHUNK_EXT_BYTES)
            return h1_bad(p, H1_CHUNK_EXTENSION);
        if (!line_end)
            return NULL;
    }
    if (*line_end != '\r')
        return h1_bad(p, H1_CHUNK_EXTENSION);
    if (end - line_end < 2)
        return NULL;
    if (line_end[1] != '\n')
        return h1_bad(p, H1_CHUNK_SIZE);
    p->extension_n += (uint32_t)(line_end - at);
    p->run = n;
    p->state = n ? DATA : TRAILERS;
    p->line = p->scanned = 0;
    return line_end + 2;
}

static bool trailer_allowed(enum header_id id)
{
    switch ((int)id) { /* framing, routing, authentication and control: RFC 9110 §6.5.1 */
    case HEADER_CONTENT_LENGTH:
    case HEADER_HOST:
    case HEADER_TRAILER:
    case HEADER_EXPECT:
    case HEADER_AUTHORIZATION:
    case HEADER_WWW_AUTHENTICATE:
    case HEADER_COOKIE:
    case HEADER_SET_COOKIE:
    case HEADER_CONTENT_TYPE:
    case HEADER_CONTENT_ENCODING:
    case HEADER_CACHE_CONTROL:
    case HEADER_LOCATION:
        return false;
    }
    return (header_id_flags[id] & HEADER_HOP) == 0;
}

static const char *trailer_lines(struct h1 *p, struct headers *trailers, const char *at, const char *end)
{
    if (p->scanned && !memchr(at + p->scanned, '\n', (size_t)(end - at) - p->scanned))
        return end - at > LIMIT_HTTP_TRAILER_BYTES ? h1_bad(p, H1_TRAILERS_LARGE) : NULL;
    headers_init(trailers, trailers->arena);
    const char *behind = h1_field_lines(p, trailers, at, at, end, LIMIT_HTTP_HEADER_COUNT);
    if (p->reason)
        return NULL;
    if ((behind ? behind : end) - at > LIMIT_HTTP_TRAILER_BYTES)
        return h1_bad(p, H1_TRAILERS_LARGE);
    p->scanned = (uint32_t)(end - at);
    if (!behind)
        return NULL;
    HEADERS_EACH (trailers, e)
        if (!trailer_allowed((enum header_id)e->id))
            return h1_bad(p, H1_TRAILER);
    p->state = DONE;
    return behind;
}

int h1_frame(struct h1 *p, struct view bytes, struct headers *trailers, size_t *ret_n)
{
    const char *at = bytes.p, *end = bytes.p + bytes.n, *next = NULL;
    for (;;) {
        *ret_n = (size_t)(at - bytes.p);
        switch ((enum h1_state)p->state) {
        case CHUNK_SIZE:
            next = at == end ? NULL : chunk_size(p, at, end);
            break;
        case CHUNK_END:
            next = NULL;
            if (end - at >= 1 && (at[0] != '\r' || (end - at >= 2 && at[1] != '\n')))
                return h1_refuse(p, H1_CHUNK_END);
            if (end - at >= 2) {
                next = at + 2;
                p->state = CHUNK_SIZE;
            }
            break;
        case TRAILERS:
            next = trailer_lines(p, trailers, at, end);
            break;
        case DATA:
            if (p->run == 0 && p->framing == H1_CHUNKED) {
                p->state = CHUNK_END;
                continue;
            }
            return 0;
        case HEAD:
        case DONE:
            return 0;
        }
        if (!next)
            return p->reason ? -EBADMSG : -EAGAIN;
        at = next;
    }
}

void h1_tunnel(struct h1 *p)
{
    p->framing = H1_TUNNEL;
    h1_begin_body(p);
}

int h1_eof(struct h1 *p)
{
    if (h1_done(p))
        return 0;
    if (p->state == DATA && p->framing >= H1_CLOSE) {
        p->state = DONE;
        p->run = 0;
        return 0;
    }
    return h1_refuse(p, H1_TRUNCATED);
}
