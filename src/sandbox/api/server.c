// SPDX-License-Identifier: Apache-2.0
/* Connections and exchanges of the API (api_server.h). An exchange reads its whole body, asks api_handle(), and sends
 * what comes back; a body that goes on is asked for more whenever it was woken and the client has room.
 */
#include "sandbox/api/server.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/conn.h"
#include "net/acceptor.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/uri.h"

enum { SERVER_ACCEPT = 1 };
enum { CONN_HTTP = 1 };
enum { EXCHANGE_HTTP = 1, EXCHANGE_MORE = 2, EXCHANGE_POLL = 4 };
enum { BACKLOG_BYTES = 256 * 1024 }; /* of a stream's output before it is asked for more */

struct api_server {
    struct api *api;
    struct task task;
    struct acceptor *acceptor;
    struct list conns, exchanges;
    char where[128];
};

struct api_conn {
    struct list link;
    struct task task;
    struct api_server *server;
    struct http_conn *http;
};

struct exchange {
    struct list link;
    struct task task;
    struct timer poll;
    struct api_server *server;
    struct http_stream *http;
    struct buf body;
    struct api_response resp;
    bool answered, head_sent, complete;
};

static void exchange_free(struct exchange *x)
{
    timer_done(&x->poll);
    list_del(&x->link);
    api_stream_free(x->resp.stream);
    http_stream_free(x->http);
    task_done(&x->task);
    buf_done(&x->body);
    buf_done(&x->resp.body);
    mem_free(x);
}

static void handle(struct exchange *x)
{
    struct view target = headers_value(&x->http->in, HEADER_PATH);
    struct api_request req = {.method = headers_value(&x->http->in, HEADER_METHOD),
                              .path = uri_path_only(target),
                              .query = uri_query(target),
                              .content_type = headers_value(&x->http->in, HEADER_CONTENT_TYPE),
                              .body = buf_read(&x->body)};
    api_handle(x->server->api, &req, &x->resp);
    x->answered = true;
    buf_done(&x->body);
    if (!x->resp.stream) {
        x->complete = true;
        return;
    }
    x->resp.stream->task = &x->task;
    x->resp.stream->bits = EXCHANGE_MORE;
}

static int send_head(struct exchange *x)
{
    const struct api_stream *s = x->resp.stream;
    unsigned status = s && s->late_head ? s->status : x->resp.status;
    struct headers h;
    headers_init(&h, &x->http->arena);
    int err = headers_add(&h, HEADER_STATUS, header_status_text(status));
    err = err ? err : headers_add(&h, HEADER_CONTENT_TYPE, view_of(s && s->type ? s->type : x->resp.type));
    char length[24];
    snprintf(length, sizeof(length), "%zu", buf_len(&x->resp.body));
    if (x->complete && !s)
        err = err ? err : headers_add(&h, HEADER_CONTENT_LENGTH, view_of(length));
    x->head_sent = true;
    return err ? err : http_stream_headers(x->http, &h, false);
}

/* Fills, sends, and fills again while the client takes it. */
static int produce(struct exchange *x)
{
    for (;;) {
        struct api_stream *s = x->resp.stream;
        size_t had = buf_len(&x->resp.body);
        if (!x->complete && had < BACKLOG_BYTES)
            x->complete = s->more(s, &x->resp.body) == 1;
        bool grew = buf_len(&x->resp.body) > had;
        if (!x->head_sent) {
            if (s && s->late_head && !s->status)
                return 0;
            int err = send_head(x);
            if (err)
                return err;
        }
        ssize_t took = http_stream_data(x->http, buf_read(&x->resp.body), x->complete);
        if (took < 0)
            return (int)took;
        buf_drop(&x->resp.body, (size_t)took);
        if (buf_len(&x->resp.body) || x->complete)
            return 0; /* woken when there is room, or when it was sent */
        if (!grew)
            break;
    }
    if (x->resp.stream->poll_ns)
        timer_in(&x->poll, x->resp.stream->poll_ns);
    return 0;
}

