// SPDX-License-Identifier: Apache-2.0
/* Header lines of HTTP/1, in heads and trailers: "name: value CRLF", strictly. The usual line is judged in one look at 32
 * bytes (wire/scan.h); every other goes a longer way with the same outcome. Views go straight into the header list.
 */
#include "wire/h1_parse.h"
#include "wire/scan.h"

static const char *bad_name(struct h1 *p, const char *at, const char *stop)
{
    if (stop != at)
        return h1_bad(p, H1_NAME);
    return h1_bad(p, *at == ' ' || *at == '\t' ? H1_LEADING_SPACE : *at == '\n' ? H1_LINE_END : H1_NAME);
}

static const char *bad_line_end(struct h1 *p, const char *line_end, const char *end)
{
    if (line_end == end || (*line_end == '\r' && line_end + 1 == end))
        return NULL; /* the rest is still on its way */
    return h1_bad(p, *line_end == '\r' || *line_end == '\n' ? H1_LINE_END : H1_VALUE);
}

/* Appends the line name = at[0..colon), value = [value, line_end); returns where the next line begins. */
static inline const char *line_done(struct h1 *p, struct headers *h, const char *at, const char *colon,
                                    const char *value, const char *line_end)
{
    const char *value_end = line_end;
    while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
        value_end--;
    if (h->n == h->cap && headers_grow(h) < 0)
        return h1_bad(p, H1_HEADERS_MANY);
    size_t name_n = (size_t)(colon - at);
    enum header_id id = header_id_of((struct view){at, name_n});
    if (h->first[id] && (header_id_flags[id] & HEADER_ONCE))
        return h1_bad(p, id == HEADER_TRANSFER_ENCODING ? H1_TRANSFER_ENCODING
                         : id == HEADER_CONTENT_LENGTH  ? H1_CONTENT_LENGTH
                                                        : H1_DUPLICATE);
    struct header *e = headers_push(h, id, at, name_n, value, (size_t)(value_end - value));
    bool line = value_end == line_end && value == colon + 2 && colon[1] == ' ';
    e->flags |= line ? HEADER_VALID | HEADER_LINE : HEADER_VALID;
    return line_end + 2;
}

static const char *any_field_line(struct h1 *p, struct headers *h, const char *begin, const char *at, const char *end)
{
    const char *colon = scan_name(begin, at, end);
    if (colon == end)
        return NULL;
    if (*colon != ':' || colon == at)
        return bad_name(p, at, colon);
    if (colon - at > UINT16_MAX)
        return h1_bad(p, H1_NAME_LONG);
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    const char *line_end = scan_value(begin, value, end);
    if (end - line_end < 2 || line_end[0] != '\r' || line_end[1] != '\n')
        return bad_line_end(p, line_end, end);
    return line_done(p, h, at, colon, value, line_end);
}

/* The usual line: a name of usual bytes within 32 bytes, one space, a value. Everything else goes the long way. */
static inline const char *field_line(struct h1 *p, struct headers *h, const char *begin, const char *at,
                                     const char *end)
{
#ifdef __SSE2__
    uint32_t name, value;
    if (end + p->slack - at < 32)
        return any_field_line(p, h, begin, at, end);
    scan_line(at, &name, &value);
    unsigned colon = name ? (unsigned)__builtin_ctz(name) : 32;
    if (colon > 29 || colon == 0 || at[colon] != ':' || at[colon + 1] != ' ' || at[colon + 2] <= ' ')
        return any_field_line(p, h, begin, at, end);
    value &= ~0u << (colon + 2);
    const char *line_end = value ? at + __builtin_ctz(value) : scan_value(begin, at + 32, end);
    if (line_end + 2 > end || line_end[0] != '\r' || line_end[1] != '\n')
        return bad_line_end(p, line_end < end ? line_end : end, end);
    return line_done(p, h, at, at + colon, at + colon + 2, line_end);
#else
    return any_field_line(p, h, begin, at, end);
#endif
}

const char *h1_field_lines(struct h1 *p, struct headers *h, const char *begin, const char *at, const char *end,
                           unsigned most)
{
    while (end - at >= 2 && *at != '\r') {
        if (h->n >= most)
            return h1_bad(p, H1_HEADERS_MANY);
        const char *next = field_line(p, h, begin, at, end);
        if (!next) {
            p->line = (uint32_t)(at - begin);
            return NULL;
        }
        at = next;
    }
    p->line = (uint32_t)(at - begin);
    if (end - at < 2)
        return end != at && *at == '\n' ? h1_bad(p, H1_LINE_END) : NULL;
    return at[1] == '\n' ? at + 2 : h1_bad(p, H1_LINE_END);
}
