// SPDX-License-Identifier: Apache-2.0
/* Tests of the HTTP/1 parser and writer: what is accepted and how it is understood, the smuggling corpus with the rule
 * that refuses each entry, the same results when bytes come one by one, and the one canonical form of what is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "wire/h1.h"

struct outcome {
    int result; /* 0 complete, -EAGAIN, -EBADMSG */
    enum h1_reason reason;
    struct buf text; /* the message as understood */
    size_t used;
};

static void print_headers(struct buf *b, const struct headers *h)
{
    HEADERS_EACH (h, e)
        buf_printf(b, "%.*s=%.*s\n", VIEW_ARGS(header_name(e)), VIEW_ARGS(header_value(e)));
}

/* Runs a whole message through the parser, giving it at most `step` more bytes at a time. */
static struct outcome run(enum h1_kind kind, struct view bytes, size_t step, bool eof, bool to_head)
{
    struct arena a;
    arena_init(&a, 0);
    struct headers h, trailers;
    headers_init(&h, &a);
    headers_init(&trailers, &a);
    struct h1 p;
    h1_init(&p, kind);
    p.to_head = to_head;
    struct outcome o = {.result = -EAGAIN};
    size_t at = 0, n = 0;
    p.slack = step >= bytes.n && bytes.n % 2 ? 32 : 0;
    char *copy = (char *)malloc(bytes.n + p.slack + 1); /* exactly as long, so that ASan sees every byte read too far */
    copy = (char *)realloc(copy, bytes.n + p.slack ? bytes.n + p.slack : 1);
    memcpy(copy, bytes.p, bytes.n);
    memset(copy + bytes.n, 0, p.slack);
    for (size_t have = step < bytes.n ? step : bytes.n; o.result == -EAGAIN;
         have = have + step < bytes.n ? have + step : bytes.n) {
        o.result = h1_head(&p, &h, (struct view){copy, have}, &n);
        if (o.result == -EAGAIN && have == bytes.n)
            break;
    }
    if (o.result == 0) {
        at = n;
        print_headers(&o.text, &h);
        buf_printf(&o.text, "%s", p.upgrade ? "(upgrade)\n" : "");
        size_t have = at;
        o.result = -EAGAIN;
        while (!h1_done(&p) && p.framing != H1_TUNNEL) {
            int r = h1_frame(&p, (struct view){copy + at, have - at}, &trailers, &n);
            at += n;
            if (r == -EBADMSG) {
                o.result = r;
                break;
            }
            if (r == 0 && !h1_done(&p)) {
                size_t take = p.run < have - at ? (size_t)p.run : have - at;
                if (take) {
                    buf_view(&o.text, (struct view){copy + at, take});
                    h1_took(&p, take);
                    at += take;
                    continue;
                }
            }
            if (h1_done(&p))
                break;
            if (have == bytes.n) {
                if (eof)
                    o.result = h1_eof(&p);
                break;
            }
            have = have + step < bytes.n ? have + step : bytes.n;
        }
        if (h1_done(&p) && o.result == -EAGAIN)
            o.result = 0;
        if (trailers.n && o.result == 0) {
            buf_str(&o.text, "\n--\n");
            print_headers(&o.text, &trailers);
        }
        buf_printf(&o.text, "%s%s", o.result == 0 && p.framing != H1_TUNNEL ? "|" : "", p.keep_alive ? "" : "(close)");
    }
    o.reason = (enum h1_reason)p.reason;
    o.used = at;
    free(copy);
    arena_done(&a);
    return o;
}

struct good {
    const char *bytes, *understood;
};

