// SPDX-License-Identifier: Apache-2.0
/* HTTP/1 on a connection: one exchange at a time, in both roles.
 *
 * A server takes a stream at the first byte of a request, parses the head into it, copies the head's bytes into the
 * stream's arena (a request outlives its receive buffer) and offers it for accept. Body bytes stay in the receive buffer
 * until the owner consumes them: nothing is received while they wait, which is the back-pressure. After the exchange the
 * next request is parsed, from bytes that may be here already.
 *
 * A connection is used again only if both messages ended where their framing says, neither side said close, and no byte
 * stands where none belongs.
 */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "http/internal.h"
#include "wire/scan.h"

enum { HEAD_COPY = 2048, HEAD_SLACK = 32 };
enum { HASTEN_MOST = 4 }; /* extra system calls in one exchange */

static const char *const text_incomplete = "h1.message_cut_off";

static inline bool is_server(const struct http_conn *c)
{
    return c->config.role == HTTP_SERVER;
}

/* The connection cannot go on after this exchange. */
static void no_reuse(struct http_conn *c)
{
    c->keep_alive = false;
}

static void begin_exchange(struct http_conn *c)
{
    struct http_stream *s = http_stream_take(c);
    s->id = ++c->requests;
    c->stream = s;
    c->flushed_before = c->flushed;
    c->hastened = 0;
    if (c->config.max_requests && c->requests >= c->config.max_requests)
        no_reuse(c);
}

static void forget_stream(struct http_conn *c, struct http_stream *s)
{
    c->stream = NULL;
    c->part_came = false;
    c->n_streams--;
    s->conn = NULL;
}

/* Appends a head to `out`; how many bytes, or -EINVAL. */
static ssize_t write_head(struct http_conn *c, const struct headers *h, const struct h1_out *how)
{
    char *from = http_out_room(c, h1_room(h)), *to = h1_write_head(from, h, how);
    if (!to)
        return -EINVAL;
    c->out.end += (uint32_t)(to - from);
    http_flush_soon(c);
    return to - from;
}

static void answer_refusal(struct http_conn *c, unsigned status)
{
    struct headers h;
    headers_init(&h, NULL);
    struct h1_out how = {.kind = H1_RESPONSE, .length_zero = true, .close = true};
    headers_push(&h, HEADER_STATUS, ":status", 7, header_status_text(status).p, 3);
    write_head(c, &h, &how);
}

/* The peer's bytes broke a rule: a server answers if it still can, both close. */
static void refuse(struct http_conn *c)
{
    enum h1_reason reason = (enum h1_reason)c->parser.reason;
    const char *detail = h1_reason_text(reason);
    unsigned status = h1_reason_status(reason);
    enum http_fin fin = status == 431 || status == 414 ? HTTP_FIN_TOO_LARGE : HTTP_FIN_PROTOCOL;
    struct http_stream *s = c->stream;
    c->refused = true;
    c->fin = (uint8_t)fin;
    c->detail = detail;
    if (!is_server(c)) {
        http_conn_end(c, fin, detail, 0);
        return;
    }
    if (!s || !(s->flags & STREAM_OUT_HEAD))
        answer_refusal(c, status);
    if (s) {
        bool accepted = s->flags & STREAM_ACCEPTED;
        forget_stream(c, s);
        c->accept = false;
        if (accepted)
            http_stream_end(s, fin, detail);
        else
            http_stream_give(c->shared, s);
    }
    http_bytes_drop(&c->in, http_bytes_n(&c->in));
    http_conn_wake(c);
    http_conn_finish(c);
}

/* The head did not come in time. */
void http1_head_timeout(struct http_conn *c)
{
    struct http_stream *s = c->stream;
    forget_stream(c, s);
    http_stream_give(c->shared, s);
    c->fin = HTTP_FIN_HEADERS_TIMEOUT;
    c->detail = "h1.head_timeout";
    c->refused = true;
    answer_refusal(c, 408);
    http_bytes_drop(&c->in, http_bytes_n(&c->in));
    http_conn_wake(c);
    http_conn_finish(c);
}

/* The received message is complete and its bytes are consumed. */
static void in_done(struct http_conn *c, struct http_stream *s)
{
    s->flags |= STREAM_IN_DONE;
    s->ready = (uint8_t)((s->ready & ~HTTP_DATA) | HTTP_END);
}

