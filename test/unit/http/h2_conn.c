// SPDX-License-Identifier: Apache-2.0
/* Tests of HTTP/2 connections: our client against our server over the simulated network (many streams, windows,
 * trailers, resets, GOAWAY, extended CONNECT), and hand-made frames against the server (floods, downgrade injection).
 */
#include "harness.h"

#include "base/limits.h"

static const struct http_conn_config server_2 = {.role = HTTP_SERVER, .version = HTTP_2},
                                     client_2 = {.role = HTTP_CLIENT, .version = HTTP_2};

/* Answers a complete request with its own path, and with trailers. */
static void echo(struct http_stream *s)
{
    struct headers h;
    if (!(s->ready & HTTP_END) || (s->ready & (HTTP_RESET | HTTP_SENT)))
        return;
    response_headers(&h, &s->arena, 200);
    assert_int_equal(headers_add(&h, HEADER_CONTENT_TYPE, VIEW("text/plain")), 0);
    assert_int_equal(http_stream_headers(s, &h, false), 0);
    struct view path = headers_value(&s->in, HEADER_PATH);
    assert_int_equal(http_stream_data(s, path, false), path.n);
    headers_init(&h, &s->arena);
    assert_int_equal(headers_add(&h, HEADER_GRPC_STATUS, VIEW("0")), 0);
    assert_int_equal(http_stream_trailers(s, &h), 0);
}

static struct http_stream *request(struct fixture *f, const char *method, const char *path, bool end)
{
    struct http_stream *s = open_stream(f);
    struct headers h;
    request_headers(&h, &s->arena, method, path);
    assert_int_equal(headers_add_name(&h, HEADER_OTHER, VIEW("X-Mixed-Case"), VIEW("v")), 0);
    assert_int_equal(headers_add(&h, HEADER_X_REQUEST_ID, VIEW("1-2-3")), 0);
    assert_int_equal(http_stream_headers(s, &h, end), 0);
    return s;
}

static void requests_and_answers_pass_with_trailers(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    f.server.serve = echo;
    assert_int_equal(http_conn_capacity(f.client.http), LIMIT_H2_STREAMS);
    for (int i = 0; i < 20; i++) {
        request(&f, "POST", "/one", false);
        assert_int_equal(http_stream_data(f.client.streams[i], VIEW("body"), true), 4);
    }
    run(&f);
    assert_int_equal(f.server.n_streams, 20);
    for (int i = 0; i < 20; i++) {
        struct http_stream *s = f.client.streams[i], *r = f.server.streams[i];
        assert_view(headers_value(&r->in, HEADER_METHOD), "POST");
        assert_view(headers_get(&r->in, VIEW("x-mixed-case")), "v");
        assert_int_equal(r->body_in, 4);
        assert_int_equal(headers_status(&s->in), 200);
        assert_int_equal(s->body_in, 4);
        assert_view(headers_value(s->trailers, HEADER_GRPC_STATUS), "0");
        assert_true(http_stream_over(s) && http_stream_over(r));
        assert_int_equal(s->fin, HTTP_FIN_NONE);
        close_stream(&f.client, i);
        close_stream(&f.server, i);
    }
    assert_int_equal(http_conn_streams(f.client.http), 0);
    assert_true(http_conn_ready(f.server.http) & HTTP_CONN_IDLE);
    fixture_done(&f);
}

static void nothing_is_opened_before_the_peers_settings_and_beyond_them(void **state)
{
    struct fixture f;
    fixture_init(&f);
    struct http_conn_config few = server_2;
    few.max_streams = 2;
    struct http_stream *s;
    connect_ends(&f, &client_2, NULL);
    assert_int_equal(http_conn_open(f.client.http, &f.client.task, 1, &s), -EAGAIN);
    fixture_done(&f);
    fixture_init(&f);
    connect_ends(&f, &client_2, &few);
    request(&f, "GET", "/", true);
    request(&f, "GET", "/", true);
    assert_int_equal(http_conn_open(f.client.http, &f.client.task, 1, &s), -EAGAIN);
    close_stream(&f.client, 0);
    assert_int_equal(http_conn_capacity(f.client.http), 1);
    fixture_done(&f);
}

