// SPDX-License-Identifier: Apache-2.0
/* The HTTP/1 writer: one canonical form of a head. "name: value" lines with one space, framing headers by us alone, host
 * first, no obs-fold, no duplicates of what frames the message. Lines that arrived in this form and stand in a row in
 * memory are copied as one piece: a proxied head is mostly a single memcpy.
 *
 * h1_head_room() comes first: it proves that nothing unfit goes on the wire and bounds the room; writing cannot fail.
 */
#include <errno.h>

#include "wire/h1.h"
#include "wire/scan.h"
#include "wire/uri.h"

#define STATUS(code, text) [(code)-100] = "HTTP/1.1 " #code " " text "\r\n"
static const char *const status_lines[500] = {
    STATUS(100, "Continue"),
    STATUS(101, "Switching Protocols"),
    STATUS(102, "Processing"),
    STATUS(103, "Early Hints"),
    STATUS(200, "OK"),
    STATUS(201, "Created"),
    STATUS(202, "Accepted"),
    STATUS(203, "Non-Authoritative Information"),
    STATUS(204, "No Content"),
    STATUS(205, "Reset Content"),
    STATUS(206, "Partial Content"),
    STATUS(207, "Multi-Status"),
    STATUS(208, "Already Reported"),
    STATUS(226, "IM Used"),
    STATUS(300, "Multiple Choices"),
    STATUS(301, "Moved Permanently"),
    STATUS(302, "Found"),
    STATUS(303, "See Other"),
    STATUS(304, "Not Modified"),
    STATUS(305, "Use Proxy"),
    STATUS(307, "Temporary Redirect"),
    STATUS(308, "Permanent Redirect"),
    STATUS(400, "Bad Request"),
    STATUS(401, "Unauthorized"),
    STATUS(402, "Payment Required"),
    STATUS(403, "Forbidden"),
    STATUS(404, "Not Found"),
    STATUS(405, "Method Not Allowed"),
    STATUS(406, "Not Acceptable"),
    STATUS(407, "Proxy Authentication Required"),
    STATUS(408, "Request Timeout"),
    STATUS(409, "Conflict"),
    STATUS(410, "Gone"),
    STATUS(411, "Length Required"),
    STATUS(412, "Precondition Failed"),
    STATUS(413, "Payload Too Large"),
    STATUS(414, "URI Too Long"),
    STATUS(415, "Unsupported Media Type"),
    STATUS(416, "Range Not Satisfiable"),
    STATUS(417, "Expectation Failed"),
    STATUS(418, "I'm a teapot"),
    STATUS(421, "Misdirected Request"),
    STATUS(422, "Unprocessable Content"),
    STATUS(423, "Locked"),
    STATUS(424, "Failed Dependency"),
    STATUS(425, "Too Early"),
    STATUS(426, "Upgrade Required"),
    STATUS(428, "Precondition Required"),
    STATUS(429, "Too Many Requests"),
    STATUS(431, "Request Header Fields Too Large"),
    STATUS(451, "Unavailable For Legal Reasons"),
    STATUS(500, "Internal Server Error"),
    STATUS(501, "Not Implemented"),
    STATUS(502, "Bad Gateway"),
    STATUS(503, "Service Unavailable"),
    STATUS(504, "Gateway Timeout"),
    STATUS(505, "HTTP Version Not Supported"),
    STATUS(506, "Variant Also Negotiates"),
    STATUS(507, "Insufficient Storage"),
    STATUS(508, "Loop Detected"),
    STATUS(510, "Not Extended"),
    STATUS(511, "Network Authentication Required"),
};
#undef STATUS

static inline char *put(char *to, const void *bytes, size_t n)
{
    memcpy(to, bytes, n);
    return to + n;
}
#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)

static bool all_of(struct view v, unsigned what)
{
    return v.n > 0 && scan_slow(v.p, v.p + v.n, what) == v.p + v.n;
}

static bool sendable(const struct header *e)
{
    struct view v = header_value(e);
    switch (e->id) {
    case HEADER_METHOD:
        return all_of(v, SCAN_METHOD);
    case HEADER_PATH:
        return uri_path_valid(v) || (v.n == 1 && v.p[0] == '*');
    case HEADER_AUTHORITY:
        return uri_authority_valid(v);
    case HEADER_STATUS:
        return v.n == 3 && v.p[0] >= '1' && v.p[0] <= '9' && v.p[1] >= '0' && v.p[1] <= '9' && v.p[2] >= '0' &&
               v.p[2] <= '9';
    case HEADER_SCHEME:
    case HEADER_PROTOCOL:
        return true; /* never written */
    }
    if (scan_value(v.p, v.p + v.n) != v.p + v.n)
        return false;
    return e->id != HEADER_OTHER || (e->name_n && scan_name(e->name, e->name + e->name_n) == e->name + e->name_n);
}

