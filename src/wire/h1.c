// SPDX-License-Identifier: Apache-2.0
/* The HTTP/1 parser: see h1.h. A head is read line by line and each line once: views go straight into the header list,
 * nothing is copied. When bytes run out in the middle of a line, the parser remembers where the line begins and does not
 * look at it again before its newline has come, so that a peer who sends single bytes costs no more than one who doesn't.
 *
 * Lines are in h1_fields.c. What they mean is decided after the head is complete (finish_request, finish_response): framing,
 * connection rules, authority. Bodies are in h1_body.c, writing in h1_write.c.
 */
#include "wire/h1.h"

#include <assert.h>
#include <errno.h>

#include "base/limits.h"
#include "wire/h1_parse.h"
#include "wire/scan.h"
#include "wire/uri.h"

static const struct {
    const char *text;
    unsigned status;
} reasons[] = {
#define H1_REASON(name, status, text) [H1_##name] = {text, status},
#include "wire/h1_reason.def"
#undef H1_REASON
};

const char *h1_reason_text(enum h1_reason reason)
{
    return reasons[reason].text;
}

unsigned h1_reason_status(enum h1_reason reason)
{
    return reasons[reason].status;
}

void h1_init(struct h1 *p, enum h1_kind kind)
{
    memset(p, 0, sizeof(*p));
    p->kind = (uint8_t)kind;
}

void h1_next(struct h1 *p)
{
    uint8_t slack = p->slack;
    h1_init(p, (enum h1_kind)p->kind);
    p->slack = slack;
}

static const char *request_line(struct h1 *p, struct headers *h, const char *at, const char *end)
{
    const char *method = at, *target, *target_end;
    if (end - at >= 4 && memcmp(at, "GET ", 4) == 0)
        at += 3;
    else
        at = scan_slow(at, end, SCAN_METHOD);
    if (at - method > 32)
        return h1_bad(p, H1_METHOD);
    if (at == end)
        return NULL;
    if (*at != ' ' || at == method)
        return h1_bad(p, at == method && (*at == ' ' || *at == '\t') ? H1_LEADING_SPACE : H1_METHOD);
    target = at + 1;
    target_end = scan_target(method, target, end);
    if (target_end - target > LIMIT_HTTP_URI_BYTES)
        return h1_bad(p, H1_TARGET_LONG);
    if (target_end == end)
        return NULL;
    if (*target_end != ' ' || target_end == target)
        return h1_bad(p, H1_TARGET);
    const char *version = target_end + 1;
    if (end - version < 10)
        return memchr(version, '\n', (size_t)(end - version)) ? h1_bad(p, H1_REQUEST_LINE) : NULL;
    if (memcmp(version, "HTTP/1.1\r\n", 10) == 0)
        p->version = 11;
    else if (memcmp(version, "HTTP/1.0\r\n", 10) == 0)
        p->version = 10;
    else if (memcmp(version, "HTTP/", 5) == 0 && version[5] >= '1' && version[5] <= '9' && version[6] == '.' &&
             version[7] >= '0' && version[7] <= '9' && version[8] == '\r' && version[9] == '\n')
        return h1_bad(p, at - method == 3 && memcmp(method, "PRI", 3) == 0 ? H1_METHOD : H1_VERSION);
    else
        return h1_bad(p, H1_REQUEST_LINE);
    headers_push(h, HEADER_METHOD, ":method", 7, method, (size_t)(at - method))->flags |= HEADER_VALID;
    headers_push(h, HEADER_PATH, ":path", 5, target, (size_t)(target_end - target))->flags |= HEADER_VALID;
    return version + 10;
}

