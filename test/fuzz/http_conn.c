// SPDX-License-Identifier: Apache-2.0
/* Fuzz target of whole connections (http/conn.h) on the simulated network: a server that echoes, its peer's bytes are the
 * input. First byte: version, whether bodies are read, when streams are freed; second: size of slices. Invariants: no
 * access behind memory (sanitizers), streams end, and after the peer left the connection is over.
 */
#include "fuzz.h"

#include <errno.h>

#include "base/clock.h"
#include "http/conn.h"
#include "http/stream.h"
#include "net/conn.h"
#include "net/sim.h"

enum { BIT_CONN = 1, BIT_STREAM = 2, STREAMS = 64 };

struct server {
    struct task task;
    struct http_conn *http;
    struct http_stream *streams[STREAMS];
    unsigned n;
    uint8_t mode;
};

static void answer(struct http_stream *s)
{
    struct headers h;
    if (s->ready & (HTTP_RESET | HTTP_SENT))
        return;
    headers_init(&h, &s->arena);
    must(headers_add(&h, HEADER_STATUS, headers_has(&s->in, HEADER_UPGRADE) ? VIEW("101") : VIEW("200")) == 0);
    if (headers_has(&s->in, HEADER_UPGRADE))
        must(headers_add(&h, HEADER_UPGRADE, VIEW("websocket")) == 0);
    int r = http_stream_headers(s, &h, false);
    must(r == 0 || r == -EPIPE || r == -EINVAL);
}

static void serve(struct server *v, unsigned i)
{
    struct http_stream *s = v->streams[i];
    struct view bytes;
    if (v->mode & 2)
        answer(s);
    while (!(v->mode & 4) && http_stream_peek(s, &bytes)) {
        ssize_t n = http_stream_data(s, bytes, false);
        http_stream_consume(s, n > 0 ? (size_t)n : bytes.n);
    }
    if ((s->ready & HTTP_END) || headers_has(&s->in, HEADER_UPGRADE) || !headers_has(&s->in, HEADER_PATH))
        answer(s); /* a tunnel's bytes come after it */
    if ((s->ready & HTTP_END) && !(s->ready & HTTP_RESET)) {
        ssize_t n = http_stream_data(s, VIEW_NONE, true);
        must(n <= 0);
    }
    if (http_stream_over(s) || ((v->mode & 8) && i % 3 == 0)) {
        must(http_stream_over(s) || !(s->ready & HTTP_RESET));
        v->streams[i] = http_stream_free(s);
        v->streams[i] = NULL;
    }
}

static void server_run(struct task *t, uint32_t events)
{
    struct server *v = CONTAINER_OF(t, struct server, task);
    struct http_stream *s;
    while (v->http && v->n < STREAMS && (s = http_conn_accept(v->http, t, BIT_STREAM)))
        v->streams[v->n++] = s;
    for (unsigned i = 0; i < v->n; i++)
        if (v->streams[i])
            serve(v, i);
    if (v->mode & 16)
        http_conn_drain(v->http);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct server v = {0};
    struct conn *a, *b;
    if (size < 2)
        return 0;
    v.mode = data[0];
    struct sim *sim = sim_new(1);
    struct loop *loop = sim_loop(sim_host(sim, "h", "10.0.0.1"), SIM_APP);
    struct http_shared *shared = http_shared_new(loop);
    struct http_conn_config config = {
        .role = HTTP_SERVER, .version = v.mode & 1 ? HTTP_2 : HTTP_1, .headers_ns = NS_PER_S};
    task_init(&v.task, loop, server_run, "server");
    must(conn_pair(loop, &a, &b) == 0);
    v.http = http_conn_new(shared, b, &config, &v.task, BIT_CONN);
    conn_own(a, &v.task, BIT_STREAM, BIT_STREAM);
    size_t step = 1 + data[1] * 16u;
    struct view rest = {(const char *)data + 2, size - 2};
    while (rest.n) {
        char scratch[4096];
        ssize_t n = conn_send_view(a, view_head(rest, step));
        sim_run(sim, NS_PER_MS);
        while (conn_recv(a, scratch, sizeof(scratch)) > 0)
            sim_run(sim, NS_PER_MS);
        if (n <= 0)
            break;
        rest = view_from(rest, (size_t)n);
    }
    conn_close(a);
    v.mode &= (uint8_t)~4; /* who reads nothing does not learn that the peer left */
    task_wake(&v.task, BIT_STREAM);
    sim_run(sim, 5 * NS_PER_S);
    must(http_conn_ready(v.http) & HTTP_CONN_CLOSED);
    for (unsigned i = 0; i < v.n; i++)
        http_stream_free(v.streams[i]);
    http_conn_free(v.http);
    task_done(&v.task);
    http_shared_free(shared);
    sim_free(sim);
    return 0;
}