static const struct good requests[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ":method=GET\n:path=/\n:authority=a\n|"},
    {"GET /x?y=%zz HTTP/1.1\r\nHost: a:80\r\nX-A:  b \t\r\nx-a:\r\n\r\n",
     ":method=GET\n:path=/x?y=%zz\n:authority=a:80\nX-A=b\nx-a=\n|"},
    {"GET / HTTP/1.0\r\n\r\n", ":method=GET\n:path=/\n|(close)"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n", ":method=GET\n:path=/\n|"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret\r\nx-secret: 1\r\nX-Kept: 2\r\n\r\n",
     ":method=GET\n:path=/\n:authority=a\nX-Kept=2\n|(close)"},
    {"GET http://b.example:8080/p?q HTTP/1.1\r\nHost: a\r\n\r\n",
     ":method=GET\n:path=/p?q\n:authority=b.example:8080\n|"},
    {"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", ":method=GET\n:path=/\n:authority=b\n|"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ":method=OPTIONS\n:path=*\n:authority=a\n|"},
    {"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", ":method=CONNECT\n:authority=a:443\n|"},
    {"POST / HTTP/1.1\r\nHost: [::1]:9\r\nContent-Length: 3\r\n\r\nabcGET",
     ":method=POST\n:path=/\n:authority=[::1]:9\nContent-Length=3\nabc|"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
     "Chunked\r\n\r\n3\r\nabc\r\nA;x=y;z=\"q\\\"\"\r\n0123456789\r\n0\r\n\r\n",
     ":method=POST\n:path=/\n:authority=a\nabc0123456789|"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: "
     "TE\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n",
     ":method=POST\n:path=/\n:authority=a\nTE=trailers\na\n--\nX-Sum=7\n|"},
    {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
     ":method=GET\n:path=/ws\n:authority=a\nUpgrade=websocket\n(upgrade)\n|"},
    {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", ":method=GET\n:path=/ws\n:authority=a\n|"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: "
     "AAMAAABk\r\n\r\n",
     ":method=GET\n:path=/\n:authority=a\n|"},
    {"M-SEARCH /a%2Fb HTTP/1.1\r\nHost: a\r\nX_y!#$%&'*+.^`|~: \x80\xff\r\n\r\n",
     ":method=M-SEARCH\n:path=/a%2Fb\n:authority=a\nX_y!#$%&'*+.^`|~=\x80\xff\n|"},
};

static const struct good responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ":status=200\nContent-Length=2\nhi|"},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", ":status=200\nContent-Length=0\n|"},
    {"HTTP/1.1 200 \r\nServer: x\r\n\r\nto the end", ":status=200\nServer=x\nto the end|(close)"},
    {"HTTP/1.0 404 Not \xc3\xa4 Found\r\nContent-Length: 1\r\n\r\nx", ":status=404\nContent-Length=1\nx|(close)"},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ":status=204\n|"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ":status=304\nContent-Length=5\n|"},
    {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", ":status=103\nLink=</x>\n|"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ngrpc-status: 0\r\n\r\n",
     ":status=200\n\n--\ngrpc-status=0\n|"},
};

static void check_good(enum h1_kind kind, const struct good *g, size_t step)
{
    struct outcome o = run(kind, view_of(g->bytes), step, true, false);
    if (o.result != 0)
        fail_msg("%s: refused: %s", g->bytes, h1_reason_text(o.reason));
    assert_string_equal(buf_cstr(&o.text), g->understood);
    buf_done(&o.text);
}

static void messages_are_understood_whole_and_in_any_slices(void **state)
{
    for (size_t step = 1; step < 40; step += step < 5 ? 1 : 7) {
        for (size_t i = 0; i < COUNT_OF(requests); i++)
            check_good(H1_REQUEST, &requests[i], step);
        for (size_t i = 0; i < COUNT_OF(responses); i++)
            check_good(H1_RESPONSE, &responses[i], step);
    }
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        check_good(H1_REQUEST, &requests[i], 100000);
    for (size_t i = 0; i < COUNT_OF(responses); i++)
        check_good(H1_RESPONSE, &responses[i], 100000);
}

struct refused {
    enum h1_reason reason;
    struct view bytes;
};

#define R(reason, text)                                                                                                \
    {                                                                                                                  \
        H1_##reason,                                                                                                   \
        {                                                                                                              \
            text, sizeof(text) - 1                                                                                     \
        }                                                                                                              \
    }