static const char *status_line(struct h1 *p, struct headers *h, const char *at, const char *end)
{
    if (end - at < 14) { /* "HTTP/1.1 200" and CRLF */
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        return newline ? h1_bad(p, H1_STATUS_LINE) : NULL;
    }
    if (memcmp(at, "HTTP/1.", 7) != 0 || (at[7] != '0' && at[7] != '1') || at[8] != ' ')
        return h1_bad(p, H1_STATUS_LINE);
    p->version = at[7] == '1' ? 11 : 10;
    const char *code = at + 9;
    for (int i = 0; i < 3; i++)
        if (code[i] < (i == 0 ? '1' : '0') || code[i] > '9')
            return h1_bad(p, H1_STATUS_LINE);
    if (code[3] != ' ' && code[3] != '\r')
        return h1_bad(p, H1_STATUS_LINE);
    const char *line_end = scan_value(at, code + 3, end);
    if (end - line_end < 2)
        return NULL;
    if (line_end[0] != '\r' || line_end[1] != '\n')
        return h1_bad(p, H1_LINE_END);
    headers_push(h, HEADER_STATUS, ":status", 7, code, 3)->flags |= HEADER_VALID;
    return line_end + 2;
}

static int content_length(struct h1 *p, struct view v)
{
    uint64_t n = 0;
    if (v.n == 0 || v.n > 18 || (v.p[0] == '0' && v.n > 1))
        return h1_refuse(p, H1_CONTENT_LENGTH);
    for (size_t i = 0; i < v.n; i++) {
        unsigned digit = (unsigned)(v.p[i] - '0');
        if (digit > 9)
            return h1_refuse(p, H1_CONTENT_LENGTH);
        n = n * 10 + digit;
    }
    p->length = n;
    return 0;
}

/* Removes the headers that a Connection header names, and reads its options. */
static int connection_options(struct h1 *p, struct headers *h, bool *ret_upgrade)
{
    bool close = false, keep_alive = false;
    *ret_upgrade = false;
    for (struct header *e = headers_find(h, HEADER_CONNECTION); e; e = headers_next_same(h, e)) {
        struct view rest = header_value(e), option;
        while (view_cut(&rest, ',', &option)) {
            option = view_trim(option);
            if (view_empty(option))
                continue;
            if (scan_slow(option.p, option.p + option.n, SCAN_TOKEN) != option.p + option.n)
                return h1_refuse(p, H1_CONNECTION);
            enum header_id id = header_id_of(option);
            if (view_ieq(option, VIEW("close")))
                close = true;
            else if (id == HEADER_KEEP_ALIVE)
                keep_alive = true;
            else if (id == HEADER_UPGRADE)
                *ret_upgrade = true;
            else if (id == HEADER_HOST || id == HEADER_CONTENT_LENGTH || id == HEADER_TRANSFER_ENCODING)
                return h1_refuse(p, H1_CONNECTION); /* taking these out would change the message */
            else if (id != HEADER_TE && id != HEADER_CONNECTION)
                headers_del_name(h, id, option);
        }
    }
    p->keep_alive = !close && (p->version == 11 || keep_alive);
    return 0;
}

/* Takes out what belongs to the connection alone. */
static int strip_connection(struct h1 *p, struct headers *h)
{
    static_assert(HEADER_HTTP2_SETTINGS - HEADER_TRANSFER_ENCODING == 6, "the names that belong to the connection");
    bool upgrade = false;
    uint64_t some;
    p->keep_alive = p->version == 11;
    memcpy(&some, &h->first[HEADER_TRANSFER_ENCODING], sizeof(some)); /* and the one behind them */
    if (!some)
        return 0;
    if (headers_has(h, HEADER_CONNECTION)) {
        int r = connection_options(p, h, &upgrade);
        if (r < 0)
            return r;
        headers_del(h, HEADER_CONNECTION);
    }
    if (headers_has(h, HEADER_UPGRADE)) {
        struct view to = headers_value(h, HEADER_UPGRADE);
        p->upgrade = upgrade && p->version == 11 && to.n && !view_ieq(to, VIEW("h2c"));
        if (!p->upgrade)
            headers_del(h, HEADER_UPGRADE);
    }
    if (headers_has(h, HEADER_KEEP_ALIVE))
        headers_del(h, HEADER_KEEP_ALIVE);
    if (headers_has(h, HEADER_PROXY_CONNECTION))
        headers_del(h, HEADER_PROXY_CONNECTION);
    if (headers_has(h, HEADER_HTTP2_SETTINGS))
        headers_del(h, HEADER_HTTP2_SETTINGS);
    if (headers_has(h, HEADER_TE) && !view_ieq(headers_value(h, HEADER_TE), VIEW("trailers")))
        headers_del(h, HEADER_TE);
    return 0;
}