static __attribute__((noinline)) int frame(struct http_conn *c, struct http_stream *s)
{
    struct headers trailers;
    size_t n;
    headers_init(&trailers, &s->arena);
    int r = h1_frame(&c->parser, http_bytes_view(&c->in), &trailers, &n);
    s->wire_in += n;
    if (r == 0 && h1_done(&c->parser) && trailers.n) {
        s->trailers = ARENA_NEW(&s->arena, struct headers);
        headers_init(s->trailers, &s->arena);
        if (headers_copy(s->trailers, &trailers) < 0)
            s->trailers = NULL;
    }
    http_bytes_drop(&c->in, n);
    return r;
}

/* Goes on in the body as far as bytes are here. true: more bytes are needed. */
static bool advance_body(struct http_conn *c, struct http_stream *s)
{
    if (s->flags & STREAM_IN_DONE)
        return false;
    if (c->parser.framing == H1_CHUNKED && c->parser.run == 0 && frame(c, s) == -EBADMSG) {
        refuse(c);
        return false;
    }
    if (h1_done(&c->parser)) {
        in_done(c, s);
        return false;
    }
    if (c->parser.run && http_bytes_n(&c->in)) {
        s->ready |= HTTP_DATA;
        return false;
    }
    s->ready &= (uint8_t)~HTTP_DATA;
    return true;
}

static void head_done(struct http_conn *c, struct http_stream *s, size_t n)
{
    http_bytes_drop(&c->in, n);
    s->wire_in += n;
    s->version = c->parser.version;
    s->content_length_known = c->parser.framing <= H1_LENGTH;
    s->content_length = c->parser.framing == H1_LENGTH ? c->parser.length : 0;
}

/* Parses what is here of a head; the views in the stream's headers then borrow from its arena. A head that came whole is
 * copied first and parsed there; one that comes in pieces is parsed in the receive buffer and moved at the end. */
static int parse_head(struct http_conn *c, struct http_stream *s)
{
    struct view here = http_bytes_view(&c->in);
    struct h1 *p = &c->parser;
    size_t n;
    if (p->scanned == 0 && here.n <= HEAD_COPY) {
        char *kept = (char *)arena_alloc_raw(&s->arena, here.n + HEAD_SLACK, 1);
        memcpy(kept, here.p, here.n);
        memset(kept + here.n, 0, HEAD_SLACK);
        struct view copy = {kept, here.n};
        p->slack = HEAD_SLACK;
        int r = h1_head(p, &s->in, copy, &n);
        p->slack = 0;
        if (r == 0)
            head_done(c, s, n);
        if (r == -EAGAIN)
            headers_rebase(&s->in, kept, here.n, here.p);
        return r;
    }
    int r = h1_head(p, &s->in, here, &n);
    if (r < 0)
        return r;
    char *kept = (char *)arena_alloc_raw(&s->arena, n, 1);
    memcpy(kept, here.p, n);
    headers_rebase(&s->in, here.p, n, kept);
    head_done(c, s, n);
    return 0;
}

static void request_ready(struct http_conn *c, struct http_stream *s)
{
    struct h1 *p = &c->parser;
    struct view method = headers_value(&s->in, HEADER_METHOD);
    headers_push(&s->in, HEADER_SCHEME, ":scheme", 7, c->config.scheme.p, c->config.scheme.n);
    s->expect_continue = p->expect_continue;
    if (!p->keep_alive)
        no_reuse(c);
    if (view_eq(method, VIEW("HEAD")))
        s->flags |= STREAM_HEAD;
    if (p->upgrade || view_eq(method, VIEW("CONNECT")))
        s->flags |= STREAM_UPGRADE; /* whether bytes follow is decided by our answer */
    s->ready |= HTTP_HEADERS | HTTP_WRITABLE;
    c->accept = true;
    timer_rest(&c->timer);
    http_conn_wake(c);
}