static void large_bodies_pass_and_stop_at_the_window(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    f.server.consume = false;
    struct http_stream *s = request(&f, "POST", "/", false);
    static char bytes[3000000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i % 23);
    size_t sent = 0;
    for (int i = 0; i < 200; i++) {
        ssize_t n = http_stream_data(s, (struct view){bytes + sent, sizeof(bytes) - sent}, true);
        assert_true(n >= 0);
        sent += (size_t)n;
        run(&f);
    }
    assert_int_equal(sent, LIMIT_H2_WINDOW_BYTES); /* nobody reads: no more than the window */
    assert_false(s->ready & HTTP_WRITABLE);
    f.server.consume = true;
    task_wake(&f.server.task, BIT_STREAM);
    for (int i = 0; i < 2000 && sent < sizeof(bytes); i++) {
        run(&f);
        ssize_t n = http_stream_data(s, (struct view){bytes + sent, sizeof(bytes) - sent}, true);
        assert_true(n >= 0);
        sent += (size_t)n;
    }
    run(&f);
    assert_int_equal(sent, sizeof(bytes));
    assert_true(f.server.streams[0]->ready & HTTP_END);
    assert_int_equal(buf_len(&f.server.body), sizeof(bytes));
    assert_memory_equal(f.server.body.data + f.server.body.at, bytes, sizeof(bytes));
    fixture_done(&f);
}

static void resets_tell_both_sides(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    struct http_stream *a = request(&f, "POST", "/a", false), *b = request(&f, "POST", "/b", false),
                       *c = request(&f, "POST", "/c", false);
    run(&f);
    http_stream_reset(f.server.streams[0], HTTP_REFUSED_STREAM);
    http_stream_reset(f.server.streams[1], HTTP_INTERNAL_ERROR);
    close_stream(&f.client, 2); /* still running: CANCEL */
    run(&f);
    assert_int_equal(a->fin, HTTP_FIN_REFUSED);
    assert_int_equal(b->fin, HTTP_FIN_PEER_RESET);
    assert_int_equal(b->reset_code, HTTP_INTERNAL_ERROR);
    assert_int_equal(f.server.streams[2]->fin, HTTP_FIN_PEER_RESET);
    assert_int_equal(f.server.streams[2]->reset_code, HTTP_CANCEL);
    assert_int_equal(f.server.streams[0]->fin, HTTP_FIN_LOCAL_RESET);
    (void)c;
    fixture_done(&f);
}

static void a_server_drains_with_two_goaways_and_loses_nothing(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    struct http_stream *s = request(&f, "POST", "/slow", false);
    run(&f);
    http_conn_drain(f.server.http);
    run(&f);
    assert_true(http_conn_ready(f.client.http) & HTTP_CONN_DRAINING);
    assert_int_equal(http_conn_capacity(f.client.http), 0);
    struct http_stream *more;
    assert_int_equal(http_conn_open(f.client.http, &f.client.task, 1, &more), -EPIPE);
    assert_int_equal(s->fin, HTTP_FIN_NONE);
    f.server.serve = echo;
    assert_int_equal(http_stream_data(s, VIEW("x"), true), 1);
    run(&f);
    assert_true(http_stream_over(s));
    close_stream(&f.client, 0);
    close_stream(&f.server, 0);
    sim_run(f.sim, 3 * NS_PER_S);
    assert_true(http_conn_ready(f.client.http) & HTTP_CONN_CLOSED);
    assert_true(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED);
    assert_int_equal(http_conn_fin(f.server.http), HTTP_FIN_DRAINED);
    fixture_done(&f);
}

static void a_connection_that_ends_resets_its_streams_but_not_complete_ones(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    f.server.serve = echo;
    f.client.consume = false;
    struct http_stream *complete = request(&f, "GET", "/kept", true), *running = request(&f, "POST", "/lost", false);
    run(&f);
    close_stream(&f.server, 0);
    close_stream(&f.server, 1);
    f.server.http = http_conn_free(f.server.http);
    run(&f);
    assert_true(http_conn_ready(f.client.http) & HTTP_CONN_CLOSED);
    assert_true(running->ready & HTTP_RESET);
    struct view v;
    assert_false(complete->ready & HTTP_RESET);
    assert_true(http_stream_peek(complete, &v));
    assert_view(v, "/kept");
    assert_false(http_stream_last(complete, v)); /* trailers follow */
    http_stream_consume(complete, v.n);
    assert_true(complete->ready & HTTP_END);
    fixture_done(&f);
}

