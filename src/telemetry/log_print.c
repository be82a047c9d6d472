// SPDX-License-Identifier: Apache-2.0
/* Writing one access-log line (access_log.h): no printf, no allocation beyond the buffer that is reused. Whatever a peer
 * put into a header, a line stays one line: JSON is escaped, text has its control bytes and quotes replaced.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "net/tls.h"
#include "telemetry/log_format.h"

/* A value before it is escaped: text, a number, or nothing. */
struct shown {
    enum { NOTHING, TEXT, NUMBER } is;
    struct view text;
    uint64_t number;
    bool plain;                /* text of ours that needs no escaping */
    char room[ADDR_TEXT + 64]; /* where text may lie */
};

static void show(struct shown *s, struct view text)
{
    s->is = text.n ? TEXT : NOTHING;
    s->text = text;
}

static void show_plain(struct shown *s, struct view text)
{
    show(s, text);
    s->plain = true;
}

static void show_number(struct shown *s, uint64_t n)
{
    s->is = NUMBER;
    s->number = n;
}

static void show_addr(struct shown *s, const struct addr *a, bool port)
{
    if (a && a->family != ADDR_NONE)
        show_plain(s, port ? addr_print(a, s->room) : addr_print_ip(a, s->room));
}

static void two_digits(char *to, int n)
{
    to[0] = (char)('0' + n / 10 % 10);
    to[1] = (char)('0' + n % 10);
}

/* 2026-11-22T18:41:20.123Z; or the format that was asked for. */
static void show_time(struct shown *s, const struct log_piece *p, uint64_t wall)
{
    time_t t = (time_t)(wall / NS_PER_S);
    int ms = (int)(wall % NS_PER_S / NS_PER_MS);
    struct tm tm;
    gmtime_r(&t, &tm);
    if (p->text.n) {
        size_t n = strftime(s->room, sizeof(s->room), p->text.p, &tm); /* arena texts are terminated */
        show(s, view_make(s->room, n));
        return;
    }
    memcpy(s->room, "0000-00-00T00:00:00.000Z", 24);
    two_digits(s->room, (tm.tm_year + 1900) / 100);
    two_digits(s->room + 2, (tm.tm_year + 1900) % 100);
    two_digits(s->room + 5, tm.tm_mon + 1);
    two_digits(s->room + 8, tm.tm_mday);
    two_digits(s->room + 11, tm.tm_hour);
    two_digits(s->room + 14, tm.tm_min);
    two_digits(s->room + 17, tm.tm_sec);
    s->room[20] = (char)('0' + ms / 100);
    two_digits(s->room + 21, ms % 100);
    show_plain(s, view_make(s->room, 24));
}

static struct view header_of(const struct headers *h, enum header_id id, struct view name)
{
    if (!h || !name.n)
        return VIEW_NONE;
    return id != HEADER_OTHER ? headers_value(h, id) : headers_get(h, name);
}

static void show_header(struct shown *s, const struct log_piece *p, const struct headers *h)
{
    struct view v = header_of(h, p->id, p->name);
    if (!v.p)
        v = header_of(h, p->otherwise_id, p->otherwise);
    show(s, v);
}

/* The request's method, path and authority are those that were received, even when the request was rewritten since. */
static struct view received(const struct access_entry *e, enum header_id id, struct view name)
{
    struct view v = id == HEADER_METHOD      ? e->method
                    : id == HEADER_PATH      ? e->path
                    : id == HEADER_AUTHORITY ? e->authority
                                             : VIEW_NONE;
    return v.n ? v : header_of(e->request, id, name);
}

static void show_request_header(struct shown *s, const struct log_piece *p, const struct access_entry *e)
{
    struct view v = p->id == HEADER_X_ENVOY_ORIGINAL_PATH && p->otherwise_id == HEADER_PATH
                        ? VIEW_NONE
                        : received(e, p->id, p->name);
    if (!v.p && p->otherwise.n)
        v = received(e, p->otherwise_id, p->otherwise);
    if (p->op == LOG_REQ_WITHOUT_QUERY)
        v = view_head(v, view_find(v, '?'));
    show(s, v);
}