/* 1xx but 101: put aside, and the next head follows. */
static void interim_ready(struct http_conn *c, struct http_stream *s)
{
    bool to_head = c->parser.to_head, to_connect = c->parser.to_connect;
    struct headers *kept = ARENA_NEW(&s->arena, struct headers);
    headers_init(kept, &s->arena);
    if (headers_append(kept, &s->in) == 0) {
        s->informational = kept;
        s->ready |= HTTP_INFORMATIONAL;
        http_stream_wake(s);
    }
    headers_init(&s->in, &s->arena);
    h1_next(&c->parser);
    c->parser.to_head = to_head;
    c->parser.to_connect = to_connect;
}

static void begin_tunnel(struct http_stream *s)
{
    s->ready |= HTTP_TUNNEL | HTTP_WRITABLE;
    s->framing_out = H1_TUNNEL;
    s->flags &= (uint16_t) ~(STREAM_IN_DONE | STREAM_OUT_DONE | STREAM_DISCARD_OUT);
}

static void response_ready(struct http_conn *c, struct http_stream *s)
{
    struct h1 *p = &c->parser;
    if (!p->keep_alive)
        no_reuse(c);
    if (p->framing == H1_TUNNEL) {
        no_reuse(c);
        begin_tunnel(s);
    } else if (s->flags & STREAM_UPGRADE) {
        s->flags |= STREAM_OUT_DONE; /* no tunnel: our request was complete with its head */
        s->ready |= HTTP_SENT;
    }
    s->ready |= HTTP_HEADERS;
    http_stream_wake(s);
}

/* Parses a head, as far as it is here. false: incomplete, or the connection is over. */
static bool advance_head(struct http_conn *c, struct http_stream *s)
{
    if (!is_server(c) && !(s->flags & STREAM_OUT_HEAD)) {
        http_conn_end(c, HTTP_FIN_PROTOCOL, "h1.response_without_request", 0);
        return false;
    }
    int r = parse_head(c, s);
    if (r == -EAGAIN)
        return false;
    if (r == 0 && !is_server(c) && c->parser.framing == H1_TUNNEL && !(s->flags & STREAM_UPGRADE)) {
        c->parser.reason = H1_STATUS_LINE; /* 101 that nobody asked for */
        r = -EBADMSG;
    }
    if (r < 0) {
        refuse(c);
        return false;
    }
    if (is_server(c))
        request_ready(c, s);
    else if (c->parser.interim)
        interim_ready(c, s);
    else
        response_ready(c, s);
    return true;
}

/* Goes over the bytes at hand. true: receive more. */
static bool advance(struct http_conn *c)
{
    struct http_stream *s = c->stream;
    if (c->close_after_flush)
        return false;
    if (!s) {
        if (http_bytes_n(&c->in) == 0)
            return true;
        if (!is_server(c)) {
            http_conn_end(c, HTTP_FIN_PROTOCOL, "h1.bytes_without_request", 0);
            return false;
        }
        begin_exchange(c);
        s = c->stream;
        if (c->config.headers_ns)
            timer_set(&c->timer, loop_now(c->shared->loop) + c->config.headers_ns);
    }
    while (!(s->ready & HTTP_HEADERS))
        if (http_bytes_n(&c->in) == 0 || !advance_head(c, s))
            return c->stream == s;
    if ((s->flags & STREAM_UPGRADE) && !(s->ready & HTTP_TUNNEL) && is_server(c))
        return http_bytes_n(&c->in) == 0; /* early tunnel bytes wait for our answer */
    if (s->flags & STREAM_IN_DONE)
        return http_bytes_n(&c->in) == 0; /* to notice when the peer leaves; pipelined bytes wait */
    unsigned was = s->ready;
    bool more = advance_body(c, s);
    if (c->stream == s && (s->ready & ~was & (HTTP_DATA | HTTP_END)))
        http_stream_wake(s);
    return more;
}

static void peer_gone(struct http_conn *c, int error)
{
    struct http_stream *s = c->stream;
    enum http_fin fin = error == -ECONNRESET ? HTTP_FIN_PEER_RESET : HTTP_FIN_PEER_CLOSED;
    c->eof = true;
    if (!s || (is_server(c) && !(s->ready & HTTP_HEADERS) && http_bytes_n(&c->in) == 0)) {
        http_conn_end(c, c->draining ? HTTP_FIN_DRAINED : HTTP_FIN_OK, NULL, error);
        return;
    }
    no_reuse(c);
    if (error == 0 && (s->ready & HTTP_HEADERS) && c->parser.framing >= H1_CLOSE && !(s->flags & STREAM_IN_DONE)) {
        if (h1_eof(&c->parser) == 0)
            in_done(c, s); /* a tunnel's other direction may go on */
        http_stream_wake(s);
        return;
    }
    if (!is_server(c) && (s->flags & STREAM_IN_DONE))
        return; /* the response is complete: nothing lost */
    if (!is_server(c) && c->flushed == c->flushed_before)
        fin = HTTP_FIN_REFUSED;
    http_conn_end(c, fin, s->ready & HTTP_HEADERS ? text_incomplete : NULL, error);
}