static void exchange_run(struct task *t, uint32_t events)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, task);
    struct view v;
    while (http_stream_peek(x->http, &v)) {
        if (!x->answered)
            buf_view(&x->body, v);
        http_stream_consume(x->http, v.n);
    }
    if (buf_len(&x->body) > LIMIT_CONTROL_SOCKET_BYTES || (x->http->ready & HTTP_RESET) ||
        (x->http->ready & HTTP_SENT)) {
        exchange_free(x);
        return;
    }
    if (!x->answered && (x->http->ready & HTTP_END))
        handle(x);
    if (x->answered && !(x->complete && x->head_sent && !buf_len(&x->resp.body)) && produce(x))
        exchange_free(x);
}

static void conn_free(struct api_conn *c)
{
    list_del(&c->link);
    http_conn_free(c->http);
    task_done(&c->task);
    mem_free(c);
}

static void conn_run(struct task *t, uint32_t events)
{
    struct api_conn *c = CONTAINER_OF(t, struct api_conn, task);
    for (;;) {
        struct exchange *x = mem_alloc(sizeof(*x));
        task_init(&x->task, t->loop, exchange_run, "api exchange");
        timer_init(&x->poll, &x->task, EXCHANGE_POLL);
        x->http = http_conn_accept(c->http, &x->task, EXCHANGE_HTTP);
        if (!x->http) {
            mem_free(x);
            break;
        }
        x->server = c->server;
        list_push(&c->server->exchanges, &x->link);
        task_wake(&x->task, EXCHANGE_HTTP);
    }
    if (http_conn_ready(c->http) & HTTP_CONN_CLOSED)
        conn_free(c);
}

static void serve(struct api_server *s, struct conn *conn)
{
    struct api_conn *c = mem_alloc(sizeof(*c));
    c->server = s;
    task_init(&c->task, s->api->loop, conn_run, "api connection");
    list_push(&s->conns, &c->link);
    struct http_conn_config config = {.role = HTTP_SERVER, .version = HTTP_1, .scheme = VIEW("http")};
    c->http = http_conn_new(s->api->shared, conn, &config, &c->task, CONN_HTTP);
}

static void server_run(struct task *t, uint32_t events)
{
    struct api_server *s = CONTAINER_OF(t, struct api_server, task);
    struct conn *conn;
    while (s->acceptor && acceptor_accept(s->acceptor, &conn) == 0)
        serve(s, conn);
}

struct api_server *api_server_new(struct api *api)
{
    struct api_server *s = mem_alloc(sizeof(*s));
    s->api = api;
    task_init(&s->task, api->loop, server_run, "api server");
    list_init(&s->conns);
    list_init(&s->exchanges);
    return s;
}

struct api_server *api_server_free(struct api_server *s)
{
    if (!s)
        return NULL;
    acceptor_close(s->acceptor);
    LIST_EACH (&s->exchanges, struct exchange, link, x)
        exchange_free(x);
    LIST_EACH (&s->conns, struct api_conn, link, c)
        conn_free(c);
    task_done(&s->task);
    mem_free(s);
    return NULL;
}

int api_server_adopt(struct api_server *s, int fd)
{
    struct conn *conn;
    int err = conn_adopt(s->api->loop, fd, &conn);
    if (err)
        close(fd);
    else
        serve(s, conn);
    return err;
}

int api_server_listen(struct api_server *s, struct view where)
{
    if (where.n >= sizeof(s->where))
        return -ENAMETOOLONG;
    memcpy(s->where, where.p, where.n); /* a Unix address borrows its path */
    struct addr at;
    int err = addr_parse(view_make(s->where, where.n), &at);
    return err ? err
               : acceptor_open(s->api->loop, &at, &(struct acceptor_options){.mode = 0600}, &s->task, SERVER_ACCEPT,
                               &s->acceptor);
}

void api_server_poke(struct api_server *s)
{
    LIST_EACH (&s->exchanges, struct exchange, link, x)
        if (x->resp.stream)
            task_wake(&x->task, EXCHANGE_MORE);
}
