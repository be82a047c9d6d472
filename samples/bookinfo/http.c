// SPDX-License-Identifier: Apache-2.0
/* HTTP/1.1 for the sample (http.h): blocking sockets, a thread for each connection, bounded sizes. */
#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_BYTES = 256 * 1024, IDLE_MS = 60 * 1000, LAME_DUCK_MS = 1000 };

static atomic_bool stopping; /* set by SIGTERM */

struct service {
    handler fn;
    void *app;
};
struct visit {
    const struct service *service;
    int fd;
};

struct view header(struct view head, const char *name)
{
    struct view rest = head, line, want = view_of(name);
    while (view_cut(&rest, '\n', &line)) {
        if (line.n > want.n && line.p[want.n] == ':' && view_istarts(line, want)) {
            struct view value = view_from(line, want.n + 1);
            if (value.n && value.p[value.n - 1] == '\r')
                value.n--;
            return view_trim(value);
        }
    }
    return VIEW_NONE;
}

static const char *const forwarded[] = {
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
};

void headers_forwarded(const struct request *q, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(forwarded); i++) {
        struct view value = header(q->head, forwarded[i]);
        if (value.n)
            buf_printf(out, "%s: %.*s\r\n", forwarded[i], VIEW_ARGS(value));
    }
}

static bool wait_for(int fd, short events, int ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, ms) > 0;
}

/* Reads until the head is whole; the head's length with its empty line, or 0. */
static size_t read_head(int fd, struct buf *b, int timeout_ms)
{
    for (;;) {
        size_t at = view_find_view(buf_read(b), VIEW("\r\n\r\n"));
        if (at < buf_len(b))
            return at + 4;
        size_t room;
        char *to = buf_room(b, 4096, &room);
        if (buf_len(b) > MOST_BYTES || !wait_for(fd, POLLIN, timeout_ms))
            return 0;
        ssize_t n = recv(fd, to, room, 0);
        if (n <= 0)
            return 0;
        buf_added(b, (size_t)n);
    }
}

static bool read_until(int fd, struct buf *b, size_t total, int timeout_ms)
{
    while (buf_len(b) < total) {
        size_t room;
        char *to = buf_room(b, total - buf_len(b), &room);
        if (total > MOST_BYTES || !wait_for(fd, POLLIN, timeout_ms))
            return false;
        ssize_t n = recv(fd, to, room, 0);
        if (n <= 0)
            return false;
        buf_added(b, (size_t)n);
    }
    return true;
}

static bool write_all(int fd, struct view v)
{
    while (v.n) {
        ssize_t n = send(fd, v.p, v.n, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        v = view_from(v, (size_t)n);
    }
    return true;
}

/* Splits the request line; false when it is none. */
static bool parse_request(struct request *q, size_t head_len)
{
    struct view rest = view_head(buf_read(&q->bytes), head_len), line, target;
    if (!view_cut(&rest, '\n', &line))
        return false;
    q->head = rest;
    if (!view_cut(&line, ' ', &q->method) || !view_cut(&line, ' ', &target) || !target.n)
        return false;
    size_t question = view_find(target, '?');
    q->path = view_head(target, question);
    q->query = view_from(target, question + 1);
    return true;
}

static const char *reason(int status)
{
    return status == 200   ? "OK"
           : status == 302 ? "Found"
           : status == 404 ? "Not Found"
           : status == 503 ? "Service Unavailable"
                           : "Status";
}

static bool write_reply(int fd, const struct request *q, struct reply *r, bool close_after)
{
    struct buf out = {0};
    buf_printf(&out, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n%s", r->status, reason(r->status),
               r->content_type ? r->content_type : "text/plain", buf_len(&r->body),
               close_after ? "connection: close\r\n" : "");
    buf_view(&out, buf_read(&r->extra_headers));
    buf_str(&out, "\r\n");
    if (!view_is(q->method, "HEAD"))
        buf_view(&out, buf_read(&r->body));
    bool ok = write_all(fd, buf_read(&out));
    buf_done(&out);
    return ok;
}

void reply_done(struct reply *r)
{
    buf_done(&r->body);
    buf_done(&r->extra_headers);
}

/* One request and its answer; false ends the connection. */
static bool serve_one(const struct service *s, int fd, struct buf *in)
{
    struct request q = {.bytes = *in};
    struct reply r = {.status = 200};
    size_t head_len = read_head(fd, &q.bytes, IDLE_MS);
    uint64_t body_len = 0;
    bool ok = head_len && parse_request(&q, head_len);
    struct view length = header(q.head, "content-length");
    if (ok && length.n)
        ok = view_u64(length, &body_len) == 0 && read_until(fd, &q.bytes, head_len + body_len, IDLE_MS) &&
             parse_request(&q, head_len); /* again: reading may have moved the bytes */
    if (ok) {
        q.body = view_head(view_from(buf_read(&q.bytes), head_len), body_len);
        s->fn(s->app, &q, &r);
        bool close_after = stopping || view_ieq(header(q.head, "connection"), VIEW("close"));
        ok = write_reply(fd, &q, &r, close_after) && !close_after;
        buf_drop(&q.bytes, head_len + body_len);
    }
    reply_done(&r);
    *in = q.bytes;
    return ok;
}

static void *serve_connection(void *arg)
{
    struct visit visit = *(struct visit *)arg;
    struct buf in = {0};
    mem_free(arg);
    while (serve_one(visit.service, visit.fd, &in))
        ;
    buf_done(&in);
    close(visit.fd);
    return NULL;
}

static void on_term(int sig)
{
    (void)sig;
    stopping = true;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool bound =
        fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) && !bind(fd, (void *)&any, sizeof(any));
    if (!bound) { /* a host without IPv6 */
        struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        if (fd >= 0)
            close(fd);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bound = fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
                !bind(fd, (void *)&any4, sizeof(any4));
    }
    if (bound && !listen(fd, 512))
        return fd;
    perror("bookinfo: listen");
    return -1;
}

