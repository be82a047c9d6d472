// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 on a connection: many streams over one codec (wire/h2.h), in both roles.
 *
 * Received body bytes are copied into blocks of their stream, because other streams share the receive buffer; the peer's
 * windows open again only as owners consume, so windows bound what is held. Sending needs no copy of its own: the bytes
 * that an owner offers are framed straight into the send buffer, as many as windows and buffer take, and the rest stays
 * with the owner.
 *
 * An extended CONNECT (RFC 8441) is shown to owners as what it means, an upgrade: GET with `upgrade`, answered by 101.
 */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "http/internal.h"
#include "wire/h2.h"

enum { LEAST_ROOM = 1024, FRAME_HEAD = 9 };

static inline bool is_server(const struct http_conn *c)
{
    return c->config.role == HTTP_SERVER;
}

static void append(struct http_conn *c, struct view bytes)
{
    memcpy(http_out_room(c, bytes.n), bytes.p, bytes.n);
    c->out.end += (uint32_t)bytes.n;
}

/* Encodes heads and control frames now: their bytes are borrowed. */
static size_t append_control(struct http_conn *c)
{
    size_t n = 0;
    for (struct view v; (v = h2_send(c->h2, true)).n; n += v.n)
        append(c, v);
    return n;
}

static void drop_blocks(struct http_conn *c, struct http_stream *s)
{
    size_t n = 0;
    while (s->in_first) {
        struct http_block *b = s->in_first;
        s->in_first = b->next;
        n += b->end - b->at;
        pool_give(&s->shared->blocks, b);
    }
    s->in_last = NULL;
    s->ready &= (uint8_t)~HTTP_DATA;
    if (c && n)
        h2_consumed(c->h2, (int32_t)s->id, n);
}

static void maybe_close(struct http_conn *c)
{
    if (c->n_streams || c->closed || c->close_after_flush)
        return;
    http_timer_idle(c);
    if (!c->draining || (is_server(c) && !c->last_goaway))
        return;
    if (!is_server(c))
        h2_goaway(c->h2, HTTP_NO_ERROR);
    http_conn_finish(c);
}

static void forget_stream(struct http_conn *c, struct http_stream *s)
{
    if (s->flags & STREAM_WANT_WRITE)
        c->n_blocked--;
    list_del(&s->link);
    s->conn = NULL;
    c->n_streams--;
}

struct http_stream *http2_conn_accept(struct http_conn *c)
{
    struct http_stream *s = LIST_ITEM(list_pop(&c->unaccepted), struct http_stream, link);
    list_push(&c->streams, &s->link);
    c->accept = !list_empty(&c->unaccepted);
    return s;
}

/* From the codec. */

static void *stream_new(void *arg, int32_t id)
{
    struct http_conn *c = (struct http_conn *)arg;
    if (c->close_after_flush || (c->last_goaway && c->draining))
        return NULL;
    struct http_stream *s = http_stream_take(c);
    s->id = (uint32_t)id;
    s->version = 20;
    s->flags = STREAM_H2_OPEN;
    list_push(&c->incomplete, &s->link);
    timer_rest(&c->timer);
    c->requests++;
    return s;
}

static struct headers *block_begin(void *arg, void *stream, enum h2_block block)
{
    struct http_stream *s = (struct http_stream *)stream;
    if (!(s->ready & HTTP_HEADERS)) {
        headers_init(&s->in, &s->arena);
        return &s->in;
    }
    s->trailers = ARENA_NEW(&s->arena, struct headers);
    headers_init(s->trailers, &s->arena);
    return s->trailers;
}

static int show_as_upgrade(struct http_stream *s)
{
    struct view protocol = headers_value(&s->in, HEADER_PROTOCOL);
    headers_del(&s->in, HEADER_PROTOCOL);
    s->flags |= STREAM_UPGRADE | STREAM_CONNECT_AS_UPGRADE;
    int r = headers_set(&s->in, HEADER_METHOD, VIEW("GET"));
    return r < 0 ? r : headers_add(&s->in, HEADER_UPGRADE, protocol);
}

