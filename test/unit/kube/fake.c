// SPDX-License-Identifier: Apache-2.0
/* See fake.h: one host of a simulation that listens, speaks TLS and HTTP, and answers by rules. Each request is a task of its
 * own until it is answered; a watch stays open until the test or the client ends it.
 */
#include "fake.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "http/conn.h"
#include "net/acceptor.h"
#include "net/conn.h"
#include "net/tls.h"
#include "trust/ca.h"

enum { FAKE_ACCEPT = 1, FAKE_CONN = 2, FAKE_STREAM = 4 };

struct fake_conn {
    struct list link;
    struct fake *fake;
    struct task task;
    struct http_conn *http;
};

/* ---- requests ---- */

static void request_free(struct fake_request *q)
{
    list_del(&q->link);
    http_stream_free(q->stream);
    task_done(&q->task);
    buf_done(&q->body);
    mem_free(q);
}

static void head(struct fake_request *q, int status, bool end)
{
    struct headers h;
    char text[8];
    snprintf(text, sizeof(text), "%d", status);
    headers_init(&h, &q->stream->arena);
    assert_int_equal(headers_add(&h, HEADER_STATUS, view_of(text)), 0);
    assert_int_equal(headers_add(&h, HEADER_CONTENT_TYPE, VIEW("application/json")), 0);
    assert_int_equal(http_stream_headers(q->stream, &h, end), 0);
    q->answered = true;
}

void fake_reply(struct fake_request *q, int status, struct view body)
{
    head(q, status, !body.n);
    if (body.n)
        assert_int_equal(http_stream_data(q->stream, body, true), body.n);
}

static const struct fake_rule *rule_of(struct fake *f, struct view line)
{
    const struct fake_rule *best = NULL;
    for (int i = 0; i < f->n_rules; i++)
        if (view_starts(line, view_of(f->rules[i].line)) && (!best || strlen(f->rules[i].line) > strlen(best->line)))
            best = &f->rules[i];
    return best;
}

static void answer(struct fake_request *q)
{
    struct fake *f = q->fake;
    buf_printf(&f->log, "%.*s\n", VIEW_ARGS(q->line));
    const struct fake_rule *r = rule_of(f, q->line);
    if (f->token && !view_is(q->token, f->token)) {
        fake_reply(q, 401, VIEW("{\"kind\":\"Status\",\"message\":\"Unauthorized\"}"));
    } else if (f->hook && f->hook(f, q)) {
        return;
    } else if (!r) {
        fake_reply(q, 404, VIEW("{\"kind\":\"Status\",\"message\":\"not found\",\"code\":404}"));
    } else if (!r->status) {
        head(q, 200, false);
        q->watch = true;
    } else {
        fake_reply(q, r->status, view_of(r->body));
    }
}

static void request_run(struct task *t, uint32_t events)
{
    struct fake_request *q = CONTAINER_OF(t, struct fake_request, task);
    struct view v;
    while (http_stream_peek(q->stream, &v)) {
        buf_view(&q->body, v);
        http_stream_consume(q->stream, v.n);
    }
    if (!q->answered && (q->stream->ready & HTTP_END))
        answer(q);
    if (http_stream_over(q->stream))
        request_free(q);
}

static void conn_run(struct task *t, uint32_t events)
{
    struct fake_conn *c = CONTAINER_OF(t, struct fake_conn, task);
    struct http_stream *s;
    while ((s = http_conn_accept(c->http, &c->task, FAKE_STREAM))) {
        struct fake_request *q = mem_alloc(sizeof(*q));
        q->fake = c->fake;
        q->stream = s;
        task_init(&q->task, c->fake->server, request_run, "fake request");
        list_push(&c->fake->requests, &q->link);
        q->line = arena_printf(&c->fake->a, "%.*s %.*s", VIEW_ARGS(headers_value(&s->in, HEADER_METHOD)),
                               VIEW_ARGS(headers_value(&s->in, HEADER_PATH)));
        q->token = view_from(headers_value(&s->in, HEADER_AUTHORIZATION), 7);
        http_stream_own(s, &q->task, FAKE_STREAM);
        task_wake(&q->task, FAKE_STREAM);
    }
    if (http_conn_ready(c->http) & HTTP_CONN_CLOSED) {
        list_del(&c->link);
        http_conn_free(c->http);
        task_done(&c->task);
        mem_free(c);
    }
}

static void fake_accept(struct task *t, uint32_t events)
{
    struct fake *f = CONTAINER_OF(t, struct fake, task);
    struct conn *raw, *conn;
    while (f->acceptor && acceptor_accept(f->acceptor, &raw) == 0) {
        struct fake_conn *c = mem_alloc(sizeof(*c));
        assert_int_equal(tls_accept(f->tls, raw, &(struct tls_options){0}, &conn), 0);
        c->fake = f;
        f->n_conns++;
        task_init(&c->task, f->server, conn_run, "fake conn");
        list_push(&f->conns, &c->link);
        c->http = http_conn_new(f->http, conn,
                                &(struct http_conn_config){
                                    .role = HTTP_SERVER, .version = f->h1 ? HTTP_1 : HTTP_2, .scheme = VIEW("https")},
                                &c->task, FAKE_CONN);
    }
}