int http_serve(uint16_t port, handler fn, void *app)
{
    struct sigaction term = {.sa_handler = on_term};
    struct service service = {.fn = fn, .app = app};
    pthread_attr_t detached;
    int fd = listen_on(port), waited_ms = 0;
    if (fd < 0)
        return 1;
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGINT, &term, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 128 * 1024);
    while (waited_ms < LAME_DUCK_MS) {
        waited_ms += stopping ? 50 : 0;
        if (!wait_for(fd, POLLIN, 50))
            continue;
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC), on = 1;
        if (connection < 0)
            continue;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        struct visit *visit = mem_alloc(sizeof(*visit));
        *visit = (struct visit){.service = &service, .fd = connection};
        pthread_t thread;
        if (pthread_create(&thread, &detached, serve_connection, visit)) {
            close(connection);
            mem_free(visit);
        }
    }
    return 0;
}

static int dial(const char *host, uint16_t port, unsigned timeout_ms)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
    char service[8];
    int fd = -1, on = 1;
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &list))
        return -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (connect(fd, a->ai_addr, a->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* Body by its length, or by chunks, or to the end; false: cut short. */
static bool read_body(int fd, struct buf *in, struct view head, size_t head_len, unsigned timeout_ms,
                      struct buf *ret_body)
{
    uint64_t length;
    struct view text = header(head, "content-length");
    if (text.n) {
        if (view_u64(text, &length) || !read_until(fd, in, head_len + length, (int)timeout_ms))
            return false;
        buf_view(ret_body, view_head(view_from(buf_read(in), head_len), length));
        return true;
    }
    size_t at = head_len;
    if (!view_ieq(header(head, "transfer-encoding"), VIEW("chunked")))
        return true;
    for (;;) {
        struct view rest = view_from(buf_read(in), at);
        size_t line = view_find(rest, '\n');
        if (line == rest.n) {
            if (!read_until(fd, in, buf_len(in) + 1, (int)timeout_ms))
                return false;
            continue;
        }
        size_t size = strtoul(rest.p, NULL, 16);
        if (size > MOST_BYTES || !read_until(fd, in, at + line + 1 + size + 2, (int)timeout_ms))
            return false;
        buf_view(ret_body, view_make(buf_read(in).p + at + line + 1, size));
        at += line + 1 + size + 2;
        if (!size)
            return true;
    }
}

/* Sends one request on fd and reads its answer into *ret; true when the connection may be used again. */
static bool exchange(int fd, const char *method, const char *host, const char *path, struct view headers,
                     struct view body, unsigned timeout_ms, struct reply *ret)
{
    struct buf out = {0}, in = {0};
    buf_printf(&out, "%s %s HTTP/1.1\r\nhost: %s\r\n", method, path, host);
    buf_view(&out, headers);
    if (body.n)
        buf_printf(&out, "content-length: %zu\r\ncontent-type: application/json\r\n", body.n);
    buf_str(&out, "\r\n");
    buf_view(&out, body);
    bool again = false;
    size_t head_len = write_all(fd, buf_read(&out)) ? read_head(fd, &in, (int)timeout_ms) : 0;
    if (head_len > 12) {
        char *head_copy = strndup(buf_read(&in).p, head_len); /* reading the body moves the bytes */
        struct view head = view_of(head_copy);
        if (read_body(fd, &in, head, head_len, timeout_ms, &ret->body)) {
            ret->status = atoi(head_copy + 9);
            again = !view_ieq(header(head, "connection"), VIEW("close"));
        }
        free(head_copy);
    }
    buf_done(&out);
    buf_done(&in);
    return again;
}

void http_call(const char *method, const char *host, uint16_t port, const char *path, struct view headers,
               struct view body, unsigned timeout_ms, struct reply *ret)
{
    *ret = (struct reply){0};
    char authority[300];
    snprintf(authority, sizeof(authority), "%s:%u", host, port);
    int fd = dial(host, port, timeout_ms);
    if (fd < 0)
        return;
    struct buf lines = {0};
    buf_view(&lines, headers);
    buf_str(&lines, "connection: close\r\n");
    exchange(fd, method, authority, path, buf_read(&lines), body, timeout_ms, ret);
    buf_done(&lines);
    close(fd);
}

void http_link_call(struct http_link *link, const char *path, struct view headers, unsigned timeout_ms,
                    struct reply *ret)
{
    *ret = (struct reply){0};
    if (link->fd < 0)
        link->fd = dial(link->host, link->port, timeout_ms);
    if (link->fd >= 0 && !exchange(link->fd, "GET", link->host, path, headers, VIEW_NONE, timeout_ms, ret)) {
        close(link->fd);
        link->fd = -1;
    }
}