static void request_ready(struct http_conn *c, struct http_stream *s)
{
    struct view method = headers_value(&s->in, HEADER_METHOD);
    if (view_is(method, "HEAD"))
        s->flags |= STREAM_HEAD;
    if (view_is(method, "CONNECT"))
        s->flags |= STREAM_UPGRADE;
    if (headers_has(&s->in, HEADER_PROTOCOL) && show_as_upgrade(s) < 0)
        return;
    s->expect_continue = view_ieq(headers_value(&s->in, HEADER_EXPECT), VIEW("100-continue"));
    s->ready |= HTTP_HEADERS | HTTP_WRITABLE;
    list_del(&s->link);
    list_push(&c->unaccepted, &s->link);
    c->accept = true;
    http_conn_wake(c);
    if (c->config.max_requests && c->requests >= c->config.max_requests)
        http_conn_drain(c);
}

static void informational_ready(struct http_stream *s)
{
    struct headers *kept = ARENA_NEW(&s->arena, struct headers);
    headers_init(kept, &s->arena);
    if (headers_append(kept, &s->in) == 0) {
        s->informational = kept;
        s->ready |= HTTP_INFORMATIONAL;
    }
    headers_init(&s->in, &s->arena);
}

static void response_ready(struct http_stream *s)
{
    unsigned status = headers_status(&s->in);
    if ((s->flags & STREAM_UPGRADE) && status / 100 == 2) {
        s->ready |= HTTP_TUNNEL | HTTP_WRITABLE;
        if (s->flags & STREAM_CONNECT_AS_UPGRADE) {
            int r = headers_set(&s->in, HEADER_STATUS, VIEW("101"));
            if (r == 0)
                r = headers_set(&s->in, HEADER_UPGRADE, VIEW("websocket"));
            if (r < 0)
                s->ready |= HTTP_RESET;
        }
    } else if (s->flags & STREAM_UPGRADE) {
        s->flags |= STREAM_OUT_DONE;
        s->ready |= HTTP_SENT;
    }
    s->ready |= HTTP_HEADERS;
}

static void block_end(void *arg, void *stream, enum h2_block block, bool end, size_t wire_n)
{
    struct http_conn *c = (struct http_conn *)arg;
    struct http_stream *s = (struct http_stream *)stream;
    uint64_t length;
    s->wire_in += wire_n;
    switch (block) {
    case H2_REQUEST:
    case H2_RESPONSE:
        if (headers_has(&s->in, HEADER_CONTENT_LENGTH) &&
            view_u64(headers_value(&s->in, HEADER_CONTENT_LENGTH), &length) == 0) {
            s->content_length = length;
            s->content_length_known = true;
        }
        if (end)
            s->content_length_known = true;
        if (block == H2_REQUEST) {
            request_ready(c, s);
            return;
        }
        response_ready(s);
        break;
    case H2_INFORMATIONAL:
        informational_ready(s);
        break;
    case H2_TRAILERS:
        return; /* the end follows */
    }
    http_stream_wake(s);
}

static void body(void *arg, void *stream, struct view bytes)
{
    struct http_stream *s = (struct http_stream *)stream;
    s->wire_in += bytes.n + FRAME_HEAD;
    while (bytes.n) {
        struct http_block *b = s->in_last;
        if (!b || b->end == HTTP_BLOCK - sizeof(*b)) {
            b = (struct http_block *)pool_take(&s->shared->blocks);
            *b = (struct http_block){0};
            if (s->in_last)
                s->in_last->next = b;
            else
                s->in_first = b;
            s->in_last = b;
        }
        size_t room = HTTP_BLOCK - sizeof(*b) - b->end, n = bytes.n < room ? bytes.n : room;
        memcpy(b->data + b->end, bytes.p, n);
        b->end += (uint32_t)n;
        bytes = view_from(bytes, n);
    }
    s->ready |= HTTP_DATA;
    http_stream_wake(s);
}

static void in_end(void *arg, void *stream)
{
    struct http_stream *s = (struct http_stream *)stream;
    s->flags |= STREAM_IN_DONE;
    if (!s->in_first)
        s->ready |= HTTP_END;
    http_stream_wake(s);
}

