// SPDX-License-Identifier: Apache-2.0
/* Small texts without printf (text.h). */
#include "proxy/text.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "net/loop.h"
#include "net/tls.h"
#include "proxy/connection.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

struct view text_u64(char to[TEXT_U64], uint64_t value)
{
    char *p = to + TEXT_U64;
    do
        *--p = (char)('0' + value % 10);
    while ((value /= 10));
    return (struct view){p, (size_t)(to + TEXT_U64 - p)};
}

struct view text_uuid(char to[UUID_TEXT], struct rng *rng)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t a = rng_next(rng), b = rng_next(rng);
    a = (a & ~UINT64_C(0xf000)) | 0x4000;
    b = (b & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
    char *p = to;
    for (int i = 15; i >= 0; i--) {
        *p++ = digits[(a >> (i * 4)) & 15];
        if (i == 8 || i == 4)
            *p++ = '-';
    }
    *p++ = '-';
    for (int i = 15; i >= 0; i--) {
        *p++ = digits[(b >> (i * 4)) & 15];
        if (i == 12)
            *p++ = '-';
    }
    return (struct view){to, UUID_TEXT};
}

static void two(char *to, int n)
{
    to[0] = (char)('0' + n / 10 % 10);
    to[1] = (char)('0' + n % 10);
}

struct view text_http_date(char to[HTTP_DATE], uint64_t wall_ns)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    gmtime_r(&t, &tm);
    memcpy(to, "Day, 00 Mon 0000 00:00:00 GMT", HTTP_DATE);
    memcpy(to, days + tm.tm_wday * 3, 3);
    two(to + 5, tm.tm_mday);
    memcpy(to + 8, months + tm.tm_mon * 3, 3);
    two(to + 12, (tm.tm_year + 1900) / 100);
    two(to + 14, tm.tm_year % 100);
    two(to + 17, tm.tm_hour);
    two(to + 20, tm.tm_min);
    two(to + 23, tm.tm_sec);
    return (struct view){to, HTTP_DATE};
}

/* ---- operators in header values ---- */

static struct view request_header(const struct stream *s, struct view names)
{
    struct view name;
    while (view_cut(&names, '?', &name)) { /* %REQ(A?B):n%: B when A is absent */
        if (view_starts(name, VIEW(":")) && !view_ends(name, VIEW("?")) && name.n == 0)
            continue;
        struct view v = headers_get(&s->down->in, name);
        if (v.p)
            return v;
    }
    return VIEW_NONE;
}

static struct view upstream_host(struct stream *s)
{
    char text[ADDR_TEXT];
    return arena_view(&s->down->arena, addr_print(&s->upstream_addr, text));
}

static struct view operator_value(struct stream *s, struct view op)
{
    struct connection *c = s->connection;
    const struct tls_info *t = c->tls && c->http ? tls_info(http_conn_below(c->http)) : NULL;
    if (view_is(op, "DOWNSTREAM_REMOTE_ADDRESS"))
        return (struct view){c->remote_text, c->remote_n};
    if (view_is(op, "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"))
        return connection_remote_ip(c);
    if (view_is(op, "DOWNSTREAM_LOCAL_ADDRESS"))
        return (struct view){c->local_text, c->local_n};
    if (view_is(op, "PROTOCOL"))
        return s->down->version == 20 ? VIEW("HTTP/2") : s->down->version == 10 ? VIEW("HTTP/1.0") : VIEW("HTTP/1.1");
    if (view_is(op, "DOWNSTREAM_PEER_URI_SAN"))
        return t && t->n_uris ? t->uris[0] : VIEW_NONE;
    if (view_is(op, "DOWNSTREAM_PEER_SUBJECT"))
        return t ? t->subject : VIEW_NONE;
    if (view_is(op, "REQUESTED_SERVER_NAME"))
        return t ? t->sni : c->sni;
    if (view_is(op, "UPSTREAM_HOST"))
        return upstream_host(s);
    if (view_is(op, "ROUTE_NAME"))
        return s->route ? s->route->name : VIEW_NONE;
    if (view_is(op, "START_TIME")) {
        struct buf b = {0};
        clock_print_time(&b, loop_wall(s->worker->loop));
        struct view v = arena_view(&s->down->arena, buf_read(&b));
        buf_done(&b);
        return v;
    }
    if (view_starts(op, VIEW("REQ(")) && view_find(op, ')') < op.n)
        return request_header(s, view_head(view_from(op, 4), view_find(op, ')') - 4));
    return VIEW_NONE;
}

struct view text_format(struct stream *s, struct view value)
{
    if (__builtin_expect(view_find(value, '%') == value.n, 1))
        return value;
    struct buf b = {0};
    while (value.n) {
        size_t at = view_find(value, '%');
        buf_view(&b, view_head(value, at));
        value = view_from(value, at + 1);
        if (!value.n)
            break;
        if (value.p[0] == '%') { /* %% is a percent sign */
            buf_char(&b, '%');
            value = view_from(value, 1);
            continue;
        }
        size_t end = view_find(value, '%');
        struct view v = operator_value(s, view_head(value, end));
        buf_view(&b, v.n ? v : VIEW("-"));
        value = view_from(value, end + 1);
    }
    struct view v = arena_view(&s->down->arena, buf_read(&b));
    buf_done(&b);
    return v;
}
