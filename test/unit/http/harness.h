// SPDX-License-Identifier: Apache-2.0
/* Two ends of a connection on the simulated network, for the tests of http/: each end is either an http_conn with a
 * recording owner, or raw bytes. run(f) lets a second pass.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "http/conn.h"
#include "http/stream.h"
#include "net/conn.h"
#include "net/sim.h"

enum { BIT_CONN = 1, BIT_STREAM = 2, BIT_RAW = 4, STREAMS = 256 };

struct end {
    struct task task;
    struct conn *raw; /* when it speaks bytes */
    struct buf raw_in;
    bool raw_eof;
    struct http_conn *http;
    struct http_stream *streams[STREAMS]; /* server: accepted, client: opened by the test */
    int n_streams, woken;
    void (*serve)(struct http_stream *s); /* called for every wake of every stream */
    bool consume;                         /* bodies are read into `body` as they come */
    struct buf body;
};

struct fixture {
    struct sim *sim;
    struct loop *loop;
    struct http_shared *shared;
    struct end client, server;
};

static void end_run(struct task *t, uint32_t events)
{
    struct end *e = CONTAINER_OF(t, struct end, task);
    e->woken++;
    if (e->raw && (events & BIT_RAW)) {
        ssize_t n;
        while ((n = conn_recv_buf(e->raw, &e->raw_in, 4096)) > 0)
            ;
        if (n == 0 || (n < 0 && n != -EAGAIN))
            e->raw_eof = true;
    }
    if (!e->http)
        return;
    struct http_stream *s;
    while ((s = http_conn_accept(e->http, &e->task, BIT_STREAM)))
        e->streams[e->n_streams++] = s;
    for (int i = 0; i < e->n_streams; i++) {
        struct view v;
        while (e->consume && e->streams[i] && http_stream_peek(e->streams[i], &v)) {
            buf_view(&e->body, v);
            http_stream_consume(e->streams[i], v.n);
        }
        if (e->streams[i] && e->serve)
            e->serve(e->streams[i]);
    }
}

static inline void run(struct fixture *f)
{
    sim_run(f->sim, NS_PER_S / 2);
}

static inline void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->sim = sim_new(7);
    f->loop = sim_loop(sim_host(f->sim, "host", "10.0.0.1"), SIM_APP);
    f->shared = http_shared_new(f->loop);
    task_init(&f->client.task, f->loop, end_run, "client");
    task_init(&f->server.task, f->loop, end_run, "server");
    f->client.consume = f->server.consume = true;
}

/* NULL config: that end is raw. */
static inline void connect_ends(struct fixture *f, const struct http_conn_config *client,
                                const struct http_conn_config *server)
{
    struct conn *a, *b;
    assert_int_equal(conn_pair(f->loop, &a, &b), 0);
    if (client) {
        f->client.http = http_conn_new(f->shared, a, client, &f->client.task, BIT_CONN);
    } else {
        f->client.raw = a;
        conn_own(a, &f->client.task, BIT_RAW, BIT_RAW);
    }
    if (server) {
        f->server.http = http_conn_new(f->shared, b, server, &f->server.task, BIT_CONN);
    } else {
        f->server.raw = b;
        conn_own(b, &f->server.task, BIT_RAW, BIT_RAW);
    }
    run(f);
}

static inline void end_free(struct end *e)
{
    for (int i = 0; i < e->n_streams; i++)
        http_stream_free(e->streams[i]);
    http_conn_free(e->http);
    conn_close(e->raw);
    e->http = NULL;
    e->raw = NULL;
    e->n_streams = 0;
    buf_done(&e->raw_in);
    buf_done(&e->body);
    task_done(&e->task);
}

static inline void fixture_done(struct fixture *f)
{
    end_free(&f->client);
    end_free(&f->server);
    http_shared_free(f->shared);
    sim_free(f->sim);
}

static inline void raw_send(struct fixture *f, struct end *e, struct view v)
{
    while (v.n) {
        ssize_t n = conn_send_view(e->raw, v);
        if (n > 0)
            v = view_from(v, (size_t)n);
        else if (n != -EAGAIN)
            break;
        run(f);
    }
    run(f);
}

static inline struct http_stream *open_stream(struct fixture *f)
{
    struct http_stream *s = NULL;
    assert_int_equal(http_conn_open(f->client.http, &f->client.task, BIT_STREAM, &s), 0);
    f->client.streams[f->client.n_streams++] = s;
    return s;
}

/* Frees stream i of an end and forgets it. */
static inline void close_stream(struct end *e, int i)
{
    e->streams[i] = http_stream_free(e->streams[i]);
}

static inline void request_headers(struct headers *h, struct arena *a, const char *method, const char *path)
{
    headers_init(h, a);
    assert_int_equal(headers_add(h, HEADER_METHOD, view_of(method)), 0);
    assert_int_equal(headers_add(h, HEADER_SCHEME, VIEW("http")), 0);
    assert_int_equal(headers_add(h, HEADER_PATH, view_of(path)), 0);
    assert_int_equal(headers_add(h, HEADER_AUTHORITY, VIEW("test")), 0);
}

static inline void response_headers(struct headers *h, struct arena *a, unsigned status)
{
    headers_init(h, a);
    assert_int_equal(headers_add(h, HEADER_STATUS, header_status_text(status)), 0);
}

#define assert_view(v, text) assert_true(view_is((v), (text)))