/* One more receive when a whole request came: it costs no system call, unless the peer's end came with it. */
static void notice_end(struct http_conn *c)
{
    if (c->more_below || c->eof || c->in.end == c->in.cap)
        return;
    if (http_fill(c) == 0) {
        c->eof = true; /* it sent its request and half-closed: it wants the answer */
        no_reuse(c);
    }
}

/* Part of a message is here and the rest is not. Many programs write a head and its body in two pieces and leave Nagle's
 * algorithm on: the second waits for our acknowledgement, which the kernel would delay by 40 ms on a connection that
 * lives. A pool of such connections would make every request that much slower than a client without a mesh, whose new
 * connection is acknowledged at once. */
static void hasten(struct http_conn *c)
{
    if (c->part_came && c->stream && !(c->stream->flags & STREAM_IN_DONE) && c->hastened < HASTEN_MOST) {
        c->hastened++;
        conn_acknowledge(c->conn);
    }
    c->part_came = false;
}

static void h1_read(struct http_conn *c, bool edge)
{
    for (;;) {
        bool more = advance(c), between;
        if (c->closed)
            return;
        between = !c->stream || (c->stream->flags & STREAM_IN_DONE);
        if (!more && edge && between && c->stream && is_server(c))
            notice_end(c);
        if (!more || c->eof || (between && !edge && !c->more_below))
            break;
        size_t room = c->in.data ? c->in.cap : HTTP_BLOCK;
        ssize_t n = http_fill(c);
        c->more_below = n > 0 && (size_t)n == room;
        if (n == -EAGAIN) {
            hasten(c);
            break;
        }
        c->part_came = true;
        if (n <= 0) {
            peer_gone(c, (int)n);
            break;
        }
        if (between && c->stream)
            break; /* pipelined bytes wait for their turn */
    }
    if (!c->closed)
        http_release_in(c);
}

static void h1_produce(struct http_conn *c)
{
}

static void h1_flushed(struct http_conn *c)
{
    struct http_stream *s = c->stream;
    if (!s)
        return;
    size_t waiting = http_bytes_n(&c->out);
    bool wake = false;
    if ((s->flags & STREAM_OUT_DONE) && waiting == 0 && !(s->ready & HTTP_SENT)) {
        s->ready |= HTTP_SENT;
        wake = true;
        if ((s->ready & HTTP_TUNNEL) && conn_shutdown(c->conn) < 0)
            no_reuse(c);
    }
    if ((s->flags & STREAM_WANT_WRITE) && waiting < HTTP_BLOCK / 2) {
        s->flags &= (uint16_t)~STREAM_WANT_WRITE;
        s->ready |= HTTP_WRITABLE;
        wake = true;
    }
    if (wake)
        http_stream_wake(s);
}

/* A client closes what is idle. A server must not: a request may be on its way, and would fail. It says so with the next
 * answer; who never asks again is closed after a while. */
static void h1_drain(struct http_conn *c)
{
    no_reuse(c);
    if (is_server(c) && !c->stream) {
        timer_set(&c->timer, loop_now(c->shared->loop) + HTTP_DRAIN_IDLE);
        return;
    }
    if (!c->stream || (is_server(c) && !(c->stream->ready & HTTP_HEADERS) && http_bytes_n(&c->in) == 0))
        http_conn_finish(c);
}

static void h1_gone(struct http_conn *c)
{
    struct http_stream *s = c->stream;
    if (!s)
        return;
    bool owned = !is_server(c) || (s->flags & STREAM_ACCEPTED);
    forget_stream(c, s);
    if (owned && (s->flags & STREAM_IN_DONE) && (s->flags & STREAM_OUT_DONE))
        http_stream_wake(s);
    else if (owned)
        http_stream_end(s, c->fin ? (enum http_fin)c->fin : HTTP_FIN_PEER_CLOSED, c->detail);
    else
        http_stream_give(c->shared, s);
}

