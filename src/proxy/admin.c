// SPDX-License-Identifier: Apache-2.0
/* The proxy's own HTTP ports (admin.h): acceptors, connections, requests, and the lookup in admin.def. */
#include "proxy/admin.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "http/conn.h"
#include "net/acceptor.h"
#include "net/loop.h"
#include "proxy/admin_impl.h"
#include "proxy/fetch.h"
#include "proxy/proxy_impl.h"
#include "proxy/text.h"

enum { ADMIN_ACCEPT = 1, ADMIN_HTTP = 1, ADMIN_DONE = 2 };

struct admin_listener {
    struct admin *admin;
    enum admin_port port;
    struct task task;
    struct acceptor *acceptor;
};

struct admin {
    struct proxy *proxy;
    struct admin_listener ports[4];
    uint32_t n_ports;
    struct list connections;
};

struct admin_conn {
    struct list link;
    struct admin *admin;
    enum admin_port port;
    struct task task;
    struct http_conn *http;
    struct list requests;
};

static const struct {
    const char *path;
    unsigned ports;
    enum admin_method method;
    void (*fn)(struct admin_request *r);
    const char *help;
} pages[] = {
#define ADMIN(path, ports, method, fn, help) {path, ports, method, fn, help},
#include "proxy/admin.def"
#undef ADMIN
};

void admin_help(struct admin_request *r)
{
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        if (pages[i].ports & ADMIN_MAIN)
            buf_printf(&r->out, "%-20s %s%s\n", pages[i].path, pages[i].help,
                       pages[i].method == ADMIN_GET ? "" : " (POST)");
}

/* ---- requests ---- */

static void request_free(struct admin_request *r)
{
    r->fetch = fetch_free(r->fetch);
    http_stream_free(r->stream);
    buf_done(&r->out);
    task_done(&r->task);
    list_del(&r->link);
    mem_free(r);
}

static void send_more(struct admin_request *r)
{
    ssize_t n = http_stream_data(r->stream, buf_read(&r->out), true);
    if (n > 0)
        buf_drop(&r->out, (size_t)n);
    r->sent_all = n < 0 || buf_len(&r->out) == 0;
}

void admin_answer(struct admin_request *r)
{
    struct headers h;
    char status[TEXT_U64], length[TEXT_U64];
    r->pending = false;
    headers_init(&h, NULL);
    size_t n = buf_len(&r->out);
    int e = headers_add(&h, HEADER_STATUS, text_u64(status, r->status));
    e = e < 0 ? e : headers_add(&h, HEADER_CONTENT_TYPE, view_of(r->type));
    e = e < 0 ? e : headers_add(&h, HEADER_CONTENT_LENGTH, text_u64(length, n));
    e = e < 0 ? e : headers_add(&h, HEADER_CACHE_CONTROL, VIEW("no-cache"));
    e = e < 0 ? e : http_stream_headers(r->stream, &h, n == 0);
    r->sent_head = true;
    r->sent_all = e < 0 || n == 0 || view_is(headers_value(&r->stream->in, HEADER_METHOD), "HEAD");
    if (!r->sent_all)
        send_more(r);
    task_wake(&r->task, ADMIN_STREAM);
}

static void request_run(struct task *t, uint32_t events)
{
    struct admin_request *r = CONTAINER_OF(t, struct admin_request, task);
    struct view v;
    (void)events;
    if (r->stream->ready & HTTP_RESET) {
        request_free(r);
        return;
    }
    while (http_stream_peek(r->stream, &v)) /* bodies mean nothing here */
        http_stream_consume(r->stream, v.n);
    if (r->fetch && fetch_result(r->fetch) != -EAGAIN && r->fetched) {
        void (*fetched)(struct admin_request *) = r->fetched;
        r->fetched = NULL;
        fetched(r);
    }
    if (r->sent_head && !r->sent_all)
        send_more(r);
    if (r->sent_all)
        request_free(r);
}

static void dispatch(struct admin_conn *c, struct admin_request *r)
{
    struct view method = headers_value(&r->stream->in, HEADER_METHOD);
    bool post = view_is(method, "POST");
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        struct view path = view_of(pages[i].path);
        bool under = path.n > 1 && path.p[path.n - 1] == '/';
        if (!(pages[i].ports & c->port) || !(under ? view_starts(r->path, path) : view_eq(r->path, path)))
            continue;
        if (pages[i].method == ADMIN_POST_LOCAL && !addr_is_loopback(conn_remote(http_conn_below(c->http))))
            r->status = 403;
        else if (post != (pages[i].method != ADMIN_GET))
            r->status = 405;
        else
            pages[i].fn(r);
        return;
    }
    r->status = 404;
    if (c->port == ADMIN_MAIN)
        admin_help(r);
}