static void informational_heads_come_before_the_answer(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    struct http_stream *s = request(&f, "POST", "/", false);
    run(&f);
    struct headers h;
    response_headers(&h, NULL, 100);
    assert_int_equal(http_stream_inform(f.server.streams[0], &h), 0);
    run(&f);
    assert_true(s->ready & HTTP_INFORMATIONAL);
    assert_int_equal(headers_status(s->informational), 100);
    assert_false(s->ready & HTTP_HEADERS);
    response_headers(&h, NULL, 204);
    assert_int_equal(http_stream_headers(f.server.streams[0], &h, true), 0);
    run(&f);
    assert_int_equal(headers_status(&s->in), 204);
    assert_true(s->ready & HTTP_END);
    fixture_done(&f);
}

static void an_upgrade_crosses_as_extended_connect(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    struct http_stream *s = open_stream(&f);
    struct headers h;
    request_headers(&h, &s->arena, "GET", "/ws");
    assert_int_equal(headers_add(&h, HEADER_UPGRADE, VIEW("websocket")), 0);
    assert_int_equal(http_stream_headers(s, &h, false), 0);
    run(&f);
    struct http_stream *r = f.server.streams[0];
    assert_view(headers_value(&r->in, HEADER_METHOD), "GET");
    assert_view(headers_value(&r->in, HEADER_UPGRADE), "websocket");
    assert_false(headers_has(&r->in, HEADER_PROTOCOL));
    response_headers(&h, &r->arena, 101);
    assert_int_equal(headers_add(&h, HEADER_UPGRADE, VIEW("websocket")), 0);
    assert_int_equal(http_stream_headers(r, &h, false), 0);
    assert_int_equal(http_stream_data(r, VIEW("frame"), false), 5);
    run(&f);
    assert_int_equal(headers_status(&s->in), 101);
    assert_true(s->ready & HTTP_TUNNEL);
    assert_string_equal(buf_cstr(&f.client.body), "frame");
    assert_int_equal(http_stream_data(s, VIEW("back"), true), 4);
    run(&f);
    assert_string_equal(buf_cstr(&f.server.body), "back");
    fixture_done(&f);
}

/* Hand-made frames. */

static void frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id, struct view payload)
{
    buf_char(b, (char)(payload.n >> 16));
    buf_be16(b, (uint16_t)payload.n);
    buf_char(b, (char)type);
    buf_char(b, (char)flags);
    buf_be32(b, id);
    buf_view(b, payload);
}

static void hpack(struct buf *b, const char *name, struct view value)
{
    buf_char(b, 0); /* literal, not indexed, new name */
    buf_char(b, (char)strlen(name));
    buf_str(b, name);
    buf_char(b, (char)value.n);
    buf_view(b, value);
}