/* Content-Length and Transfer-Encoding; leaves p->framing alone when there is neither. */
static int framing(struct h1 *p, struct headers *h)
{
    bool has_length = headers_has(h, HEADER_CONTENT_LENGTH);
    if (headers_has(h, HEADER_TRANSFER_ENCODING)) {
        struct view coding = headers_value(h, HEADER_TRANSFER_ENCODING);
        if (p->version == 10)
            return h1_refuse(p, H1_CHUNKED_IN_1_0);
        if (has_length)
            return h1_refuse(p, H1_LENGTH_AND_CHUNKED);
        if (!view_ieq(coding, VIEW("chunked")))
            return h1_refuse(p, view_ieq(coding, VIEW("gzip")) || view_ieq(coding, VIEW("deflate")) ||
                                        view_ieq(coding, VIEW("compress"))
                                    ? H1_TRANSFER_CODING
                                    : H1_TRANSFER_ENCODING);
        headers_del(h, HEADER_TRANSFER_ENCODING);
        p->framing = H1_CHUNKED;
    } else if (has_length) {
        int r = content_length(p, headers_value(h, HEADER_CONTENT_LENGTH));
        if (r < 0)
            return r;
        p->framing = H1_LENGTH;
    }
    return 0;
}

static void set_authority(struct headers *h, struct header *host, struct view authority)
{
    if (!host) {
        headers_push(h, HEADER_AUTHORITY, ":authority", 10, authority.p, authority.n)->flags |= HEADER_VALID;
        return;
    }
    h->first[HEADER_AUTHORITY] = h->first[HEADER_HOST];
    h->first[HEADER_HOST] = 0;
    h->bytes += 6 + (uint32_t)authority.n;
    *host = (struct header){":authority", authority.p, (uint32_t)authority.n, 10, HEADER_AUTHORITY, HEADER_VALID};
}

static int request_target(struct h1 *p, struct headers *h)
{
    if (h->n == h->cap && headers_grow(h) < 0) /* for an authority without Host */
        return h1_refuse(p, H1_HEADERS_MANY);
    struct view method = headers_value(h, HEADER_METHOD), target = headers_value(h, HEADER_PATH);
    struct header *host = headers_find(h, HEADER_HOST);
    if (!host && p->version == 11)
        return h1_refuse(p, H1_HOST_MISSING);
    if (host && !uri_authority_valid(header_value(host)))
        return h1_refuse(p, H1_HOST);
    struct view authority = host ? header_value(host) : VIEW_NONE, scheme, path;
    if (view_eq(method, VIEW("CONNECT"))) {
        uint16_t port = 0;
        if (uri_authority_valid(target))
            uri_authority_split(target, &path, &port);
        if (port == 0)
            return h1_refuse(p, H1_TARGET);
        authority = target;
        headers_del(h, HEADER_PATH);
    } else if (target.p[0] == '/') {
        if (memchr(target.p, '%', target.n) && !uri_path_valid(target))
            return h1_refuse(p, H1_TARGET);
    } else if (target.n == 1 && target.p[0] == '*') {
        if (!view_eq(method, VIEW("OPTIONS")))
            return h1_refuse(p, H1_TARGET);
    } else if (uri_absolute_split(target, &scheme, &authority, &path) == 0) {
        struct header *e = headers_find(h, HEADER_PATH);
        e->value = path.p;
        e->value_n = (uint32_t)path.n;
    } else {
        return h1_refuse(p, H1_TARGET);
    }
    if (authority.p)
        set_authority(h, host, authority);
    return 0;
}