static void show_flags(struct shown *s, const struct access_entry *e)
{
    struct view flag = view_of(end_reason_info(e->reason)->flag);
    bool none = view_is(flag, "-");
    if (!e->more_flags.n || none) {
        show_plain(s, e->more_flags.n ? e->more_flags : flag);
        return;
    }
    size_t n = flag.n + 1 + e->more_flags.n;
    must(n <= sizeof(s->room));
    memcpy(s->room, flag.p, flag.n);
    s->room[flag.n] = ',';
    memcpy(s->room + flag.n + 1, e->more_flags.p, e->more_flags.n);
    show_plain(s, view_make(s->room, n));
}

static void show_hostname(struct shown *s)
{
    if (gethostname(s->room, sizeof(s->room)) == 0)
        show(s, view_make(s->room, strnlen(s->room, sizeof(s->room))));
}

static void show_piece(struct shown *s, const struct log_piece *p, const struct access_entry *e)
{
    const struct tls_info *down = e->downstream_tls, *up = e->upstream_tls;
    switch (p->op) {
    case LOG_LITERAL:
        return show(s, p->text);
    case LOG_START_TIME:
        return show_time(s, p, e->start_wall);
    case LOG_REQ:
    case LOG_REQ_WITHOUT_QUERY:
        return show_request_header(s, p, e);
    case LOG_RESP:
        return show_header(s, p, e->response);
    case LOG_TRAILER:
        return show_header(s, p, e->trailers);
    case LOG_PROTOCOL:
        return show_plain(s, e->protocol);
    case LOG_RESPONSE_CODE:
        return show_number(s, e->status);
    case LOG_RESPONSE_FLAGS:
        return show_flags(s, e);
    case LOG_RESPONSE_CODE_DETAILS:
        return show(s, e->tcp ? VIEW_NONE : e->details.n ? e->details : view_of(end_reason_info(e->reason)->details));
    case LOG_CONNECTION_TERMINATION_DETAILS:
        return show(s, e->termination);
    case LOG_UPSTREAM_TRANSPORT_FAILURE_REASON:
        return show(s, e->upstream_failure);
    case LOG_BYTES_RECEIVED:
        return show_number(s, e->bytes_received);
    case LOG_BYTES_SENT:
        return show_number(s, e->bytes_sent);
    case LOG_DOWNSTREAM_WIRE_BYTES_RECEIVED:
        return show_number(s, e->wire_received);
    case LOG_DOWNSTREAM_WIRE_BYTES_SENT:
        return show_number(s, e->wire_sent);
    case LOG_DURATION:
        return show_number(s, e->duration / NS_PER_MS);
    case LOG_RESPONSE_DURATION:
        return e->upstream_time ? show_number(s, e->upstream_time / NS_PER_MS) : show(s, VIEW_NONE);
    case LOG_UPSTREAM_HOST:
    case LOG_UPSTREAM_REMOTE_ADDRESS:
        return show_addr(s, e->upstream_host, true);
    case LOG_UPSTREAM_CLUSTER:
    case LOG_UPSTREAM_CLUSTER_RAW:
        return show(s, e->cluster);
    case LOG_UPSTREAM_LOCAL_ADDRESS:
        return show_addr(s, e->upstream_local, true);
    case LOG_UPSTREAM_REQUEST_ATTEMPT_COUNT:
        return show_number(s, e->attempts);
    case LOG_UPSTREAM_PEER_URI_SAN:
        return show(s, up ? up->spiffe : VIEW_NONE);
    case LOG_DOWNSTREAM_LOCAL_ADDRESS:
        return show_addr(s, e->downstream_local, true);
    case LOG_DOWNSTREAM_REMOTE_ADDRESS:
        return show_addr(s, e->downstream_remote, true);
    case LOG_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT:
        return show_addr(s, e->downstream_remote, false);
    case LOG_DOWNSTREAM_DIRECT_REMOTE_ADDRESS:
        return show_addr(s, e->downstream_direct ? e->downstream_direct : e->downstream_remote, true);
    case LOG_DOWNSTREAM_PEER_URI_SAN:
        return show(s, down ? down->spiffe : VIEW_NONE);
    case LOG_DOWNSTREAM_LOCAL_URI_SAN:
        return show(s, down ? down->local : VIEW_NONE);
    case LOG_DOWNSTREAM_PEER_SUBJECT:
        return show(s, down ? down->subject : VIEW_NONE);
    case LOG_DOWNSTREAM_TLS_VERSION:
        return show(s, view_of(down ? down->version : NULL));
    case LOG_DOWNSTREAM_TLS_CIPHER:
        return show(s, view_of(down ? down->cipher : NULL));
    case LOG_REQUESTED_SERVER_NAME:
        return show(s, e->sni);
    case LOG_ROUTE_NAME:
        return show(s, e->route);
    case LOG_VIRTUAL_HOST_NAME:
        return show(s, e->vhost);
    case LOG_GRPC_STATUS_NUMBER:
        return e->grpc_status >= 0 ? show_number(s, (uint64_t)e->grpc_status) : show(s, VIEW_NONE);
    case LOG_HOSTNAME:
        return show_hostname(s);
    case LOG_WEFT_REASON:
        return show(s, e->weft_reason);
    }
}