static void begin(struct buf *b)
{
    buf_str(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(b, 4, 0, 0, VIEW_NONE);
}

static void head(struct buf *b, uint32_t id, struct view method, struct view path, struct view authority,
                 const char *name, struct view value, bool end)
{
    struct buf block = {0};
    hpack(&block, ":method", method);
    hpack(&block, ":scheme", VIEW("http"));
    hpack(&block, ":path", path);
    if (authority.p)
        hpack(&block, ":authority", authority);
    if (name)
        hpack(&block, name, value);
    frame(b, 1, end ? 5 : 4, id, buf_read(&block));
    buf_done(&block);
}

#define V(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
static void what_could_fool_an_http_1_server_behind_us_is_refused(void **state)
{
    static const struct {
        struct view method, path, authority;
        const char *name;
        struct view value;
        bool accepted;
    } table[] = {
        {V("GET"), V("/"), V("a"), NULL, V(""), true},
        {V("GET"), V("/"), {NULL, 0}, "host", V("a"), true},
        {V("GET"), V("/"), V("a"), "host", V("a"), true},
        {V("GET"), V("/"), V("a"), "host", V("b"), false},
        {V("GET"), V("/"), {NULL, 0}, NULL, V(""), false},
        {V("GET / HTTP/1.1\r\nX: y"), V("/"), V("a"), NULL, V(""), false},
        {V("GET"), V("/a b"), V("a"), NULL, V(""), false},
        {V("GET"), V("/a\r\nb"), V("a"), NULL, V(""), false},
        {V("GET"), V("/a#b"), V("a"), NULL, V(""), false},
        {V("GET"), V("a"), V("a"), NULL, V(""), false},
        {V("GET"), V(""), V("a"), NULL, V(""), false},
        {V("GET"), V("/"), V("a,b"), NULL, V(""), false},
        {V("GET"), V("/"), V("u@a"), NULL, V(""), false},
        {V("GET"), V("/"), V("a/b"), NULL, V(""), false},
        {V("GET"), V("/"), V("a"), "x", V("a\r\nb: c"), false},
        {V("GET"), V("/"), V("a"), "x", V("a\0b"), false},
        {V("GET"), V("/"), V("a"), "X", V("upper"), false},
        {V("GET"), V("/"), V("a"), "x y", V("z"), false},
        {V("GET"), V("/"), V("a"), "connection", V("close"), false},
        {V("GET"), V("/"), V("a"), "transfer-encoding", V("chunked"), false},
        {V("GET"), V("/"), V("a"), "te", V("gzip"), false},
        {V("GET"), V("/"), V("a"), "te", V("trailers"), true},
        {V("GET"), V("/"), V("a"), "content-length", V("5"), false}, /* and END_STREAM */
        {V("GET"), V("/"), V("a"), "content-length", V("+0"), false},
        {V("GET"), V("/"), V("a"), ":path", V("/b"), false},
        {V("GET"), V("/"), V("a"), ":status", V("200"), false},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct fixture f;
        fixture_init(&f);
        connect_ends(&f, NULL, &server_2);
        struct buf b = {0};
        begin(&b);
        head(&b, 1, table[i].method, table[i].path, table[i].authority, table[i].name, table[i].value, true);
        raw_send(&f, &f.client, buf_read(&b));
        if (f.server.n_streams != table[i].accepted)
            fail_msg("row %zu: %d streams", i, f.server.n_streams);
        buf_done(&b);
        fixture_done(&f);
    }
}

static void cookie_crumbs_become_one_header(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_2);
    struct buf b = {0}, block = {0};
    begin(&b);
    hpack(&block, ":method", VIEW("GET"));
    hpack(&block, ":scheme", VIEW("http"));
    hpack(&block, ":path", VIEW("/"));
    hpack(&block, ":authority", VIEW("a"));
    hpack(&block, "cookie", VIEW("a=1"));
    hpack(&block, "cookie", VIEW("b=2"));
    frame(&b, 1, 5, 1, buf_read(&block));
    raw_send(&f, &f.client, buf_read(&b));
    assert_view(headers_value(&f.server.streams[0]->in, HEADER_COOKIE), "a=1; b=2");
    buf_done(&b);
    buf_done(&block);
    fixture_done(&f);
}

static void rapid_reset(struct buf *b, uint32_t i)
{
    head(b, i * 2 + 1, VIEW("GET"), VIEW("/"), VIEW("a"), NULL, VIEW_NONE, true);
    frame(b, 3, 0, i * 2 + 1, (struct view){"\0\0\0\x08", 4});
}

static void pings(struct buf *b, uint32_t i)
{
    frame(b, 6, 0, 0, VIEW("12345678"));
}

static void settings_flood(struct buf *b, uint32_t i)
{
    frame(b, 4, 0, 0, VIEW_NONE);
}

static void empty_data(struct buf *b, uint32_t i)
{
    if (i == 0)
        head(b, 1, VIEW("POST"), VIEW("/"), VIEW("a"), NULL, VIEW_NONE, false);
    frame(b, 0, 0, 1, VIEW_NONE);
}

static void window_updates(struct buf *b, uint32_t i)
{
    frame(b, 8, 0, 0, (struct view){"\0\0\0\x01", 4});
}

static void continuations(struct buf *b, uint32_t i)
{
    if (i == 0)
        frame(b, 1, 0, 1, VIEW_NONE);
    frame(b, 9, 0, 1, VIEW_NONE);
}

/* Each stream makes us reset it: WINDOW_UPDATE of 0 (CVE-2025-8671). */
static void made_resets(struct buf *b, uint32_t i)
{
    head(b, i * 2 + 1, VIEW("GET"), VIEW("/"), VIEW("a"), NULL, VIEW_NONE, false);
    frame(b, 8, 0, i * 2 + 1, (struct view){"\0\0\0\0", 4});
}

