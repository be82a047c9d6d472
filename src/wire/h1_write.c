// SPDX-License-Identifier: Apache-2.0
/* The HTTP/1 writer: one canonical form of a head. "name: value" lines with one space, framing headers by us alone, host
 * first, no obs-fold, no duplicates of what frames the message. Lines that arrived in this form and stand in a row in
 * memory are copied as one piece: a proxied head is mostly a single memcpy.
 *
 * What no parser has seen to be fit is looked at before it is written; one unfit piece, and nothing counts as written.
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

/* Most pieces are short: two overlapping moves do what a call of memcpy would. */
static inline char *put(char *to, const char *bytes, size_t n)
{
    if (n > 32) {
        memcpy(to, bytes, n);
    } else if (n >= 16) {
        __builtin_memcpy(to, bytes, 16);
        __builtin_memcpy(to + n - 16, bytes + n - 16, 16);
    } else if (n >= 8) {
        __builtin_memcpy(to, bytes, 8);
        __builtin_memcpy(to + n - 8, bytes + n - 8, 8);
    } else if (n >= 4) {
        __builtin_memcpy(to, bytes, 4);
        __builtin_memcpy(to + n - 4, bytes + n - 4, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            to[i] = bytes[i];
    }
    return to + n;
}
#define PUT(to, literal) ((char *)memcpy((to), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

static bool sendable(const struct header *e)
{
    struct view v = header_value(e);
    switch (e->id) {
    case HEADER_METHOD:
        return scan_all(v.p, v.n, SCAN_METHOD);
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
    case HEADER_HOST:
        return v.n == 0 || uri_authority_valid(v);
    }
    if (!scan_all_value(v.p, v.n))
        return false;
    return e->id != HEADER_OTHER || scan_all_name(e->name, e->name_n);
}

static inline bool fit(const struct header *e)
{
    return (e->flags & HEADER_VALID) || sendable(e);
}

static char *status_line(char *to, const struct headers *h)
{
    struct header *status = headers_find(h, HEADER_STATUS);
    if (!status || !fit(status))
        return NULL;
    unsigned code = headers_status(h);
    const char *line = code >= 100 && code < 600 ? status_lines[code - 100] : NULL;
    if (code == 200)
        return PUT(to, "HTTP/1.1 200 OK\r\n");
    if (line)
        return put(to, line, strlen(line));
    to = PUT(to, "HTTP/1.1 ");
    to = put(to, status->value, 3);
    return PUT(to, " \r\n");
}

static char *request_line(char *to, const struct headers *h)
{
    struct header *method = headers_find(h, HEADER_METHOD), *path = headers_find(h, HEADER_PATH),
                  *authority = headers_find(h, HEADER_AUTHORITY);
    if (!authority)
        authority = headers_find(h, HEADER_HOST);
    if (!method || !fit(method) || (path && !fit(path)) || (authority && !fit(authority)) || (!path && !authority))
        return NULL;
    to = put(to, method->value, method->value_n);
    *to++ = ' ';
    to = path ? put(to, path->value, path->value_n) : put(to, authority->value, authority->value_n);
    to = PUT(to, " HTTP/1.1\r\nhost: ");
    if (authority)
        to = put(to, authority->value, authority->value_n);
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
        if (!fit(e))
            return NULL;
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
    to = out->kind == H1_REQUEST ? request_line(to, h) : status_line(to, h);
    if (!to || !(to = fields(to, h, out)))
        return NULL;
    if (out->framing == H1_CHUNKED)
        to = PUT(to, "transfer-encoding: chunked\r\n");
    else if (out->framing == H1_NO_BODY && out->length_zero && !headers_has(h, HEADER_CONTENT_LENGTH))
        to = PUT(to, "content-length: 0\r\n");
    if (headers_has(h, HEADER_UPGRADE)) {
        struct view upgrade = headers_value(h, HEADER_UPGRADE);
        if (!fit(headers_find(h, HEADER_UPGRADE)))
            return NULL;
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

char *h1_write_trailers(char *to, const struct headers *h)
{
    static const struct h1_out as_chunked = {.framing = H1_CHUNKED};
    to = PUT(to, "0\r\n");
    to = fields(to, h, &as_chunked);
    return to ? PUT(to, "\r\n") : NULL;
}

char *h1_write_chunk_head(char *to, uint64_t n)
{
    unsigned digits = n ? (unsigned)(64 - __builtin_clzll(n) + 3) / 4 : 1;
    for (unsigned i = digits; i-- > 0;)
        *to++ = "0123456789abcdef"[n >> (i * 4) & 15];
    return PUT(to, "\r\n");
}