static int h1_open(struct http_conn *c, struct http_stream **ret_stream)
{
    if (c->stream || !c->keep_alive)
        return c->keep_alive ? -EAGAIN : -EPIPE;
    begin_exchange(c);
    timer_rest(&c->timer);
    c->stream->ready |= HTTP_WRITABLE;
    *ret_stream = c->stream;
    return 0;
}

static uint32_t h1_capacity(const struct http_conn *c)
{
    return !c->stream && c->keep_alive && !c->eof ? 1 : 0;
}

static int declared_length(const struct headers *h, uint64_t *ret_n)
{
    struct view v = headers_value(h, HEADER_CONTENT_LENGTH);
    uint64_t n = 0;
    if (v.n == 0 || v.n > 18)
        return -EINVAL;
    for (size_t i = 0; i < v.n; i++) {
        if ((unsigned)(v.p[i] - '0') > 9)
            return -EINVAL;
        n = n * 10 + (unsigned)(v.p[i] - '0');
    }
    *ret_n = n;
    return 0;
}

/* How the body that follows our head is framed. */
static int choose_framing(struct http_stream *s, const struct headers *h, bool end, struct h1_out *out)
{
    bool has_length = headers_has(h, HEADER_CONTENT_LENGTH);
    uint64_t length = 0;
    if (has_length && declared_length(h, &length) < 0)
        return -EINVAL;
    if (end) {
        if (length && !(s->flags & (STREAM_HEAD | STREAM_DISCARD_OUT)))
            return -EINVAL; /* promised bytes would never come */
        out->framing = H1_NO_BODY;
    } else if (has_length) {
        out->framing = H1_LENGTH;
        s->left_out = length;
    } else {
        out->framing = out->kind == H1_RESPONSE && s->version == 10 ? H1_CLOSE : H1_CHUNKED;
    }
    return 0;
}

static int frame_request(struct http_conn *c, struct http_stream *s, const struct headers *h, bool end,
                         struct h1_out *out)
{
    struct view method = headers_value(h, HEADER_METHOD);
    bool connect = view_eq(method, VIEW("CONNECT"));
    c->parser.to_head = view_eq(method, VIEW("HEAD"));
    c->parser.to_connect = connect;
    if (connect || headers_has(h, HEADER_UPGRADE)) {
        s->flags |= STREAM_UPGRADE;
        out->framing = H1_NO_BODY;
        return headers_has(h, HEADER_CONTENT_LENGTH) ? -EINVAL : 0;
    }
    out->length_zero =
        end && (view_eq(method, VIEW("POST")) || view_eq(method, VIEW("PUT")) || view_eq(method, VIEW("PATCH")));
    return choose_framing(s, h, end, out);
}

static int frame_response(struct http_conn *c, struct http_stream *s, const struct headers *h, bool end,
                          struct h1_out *out)
{
    unsigned status = headers_status(h);
    if (status < 100)
        return -EINVAL;
    bool tunnel = (s->flags & STREAM_UPGRADE) &&
                  (status == 101 || (c->parser.upgrade ? false : status / 100 == 2)); /* CONNECT takes any 2xx */
    if (status == 101 && !tunnel)
        return -EINVAL;
    if (tunnel) {
        out->framing = H1_NO_BODY;
        return 0;
    }
    s->flags &= (uint16_t)~STREAM_UPGRADE;
    if ((s->flags & STREAM_HEAD) || status == 204 || status == 304) {
        s->flags |= STREAM_DISCARD_OUT;
        out->framing = H1_NO_BODY;
        if (!end && status == 204 && headers_has(h, HEADER_CONTENT_LENGTH))
            return -EINVAL;
    } else {
        int r = choose_framing(s, h, end, out);
        if (r < 0)
            return r;
        out->length_zero = end;
    }
    if (out->framing == H1_CLOSE || c->draining)
        no_reuse(c);
    out->close = !c->keep_alive;
    out->keep_alive_1_0 = c->keep_alive && s->version == 10;
    return 0;
}

