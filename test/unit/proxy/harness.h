// SPDX-License-Identifier: Apache-2.0
/* A small world for tests of the proxy, on the simulated network: a client pod whose application is captured by a real
 * proxy, and servers without one. Client and servers speak raw bytes, so that tests see exactly what passes.
 *
 *   struct world w;
 *   world_init(&w, &(struct world_options){.tune = with_timeout});
 *   struct client *c = world_request(&w, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
 *   assert_status(c, 200);
 *   world_done(&w);
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/acceptor.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/sim.h"
#include "net/timer.h"
#include "plan/defaults.h"
#include "plan/plan.h"
#include "proxy/proxy.h"

#define WEB "outbound|9080||web.default.svc.cluster.local"

/* What a server does with a request. */
struct behaviour {
    const char *answer; /* bytes; NULL: 200 with body "hello from NAME" */
    uint64_t delay;
    bool close;          /* after the answer, or instead of it when answer is "" */
    uint32_t only_first; /* so many requests get this; later ones the default */
    bool raw_echo;       /* no HTTP: sends back what it gets, closes when the peer did */
};

struct server_conn {
    struct task task;
    struct timer timer;
    struct conn *conn;
    struct server *server;
    struct buf in, out;
    bool waiting, close_after, eof;
};

struct server {
    const char *name;
    struct loop *loop;
    struct task task;
    struct acceptor *acceptor;
    struct behaviour does;
    struct server_conn conns[32];
    uint32_t n_conns, requests;
    struct buf seen; /* all requests, as they came */
};

struct client {
    struct task task;
    struct conn *conn;
    struct buf out, in;
    bool eof, half_close, wants_close;
};

struct world;
struct world_options {
    void (*tune)(struct world *w, struct route *r, struct cluster *c); /* before the plan is handed over */
    struct behaviour v1, v2;
    bool no_v1, no_v2; /* the endpoint is in the plan, nobody listens */
    bool one_endpoint;
};

struct world {
    struct sim *sim;
    struct sim_host *pod, *hosts[2];
    struct loop *app, *proxy_loop;
    struct proxy_options options;
    struct proxy *proxy;
    struct server servers[2];
    struct client clients[32];
    uint32_t n_clients;
    struct plan *plan;
    struct route_table *routes;
    struct http_manager *manager;
    struct cluster *cluster;
    struct arena *route_arena;
};

/* ---- servers ---- */

static inline size_t request_length(struct view v)
{
    size_t head = view_find_view(v, VIEW("\r\n\r\n"));
    if (head == v.n)
        return 0;
    size_t body = 0;
    for (size_t at = 0; at + 16 < head; at++)
        if (view_istarts(view_from(v, at), VIEW("content-length: ")))
            body = strtoul(v.p + at + 16, NULL, 10);
    if (view_find_view(view_head(v, head), VIEW("chunked")) < head) {
        size_t end = view_find_view(v, VIEW("\r\n0\r\n\r\n"));
        return end < v.n ? end + 7 : 0;
    }
    return v.n >= head + 4 + body ? head + 4 + body : 0;
}

static inline void server_flush(struct server_conn *c)
{
    if (buf_len(&c->out) && conn_send_buf(c->conn, &c->out) < 0)
        return;
    if (c->close_after && !buf_len(&c->out) && c->conn) {
        conn_close(c->conn);
        c->conn = NULL;
    }
}

static inline void world_hello(struct buf *out, struct view name)
{
    buf_str(out, "HTTP/1.1 200 OK\r\ncontent-length: ");
    buf_u64(out, 11 + name.n);
    buf_str(out, "\r\n\r\nhello from ");
    buf_view(out, name);
}

static inline void server_answer(struct server_conn *c)
{
    struct server *s = c->server;
    bool special = !s->does.only_first || s->requests <= s->does.only_first;
    c->waiting = false;
    if (special && s->does.answer)
        buf_str(&c->out, s->does.answer);
    else
        world_hello(&c->out, view_of(s->name));
    c->close_after = special && s->does.close;
    server_flush(c);
}