static enum http_fin fin_of(const struct http_stream *s, uint32_t code, bool by_peer)
{
    if (code == HTTP_REFUSED_STREAM && by_peer)
        return HTTP_FIN_REFUSED;
    return by_peer ? HTTP_FIN_PEER_RESET : HTTP_FIN_PROTOCOL;
}

static void closed(void *arg, void *stream, uint32_t code, bool by_peer, const char *detail)
{
    struct http_conn *c = (struct http_conn *)arg;
    struct http_stream *s = (struct http_stream *)stream;
    bool complete = s->flags & STREAM_IN_DONE;
    s->flags &= (uint16_t)~STREAM_H2_OPEN;
    s->reset_code = code;
    if (is_server(c) && !(s->flags & STREAM_ACCEPTED)) {
        forget_stream(c, s);
        drop_blocks(c, s);
        http_stream_give(c->shared, s);
        c->accept = !list_empty(&c->unaccepted);
        maybe_close(c);
        return;
    }
    if (complete && ((s->flags & STREAM_OUT_DONE) || (!is_server(c) && code == HTTP_NO_ERROR))) {
        s->flags |= STREAM_OUT_DONE; /* the answer is complete and the peer wants no more of the request */
        s->ready = (uint8_t)((s->ready | HTTP_SENT) & ~HTTP_WRITABLE);
        http_stream_wake(s);
        return;
    }
    drop_blocks(c, s);
    http_stream_end(s, fin_of(s, code, by_peer), detail);
}

static void unblock(struct http_conn *c, struct http_stream *s)
{
    if (!(s->flags & STREAM_WANT_WRITE))
        return;
    s->flags &= (uint16_t) ~(STREAM_WANT_WRITE | STREAM_WANT_ROOM);
    c->n_blocked--;
    s->ready |= HTTP_WRITABLE;
    http_stream_wake(s);
}

static void unblock_all(struct http_conn *c, unsigned flags)
{
    if (c->n_blocked == 0)
        return;
    LIST_EACH (&c->streams, struct http_stream, link, s)
        if (s->flags & flags)
            unblock(c, s);
}

static void writable(void *arg, void *stream)
{
    struct http_conn *c = (struct http_conn *)arg;
    if (stream)
        unblock(c, (struct http_stream *)stream);
    else
        unblock_all(c, STREAM_WANT_WRITE);
}

static void settings(void *arg)
{
    struct http_conn *c = (struct http_conn *)arg;
    if (!is_server(c))
        http_conn_wake(c);
}

static void goaway(void *arg, uint32_t code)
{
    struct http_conn *c = (struct http_conn *)arg;
    c->draining = true;
    http_conn_wake(c);
    maybe_close(c);
}

static void last_goaway(struct http_conn *c)
{
    if (c->last_goaway || c->closed)
        return;
    c->last_goaway = true;
    h2_goaway(c->h2, HTTP_NO_ERROR);
    http_flush_soon(c);
    maybe_close(c);
}

static void ping_ack(void *arg)
{
    struct http_conn *c = (struct http_conn *)arg;
    if (c->draining && is_server(c))
        last_goaway(c);
}

static const struct h2_handler handler = {
    .stream_new = stream_new,
    .block_begin = block_begin,
    .block_end = block_end,
    .data = body,
    .end = in_end,
    .closed = closed,
    .writable = writable,
    .settings = settings,
    .goaway = goaway,
    .ping_ack = ping_ack,
};

void http2_conn_begin(struct http_conn *c)
{
    struct h2_config config = {
        .server = is_server(c), .max_streams = c->config.max_streams, .max_data = c->config.max_data};
    c->h2 = h2_new(c->shared->h2, &config, &handler, c);
    http_flush_soon(c);
}

void http2_drain_timeout(struct http_conn *c)
{
    last_goaway(c);
}

static void discard(struct http_conn *c, struct list *all)
{
    LIST_EACH (all, struct http_stream, link, s) {
        forget_stream(c, s);
        drop_blocks(NULL, s);
        http_stream_give(c->shared, s);
    }
}

