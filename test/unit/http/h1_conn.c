// SPDX-License-Identifier: Apache-2.0
/* Tests of HTTP/1 connections against raw bytes: what a server and a client put on the wire, when a connection is used
 * again, how each kind of end looks to the owner, and that the steady state asks the heap for nothing.
 */
#include "harness.h"

static const struct http_conn_config server_1 = {.role = HTTP_SERVER}, client_1 = {.role = HTTP_CLIENT};

static void answer_hello(struct http_stream *s)
{
    struct headers h;
    if (!(s->ready & HTTP_END) || (s->ready & (HTTP_RESET | HTTP_SENT)) || http_stream_over(s))
        return;
    response_headers(&h, NULL, 200);
    assert_int_equal(headers_add(&h, HEADER_CONTENT_LENGTH, VIEW("5")), 0);
    if (http_stream_headers(s, &h, false) == 0)
        assert_int_equal(http_stream_data(s, VIEW("hello"), true), 5);
}

static void assert_sent(struct end *e, const char *text)
{
    assert_string_equal(buf_cstr(&e->raw_in), text);
    buf_clear(&e->raw_in);
}

static void a_request_is_answered_and_the_connection_used_again(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    f.server.serve = answer_hello;
    for (int i = 0; i < 3; i++) {
        raw_send(&f, &f.client, VIEW("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"));
        assert_int_equal(f.server.n_streams, i + 1);
        struct http_stream *s = f.server.streams[i];
        assert_view(headers_value(&s->in, HEADER_PATH), "/a");
        assert_view(headers_value(&s->in, HEADER_SCHEME), "http");
        assert_view(headers_value(&s->in, HEADER_AUTHORITY), "x");
        assert_string_equal(buf_cstr(&f.server.body), "abc");
        buf_clear(&f.server.body);
        assert_true(http_stream_over(s));
        assert_int_equal(s->version, 11);
        assert_int_equal(s->wire_in, 51);
        assert_int_equal(s->body_out, 5);
        close_stream(&f.server, i);
        assert_sent(&f.client, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    }
    assert_true(http_conn_ready(f.server.http) & HTTP_CONN_IDLE);
    fixture_done(&f);
}

static void answer_and_free(struct http_stream *s)
{
    answer_hello(s);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    f.server.serve = answer_and_free;
    raw_send(&f, &f.client,
             VIEW("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /3 "
                  "HTTP/1.1\r\n"));
    assert_int_equal(f.server.n_streams, 1);
    close_stream(&f.server, 0);
    run(&f);
    assert_int_equal(f.server.n_streams, 2);
    assert_view(headers_value(&f.server.streams[1]->in, HEADER_PATH), "/2");
    close_stream(&f.server, 1);
    run(&f);
    assert_int_equal(f.server.n_streams, 2); /* nothing after close */
    assert_sent(&f.client, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
                           "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    assert_true(f.client.raw_eof);
    fixture_done(&f);
}

static void malformed_requests_get_400_and_the_connection_closes(void **state)
{
    static const struct {
        const char *bytes, *status, *detail;
    } table[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "h1.header_repeated"},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "h1.header_name_invalid"},
        {"\x16\x03\x01\x02\x00", "HTTP/1.1 400 Bad Request\r\n", "h1.method_invalid"},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 Not Implemented\r\n",
         "h1.transfer_coding_unsupported"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct fixture f;
        fixture_init(&f);
        connect_ends(&f, NULL, &server_1);
        raw_send(&f, &f.client, view_of(table[i].bytes));
        assert_int_equal(f.server.n_streams, 0);
        assert_true(http_conn_ready(f.server.http) & HTTP_CONN_REFUSED);
        assert_string_equal(http_conn_detail(f.server.http), table[i].detail);
        assert_true(view_starts(buf_read(&f.client.raw_in), view_of(table[i].status)));
        assert_true(f.client.raw_eof);
        assert_int_equal(conn_shutdown(f.client.raw), 0);
        run(&f);
        assert_true(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED);
        fixture_done(&f);
    }
}