static inline void server_conn_run(struct task *t, uint32_t events)
{
    struct server_conn *c = CONTAINER_OF(t, struct server_conn, task);
    struct server *s = c->server;
    if (!c->conn)
        return;
    if (events & 4)
        server_answer(c);
    if (!c->conn)
        return;
    ssize_t n;
    while ((n = conn_recv_buf(c->conn, &c->in, 4096)) > 0)
        ;
    if (s->does.raw_echo) {
        buf_view(&s->seen, buf_read(&c->in));
        buf_view(&c->out, buf_read(&c->in));
        buf_clear(&c->in);
        server_flush(c);
        if (n == 0)
            conn_shutdown(c->conn);
        return;
    }
    size_t length;
    while (!c->waiting && (length = request_length(buf_read(&c->in)))) {
        buf_view(&s->seen, view_head(buf_read(&c->in), length));
        buf_drop(&c->in, length);
        s->requests++;
        c->waiting = true;
        bool special = !s->does.only_first || s->requests <= s->does.only_first;
        if (special && s->does.delay)
            timer_in(&c->timer, s->does.delay);
        else
            server_answer(c);
        if (!c->conn)
            return;
    }
    server_flush(c);
    if (n == 0 && c->conn) {
        conn_close(c->conn);
        c->conn = NULL;
    }
}

static inline void server_run(struct task *t, uint32_t events)
{
    struct server *s = CONTAINER_OF(t, struct server, task);
    struct conn *conn;
    (void)events;
    while (acceptor_accept(s->acceptor, &conn) == 0) {
        assert_true(s->n_conns < COUNT_OF(s->conns));
        struct server_conn *c = &s->conns[s->n_conns++];
        c->conn = conn;
        c->server = s;
        task_init(&c->task, s->loop, server_conn_run, "server");
        timer_init(&c->timer, &c->task, 4);
        conn_own(conn, &c->task, 1, 2);
    }
}

static inline void server_init(struct world *w, int i, const char *name, const char *ip, bool listens)
{
    struct server *s = &w->servers[i];
    struct addr at;
    w->hosts[i] = sim_host(w->sim, name, ip);
    s->name = name;
    s->loop = sim_loop(w->hosts[i], SIM_APP);
    task_init(&s->task, s->loop, server_run, "acceptor");
    assert_int_equal(addr_parse_ip(view_of(ip), 9080, &at), 0);
    if (listens)
        assert_int_equal(acceptor_open(s->loop, &at, &(struct acceptor_options){0}, &s->task, 1, &s->acceptor), 0);
}

static inline void server_done(struct server *s)
{
    for (uint32_t i = 0; i < s->n_conns; i++) {
        conn_close(s->conns[i].conn);
        timer_done(&s->conns[i].timer);
        task_done(&s->conns[i].task);
        buf_done(&s->conns[i].in);
        buf_done(&s->conns[i].out);
    }
    acceptor_close(s->acceptor);
    task_done(&s->task);
    buf_done(&s->seen);
}

/* ---- the plan ---- */

static inline struct plan_addr v4_addr(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    return (struct plan_addr){.kind = ADDR_IPV4, .port = port, .ip = {a, b, c, d}};
}

static inline struct weighted_cluster *lead_to(struct arena *a, const char *cluster)
{
    struct weighted_cluster *w = ARENA_NEW(a, struct weighted_cluster);
    w->cluster = name_ref_copy(a, view_of(cluster));
    w->weight = 1;
    return w;
}

static inline void put_resource(struct plan *p, struct resource *r)
{
    struct view why;
    assert_int_equal(resource_prepare(r, &why), 0);
    plan_put(p, r);
    resource_unref(r);
}

static inline void put_virtual_outbound(struct plan *p)
{
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, VIEW("virtualOutbound"));
    struct arena *a = &l->res.arena;
    l->address = v4_addr(0, 0, 0, 0, 15001);
    l->bind_to_port = l->use_original_dst = true;
    l->direction = TRAFFIC_OUTBOUND;
    l->default_chain = ARENA_NEW(a, struct filter_chain);
    l->default_chain->name = VIEW("virtualOutbound-catchall-tcp");
    struct tcp_manager *t = l->default_chain->tcp = ARENA_NEW(a, struct tcp_manager);
    t->clusters = lead_to(a, "PassthroughCluster");
    t->n_clusters = 1;
    t->total_weight = 1;
    put_resource(p, &l->res);
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, VIEW("PassthroughCluster"));
    c->type = CLUSTER_ORIGINAL_DST;
    c->lb.policy = BALANCE_CLUSTER_PROVIDED;
    c->connect_timeout = DEFAULT_CONNECT_TIMEOUT;
    c->breaker = (struct breaker_limits){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    put_resource(p, &c->res);
}