/* The connection takes no part in HTTP any more: whoever still has a stream learns why. */
static void reset_streams(struct http_conn *c)
{
    enum http_fin fin = c->fin ? (enum http_fin)c->fin : HTTP_FIN_PEER_CLOSED;
    discard(c, &c->incomplete);
    discard(c, &c->unaccepted);
    LIST_EACH (&c->streams, struct http_stream, link, s) {
        bool complete = (s->flags & STREAM_IN_DONE) && (s->flags & STREAM_OUT_DONE);
        forget_stream(c, s);
        if (complete) {
            http_stream_wake(s); /* what it received stays readable */
        } else {
            drop_blocks(NULL, s);
            http_stream_end(s, fin, c->detail);
        }
    }
    c->accept = false;
}

static void broken(struct http_conn *c)
{
    c->refused = true;
    c->fin = h2_flood(c->h2) ? HTTP_FIN_FLOOD : HTTP_FIN_PROTOCOL;
    c->detail = h2_detail(c->h2);
    struct list *const all[] = {&c->streams, &c->unaccepted, &c->incomplete};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        LIST_EACH (all[i], struct http_stream, link, s)
            h2_forget(c->h2, (int32_t)s->id);
    reset_streams(c);
    http_conn_wake(c);
    http_conn_finish(c);
}

static void h2_read(struct http_conn *c, bool edge)
{
    for (;;) {
        ssize_t n = http_fill(c);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            c->eof = true;
            http_conn_end(c,
                          n == -ECONNRESET ? HTTP_FIN_PEER_RESET
                          : c->n_streams   ? HTTP_FIN_PEER_CLOSED
                          : c->draining    ? HTTP_FIN_DRAINED
                                           : HTTP_FIN_OK,
                          NULL, (int)n);
            return;
        }
        struct view bytes = http_bytes_view(&c->in);
        int r = c->close_after_flush ? 0 : h2_recv(c->h2, bytes, loop_now(c->shared->loop));
        http_bytes_drop(&c->in, bytes.n);
        if (r < 0) {
            broken(c);
            break;
        }
    }
    http_release_in(c);
    if (h2_wants_send(c->h2))
        http_flush_soon(c);
    if (c->closed || c->close_after_flush || !h2_finished(c->h2))
        return;
    if (c->draining)
        http_conn_finish(c);
    else
        broken(c); /* the codec gave up by itself: its GOAWAY is on the way */
}

static void h2_produce(struct http_conn *c)
{
    while (http_bytes_n(&c->out) < HTTP_BLOCK / 2) {
        struct view v = h2_send(c->h2, false);
        if (!v.n)
            break;
        append(c, v);
    }
}

static void h2_flushed(struct http_conn *c)
{
    if (http_bytes_n(&c->out) < HTTP_BLOCK / 2)
        unblock_all(c, STREAM_WANT_ROOM);
}

static void h2_drain(struct http_conn *c)
{
    if (is_server(c)) {
        h2_shutdown_notice(c->h2);
        timer_set(&c->timer, loop_now(c->shared->loop) + NS_PER_S);
        http_flush_soon(c);
    }
    maybe_close(c);
}

static void h2_gone(struct http_conn *c)
{
    reset_streams(c);
    h2_free(c->h2);
    c->h2 = NULL;
}

static uint32_t h2_conn_capacity(const struct http_conn *c)
{
    return c->h2 ? h2_capacity(c->h2, c->n_streams) : 0;
}

static int h2_open(struct http_conn *c, struct http_stream **ret_stream)
{
    if (!h2_conn_capacity(c))
        return -EAGAIN;
    struct http_stream *s = http_stream_take(c);
    s->version = 20;
    s->ready = HTTP_WRITABLE;
    list_push(&c->streams, &s->link);
    timer_rest(&c->timer);
    *ret_stream = s;
    return 0;
}

/* An upgrade goes out as extended CONNECT, if the peer knows it. */
static int request_as_connect(struct http_conn *c, struct http_stream *s, const struct headers *h, struct headers *made)
{
    if (!h2_peer_connect_protocol(c->h2))
        return -EOPNOTSUPP;
    headers_init(made, &s->arena);
    int r = headers_append(made, h);
    if (r == 0)
        r = headers_add(made, HEADER_PROTOCOL, headers_value(h, HEADER_UPGRADE));
    if (r == 0)
        r = headers_set(made, HEADER_METHOD, VIEW("CONNECT"));
    headers_del(made, HEADER_UPGRADE);
    s->flags |= STREAM_UPGRADE | STREAM_CONNECT_AS_UPGRADE;
    return r;
}