#define HEAD "POST / HTTP/1.1\r\nHost: a\r\n"
#define CL(reason, text) R(reason, HEAD "Content-Length: " text "\r\n\r\n")
#define TE(reason, text) R(reason, HEAD "Transfer-Encoding: " text "\r\n\r\n")
#define CHUNKS(reason, text) R(reason, HEAD "Transfer-Encoding: chunked\r\n\r\n" text)
static const struct refused refused_requests[] = {
    /* Content-Length */
    CL(CONTENT_LENGTH, ""),
    CL(CONTENT_LENGTH, "+1"),
    CL(CONTENT_LENGTH, "-1"),
    CL(CONTENT_LENGTH, "-0"),
    CL(CONTENT_LENGTH, "1_0"),
    CL(CONTENT_LENGTH, "0x10"),
    CL(CONTENT_LENGTH, "010"),
    CL(CONTENT_LENGTH, "0o5"),
    CL(CONTENT_LENGTH, "1 2"),
    CL(CONTENT_LENGTH, "1,1"),
    CL(CONTENT_LENGTH, "1,2"),
    CL(CONTENT_LENGTH, "1\r\nContent-Length: 1"),
    CL(CONTENT_LENGTH, "1\r\ncontent-LENGTH: 2"),
    CL(CONTENT_LENGTH, "18446744073709551616"),
    CL(CONTENT_LENGTH, "10000000000000000000000000000000000000000"),
    CL(VALUE, "1\0"),
    CL(CONTENT_LENGTH, "1abc"),
    CL(CONTENT_LENGTH, "00"),
    /* Transfer-Encoding */
    TE(TRANSFER_ENCODING, ",chunked"),
    TE(TRANSFER_ENCODING, "chunked,"),
    TE(TRANSFER_ENCODING, "chunked, chunked"),
    TE(TRANSFER_ENCODING, "identity"),
    TE(TRANSFER_ENCODING, "xchunked"),
    TE(TRANSFER_ENCODING, "chunked;q=1"),
    TE(TRANSFER_ENCODING, ""),
    TE(TRANSFER_ENCODING, "\"chunked\""),
    TE(TRANSFER_ENCODING, "chunked, identity"),
    TE(TRANSFER_ENCODING, "gzip, chunked"),
    TE(VALUE, "\vchunked"),
    TE(VALUE, "\fchunked"),
    TE(VALUE, "chunked\0"),
    TE(TRANSFER_ENCODING, "\x85"
                          "chunked"),
    TE(LEADING_SPACE, "\r\n chunked"),
    TE(TRANSFER_CODING, "gzip"),
    TE(TRANSFER_ENCODING, "chunked\r\nTransfer-Encoding: chunked"),
    TE(LENGTH_AND_CHUNKED, "chunked\r\nContent-Length: 5"),
    CL(LENGTH_AND_CHUNKED, "5\r\nTransfer-Encoding: chunked"),
    R(NAME, HEAD "Transfer-Encoding : chunked\r\n\r\n"),
    R(NAME, HEAD "Transfer-Encoding\x85: chunked\r\n\r\n"),
    R(LINE_END, HEAD "\nTransfer-Encoding: chunked\r\n\r\n"),
    R(LEADING_SPACE, HEAD " Transfer-Encoding: chunked\r\n\r\n"),
    R(CHUNKED_IN_1_0, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    /* Chunks */
    CHUNKS(CHUNK_SIZE, "0x1\r\na\r\n0\r\n\r\n"),
    CHUNKS(CHUNK_SIZE, "+1\r\na\r\n"),
    CHUNKS(CHUNK_SIZE, "-1\r\na\r\n"),
    CHUNKS(CHUNK_SIZE, "1_0\r\n"),
    CHUNKS(CHUNK_SIZE, " 1\r\na\r\n"),
    CHUNKS(CHUNK_SIZE, "\r\n"),
    CHUNKS(CHUNK_SIZE, "10000000000000000\r\n"),
    CHUNKS(CHUNK_SIZE, "0000000000000001\r\na"),
    CHUNKS(CHUNK_SIZE, "1these-bytes\r\n"),
    CHUNKS(CHUNK_SIZE, "1\na\r\n"),
    CHUNKS(CHUNK_SIZE, "1\ra\r\n"),
    CHUNKS(CHUNK_SIZE, "1\r\r;a\na\r\n"),
    CHUNKS(CHUNK_SIZE, "1 \r\na\r\n"),
    CHUNKS(CHUNK_EXTENSION, "1;\r\na\r\n"),
    CHUNKS(CHUNK_EXTENSION, "1;a\0b\r\na\r\n"),
    CHUNKS(CHUNK_SIZE, "1;a\rb\r\na\r\n"),
    CHUNKS(CHUNK_EXTENSION, "1;a\nb\r\n"),
    CHUNKS(CHUNK_EXTENSION, "1;a=\"\n\"\r\na\r\n"),
    CHUNKS(CHUNK_EXTENSION, "1;a=\r\n"),
    CHUNKS(CHUNK_EXTENSION, "1; a\r\n"),
    CHUNKS(CHUNK_END, "1\r\nab\r\n0\r\n\r\n"),
    CHUNKS(CHUNK_END, "1\r\na0\r\n\r\n"),
    CHUNKS(CHUNK_END, "1\r\na\n0\r\n\r\n"),
    CHUNKS(CHUNK_SIZE, "1\r\na\r\n\r\n0\r\n\r\n"),
    CHUNKS(CHUNK_END, "1\r\na\rX\r\n"),
    CHUNKS(CHUNK_END, "1\r\na\r\r\n"),
    CHUNKS(TRAILER, "0\r\nContent-Length: 5\r\n\r\n"),
    CHUNKS(TRAILER, "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    CHUNKS(TRAILER, "0\r\nHost: b\r\n\r\n"),
    CHUNKS(TRAILER, "0\r\nAuthorization: x\r\n\r\n"),
    CHUNKS(LINE_END, "0\r\n\n"),
    CHUNKS(LEADING_SPACE, "0\r\n a: b\r\n\r\n"),
    CHUNKS(TRUNCATED, "1\r\na\r\n"),
    CHUNKS(TRUNCATED, "5\r\nab"),
    CHUNKS(TRUNCATED, "0\r\n"),
    R(TRUNCATED, HEAD "Content-Length: 5\r\n\r\nab"),
    /* Lines */
    R(LINE_END, "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"),
    R(LINE_END, "GET / HTTP/1.1\r\nHost: a\n\n"),
    R(VALUE, HEAD "X: a\0b\r\n\r\n"),
    R(VALUE, HEAD "X: a\x7f\r\n\r\n"),
    R(NAME, HEAD "X : a\r\n\r\n"),
    R(NAME, HEAD "X\t: a\r\n\r\n"),
    R(NAME, HEAD ": a\r\n\r\n"),
    R(NAME, HEAD "X\r\n\r\n"),
    R(LEADING_SPACE, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    R(LEADING_SPACE, HEAD "X: a\r\n b\r\n\r\n"),
    R(LEADING_SPACE, HEAD "X: a\r\n\tb\r\n\r\n"),
    R(LINE_END, HEAD "X: a\r\n\r\r\n"),
    R(METHOD, "GET\t/ HTTP/1.1\r\n\r\n"),
    R(TARGET, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    R(REQUEST_LINE, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET /\n\n\n\n"),
    R(TARGET, "GET /\r\n\r\n"),
    R(REQUEST_LINE, "GET / HTTP/0.9\r\n\r\n"),
    R(REQUEST_LINE, "GET / HTTP/1.32\r\nHost: a\r\n\r\n"),
    R(REQUEST_LINE, "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    R(REQUEST_LINE, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    R(REQUEST_LINE, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    R(REQUEST_LINE, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    R(VERSION, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    R(VERSION, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    R(REQUEST_LINE, "GET / \r\n\r\n"),
    R(METHOD, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(METHOD, "\r\n\r\n\r\n\r\n\r\n\r\n"),
    R(METHOD, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    R(METHOD, "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(LEADING_SPACE, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(METHOD, "G\x80T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(METHOD, "\x16\x03\x01\x02"),
    /* Targets and hosts */
    R(TARGET, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET /% HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(TARGET, "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(CONNECT_BODY, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"),
    R(HOST_MISSING, "GET / HTTP/1.1\r\n\r\n"),
    R(DUPLICATE, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: [x]\r\n\r\n"),
    R(HOST, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    R(CONNECTION, HEAD "Connection: content-length\r\n\r\n"),
    R(CONNECTION, HEAD "Connection: Host\r\n\r\n"),
    R(CONNECTION, HEAD "Connection: a b\r\n\r\n"),
};

static const struct refused refused_responses[] = {
    R(STATUS_LINE, "HTTP/1.1 20 OK\r\n\r\n"),
    R(STATUS_LINE, "HTTP/2.0 200 OK\r\n\r\n"),
    R(STATUS_LINE, "HTTP/1.1  200 OK\r\n\r\n"),
    R(STATUS_LINE, "HTTP/1.1 099 OK\r\n\r\n"),
    R(STATUS_LINE, "HTTP/1.1 2000 OK\r\n\r\n"),
    R(STATUS_LINE, "<html>\n\n\n\n\n\n"),
    R(LINE_END, "HTTP/1.1 200 OK\nA: b\r\n\r\n"),
    R(LINE_END, "HTTP/1.1 200 OK\r\nA: b\n\n"),
    R(LENGTH_AND_CHUNKED, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    R(CONTENT_LENGTH, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    R(TRANSFER_ENCODING, "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
    R(TRUNCATED, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
    R(CHUNKED_IN_1_0, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
};

static void check_refused(enum h1_kind kind, const struct refused *r, size_t step)
{
    struct outcome o = run(kind, r->bytes, step, true, false);
    if (o.result != -EBADMSG || o.reason != r->reason)
        fail_msg("%.*s\n(step %zu) gave %d %s, expected %s", VIEW_ARGS(r->bytes), step, o.result,
                 h1_reason_text(o.reason), h1_reason_text(r->reason));
    assert_true(h1_reason_status(o.reason) >= 400);
    buf_done(&o.text);
}

static void ambiguous_messages_are_refused_with_their_reason_in_any_slices(void **state)
{
    static const size_t steps[] = {100000, 1, 2, 3, 16, 17};
    for (size_t s = 0; s < COUNT_OF(steps); s++) {
        for (size_t i = 0; i < COUNT_OF(refused_requests); i++)
            check_refused(H1_REQUEST, &refused_requests[i], steps[s]);
        for (size_t i = 0; i < COUNT_OF(refused_responses); i++)
            check_refused(H1_RESPONSE, &refused_responses[i], steps[s]);
    }
}

static void a_header_name_takes_token_bytes_only(void **state)
{
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (unsigned pad = 0; pad < 20; pad++) { /* at every place of the 16-byte steps */
        for (unsigned c = 0; c < 256; c++) {
            char text[128];
            int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%.*s?x: y\r\n\r\n", (int)pad,
                             "aaaaaaaaaaaaaaaaaaaaaaaa");
            *(char *)memchr(text, '?', (size_t)n) = (char)c;
            struct outcome o = run(H1_REQUEST, (struct view){text, (size_t)n}, 1000, true, false);
            bool token = c && strchr(tokens, (int)c);
            if (c == ':') /* ends the name; the rest is value */
                assert_int_equal(o.result, pad ? 0 : -EBADMSG);
            else
                assert_int_equal(o.result, token ? 0 : -EBADMSG);
            buf_done(&o.text);
        }
    }
}

static void limits_hold_for_targets_headers_and_counts(void **state)
{
    struct buf b = {0};
    buf_str(&b, "GET /");
    for (int i = 0; i < LIMIT_HTTP_URI_BYTES; i++)
        buf_char(&b, 'a');
    buf_str(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct outcome o = run(H1_REQUEST, buf_read(&b), 1000000, false, false);
    assert_int_equal(o.reason, H1_TARGET_LONG);
    buf_clear(&b);
    buf_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < LIMIT_HTTP_HEADER_COUNT; i++)
        buf_str(&b, "a: b\r\n");
    buf_str(&b, "\r\n");
    o = run(H1_REQUEST, buf_read(&b), 1000000, false, false);
    assert_int_equal(o.reason, H1_HEADERS_MANY);
    buf_clear(&b);
    buf_str(&b, "GET / HTTP/1.1\r\nHost: a\r\nx: ");
    for (int i = 0; i < LIMIT_HTTP_HEADER_BYTES; i++)
        buf_char(&b, 'a');
    o = run(H1_REQUEST, buf_read(&b), 4096, false, false); /* no line end in sight */
    assert_int_equal(o.result, -EBADMSG);
    assert_int_equal(o.reason, H1_HEADERS_LARGE);
    buf_clear(&b);
    buf_str(&b, HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < LIMIT_HTTP_CHUNK_EXT_BYTES / 4 + 1; i++)
        buf_str(&b, "1;abc\r\nx\r\n");
    o = run(H1_REQUEST, buf_read(&b), 100, false, false);
    assert_int_equal(o.reason, H1_CHUNK_EXTENSION);
    buf_done(&o.text);
    buf_done(&b);
}

static void the_next_message_stays_untouched(void **state)
{
    struct outcome o = run(H1_REQUEST, VIEW(HEAD "Content-Length: 2\r\n\r\nabGET / HTTP/1.1\r\n"), 1000, false, false);
    assert_int_equal(o.result, 0);
    assert_int_equal(o.used, sizeof(HEAD "Content-Length: 2\r\n\r\nab") - 1);
    buf_done(&o.text);
}

static void a_response_to_head_has_no_body(void **state)
{
    struct outcome o = run(H1_RESPONSE, VIEW("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 1000, false, true);
    assert_int_equal(o.result, 0);
    assert_string_equal(buf_cstr(&o.text), ":status=200\nContent-Length=5\n|");
    buf_done(&o.text);
}

static void check_written(enum h1_kind kind, const char *in, const struct h1_out *how, const char *out)
{
    struct headers h;
    headers_init(&h, NULL);
    struct h1 p;
    h1_init(&p, kind);
    size_t n;
    assert_int_equal(h1_head(&p, &h, view_of(in), &n), 0);
    struct h1_out o = *how;
    o.kind = kind;
    size_t room = h1_room(&h);
    char *text = (char *)malloc(room + 1), *end = h1_write_head(text, &h, &o);
    assert_non_null(end);
    assert_true((size_t)(end - text) <= room);
    *end = 0;
    assert_string_equal(text, out);
    free(text);
}

static void what_is_written_has_one_form(void **state)
{
    check_written(H1_REQUEST,
                  "GET /x HTTP/1.1\r\nA: 1\r\nB:2\r\nHost: h\r\nC: 3 \r\nD: 4\r\nConnection: close\r\nE: 5\r\n\r\n",
                  &(struct h1_out){0}, "GET /x HTTP/1.1\r\nhost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n");
    check_written(H1_REQUEST, "POST http://q/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                  &(struct h1_out){.framing = H1_CHUNKED},
                  "POST / HTTP/1.1\r\nhost: q\r\ntransfer-encoding: chunked\r\n\r\n");
    check_written(H1_REQUEST, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
                  &(struct h1_out){0},
                  "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    check_written(H1_RESPONSE, "HTTP/1.1 200 Fine\r\nContent-Length: 7\r\n\r\n",
                  &(struct h1_out){.framing = H1_LENGTH, .close = true},
                  "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nconnection: close\r\n\r\n");
    check_written(H1_RESPONSE, "HTTP/1.1 299 Odd\r\nContent-Length: 7\r\n\r\n", &(struct h1_out){.framing = H1_CHUNKED},
                  "HTTP/1.1 299 \r\ntransfer-encoding: chunked\r\n\r\n");
    check_written(H1_RESPONSE, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
                  &(struct h1_out){.length_zero = true, .keep_alive_1_0 = true},
                  "HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
}

static void values_that_would_split_a_message_are_not_written(void **state)
{
    static const struct view evil[] = {VIEW("a\r\nb: c"), VIEW("a\nb"), {"a\0b", 3}};
    struct h1_out out = {.kind = H1_REQUEST};
    char room[1024];
    for (size_t i = 0; i < COUNT_OF(evil); i++) {
        enum header_id ids[] = {HEADER_METHOD, HEADER_PATH, HEADER_AUTHORITY, HEADER_COOKIE};
        for (size_t k = 0; k < COUNT_OF(ids); k++) {
            struct headers h;
            headers_init(&h, NULL);
            assert_int_equal(headers_add(&h, HEADER_METHOD, VIEW("GET")), 0);
            assert_int_equal(headers_add(&h, HEADER_PATH, VIEW("/")), 0);
            assert_int_equal(headers_add(&h, HEADER_AUTHORITY, VIEW("a")), 0);
            assert_non_null(h1_write_head(room, &h, &out));
            assert_int_equal(headers_set(&h, ids[k], evil[i]), 0);
            assert_null(h1_write_head(room, &h, &out));
        }
        struct headers h;
        headers_init(&h, NULL);
        assert_int_equal(headers_add(&h, HEADER_STATUS, VIEW("200")), 0);
        assert_int_equal(headers_add_name(&h, HEADER_OTHER, evil[i], VIEW("x")), 0);
        assert_null(h1_write_head(room, &h, &(struct h1_out){.kind = H1_RESPONSE}));
    }
}

static void chunk_heads_are_hexadecimal(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } table[] = {{0, "0\r\n"},   {1, "1\r\n"},           {15, "f\r\n"},
                 {16, "10\r\n"}, {0x12345, "12345\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char text[H1_CHUNK_HEAD + 1] = {0};
        assert_true(h1_write_chunk_head(text, table[i].n) <= text + H1_CHUNK_HEAD);
        assert_string_equal(text, table[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_understood_whole_and_in_any_slices),
        cmocka_unit_test(ambiguous_messages_are_refused_with_their_reason_in_any_slices),
        cmocka_unit_test(a_header_name_takes_token_bytes_only),
        cmocka_unit_test(limits_hold_for_targets_headers_and_counts),
        cmocka_unit_test(the_next_message_stays_untouched),
        cmocka_unit_test(a_response_to_head_has_no_body),
        cmocka_unit_test(what_is_written_has_one_form),
        cmocka_unit_test(values_that_would_split_a_message_are_not_written),
        cmocka_unit_test(chunk_heads_are_hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