static void put_safe(struct buf *out, struct view v)
{
    char *to = buf_room(out, v.n, NULL);
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        to[i] = c < 0x20 || c == 0x7f ? ' ' : c == '"' ? '\'' : (char)c;
    }
    buf_added(out, v.n);
}

static void put_text(struct buf *out, const struct log_piece *p, const struct shown *s)
{
    struct view v = view_head(s->text, p->most ? p->most : LIMIT_ACCESS_LOG_VALUE_BYTES);
    if (p->op == LOG_LITERAL)
        buf_view(out, p->text);
    else if (s->is == NUMBER)
        buf_u64(out, s->number);
    else if (s->is == NOTHING)
        buf_char(out, '-');
    else if (s->plain)
        buf_view(out, v);
    else
        put_safe(out, v);
}

/* A JSON value that is one operator keeps its type. */
static void put_typed(struct buf *out, const struct log_piece *p, const struct shown *s)
{
    if (s->is == NUMBER) {
        buf_u64(out, s->number);
    } else if (s->is == NOTHING) {
        buf_str(out, "null");
    } else if (s->plain) {
        buf_char(out, '"');
        buf_view(out, s->text);
        buf_char(out, '"');
    } else {
        buf_json_str(out, view_head(s->text, p->most ? p->most : LIMIT_ACCESS_LOG_VALUE_BYTES));
    }
}

static void put_value(struct buf *out, const struct log_value *value, const struct access_entry *e, bool json)
{
    struct buf mixed = {0};
    bool typed = json && value->n_pieces == 1;
    struct buf *to = json && !typed ? &mixed : out;
    buf_view(out, value->key);
    for (uint32_t i = 0; i < value->n_pieces; i++) {
        struct shown s;
        s.is = NOTHING;
        s.plain = false;
        s.text = VIEW_NONE;
        show_piece(&s, &value->pieces[i], e);
        if (typed)
            put_typed(to, &value->pieces[i], &s);
        else
            put_text(to, &value->pieces[i], &s);
    }
    if (json && !typed)
        buf_json_str(out, buf_read(&mixed)); /* only formats that people write mix text and operators in one value */
    buf_done(&mixed);
}

void log_format_print(const struct log_format *f, const struct access_entry *e, struct buf *out)
{
    size_t before = buf_len(out);
    for (uint32_t i = 0; i < f->n_values; i++)
        put_value(out, &f->values[i], e, f->json);
    if (f->json) {
        if (e->weft_reason.n) {
            buf_str(out, f->n_values ? ",\"weft-reason\":" : "{\"weft-reason\":");
            buf_json_str(out, e->weft_reason);
        }
        buf_str(out, f->n_values || e->weft_reason.n ? "}\n" : "{}\n");
        return;
    }
    struct view line = buf_read(out);
    if (line.n > before && line.p[line.n - 1] == '\n')
        out->end--;
    if (e->weft_reason.n) {
        buf_str(out, " weft-reason=\"");
        put_safe(out, e->weft_reason);
        buf_char(out, '"');
    }
    buf_char(out, '\n');
}