static int send_request(struct http_conn *c, struct http_stream *s, const struct headers *h, bool end)
{
    struct headers made;
    int32_t id;
    if (headers_has(h, HEADER_UPGRADE)) {
        int r = request_as_connect(c, s, h, &made);
        if (r < 0)
            return r;
        h = &made;
        end = false;
    } else if (view_is(headers_value(h, HEADER_METHOD), "CONNECT")) {
        s->flags |= STREAM_UPGRADE;
        end = false;
    }
    int r = h2_request(c->h2, s, h, end, &s->arena, &id);
    if (r < 0)
        return r;
    s->id = (uint32_t)id;
    s->flags |= STREAM_H2_OPEN;
    c->requests++;
    if (s->flags & STREAM_UPGRADE)
        s->ready &= (uint8_t)~HTTP_WRITABLE;
    return 0;
}

static int send_response(struct http_conn *c, struct http_stream *s, const struct headers *h, bool *end)
{
    struct headers made;
    unsigned status = headers_status(h);
    if (status == 101 ||
        (status / 100 == 2 && (s->flags & STREAM_UPGRADE) && !(s->flags & STREAM_CONNECT_AS_UPGRADE))) {
        if (!(s->flags & STREAM_UPGRADE))
            return -EINVAL;
        *end = false;
        s->ready |= HTTP_TUNNEL;
    }
    if (status == 101) {
        headers_init(&made, &s->arena);
        int r = headers_append(&made, h);
        if (r == 0)
            r = headers_set(&made, HEADER_STATUS, VIEW("200"));
        if (r < 0)
            return r;
        headers_del(&made, HEADER_UPGRADE);
        h = &made;
    } else if ((s->flags & STREAM_HEAD) || status == 204 || status == 304) {
        *end = true; /* whatever follows is dropped */
        s->flags |= STREAM_DISCARD_OUT;
    }
    return h2_headers(c->h2, (int32_t)s->id, h, *end, &s->arena);
}

static void out_done(struct http_stream *s)
{
    s->flags |= STREAM_OUT_DONE;
    s->ready = (uint8_t)((s->ready & ~HTTP_WRITABLE) | HTTP_SENT);
}

static int h2_send_headers(struct http_stream *s, const struct headers *h, bool end)
{
    struct http_conn *c = s->conn;
    int r = is_server(c) ? send_response(c, s, h, &end) : send_request(c, s, h, end);
    if (r < 0)
        return r;
    s->flags |= STREAM_OUT_HEAD;
    if (end)
        out_done(s); /* before the frame goes: closed() comes with it */
    s->wire_out += append_control(c);
    http_flush_soon(c);
    return 0;
}

static int h2_inform(struct http_stream *s, const struct headers *h)
{
    struct http_conn *c = s->conn;
    if (!is_server(c))
        return -EINVAL;
    int r = h2_headers(c->h2, (int32_t)s->id, h, false, &s->arena);
    if (r < 0)
        return r;
    s->wire_out += append_control(c);
    http_flush_soon(c);
    return 0;
}