static int finish_request(struct h1 *p, struct headers *h)
{
    int r = request_target(p, h);
    if (r == 0)
        r = framing(p, h);
    if (r == 0)
        r = strip_connection(p, h);
    if (r < 0)
        return r;
    if (p->framing != H1_NO_BODY) {
        if (!headers_has(h, HEADER_PATH))
            return h1_refuse(p, H1_CONNECT_BODY);
        if (p->upgrade) { /* an upgrade with a body is an ordinary request */
            p->upgrade = false;
            headers_del(h, HEADER_UPGRADE);
        }
    }
    if (headers_has(h, HEADER_EXPECT))
        p->expect_continue = p->version == 11 && p->framing != H1_NO_BODY &&
                             view_ieq(headers_value(h, HEADER_EXPECT), VIEW("100-continue"));
    return 0;
}

static int finish_response(struct h1 *p, struct headers *h)
{
    unsigned status = headers_status(h);
    int r = framing(p, h);
    if (r == 0)
        r = strip_connection(p, h);
    if (r < 0)
        return r;
    bool connected = p->to_connect && status / 100 == 2;
    if (status == 101 || connected) {
        p->framing = H1_TUNNEL;
        headers_del(h, HEADER_CONTENT_LENGTH);
    } else if (status / 100 == 1 || status == 204) {
        p->interim = status != 204;
        p->framing = H1_NO_BODY;
        headers_del(h, HEADER_CONTENT_LENGTH);
    } else if (p->to_head || status == 304) {
        p->framing = H1_NO_BODY;
    } else if (p->framing == H1_NO_BODY) {
        p->framing = H1_CLOSE;
        p->keep_alive = false;
    }
    return 0;
}

/* Bytes are missing: remember how far we looked, and bound what we are ready to wait for. */
static int more(struct h1 *p, struct view bytes, size_t line)
{
    p->line = (uint32_t)line;
    p->scanned = (uint32_t)bytes.n;
    if (p->kind == H1_REQUEST && line == 0 && bytes.n > LIMIT_HTTP_URI_BYTES + 64)
        return h1_refuse(p, H1_TARGET_LONG);
    return bytes.n > LIMIT_HTTP_HEADER_BYTES ? h1_refuse(p, H1_HEADERS_LARGE) : -EAGAIN;
}

int h1_head(struct h1 *p, struct headers *h, struct view bytes, size_t *ret_n)
{
    const char *at = bytes.p + p->line, *end = bytes.p + bytes.n;
    if (bytes.n == 0)
        return -EAGAIN;
    if (p->scanned && !memchr(bytes.p + p->scanned, '\n', bytes.n - p->scanned))
        return more(p, bytes, p->line);
    if (p->line == 0) {
        const char *next = p->kind == H1_REQUEST ? request_line(p, h, at, end) : status_line(p, h, at, end);
        if (!next)
            return p->reason ? -EBADMSG : more(p, bytes, 0);
        at = next;
    }
    at = h1_field_lines(p, h, bytes.p, at, end, LIMIT_HTTP_HEADER_COUNT + 2);
    if (!at)
        return p->reason ? -EBADMSG : more(p, bytes, p->line);
    if (at - bytes.p > LIMIT_HTTP_HEADER_BYTES)
        return h1_refuse(p, H1_HEADERS_LARGE);
    int r = p->kind == H1_REQUEST ? finish_request(p, h) : finish_response(p, h);
    if (r < 0)
        return r;
    h1_begin_body(p);
    *ret_n = (size_t)(at - bytes.p);
    return 0;
}