ssize_t h1_head_room(const struct headers *h, const struct h1_out *out)
{
    if (out->kind == H1_RESPONSE
            ? !headers_has(h, HEADER_STATUS)
            : !headers_has(h, HEADER_METHOD) || (!headers_has(h, HEADER_PATH) && !headers_has(h, HEADER_AUTHORITY)))
        return -EINVAL;
    HEADERS_EACH (h, e)
        if (!(e->flags & HEADER_VALID) && !sendable(e))
            return -EINVAL;
    return (ssize_t)h->bytes + h->n * 4 + 192;
}

static char *start_line(char *to, const struct headers *h, const struct h1_out *out)
{
    struct view authority = headers_value(h, HEADER_AUTHORITY);
    if (out->kind == H1_RESPONSE) {
        unsigned status = headers_status(h);
        const char *line = status < 600 ? status_lines[status - 100] : NULL;
        if (line)
            return put(to, line, strlen(line));
        to = PUT(to, "HTTP/1.1 ");
        to = put(to, headers_value(h, HEADER_STATUS).p, 3);
        return PUT(to, " \r\n");
    }
    struct view method = headers_value(h, HEADER_METHOD), path = headers_value(h, HEADER_PATH);
    to = put(to, method.p, method.n);
    *to++ = ' ';
    to = path.p ? put(to, path.p, path.n) : put(to, authority.p, authority.n);
    to = PUT(to, " HTTP/1.1\r\nhost: ");
    if (authority.p)
        to = put(to, authority.p, authority.n);
    else if (headers_has(h, HEADER_HOST))
        to = put(to, headers_value(h, HEADER_HOST).p, headers_value(h, HEADER_HOST).n);
    return PUT(to, "\r\n");
}

static inline bool skipped(const struct header *e, const struct h1_out *out)
{
    if (e->id == HEADER_OTHER)
        return false;
    if (e->id <= HEADER_HOST || (header_id_flags[e->id] & HEADER_HOP))
        return true;
    return e->id == HEADER_CONTENT_LENGTH && out->framing > H1_LENGTH;
}

static char *fields(char *to, const struct headers *h, const struct h1_out *out)
{
    const struct header *e = h->at, *end = h->at + h->n;
    for (; e < end; e++) {
        if (!e->name || skipped(e, out))
            continue;
        if (!(e->flags & HEADER_LINE)) {
            to = put(to, e->name, e->name_n);
            to = PUT(to, ": ");
            to = put(to, e->value, e->value_n);
            to = PUT(to, "\r\n");
            continue;
        }
        const char *run = e->name, *run_end = e->value + e->value_n + 2;
        while (e + 1 < end && e[1].name == run_end && (e[1].flags & HEADER_LINE) && !skipped(e + 1, out)) {
            e++;
            run_end = e->value + e->value_n + 2;
        }
        to = put(to, run, (size_t)(run_end - run));
    }
    return to;
}

char *h1_write_head(char *to, const struct headers *h, const struct h1_out *out)
{
    to = start_line(to, h, out);
    to = fields(to, h, out);
    if (out->framing == H1_CHUNKED)
        to = PUT(to, "transfer-encoding: chunked\r\n");
    else if (out->framing == H1_NO_BODY && out->length_zero && !headers_has(h, HEADER_CONTENT_LENGTH))
        to = PUT(to, "content-length: 0\r\n");
    if (headers_has(h, HEADER_UPGRADE)) {
        struct view upgrade = headers_value(h, HEADER_UPGRADE);
        to = PUT(to, "connection: upgrade\r\nupgrade: ");
        to = put(to, upgrade.p, upgrade.n);
        to = PUT(to, "\r\n");
    } else if (out->close) {
        to = PUT(to, "connection: close\r\n");
    } else if (out->keep_alive_1_0) {
        to = PUT(to, "connection: keep-alive\r\n");
    }
    return PUT(to, "\r\n");
}

ssize_t h1_trailers_room(const struct headers *h)
{
    HEADERS_EACH (h, e)
        if (!(e->flags & HEADER_VALID) && !sendable(e))
            return -EINVAL;
    return (ssize_t)h->bytes + h->n * 4 + 16;
}

char *h1_write_trailers(char *to, const struct headers *h)
{
    static const struct h1_out as_chunked = {.framing = H1_CHUNKED};
    to = PUT(to, "0\r\n");
    to = fields(to, h, &as_chunked);
    return PUT(to, "\r\n");
}

char *h1_write_chunk_head(char *to, uint64_t n)
{
    unsigned digits = n ? (unsigned)(64 - __builtin_clzll(n) + 3) / 4 : 1;
    for (unsigned i = digits; i-- > 0;)
        *to++ = "0123456789abcdef"[n >> (i * 4) & 15];
    return PUT(to, "\r\n");
}