/* After our answer it is clear whether an upgrade request has bytes behind its head. */
static void answered(struct http_conn *c, struct http_stream *s, const struct headers *h)
{
    if (s->flags & STREAM_UPGRADE) {
        no_reuse(c);
        begin_tunnel(s);
        h1_tunnel(&c->parser);
    } else if (c->parser.upgrade || !headers_has(&s->in, HEADER_PATH)) {
        if (http_bytes_n(&c->in))
            no_reuse(c); /* bytes meant for a tunnel that there is not */
        in_done(c, s);
    } else {
        return;
    }
    task_wake(&c->task, CONN_READ);
    http_stream_wake(s);
}

static void out_done(struct http_stream *s)
{
    s->flags |= STREAM_OUT_DONE;
    s->ready &= (uint8_t)~HTTP_WRITABLE;
}

static int h1_headers(struct http_stream *s, const struct headers *h, bool end)
{
    struct http_conn *c = s->conn;
    struct h1_out out = {.kind = is_server(c) ? H1_RESPONSE : H1_REQUEST};
    uint16_t flags = s->flags;
    ssize_t n = is_server(c) ? frame_response(c, s, h, end, &out) : frame_request(c, s, h, end, &out);
    if (n == 0)
        n = write_head(c, h, &out);
    if (n < 0) {
        s->flags = flags; /* nothing was sent: the owner may send another head */
        return (int)n;
    }
    s->wire_out += (uint64_t)n;
    s->framing_out = (uint8_t)out.framing;
    s->flags |= STREAM_OUT_HEAD;
    if (is_server(c))
        answered(c, s, h);
    else if (s->flags & STREAM_UPGRADE)
        s->ready &= (uint8_t)~HTTP_WRITABLE; /* until the answer makes it a tunnel */
    if (!(s->flags & STREAM_UPGRADE) && (end || (s->framing_out == H1_LENGTH && s->left_out == 0)))
        out_done(s);
    return 0;
}

static int h1_inform(struct http_stream *s, const struct headers *h)
{
    struct http_conn *c = s->conn;
    struct h1_out out = {.kind = H1_RESPONSE};
    if (!is_server(c) || s->version == 10) /* HTTP/1.0 knows no 1xx */
        return is_server(c) ? 0 : -EINVAL;
    ssize_t n = write_head(c, h, &out);
    if (n < 0)
        return (int)n;
    s->wire_out += (uint64_t)n;
    return 0;
}

/* Body bytes that fit behind what waits in `out`. */
static size_t out_space(struct http_conn *c)
{
    if (!c->out.data)
        return HTTP_BLOCK;
    size_t waiting = http_bytes_n(&c->out);
    return waiting < HTTP_BLOCK / 2 ? HTTP_BLOCK - waiting : c->out.cap - c->out.end;
}

static void put(struct http_conn *c, const void *bytes, size_t n)
{
    memcpy(http_out_room(c, n), bytes, n);
    c->out.end += (uint32_t)n;
}

static ssize_t h1_data(struct http_stream *s, struct view v, bool end)
{
    struct http_conn *c = s->conn;
    size_t take = v.n, space, framing = s->framing_out == H1_CHUNKED ? H1_CHUNK_HEAD + 2 + H1_LAST_CHUNK : 0;
    if (s->flags & STREAM_DISCARD_OUT) {
        if (end)
            out_done(s);
        http_flush_soon(c); /* tells the owner that all is sent */
        return (ssize_t)v.n;
    }
    if (!(s->flags & STREAM_OUT_HEAD) || ((s->flags & STREAM_UPGRADE) && !(s->ready & HTTP_TUNNEL)))
        return s->flags & STREAM_OUT_HEAD ? 0 : -EINVAL;
    if (s->framing_out == H1_LENGTH && (v.n > s->left_out || (end && v.n < s->left_out)))
        return -EMSGSIZE;
    space = out_space(c);
    if (take + framing > space)
        take = space > framing ? space - framing : 0;
    uint64_t before = c->out.end - c->out.at;
    if (take && framing) {
        char *at = http_out_room(c, take + framing), *to = h1_write_chunk_head(at, take);
        memcpy(to, v.p, take);
        memcpy(to + take, "\r\n", 2);
        c->out.end += (uint32_t)(to + take + 2 - at);
    } else if (take) {
        put(c, v.p, take);
    }
    if (s->framing_out == H1_LENGTH)
        s->left_out -= take;
    s->body_out += take;
    if (take == v.n && (end || (s->framing_out == H1_LENGTH && s->left_out == 0))) {
        if (s->framing_out == H1_CHUNKED)
            put(c, "0\r\n\r\n", 5);
        if (s->framing_out == H1_CLOSE)
            no_reuse(c);
        out_done(s);
    } else if (take < v.n) {
        s->flags |= STREAM_WANT_WRITE;
        s->ready &= (uint8_t)~HTTP_WRITABLE;
    }
    s->wire_out += (c->out.end - c->out.at) - before;
    http_flush_soon(c);
    return (ssize_t)take;
}