static void floods_end_the_connection(void **state)
{
    static void (*const attacks[])(struct buf *, uint32_t) = {rapid_reset,    pings,         settings_flood, empty_data,
                                                              window_updates, continuations, made_resets};
    for (size_t k = 0; k < COUNT_OF(attacks); k++) {
        struct fixture f;
        fixture_init(&f);
        connect_ends(&f, NULL, &server_2);
        struct buf b = {0};
        begin(&b);
        int rounds = 0;
        for (; rounds < 100 && !f.client.raw_eof; rounds++) {
            for (uint32_t i = 0; i < 100; i++)
                attacks[k](&b, (uint32_t)rounds * 100 + i);
            struct view v = buf_read(&b);
            ssize_t n = conn_send_view(f.client.raw, v);
            if (n < (ssize_t)v.n)
                break;
            buf_clear(&b);
            sim_run(f.sim, NS_PER_MS);
            for (int i = 0; i < f.server.n_streams; i++)
                if (f.server.streams[i] && (f.server.streams[i]->ready & HTTP_RESET))
                    close_stream(&f.server, i);
            if (f.server.n_streams > STREAMS / 2)
                break;
        }
        run(&f);
        sim_run(f.sim, 2 * NS_PER_S);
        if (!(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED))
            fail_msg("attack %zu goes on after %d rounds", k, rounds);
        if (http_conn_fin(f.server.http) != HTTP_FIN_FLOOD && http_conn_fin(f.server.http) != HTTP_FIN_PROTOCOL)
            fail_msg("attack %zu ended as %s %s", k, http_fin_name(http_conn_fin(f.server.http)),
                     http_conn_detail(f.server.http));
        assert_true(http_conn_fin(f.server.http) == HTTP_FIN_FLOOD ||
                    http_conn_fin(f.server.http) == HTTP_FIN_PROTOCOL);
        /* GOAWAY was sent */
        assert_true(view_find_view(buf_read(&f.client.raw_in), VIEW("\x07\x00\x00\x00\x00\x00")) <
                    buf_len(&f.client.raw_in));
        buf_done(&b);
        fixture_done(&f);
    }
}

static void header_bombs_are_counted_decoded(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_2);
    struct buf b = {0}, block = {0};
    begin(&b);
    hpack(&block, ":method", VIEW("GET"));
    hpack(&block, ":scheme", VIEW("http"));
    hpack(&block, ":path", VIEW("/"));
    hpack(&block, ":authority", VIEW("a"));
    buf_char(&block, 0x40); /* indexed: 3,000 bytes, then a reference of one byte each */
    buf_char(&block, 1);
    buf_char(&block, 'x');
    buf_str(&block, "\x7f\xb9\x16"); /* 3000 */
    for (int i = 0; i < 3000; i++)
        buf_char(&block, 'v');
    for (int i = 0; i < 5000; i++)
        buf_char(&block, (char)(0x80 | 62));
    frame(&b, 1, 5, 1, buf_read(&block));
    raw_send(&f, &f.client, buf_read(&b));
    assert_int_equal(f.server.n_streams, 0);
    assert_false(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED);
    buf_done(&b);
    buf_done(&block);
    fixture_done(&f);
}

static void a_wrong_preface_is_refused(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_2);
    raw_send(&f, &f.client, VIEW("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_string_equal(http_conn_detail(f.server.http), "h2.preface_invalid");
    assert_int_equal(http_conn_fin(f.server.http), HTTP_FIN_PROTOCOL);
    fixture_done(&f);
}

static void the_steady_state_asks_the_heap_for_nothing(void **state)
{
#ifndef WEFT_ARENA_MALLOC
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_2, &server_2);
    f.server.serve = echo;
    uint64_t after_warm_up = 0;
    for (int i = 0; i < 40; i++) {
        request(&f, "POST", "/one", false);
        assert_int_equal(http_stream_data(f.client.streams[i], VIEW("body"), true), 4);
        run(&f);
        close_stream(&f.client, i);
        close_stream(&f.server, i);
        if (i == 10)
            after_warm_up = http_shared_heap_count(f.shared);
    }
    assert_int_equal(http_shared_heap_count(f.shared), after_warm_up);
    fixture_done(&f);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_answers_pass_with_trailers),
        cmocka_unit_test(nothing_is_opened_before_the_peers_settings_and_beyond_them),
        cmocka_unit_test(large_bodies_pass_and_stop_at_the_window),
        cmocka_unit_test(resets_tell_both_sides),
        cmocka_unit_test(a_server_drains_with_two_goaways_and_loses_nothing),
        cmocka_unit_test(a_connection_that_ends_resets_its_streams_but_not_complete_ones),
        cmocka_unit_test(informational_heads_come_before_the_answer),
        cmocka_unit_test(an_upgrade_crosses_as_extended_connect),
        cmocka_unit_test(what_could_fool_an_http_1_server_behind_us_is_refused),
        cmocka_unit_test(cookie_crumbs_become_one_header),
        cmocka_unit_test(floods_end_the_connection),
        cmocka_unit_test(header_bombs_are_counted_decoded),
        cmocka_unit_test(a_wrong_preface_is_refused),
        cmocka_unit_test(the_steady_state_asks_the_heap_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
