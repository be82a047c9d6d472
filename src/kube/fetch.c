// SPDX-License-Identifier: Apache-2.0
/* Connecting, sending and receiving (fetch.h). A connection serves one exchange: the server is a Unix socket away. */
#include "kube/fetch.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/conn.h"
#include "net/conn.h"

static void fail(struct fetch *f, int err)
{
    f->over = true;
    f->error = err;
}

static int open_conn(struct fetch *f)
{
    struct addr to;
    struct conn *conn;
    int err = addr_parse(view_of(f->client->path), &to);
    if (!err)
        err = conn_connect(f->client->loop, &to, &(struct conn_options){.timeout = 5 * NS_PER_S}, &conn);
    if (err)
        return err;
    struct http_conn_config config = {.role = HTTP_CLIENT, .version = HTTP_1, .scheme = VIEW("http")};
    f->conn = http_conn_new(f->client->http, conn, &config, f->task, f->bits);
    return 0;
}

void kube_fetch_start(struct fetch *f, struct kube_client *client, const char *method, struct view path,
                      struct view content_type, struct view body, struct task *task, uint32_t bits)
{
    kube_fetch_done(f);
    *f = (struct fetch){
        .client = client, .task = task, .bits = bits, .method = method, .content_type = content_type, .active = true};
    f->path = mem_alloc(path.n + 1);
    memcpy(f->path, path.p, path.n);
    buf_view(&f->out, body);
    int err = open_conn(f);
    if (err)
        fail(f, err);
    task_wake(task, bits);
}

static int add_headers(struct fetch *f, struct headers *h, char length[24])
{
    int err = headers_add(h, HEADER_METHOD, view_of(f->method));
    err = err ? err : headers_add(h, HEADER_SCHEME, VIEW("http"));
    err = err ? err : headers_add(h, HEADER_PATH, view_of(f->path));
    err = err ? err : headers_add(h, HEADER_AUTHORITY, VIEW("kubernetes.default.svc"));
    err = err ? err : headers_add(h, HEADER_USER_AGENT, f->client->agent);
    err = err ? err : headers_add(h, HEADER_ACCEPT, VIEW("application/json"));
    if (f->client->token.n)
        err = err ? err : headers_add(h, HEADER_AUTHORIZATION, f->client->token);
    if (buf_len(&f->out)) {
        err = err ? err : headers_add(h, HEADER_CONTENT_TYPE, f->content_type);
        err = err ? err : headers_add(h, HEADER_CONTENT_LENGTH, view_make(length, strlen(length)));
    }
    return err;
}

static void send_head(struct fetch *f)
{
    int err = http_conn_open(f->conn, f->task, f->bits, &f->stream);
    if (err == -EAGAIN)
        return;
    if (err) {
        fail(f, err);
        return;
    }
    struct headers h;
    struct buf number = {0};
    char length[24] = "0";
    headers_init(&h, &f->stream->arena);
    buf_u64(&number, buf_len(&f->out));
    memcpy(length, buf_cstr(&number), buf_len(&number) + 1);
    buf_done(&number);
    err = add_headers(f, &h, length);
    if (!err)
        err = http_stream_headers(f->stream, &h, buf_len(&f->out) == 0);
    f->sent = buf_len(&f->out) == 0;
    if (err)
        fail(f, err);
}

static void send_body(struct fetch *f)
{
    ssize_t n = http_stream_data(f->stream, buf_read(&f->out), true);
    if (n < 0) {
        fail(f, (int)n);
        return;
    }
    buf_drop(&f->out, (size_t)n);
    f->sent = buf_len(&f->out) == 0;
}

static void receive(struct fetch *f)
{
    struct http_stream *s = f->stream;
    struct view v;
    if ((s->ready & HTTP_HEADERS) && !f->status)
        f->status = headers_status(&s->in);
    while (http_stream_peek(s, &v)) {
        buf_view(&f->body, v);
        http_stream_consume(s, v.n);
    }
    if (buf_len(&f->body) > LIMIT_CONTROL_SOCKET_BYTES)
        fail(f, -EMSGSIZE);
    else if (s->ready & HTTP_END)
        f->over = true;
    else if (s->ready & HTTP_RESET)
        fail(f, -ECONNRESET);
}

void kube_fetch_run(struct fetch *f)
{
    if (!f->active || f->over)
        return;
    if (!f->stream && (http_conn_ready(f->conn) & HTTP_CONN_CAPACITY))
        send_head(f);
    if (!f->over && f->stream && !f->sent)
        send_body(f);
    if (!f->over && f->stream)
        receive(f);
    if (!f->over && !f->stream && (http_conn_ready(f->conn) & HTTP_CONN_CLOSED)) {
        int err = http_conn_error(f->conn);
        fail(f, err ? -(err < 0 ? -err : err) : -ECONNREFUSED);
    }
}

void kube_fetch_done(struct fetch *f)
{
    if (!f->active)
        return;
    http_stream_free(f->stream);
    http_conn_free(f->conn);
    buf_done(&f->out);
    buf_done(&f->body);
    mem_free(f->path);
    *f = (struct fetch){0};
}