static ssize_t h2_send_data(struct http_stream *s, struct view v, bool end)
{
    struct http_conn *c = s->conn;
    bool end_sent, must_fit = v.n == 0, full = false;
    if (s->flags & STREAM_DISCARD_OUT)
        return (ssize_t)v.n;
    if (!(s->flags & STREAM_OUT_HEAD))
        return -EINVAL;
    if ((s->flags & STREAM_UPGRADE) && !(s->ready & HTTP_TUNNEL))
        return 0;
    if (v.n == 0 && !end)
        return 0;
    int r = h2_data(c->h2, (int32_t)s->id, v, end);
    if (r < 0)
        return r;
    if (end)
        s->flags |= STREAM_OUT_DONE; /* seen by closed(), if the last frame goes */
    for (;; must_fit = false) {
        size_t waiting = http_bytes_n(&c->out), room = HTTP_BLOCK > waiting ? HTTP_BLOCK - waiting : 0;
        full = room < LEAST_ROOM && !must_fit;
        if (full)
            break;
        h2_data_room(c->h2, room > FRAME_HEAD + LEAST_ROOM / 2 ? room - FRAME_HEAD : LEAST_ROOM / 2);
        struct view frame = h2_send(c->h2, false);
        if (!frame.n)
            break;
        append(c, frame);
        s->wire_out += frame.n;
    }
    size_t left = h2_data_left(c->h2, &end_sent);
    s->body_out += v.n - left;
    if (end && end_sent) {
        out_done(s);
    } else {
        s->flags &= (uint16_t)~STREAM_OUT_DONE;
        if (left && !(s->flags & STREAM_WANT_WRITE)) {
            s->flags |= (uint16_t)(STREAM_WANT_WRITE | (full ? STREAM_WANT_ROOM : 0));
            s->ready &= (uint8_t)~HTTP_WRITABLE;
            c->n_blocked++;
        }
    }
    http_flush_soon(c);
    return (ssize_t)(v.n - left);
}

static int h2_trailers(struct http_stream *s, const struct headers *h)
{
    struct http_conn *c = s->conn;
    if (!(s->flags & STREAM_OUT_HEAD))
        return -EINVAL;
    int r = h2_headers(c->h2, (int32_t)s->id, h, true, &s->arena);
    if (r < 0)
        return r;
    out_done(s);
    s->wire_out += append_control(c);
    http_flush_soon(c);
    return 0;
}

static bool h2_peek(struct http_stream *s, struct view *ret_bytes)
{
    struct http_block *b = s->in_first;
    if (!b)
        return false;
    *ret_bytes = (struct view){b->data + b->at, b->end - b->at};
    return true;
}

static void h2_consume(struct http_stream *s, size_t n)
{
    struct http_block *b = s->in_first;
    must(n <= b->end - b->at);
    b->at += (uint32_t)n;
    s->body_in += n;
    if (b->at == b->end) {
        s->in_first = b->next;
        if (!s->in_first) {
            s->in_last = NULL;
            s->ready &= (uint8_t)~HTTP_DATA;
            if (s->flags & STREAM_IN_DONE)
                s->ready |= HTTP_END;
        }
        pool_give(&s->shared->blocks, b);
    }
    if (s->conn) {
        h2_consumed(s->conn->h2, (int32_t)s->id, n);
        if (h2_wants_send(s->conn->h2))
            http_flush_soon(s->conn);
    }
}

/* RST_STREAM, and nghttp2 no longer knows the owner. */
static void cut(struct http_conn *c, struct http_stream *s, uint32_t code)
{
    if (!(s->flags & STREAM_H2_OPEN))
        return;
    s->flags &= (uint16_t)~STREAM_H2_OPEN;
    h2_forget(c->h2, (int32_t)s->id);
    h2_reset(c->h2, (int32_t)s->id, code);
    http_flush_soon(c);
}

static void h2_reset_stream(struct http_stream *s, enum http_reset_code code)
{
    cut(s->conn, s, code);
    drop_blocks(s->conn, s);
    http_stream_end(s, HTTP_FIN_LOCAL_RESET, NULL);
}

static void h2_free_stream(struct http_stream *s)
{
    struct http_conn *c = s->conn;
    bool answered = is_server(c) && (s->flags & STREAM_OUT_DONE);
    cut(c, s, answered ? HTTP_NO_ERROR : HTTP_CANCEL);
    drop_blocks(c, s);
    forget_stream(c, s);
    http_stream_give(c->shared, s);
    maybe_close(c);
}

const struct http_protocol http_2 = {
    .read = h2_read,
    .produce = h2_produce,
    .flushed = h2_flushed,
    .drain = h2_drain,
    .gone = h2_gone,
    .open = h2_open,
    .capacity = h2_conn_capacity,
    .headers = h2_send_headers,
    .inform = h2_inform,
    .data = h2_send_data,
    .trailers = h2_trailers,
    .peek = h2_peek,
    .consume = h2_consume,
    .reset = h2_reset_stream,
    .free = h2_free_stream,
};