static inline void put_9080(struct world *w)
{
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, VIEW("0.0.0.0_9080"));
    struct arena *a = &l->res.arena;
    l->address = v4_addr(0, 0, 0, 0, 9080);
    l->direction = TRAFFIC_OUTBOUND;
    l->chains = ARENA_NEW(a, struct filter_chain);
    l->n_chains = 1;
    struct http_manager *m = l->chains->http = ARENA_NEW(a, struct http_manager);
    m->rds = name_ref_copy(a, VIEW("9080"));
    m->request_id = true;
    m->websocket = true;
    m->server_name = VIEW("envoy");
    m->filters = ARENA_ARRAY(a, struct http_filter, 2);
    m->filters[0].kind = HTTP_FILTER_PEER_METADATA;
    m->filters[1].kind = HTTP_FILTER_STATS;
    m->n_filters = 2;
    w->manager = m;
    put_resource(w->plan, &l->res);
}

static inline void put_web(struct world *w, const struct world_options *o)
{
    struct route_table *t = RESOURCE_NEW(struct route_table, RESOURCE_ROUTES, VIEW("9080"));
    struct arena *a = &t->res.arena;
    w->routes = t;
    w->route_arena = a;
    t->hosts = ARENA_NEW(a, struct virtual_host);
    t->n_hosts = 1;
    struct virtual_host *h = t->hosts;
    h->name = VIEW("web.default.svc.cluster.local:9080");
    h->domains = ARENA_ARRAY(a, struct view, 2);
    h->domains[0] = VIEW("web");
    h->domains[1] = VIEW("web:9080");
    h->n_domains = 2;
    h->include_attempt_count = true;
    struct route *r = h->routes = ARENA_NEW(a, struct route);
    h->n_routes = 1;
    r->name = VIEW("default");
    r->path = (struct path_match){.kind = PATH_PREFIX, .value = VIEW("/")};
    r->forward.clusters = lead_to(a, WEB);
    r->forward.n_clusters = 1;
    r->forward.total_weight = 1;
    r->forward.cluster_not_found = 503;

    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, view_of(WEB));
    c->type = CLUSTER_EDS;
    c->eds_name = name_ref_copy(&c->res.arena, view_of(WEB));
    c->lb.policy = BALANCE_ROUND_ROBIN;
    c->connect_timeout = DEFAULT_CONNECT_TIMEOUT;
    c->breaker = (struct breaker_limits){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    c->services = ARENA_NEW(&c->res.arena, struct service_ref);
    c->n_services = 1;
    *c->services = (struct service_ref){VIEW("web.default.svc.cluster.local"), VIEW("web"), VIEW("default")};
    w->cluster = c;
    if (o->tune)
        o->tune(w, r, c);

    struct endpoint_set *s = RESOURCE_NEW(struct endpoint_set, RESOURCE_ENDPOINTS, view_of(WEB));
    s->localities = ARENA_NEW(&s->res.arena, struct locality);
    s->n_localities = 1;
    s->localities->weight = 1;
    s->localities->n_endpoints = o->one_endpoint ? 1 : 2;
    s->localities->endpoints = ARENA_ARRAY(&s->res.arena, struct endpoint, 2);
    s->localities->endpoints[0] = (struct endpoint){.address = v4_addr(10, 0, 0, 2, 9080), .weight = 1};
    s->localities->endpoints[1] = (struct endpoint){.address = v4_addr(10, 0, 0, 3, 9080), .weight = 1};
    put_resource(w->plan, &t->res);
    put_resource(w->plan, &c->res);
    put_resource(w->plan, &s->res);
}

/* ---- the world ---- */

static inline bool world_is_ready(void *arg)
{
    return proxy_ready(((struct world *)arg)->proxy);
}

static inline bool world_is_stopped(void *arg)
{
    return proxy_stopped(((struct world *)arg)->proxy);
}