/* ---- for tests ---- */

static void owner_run(struct task *t, uint32_t events)
{
    struct fake *f = CONTAINER_OF(t, struct fake, owner);
    f->woken += (events & KUBE_WAKE) != 0;
}

static void make_tls(struct fake *f)
{
    static const struct view names[] = {{"kubernetes.default.svc", 22}}, alpn[] = {{"h2", 2}, {"http/1.1", 8}};
    struct ca_grant grant = {.dns = names, .n_dns = 1, .ttl = 3600 * NS_PER_S};
    struct buf chain = {0}, key = {0};
    struct tls_identity *id;
    const char *why;
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("t")}, loop_wall(f->server), &f->ca, &why), 0);
    assert_int_equal(ca_issue(f->ca, &grant, loop_wall(f->server), &chain, &key, &why), 0);
    assert_int_equal(tls_identity_new(buf_read(&chain), buf_read(&key), &id, &why), 0);
    struct tls_config config = {.server = true, .identity = id, .alpn = &alpn[f->h1], .n_alpn = 1};
    assert_int_equal(tls_context_new(f->server, &config, &f->tls, &why), 0);
    tls_identity_unref(id);
    buf_done(&chain);
    buf_done(&key);
}

void fake_init(struct fake *f, bool h1)
{
    *f = (struct fake){.sim = sim_new(7), .h1 = h1};
    arena_init(&f->a, 0);
    f->host = sim_host(f->sim, "apiserver", "10.0.0.1");
    f->server = sim_loop(f->host, SIM_PROXY);
    f->loop = sim_loop(sim_host(f->sim, "control", "10.0.0.2"), SIM_PROXY);
    list_init(&f->conns);
    list_init(&f->requests);
    f->http = http_shared_new(f->server);
    task_init(&f->task, f->server, fake_accept, "fake");
    task_init(&f->owner, f->loop, owner_run, "owner");
    make_tls(f);
    fake_up(f);
    f->config = (struct kube_config){.server = VIEW("https://10.0.0.1:6443"),
                                     .server_name = VIEW("kubernetes.default.svc"),
                                     .ca_pem = ca_root_pem(f->ca)};
}

void fake_client(struct fake *f)
{
    f->client = kube_client_new(f->loop, &f->config);
}

static void close_all(struct fake *f)
{
    LIST_EACH (&f->requests, struct fake_request, link, q)
        request_free(q);
    LIST_EACH (&f->conns, struct fake_conn, link, c) {
        http_conn_free(c->http);
        task_done(&c->task);
        mem_free(c);
    }
    list_init(&f->conns);
    f->acceptor = acceptor_close(f->acceptor);
}

void fake_down(struct fake *f)
{
    close_all(f);
}

void fake_drain(struct fake *f)
{
    LIST_EACH (&f->conns, struct fake_conn, link, c)
        http_conn_drain(c->http);
}

void fake_up(struct fake *f)
{
    struct addr at;
    assert_int_equal(addr_parse(VIEW("10.0.0.1:6443"), &at), 0);
    assert_int_equal(acceptor_open(f->server, &at, &(struct acceptor_options){0}, &f->task, FAKE_ACCEPT, &f->acceptor),
                     0);
}

void fake_done(struct fake *f)
{
    kube_client_free(f->client);
    close_all(f);
    tls_context_free(f->tls);
    ca_unref(f->ca);
    http_shared_free(f->http);
    task_done(&f->task);
    task_done(&f->owner);
    buf_done(&f->log);
    sim_free(f->sim);
    arena_done(&f->a);
}

void fake_rule(struct fake *f, const char *line, int status, const char *body)
{
    int i = 0;
    while (i < f->n_rules && strcmp(f->rules[i].line, line) != 0)
        i++;
    assert_true(i < (int)COUNT_OF(f->rules));
    f->rules[i] = (struct fake_rule){line, body, status};
    f->n_rules += i == f->n_rules;
}

static bool is_watch_of(const struct fake_request *q, const char *path)
{
    return q->watch && view_starts(view_from(q->line, 4), view_of(path)) &&
           view_starts(view_from(q->line, 4 + strlen(path)), VIEW("?watch"));
}

void fake_line(struct fake *f, const char *path, const char *json)
{
    LIST_EACH (&f->requests, struct fake_request, link, q)
        if (is_watch_of(q, path)) {
            struct view v = arena_printf(&f->a, "%s\n", json);
            assert_int_equal(http_stream_data(q->stream, v, false), v.n);
        }
}

void fake_hang_up(struct fake *f, const char *path)
{
    LIST_EACH (&f->requests, struct fake_request, link, q)
        if (is_watch_of(q, path))
            assert_int_equal(http_stream_data(q->stream, VIEW_NONE, true), 0);
}

void fake_run(struct fake *f, uint64_t ns)
{
    sim_run(f->sim, ns);
}

int fake_saw(const struct fake *f, const char *part)
{
    int n = 0;
    struct view rest = buf_read(&f->log);
    while (rest.n) {
        size_t end = view_find(rest, '\n');
        n += view_starts(view_head(rest, end), view_of(part));
        rest = view_from(rest, end + 1);
    }
    return n;
}