static void request_new(struct admin_conn *c, struct http_stream *stream)
{
    struct admin_request *r = mem_alloc(sizeof(*r));
    r->proxy = c->admin->proxy;
    r->stream = stream;
    r->status = 200;
    r->type = "text/plain; charset=UTF-8";
    list_push(&c->requests, &r->link);
    task_init(&r->task, r->proxy->loop, request_run, "admin request");
    http_stream_own(stream, &r->task, ADMIN_STREAM);
    struct view target = headers_value(&stream->in, HEADER_PATH);
    r->path = view_head(target, view_find(target, '?'));
    r->query = view_from(target, r->path.n + 1);
    dispatch(c, r);
    if (!r->pending)
        admin_answer(r);
}

/* ---- connections ---- */

static void conn_free(struct admin_conn *c)
{
    LIST_EACH (&c->requests, struct admin_request, link, r)
        request_free(r);
    c->http = http_conn_free(c->http);
    task_done(&c->task);
    list_del(&c->link);
    mem_free(c);
}

static void admin_conn_run(struct task *t, uint32_t events)
{
    struct admin_conn *c = CONTAINER_OF(t, struct admin_conn, task);
    struct http_stream *s;
    (void)events;
    while ((s = http_conn_accept(c->http, &c->task, ADMIN_HTTP)))
        request_new(c, s);
    if (http_conn_ready(c->http) & HTTP_CONN_CLOSED)
        conn_free(c);
}

static void accept_run(struct task *t, uint32_t events)
{
    struct admin_listener *l = CONTAINER_OF(t, struct admin_listener, task);
    struct conn *conn;
    (void)events;
    while (acceptor_accept(l->acceptor, &conn) == 0) {
        struct admin_conn *c = mem_alloc(sizeof(*c));
        c->admin = l->admin;
        c->port = l->port;
        list_init(&c->requests);
        list_push(&l->admin->connections, &c->link);
        task_init(&c->task, l->task.loop, admin_conn_run, "admin");
        struct http_conn_config config = {.role = HTTP_SERVER,
                                          .version = HTTP_1,
                                          .scheme = VIEW("http"),
                                          .idle_ns = 60 * NS_PER_S,
                                          .headers_ns = 10 * NS_PER_S};
        c->http = http_conn_new(l->admin->proxy->http, conn, &config, &c->task, ADMIN_HTTP);
    }
}

static void open_port(struct admin *a, enum admin_port which, struct view ip, uint16_t port)
{
    struct addr at;
    if (!port)
        return;
    struct admin_listener *l = &a->ports[a->n_ports];
    l->admin = a;
    l->port = which;
    task_init(&l->task, a->proxy->loop, accept_run, "admin port");
    int r = addr_parse_ip(ip, port, &at);
    if (r == 0)
        r = acceptor_open(a->proxy->loop, &at, &(struct acceptor_options){.backlog = 64}, &l->task, ADMIN_ACCEPT,
                          &l->acceptor);
    if (r < 0)
        log_warn("port %u cannot be opened: %s; it is not served", port, strerror(-r));
    else
        a->n_ports++;
}

struct admin *admin_new(struct proxy *p)
{
    const struct proxy_options *o = p->options;
    struct admin *a = mem_alloc(sizeof(*a));
    a->proxy = p;
    list_init(&a->connections);
    open_port(a, ADMIN_MAIN, o->admin_address, o->admin_port);
    open_port(a, ADMIN_STATUS, VIEW("0.0.0.0"), o->status_port);
    open_port(a, ADMIN_HEALTH, VIEW("0.0.0.0"), o->health_port);
    open_port(a, ADMIN_METRICS, VIEW("0.0.0.0"), o->metrics_port);
    return a;
}

struct admin *admin_free(struct admin *a)
{
    if (!a)
        return NULL;
    for (uint32_t i = 0; i < a->n_ports; i++) {
        acceptor_close(a->ports[i].acceptor);
        task_done(&a->ports[i].task);
    }
    LIST_EACH (&a->connections, struct admin_conn, link, c)
        conn_free(c);
    mem_free(a);
    return NULL;
}