static inline void world_init(struct world *w, const struct world_options *o)
{
    static const struct world_options plain = {0};
    o = o ? o : &plain;
    memset(w, 0, sizeof(*w));
    w->sim = sim_new(7);
    w->pod = sim_host(w->sim, "client", "10.0.0.1");
    sim_capture(w->pod, &(struct sim_capture){.outbound = 15001});
    w->app = sim_loop(w->pod, SIM_APP);
    w->proxy_loop = sim_loop(w->pod, SIM_PROXY);
    server_init(w, 0, "v1", "10.0.0.2", !o->no_v1);
    server_init(w, 1, "v2", "10.0.0.3", !o->no_v2);
    w->servers[0].does = o->v1;
    w->servers[1].does = o->v2;
    w->plan = plan_new();
    put_virtual_outbound(w->plan);
    put_9080(w);
    put_web(w, o);
    w->options = (struct proxy_options){.type = VIEW("sidecar"),
                                        .pod = VIEW("client"),
                                        .ns = VIEW("default"),
                                        .ip = VIEW("10.0.0.1"),
                                        .domain = VIEW("default.svc.cluster.local"),
                                        .workload = VIEW("client"),
                                        .app = VIEW("client"),
                                        .plan = w->plan,
                                        .admin_port = 15000,
                                        .metrics_port = 15090,
                                        .health_port = 15021,
                                        .admin_address = VIEW("127.0.0.1"),
                                        .drain = 5 * NS_PER_S};
    w->proxy = proxy_new(&w->options, w->proxy_loop, &w->proxy_loop, 1);
    assert_true(sim_run_until(w->sim, world_is_ready, w, NS_PER_S));
}

static inline void client_run(struct task *t, uint32_t events)
{
    struct client *c = CONTAINER_OF(t, struct client, task);
    ssize_t n;
    (void)events;
    if (!c->conn || conn_ready(c->conn) == -EAGAIN)
        return;
    if (buf_len(&c->out) && conn_send_buf(c->conn, &c->out) == 0 && c->half_close)
        conn_shutdown(c->conn);
    while ((n = conn_recv_buf(c->conn, &c->in, 4096)) > 0)
        ;
    if (n != -EAGAIN) {
        c->eof = true;
        conn_close(c->conn);
        c->conn = NULL;
    }
}

static inline struct client *world_connect(struct world *w, const char *ip, uint16_t port)
{
    assert_true(w->n_clients < COUNT_OF(w->clients));
    struct client *c = &w->clients[w->n_clients++];
    struct addr to;
    task_init(&c->task, w->app, client_run, "client");
    assert_int_equal(addr_parse_ip(view_of(ip), port, &to), 0);
    assert_int_equal(conn_connect(w->app, &to, &(struct conn_options){0}, &c->conn), 0);
    conn_own(c->conn, &c->task, 1, 2);
    return c;
}

static inline void client_send(struct world *w, struct client *c, const char *bytes, uint64_t run_for)
{
    buf_str(&c->out, bytes);
    task_wake(&c->task, 1);
    sim_run(w->sim, run_for);
}

/* A request to the service's address, and two seconds of the world's time. */
static inline struct client *world_request(struct world *w, const char *bytes)
{
    struct client *c = world_connect(w, "10.96.0.10", 9080);
    client_send(w, c, bytes, 2 * NS_PER_S);
    return c;
}

static inline bool has(const struct buf *b, const char *text)
{
    struct view v = buf_read(b);
    return view_find_view(v, view_of(text)) < v.n;
}

static inline void assert_has(struct buf *b, const char *text)
{
    if (!has(b, text))
        fail_msg("\"%s\" is not in:\n%s", text, buf_cstr(b));
}

static inline void assert_status(struct client *c, int status)
{
    char line[32];
    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    if (!view_starts(buf_read(&c->in), view_of(line)))
        fail_msg("not %d but:\n%s", status, buf_cstr(&c->in));
}

static inline void world_done(struct world *w)
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        conn_close(w->clients[i].conn);
        task_done(&w->clients[i].task);
        buf_done(&w->clients[i].in);
        buf_done(&w->clients[i].out);
    }
    proxy_stop(w->proxy);
    assert_true(sim_run_until(w->sim, world_is_stopped, w, 10 * NS_PER_S));
    proxy_free(w->proxy);
    server_done(&w->servers[0]);
    server_done(&w->servers[1]);
    plan_unref(w->plan);
    sim_free(w->sim);
}