static void a_bad_chunk_resets_the_stream_that_waits_for_it(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    raw_send(&f, &f.client, VIEW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
    assert_int_equal(f.server.n_streams, 1);
    assert_false(f.server.streams[0]->ready & HTTP_RESET);
    raw_send(&f, &f.client, VIEW("0x3\r\n"));
    assert_true(f.server.streams[0]->ready & HTTP_RESET);
    assert_int_equal(f.server.streams[0]->fin, HTTP_FIN_PROTOCOL);
    assert_string_equal(f.server.streams[0]->detail, "h1.chunk_size_invalid");
    assert_true(view_starts(buf_read(&f.client.raw_in), VIEW("HTTP/1.1 400 ")));
    fixture_done(&f);
}

static void bodies_wait_for_their_reader(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    f.server.consume = false;
    struct buf big = {0};
    buf_str(&big, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    size_t head = buf_len(&big);
    for (int i = 0; i < 1000000; i++)
        buf_char(&big, (char)('a' + i % 26));
    struct view rest = buf_read(&big);
    for (int i = 0; i < 50; i++) {
        ssize_t n = conn_send_view(f.client.raw, rest);
        rest = n > 0 ? view_from(rest, (size_t)n) : rest;
        run(&f);
    }
    assert_true(rest.n > 0); /* the sender is held back */
    struct view v;
    struct http_stream *s = f.server.streams[0];
    assert_true(http_stream_peek(s, &v));
    assert_true(v.n <= 16384);
    assert_false(http_stream_last(s, v));
    f.server.consume = true;
    task_wake(&f.server.task, BIT_STREAM);
    raw_send(&f, &f.client, rest);
    assert_int_equal(s->body_in, 1000000);
    assert_true(s->ready & HTTP_END);
    assert_true(view_eq(buf_read(&f.server.body), view_from(buf_read(&big), head)));
    buf_done(&big);
    fixture_done(&f);
}

static void the_last_piece_of_a_body_is_known(void **state)
{
    struct fixture f;
    struct view v;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    f.server.consume = false;
    raw_send(&f, &f.client, VIEW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc"));
    struct http_stream *s = f.server.streams[0];
    assert_true(http_stream_peek(s, &v));
    assert_false(http_stream_last(s, v));
    raw_send(&f, &f.client, VIEW("de"));
    http_stream_consume(s, 3);
    run(&f);
    assert_true(http_stream_peek(s, &v));
    assert_view(v, "de");
    assert_true(http_stream_last(s, v));
    assert_false(http_stream_last(s, view_head(v, 1)));
    fixture_done(&f);
}

static void answers_wait_for_a_slow_client(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    raw_send(&f, &f.client, VIEW("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    struct http_stream *s = f.server.streams[0];
    conn_own(f.client.raw, NULL, 0, 0); /* reads nothing */
    struct headers h;
    response_headers(&h, NULL, 200);
    assert_int_equal(http_stream_headers(s, &h, false), 0);
    static char bytes[100000];
    memset(bytes, 'x', sizeof(bytes));
    size_t sent = 0;
    for (int i = 0; i < 1000 && (s->ready & HTTP_WRITABLE); i++) {
        ssize_t n = http_stream_data(s, (struct view){bytes, sizeof(bytes)}, false);
        assert_true(n >= 0 && n < (ssize_t)sizeof(bytes));
        sent += (size_t)n;
        run(&f);
    }
    assert_false(s->ready & HTTP_WRITABLE);
    int woken = f.server.woken;
    conn_own(f.client.raw, &f.client.task, BIT_RAW, BIT_RAW);
    task_wake(&f.client.task, BIT_RAW);
    run(&f);
    assert_true(s->ready & HTTP_WRITABLE);
    assert_true(f.server.woken > woken);
    assert_int_equal(http_stream_data(s, VIEW("end"), true), 3);
    run(&f);
    assert_true(buf_len(&f.client.raw_in) > sent);
    assert_true(view_ends(buf_read(&f.client.raw_in), VIEW("3\r\nend\r\n0\r\n\r\n")));
    fixture_done(&f);
}

static void a_client_sends_and_reads(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_1, NULL);
    assert_true(http_conn_ready(f.client.http) & HTTP_CONN_CAPACITY);
    struct http_stream *s = open_stream(&f), *other;
    assert_int_equal(http_conn_open(f.client.http, &f.client.task, 1, &other), -EAGAIN);
    struct headers h;
    request_headers(&h, NULL, "POST", "/p");
    assert_int_equal(http_stream_headers(s, &h, false), 0);
    assert_int_equal(http_stream_data(s, VIEW("abc"), false), 3);
    struct headers t;
    headers_init(&t, NULL);
    assert_int_equal(headers_add_name(&t, HEADER_OTHER, VIEW("x-sum"), VIEW("9")), 0);
    assert_int_equal(http_stream_trailers(s, &t), 0);
    run(&f);
    assert_sent(
        &f.server,
        "POST /p HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n");
    raw_send(&f, &f.server,
             VIEW("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_true(s->ready & HTTP_INFORMATIONAL);
    assert_int_equal(headers_status(s->informational), 103);
    assert_int_equal(headers_status(&s->in), 200);
    raw_send(&f, &f.server, VIEW("2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n"));
    assert_string_equal(buf_cstr(&f.client.body), "hi");
    assert_true(s->ready & HTTP_END);
    assert_view(headers_get(s->trailers, VIEW("x-t")), "1");
    assert_true(http_stream_over(s));
    close_stream(&f.client, 0);
    assert_int_equal(http_conn_ready(f.client.http), HTTP_CONN_CAPACITY | HTTP_CONN_IDLE | HTTP_CONN_UP);
    fixture_done(&f);
}

static struct http_stream *get(struct fixture *f, const char *method)
{
    struct http_stream *s = open_stream(f);
    struct headers h;
    request_headers(&h, NULL, method, "/");
    assert_int_equal(http_stream_headers(s, &h, true), 0);
    run(f);
    return s;
}

static void how_a_response_ends_decides_about_reuse(void **state)
{
    static const struct {
        const char *method, *bytes;
        bool close, ended, reuse;
        enum http_fin fin;
    } table[] = {
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, true, true, HTTP_FIN_NONE},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", false, true, false,
         HTTP_FIN_NONE},
        {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, true, false, HTTP_FIN_NONE},
        {"GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", true, true, false, HTTP_FIN_NONE},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, true, true, HTTP_FIN_NONE},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", false, true, true, HTTP_FIN_NONE},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi, and more", false, true, false, HTTP_FIN_NONE},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", true, false, false, HTTP_FIN_PEER_CLOSED},
        {"GET", "", true, false, false, HTTP_FIN_PEER_CLOSED},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Len", true, false, false, HTTP_FIN_PEER_CLOSED},
        {"GET", "HTTP/1.1 200 OK\nA: b\r\n\r\n", false, false, false, HTTP_FIN_PROTOCOL},
        {"GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, false, false,
         HTTP_FIN_PROTOCOL},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct fixture f;
        fixture_init(&f);
        connect_ends(&f, &client_1, NULL);
        struct http_stream *s = get(&f, table[i].method);
        raw_send(&f, &f.server, view_of(table[i].bytes));
        if (table[i].close)
            assert_int_equal(conn_shutdown(f.server.raw), 0);
        run(&f);
        assert_int_equal((s->ready & HTTP_END) != 0, table[i].ended);
        assert_int_equal((s->ready & HTTP_RESET) != 0, table[i].fin != HTTP_FIN_NONE);
        assert_int_equal(s->fin, table[i].fin);
        close_stream(&f.client, 0);
        run(&f);
        assert_int_equal((http_conn_ready(f.client.http) & HTTP_CONN_CAPACITY) != 0, table[i].reuse);
        assert_int_equal((http_conn_ready(f.client.http) & HTTP_CONN_CLOSED) != 0, !table[i].reuse);
        fixture_done(&f);
    }
}

static void an_idle_client_notices_that_the_peer_left_or_talks_unasked(void **state)
{
    for (int talks = 0; talks < 2; talks++) {
        struct fixture f;
        fixture_init(&f);
        connect_ends(&f, &client_1, NULL);
        if (talks)
            raw_send(&f, &f.server, VIEW("HTTP/1.1 408 Request Timeout\r\n\r\n"));
        else
            assert_int_equal(conn_shutdown(f.server.raw), 0);
        run(&f);
        assert_true(http_conn_ready(f.client.http) & HTTP_CONN_CLOSED);
        assert_int_equal(http_conn_fin(f.client.http), talks ? HTTP_FIN_PROTOCOL : HTTP_FIN_OK);
        fixture_done(&f);
    }
}

static void an_upgrade_becomes_a_tunnel_only_with_101(void **state)
{
    for (int accepted = 0; accepted < 2; accepted++) {
        struct fixture f;
        fixture_init(&f);
        connect_ends(&f, NULL, &server_1);
        raw_send(&f, &f.client,
                 VIEW("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
                      "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_int_equal(f.server.n_streams, 1);
        struct http_stream *s = f.server.streams[0];
        assert_view(headers_value(&s->in, HEADER_UPGRADE), "websocket");
        assert_false(s->ready & (HTTP_END | HTTP_DATA));
        struct headers h;
        response_headers(&h, NULL, accepted ? 101 : 403);
        if (accepted)
            assert_int_equal(headers_add(&h, HEADER_UPGRADE, VIEW("websocket")), 0);
        assert_int_equal(http_stream_headers(s, &h, !accepted), 0);
        run(&f);
        assert_int_equal((s->ready & HTTP_TUNNEL) != 0, accepted);
        if (accepted) {
            assert_string_equal(buf_cstr(&f.server.body), "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_int_equal(http_stream_data(s, VIEW("frame"), true), 5);
            run(&f);
            assert_sent(&f.client,
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nframe");
            assert_true(f.client.raw_eof); /* half-closed; the other direction goes on */
            raw_send(&f, &f.client, VIEW("!"));
            assert_true(view_ends(buf_read(&f.server.body), VIEW("!")));
            assert_int_equal(conn_shutdown(f.client.raw), 0);
            run(&f);
            assert_true(http_stream_over(s));
        } else {
            assert_true(s->ready & HTTP_END);
            close_stream(&f.server, 0);
            run(&f);
            assert_int_equal(f.server.n_streams, 1);
            assert_true(f.client.raw_eof);
        }
        fixture_done(&f);
    }
}

static void a_client_tunnels_after_101(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_1, NULL);
    struct http_stream *s = open_stream(&f);
    struct headers h;
    request_headers(&h, NULL, "GET", "/ws");
    assert_int_equal(headers_add(&h, HEADER_UPGRADE, VIEW("websocket")), 0);
    assert_int_equal(http_stream_headers(s, &h, false), 0);
    assert_int_equal(http_stream_data(s, VIEW("early"), false), 0); /* not before the answer */
    run(&f);
    assert_sent(&f.server, "GET /ws HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    raw_send(&f, &f.server,
             VIEW("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nframe"));
    assert_true(s->ready & HTTP_TUNNEL);
    assert_string_equal(buf_cstr(&f.client.body), "frame");
    assert_int_equal(http_stream_data(s, VIEW("mine"), false), 4);
    run(&f);
    assert_sent(&f.server, "mine");
    fixture_done(&f);
}

static void an_answer_to_head_ends_without_its_body(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    raw_send(&f, &f.client, VIEW("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"));
    struct http_stream *s = f.server.streams[0];
    struct headers h;
    response_headers(&h, NULL, 200);
    assert_int_equal(headers_add(&h, HEADER_CONTENT_LENGTH, VIEW("5")), 0);
    assert_int_equal(http_stream_headers(s, &h, false), 0);
    run(&f);
    assert_false(s->ready & HTTP_SENT);
    assert_int_equal(http_stream_data(s, VIEW("hello"), false), 5);
    assert_int_equal(http_stream_data(s, VIEW_NONE, true), 0);
    run(&f);
    assert_true(s->ready & HTTP_SENT);
    assert_sent(&f.client, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    fixture_done(&f);
}

static void http_1_0_gets_its_end_by_closing(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    raw_send(&f, &f.client, VIEW("GET / HTTP/1.0\r\n\r\n"));
    struct headers h;
    response_headers(&h, NULL, 200);
    assert_int_equal(http_stream_headers(f.server.streams[0], &h, false), 0);
    assert_int_equal(http_stream_data(f.server.streams[0], VIEW("all"), true), 3);
    run(&f);
    close_stream(&f.server, 0);
    run(&f);
    assert_sent(&f.client, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall");
    assert_true(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED);
    f.server.http = http_conn_free(f.server.http);
    run(&f);
    assert_true(f.client.raw_eof);
    fixture_done(&f);
}

static void an_early_answer_reaches_a_client_that_still_sends(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    f.server.consume = false;
    raw_send(&f, &f.client, VIEW("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc"));
    struct headers h;
    response_headers(&h, NULL, 413);
    assert_int_equal(http_stream_headers(f.server.streams[0], &h, true), 0);
    close_stream(&f.server, 0);
    run(&f);
    raw_send(&f, &f.client, VIEW("more that nobody reads"));
    assert_sent(&f.client, "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n");
    assert_true(f.client.raw_eof);
    sim_run(f.sim, 2 * NS_PER_S);
    assert_true(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED);
    fixture_done(&f);
}

static void lengths_that_do_not_agree_are_refused(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, &client_1, NULL);
    struct http_stream *s = open_stream(&f);
    struct headers h;
    request_headers(&h, NULL, "POST", "/");
    assert_int_equal(headers_add(&h, HEADER_CONTENT_LENGTH, VIEW("4")), 0);
    assert_int_equal(http_stream_headers(s, &h, true), -EINVAL);
    assert_int_equal(http_stream_headers(s, &h, false), 0);
    assert_int_equal(http_stream_headers(s, &h, false), -EPIPE);
    assert_int_equal(http_stream_data(s, VIEW("12345"), false), -EMSGSIZE);
    assert_int_equal(http_stream_data(s, VIEW("123"), true), -EMSGSIZE);
    assert_int_equal(http_stream_data(s, VIEW("123"), false), 3);
    assert_int_equal(http_stream_data(s, VIEW("4"), true), 1);
    assert_int_equal(http_stream_data(s, VIEW_NONE, true), 0);
    fixture_done(&f);
}

static void timeouts_end_idle_connections_and_slow_heads(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL,
                 &(struct http_conn_config){.role = HTTP_SERVER, .idle_ns = 3 * NS_PER_S, .headers_ns = NS_PER_S});
    raw_send(&f, &f.client, VIEW("GET / HT"));
    assert_false(http_conn_ready(f.server.http) & HTTP_CONN_REFUSED);
    run(&f);
    run(&f);
    assert_int_equal(http_conn_fin(f.server.http), HTTP_FIN_HEADERS_TIMEOUT);
    assert_true(view_starts(buf_read(&f.client.raw_in), VIEW("HTTP/1.1 408 ")));
    fixture_done(&f);
    fixture_init(&f);
    connect_ends(&f, NULL, &(struct http_conn_config){.role = HTTP_SERVER, .idle_ns = 3 * NS_PER_S});
    sim_run(f.sim, 2 * NS_PER_S);
    assert_false(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED);
    sim_run(f.sim, 2 * NS_PER_S);
    assert_int_equal(http_conn_fin(f.server.http), HTTP_FIN_IDLE);
    fixture_done(&f);
}

static void draining_says_close_and_loses_nothing(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    raw_send(&f, &f.client, VIEW("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    http_conn_drain(f.server.http);
    run(&f);
    assert_false(http_conn_ready(f.server.http) & HTTP_CONN_CLOSED);
    struct headers h;
    response_headers(&h, NULL, 200);
    assert_int_equal(http_stream_headers(f.server.streams[0], &h, true), 0);
    close_stream(&f.server, 0);
    run(&f);
    assert_sent(&f.client, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_int_equal(http_conn_fin(f.server.http), HTTP_FIN_DRAINED);
    fixture_done(&f);
}

static void a_client_that_leaves_resets_the_exchange(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    raw_send(&f, &f.client, VIEW("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    conn_close(f.client.raw);
    f.client.raw = NULL;
    run(&f);
    assert_int_equal(f.server.streams[0]->fin, HTTP_FIN_PEER_CLOSED);
    fixture_done(&f);
}

static void large_heads_pass_and_too_large_ones_get_431(void **state)
{
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    f.server.serve = answer_hello;
    struct buf b = {0};
    buf_str(&b, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 40; i++)
        buf_printf(&b, "x-%d: %01000d\r\n", i, i);
    buf_str(&b, "\r\n");
    raw_send(&f, &f.client, buf_read(&b));
    assert_int_equal(f.server.n_streams, 1);
    assert_int_equal(headers_get(&f.server.streams[0]->in, VIEW("x-39")).n, 1000);
    close_stream(&f.server, 0);
    buf_clear(&b);
    buf_str(&b, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 70; i++)
        buf_printf(&b, "x-%d: %01000d\r\n", i, i);
    raw_send(&f, &f.client, buf_read(&b));
    assert_int_equal(http_conn_fin(f.server.http), HTTP_FIN_TOO_LARGE);
    assert_true(view_find_view(buf_read(&f.client.raw_in), VIEW("HTTP/1.1 431 ")) < buf_len(&f.client.raw_in));
    buf_done(&b);
    fixture_done(&f);
}

static void the_steady_state_asks_the_heap_for_nothing(void **state)
{
#ifndef WEFT_ARENA_MALLOC
    struct fixture f;
    fixture_init(&f);
    connect_ends(&f, NULL, &server_1);
    f.server.serve = answer_hello;
    uint64_t after_warm_up = 0;
    for (int i = 0; i < 20; i++) {
        raw_send(&f, &f.client, VIEW("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n"));
        close_stream(&f.server, i);
        if (i == 3)
            after_warm_up = http_shared_heap_count(f.shared);
    }
    assert_int_equal(http_shared_heap_count(f.shared), after_warm_up);
    fixture_done(&f);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_the_connection_used_again),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(malformed_requests_get_400_and_the_connection_closes),
        cmocka_unit_test(a_bad_chunk_resets_the_stream_that_waits_for_it),
        cmocka_unit_test(bodies_wait_for_their_reader),
        cmocka_unit_test(the_last_piece_of_a_body_is_known),
        cmocka_unit_test(answers_wait_for_a_slow_client),
        cmocka_unit_test(a_client_sends_and_reads),
        cmocka_unit_test(how_a_response_ends_decides_about_reuse),
        cmocka_unit_test(an_idle_client_notices_that_the_peer_left_or_talks_unasked),
        cmocka_unit_test(an_upgrade_becomes_a_tunnel_only_with_101),
        cmocka_unit_test(a_client_tunnels_after_101),
        cmocka_unit_test(an_answer_to_head_ends_without_its_body),
        cmocka_unit_test(http_1_0_gets_its_end_by_closing),
        cmocka_unit_test(an_early_answer_reaches_a_client_that_still_sends),
        cmocka_unit_test(lengths_that_do_not_agree_are_refused),
        cmocka_unit_test(timeouts_end_idle_connections_and_slow_heads),
        cmocka_unit_test(draining_says_close_and_loses_nothing),
        cmocka_unit_test(a_client_that_leaves_resets_the_exchange),
        cmocka_unit_test(large_heads_pass_and_too_large_ones_get_431),
        cmocka_unit_test(the_steady_state_asks_the_heap_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