static int h1_trailers(struct http_stream *s, const struct headers *h)
{
    struct http_conn *c = s->conn;
    if (s->framing_out != H1_CHUNKED || (s->flags & STREAM_DISCARD_OUT)) {
        ssize_t n = h1_data(s, VIEW_NONE, true);
        return n < 0 ? (int)n : 0;
    }
    char *from = http_out_room(c, h1_room(h)), *to = h1_write_trailers(from, h);
    if (!to)
        return -EINVAL;
    c->out.end += (uint32_t)(to - from);
    s->wire_out += (uint64_t)(to - from);
    out_done(s);
    http_flush_soon(c);
    return 0;
}

static bool h1_peek(struct http_stream *s, struct view *ret_bytes)
{
    struct view v = http_bytes_view(&s->conn->in);
    if (v.n > s->conn->parser.run)
        v.n = (size_t)s->conn->parser.run;
    *ret_bytes = v;
    return v.n > 0;
}

static void h1_consume(struct http_stream *s, size_t n)
{
    struct http_conn *c = s->conn;
    must(n <= http_bytes_n(&c->in) && n <= c->parser.run);
    h1_took(&c->parser, n);
    http_bytes_drop(&c->in, n);
    s->wire_in += n;
    s->body_in += n;
    if (advance_body(c, s))
        task_wake(&c->task, CONN_READ);
    else if (s->ready & HTTP_END)
        http_release_in(c);
}

static void h1_reset(struct http_stream *s, enum http_reset_code code)
{
    struct http_conn *c = s->conn;
    no_reuse(c);
    c->abort = true;
    forget_stream(c, s);
    http_stream_end(s, HTTP_FIN_LOCAL_RESET, NULL);
    http_conn_end(c, HTTP_FIN_LOCAL_RESET, NULL, 0);
}

/* The owner is done with the exchange. */
static void h1_free(struct http_stream *s)
{
    struct http_conn *c = s->conn;
    bool in_complete = s->flags & STREAM_IN_DONE, out_complete = s->flags & STREAM_OUT_DONE;
    bool nothing_sent = !is_server(c) && !(s->flags & STREAM_OUT_HEAD);
    if (!in_complete) {
        no_reuse(c);
        c->unread = true;
    }
    forget_stream(c, s);
    http_stream_give(c->shared, s);
    if (nothing_sent && http_bytes_n(&c->in) == 0) { /* opened and not used */
        c->keep_alive = !c->draining;
        http_timer_idle(c);
        return;
    }
    if (!out_complete || (!is_server(c) && !in_complete)) {
        c->abort = true;
        http_conn_end(c, HTTP_FIN_LOCAL_RESET, NULL, 0);
        return;
    }
    if (!c->keep_alive || (!is_server(c) && http_bytes_n(&c->in))) {
        no_reuse(c);
        http_conn_finish(c);
        return;
    }
    h1_next(&c->parser);
    http_timer_idle(c);
    if (http_bytes_n(&c->in) || c->more_below)
        task_wake(&c->task, CONN_READ);
}

const struct http_protocol http_1 = {
    .read = h1_read,
    .produce = h1_produce,
    .flushed = h1_flushed,
    .drain = h1_drain,
    .gone = h1_gone,
    .open = h1_open,
    .capacity = h1_capacity,
    .headers = h1_headers,
    .inform = h1_inform,
    .data = h1_data,
    .trailers = h1_trailers,
    .peek = h1_peek,
    .consume = h1_consume,
    .reset = h1_reset,
    .free = h1_free,
};
