// SPDX-License-Identifier: Apache-2.0
/* One GET on the control loop (fetch.h). */
#include "proxy/fetch.h"

#include <errno.h>

#include "http/conn.h"
#include "http/grpc_call.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/timer.h"
#include "net/tls.h"

enum fetch_bits {
    FETCH_CONN = 1,
    FETCH_STREAM = 2,
    FETCH_LATE = 4,
};

struct fetch {
    struct task task;
    struct timer timer;
    struct arena arena;
    struct task *owner;
    uint32_t bits;
    struct conn *conn; /* connect_only; else http owns it */
    struct http_conn *http;
    struct http_stream *stream;
    struct tls_context *tls;
    struct headers head;
    bool grpc;
    struct view health; /* HealthCheckRequest */
    struct grpc_call *call;
    struct view host;
    struct buf body;
    size_t most;
    int result;
    unsigned status;
};

static void fetch_end(struct fetch *f, int result)
{
    if (f->result != -EAGAIN)
        return;
    f->result = result;
    timer_clear(&f->timer);
    task_wake(f->owner, f->bits);
}

static void fetch_read(struct fetch *f)
{
    struct http_stream *s = f->stream;
    struct view v;
    while (http_stream_peek(s, &v)) {
        if (buf_len(&f->body) + v.n > f->most) {
            fetch_end(f, -EMSGSIZE);
            return;
        }
        buf_view(&f->body, v);
        http_stream_consume(s, v.n);
    }
    if (s->ready & HTTP_END) {
        f->status = headers_status(&s->in);
        fetch_end(f, 0);
    } else if (s->ready & HTTP_RESET) {
        fetch_end(f, -ECONNRESET);
    }
}

/* grpc.health.v1: message 1 is the service's name, field 1 of the answer is 1 for SERVING. */
static void fetch_grpc(struct fetch *f)
{
    struct view v;
    if (!f->call) {
        struct grpc_call_config config = {.path = VIEW("/grpc.health.v1.Health/Check"), .authority = f->host};
        if (!(http_conn_ready(f->http) & HTTP_CONN_CAPACITY))
            return;
        if (grpc_call_start(f->http, &config, &f->task, FETCH_STREAM, &f->call) < 0)
            return;
        if (grpc_call_send(f->call, f->health, true) < 0)
            fetch_end(f, -EPROTO);
    }
    int r = f->result == -EAGAIN ? grpc_call_recv(f->call, &v) : -EAGAIN;
    if (r == 0)
        fetch_end(f, v.n >= 2 && v.p[0] == 8 && v.p[1] == 1 ? 0 : -EHOSTDOWN);
    else if (r != -EAGAIN)
        fetch_end(f, -EPROTO);
}

static void fetch_run(struct task *t, uint32_t events)
{
    struct fetch *f = CONTAINER_OF(t, struct fetch, task);
    if (f->result != -EAGAIN)
        return;
    if (events & FETCH_LATE) {
        fetch_end(f, -ETIMEDOUT);
        return;
    }
    if (f->conn) {
        int r = conn_ready(f->conn);
        if (r != -EAGAIN)
            fetch_end(f, r);
        return;
    }
    if (f->grpc)
        fetch_grpc(f);
    else if (!f->stream && (http_conn_ready(f->http) & HTTP_CONN_CAPACITY)) {
        if (http_conn_open(f->http, &f->task, FETCH_STREAM, &f->stream) == 0 &&
            http_stream_headers(f->stream, &f->head, true) < 0)
            fetch_end(f, -EPROTO);
    }
    if (f->stream)
        fetch_read(f);
    if (f->result == -EAGAIN && (http_conn_ready(f->http) & HTTP_CONN_CLOSED)) {
        int e = http_conn_error(f->http);
        fetch_end(f, e ? e : -ECONNRESET);
    }
}

static int fetch_head(struct fetch *f, const struct fetch_config *c)
{
    struct headers *h = &f->head;
    headers_init(h, &f->arena);
    int r = headers_add(h, HEADER_METHOD, VIEW("GET"));
    r = r < 0 ? r : headers_add(h, HEADER_SCHEME, c->tls ? VIEW("https") : VIEW("http"));
    r = r < 0 ? r : headers_add(h, HEADER_AUTHORITY, arena_view(&f->arena, c->host));
    r = r < 0 ? r : headers_add(h, HEADER_PATH, c->path.n ? arena_view(&f->arena, c->path) : VIEW("/"));
    return r < 0 || !c->headers ? r : headers_copy(h, c->headers);
}

static int fetch_tls(struct fetch *f, const struct fetch_config *c, struct conn **conn)
{
    const char *why;
    int r = tls_context_new(c->loop, &(struct tls_config){0}, &f->tls, &why);
    return r < 0 ? r : tls_connect(f->tls, *conn, &(struct tls_options){.timeout = c->timeout}, conn);
}

int fetch_start(const struct fetch_config *c, struct task *owner, uint32_t bits, struct fetch **ret_fetch)
{
    struct fetch *f = mem_alloc(sizeof(*f));
    struct conn *conn;
    f->owner = owner;
    f->bits = bits;
    f->result = -EAGAIN;
    f->most = c->most;
    arena_init(&f->arena, 1024);
    task_init(&f->task, c->loop, fetch_run, "fetch");
    timer_init(&f->timer, &f->task, FETCH_LATE);
    f->grpc = c->grpc_health;
    f->host = arena_view(&f->arena, c->host);
    if (c->service.n && c->service.n < 128)
        f->health = arena_printf(&f->arena, "\n%c%.*s", (int)c->service.n, VIEW_ARGS(c->service));
    int r = fetch_head(f, c);
    if (r == 0)
        r = conn_connect(c->loop, &c->to, &(struct conn_options){.bind = c->bind, .timeout = c->timeout}, &conn);
    if (r < 0) {
        fetch_free(f);
        return r;
    }
    if (c->tls && (r = fetch_tls(f, c, &conn)) < 0) {
        conn_close(conn);
        fetch_free(f);
        return r;
    }
    if (c->connect_only) {
        f->conn = conn;
        conn_own(conn, &f->task, FETCH_CONN, FETCH_CONN);
    } else {
        struct http_conn_config config = {.role = HTTP_CLIENT, .version = c->grpc_health ? HTTP_2 : HTTP_1};
        f->http = http_conn_new(c->http, conn, &config, &f->task, FETCH_CONN);
    }
    task_wake(&f->task, FETCH_CONN);
    timer_in(&f->timer, c->timeout);
    *ret_fetch = f;
    return 0;
}

int fetch_result(const struct fetch *f)
{
    return f->result;
}

unsigned fetch_status(const struct fetch *f)
{
    return f->status;
}

struct view fetch_content_type(const struct fetch *f)
{
    return f->stream ? headers_value(&f->stream->in, HEADER_CONTENT_TYPE) : VIEW_NONE;
}

struct buf *fetch_body(struct fetch *f)
{
    return &f->body;
}

struct fetch *fetch_free(struct fetch *f)
{
    if (!f)
        return NULL;
    grpc_call_free(f->call);
    http_stream_free(f->stream);
    http_conn_free(f->http);
    conn_close(f->conn);
    tls_context_free(f->tls);
    timer_done(&f->timer);
    task_done(&f->task);
    buf_done(&f->body);
    arena_done(&f->arena);
    mem_free(f);
    return NULL;
}
