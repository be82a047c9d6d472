// SPDX-License-Identifier: Apache-2.0
/* Upstream connections (pool.h). A pool_conn has a task of its own, woken by its HTTP connection only; whatever it
 * learns it turns into serving the line of waiting streams.
 */
#include "proxy/pool.h"

#include <errno.h>
#include <string.h>

#include "net/loop.h"
#include "net/tls.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

enum { POOL_CONN_HTTP = 1 };

static void pool_conn_run(struct task *t, uint32_t events);
static void pool_conn_close(struct pool_conn *c);
static void pool_open_for_line(struct host_pool *p, enum http_version version);

enum end_reason pool_reason(enum http_fin fin, bool response_started)
{
    switch (fin) {
    case HTTP_FIN_PEER_RESET:
        return response_started ? END_UPSTREAM_RESET_LATE : END_UPSTREAM_RESET;
    case HTTP_FIN_REFUSED:
        return response_started ? END_UPSTREAM_RESET_LATE : END_UPSTREAM_REFUSED;
    case HTTP_FIN_LOCAL_RESET:
        return END_LOCAL_RESET;
    case HTTP_FIN_PROTOCOL:
    case HTTP_FIN_FLOOD:
        return response_started ? END_UPSTREAM_RESET_LATE : END_UPSTREAM_PROTOCOL;
    case HTTP_FIN_TOO_LARGE:
        return response_started ? END_UPSTREAM_RESET_LATE : END_RESPONSE_TOO_LARGE;
    case HTTP_FIN_NONE:
    case HTTP_FIN_OK:
    case HTTP_FIN_PEER_CLOSED:
    case HTTP_FIN_HEADERS_TIMEOUT:
    case HTTP_FIN_IDLE:
    case HTTP_FIN_DRAINED:
        break;
    }
    return response_started ? END_UPSTREAM_CLOSED_LATE : END_UPSTREAM_CLOSED;
}

/* ---- pools by host ---- */

static void host_pool_free(struct host *h)
{
    struct host_pool *p = h->pool;
    if (!p)
        return;
    must(list_empty(&p->line));
    struct list *all[] = {&p->idle, &p->busy, &p->multiplexed};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        LIST_EACH (all[i], struct pool_conn, link, c)
            pool_conn_close(c);
    list_del(&p->link);
    h->pool = NULL;
    h->pool_free = NULL;
    mem_free(p);
}

static struct host_pool *host_pool(struct upstream *u, struct host *h)
{
    if (h->pool)
        return h->pool;
    struct host_pool *p = mem_alloc(sizeof(*p));
    p->upstream = u;
    p->host = h;
    list_init(&p->idle);
    list_init(&p->busy);
    list_init(&p->multiplexed);
    list_init(&p->line);
    list_push(&u->pools, &p->link);
    h->pool = p;
    h->pool_free = host_pool_free;
    return p;
}

bool pool_unused(const struct host *h)
{
    const struct host_pool *p = h->pool;
    return !p || (list_empty(&p->busy) && list_empty(&p->multiplexed) && list_empty(&p->line));
}

/* ---- connections ---- */

/* The transport box for one endpoint: TCP from the cluster's source address, TLS when the endpoint wants it. */
int pool_dial(struct upstream *u, struct host *h, const struct view *alpn, size_t n_alpn, struct conn **ret_conn,
              struct view *ret_why)
{
    const struct cluster *c = u->cluster;
    const struct upstream_transport *t = upstream_transport(u, h);
    struct addr to, from;
    struct conn_options options = {
        .timeout = c->connect_timeout,
        .keepalive = c->keepalive.on,
        .keepalive_idle = (uint32_t)(c->keepalive.time / NS_PER_S),
        .keepalive_interval = (uint32_t)(c->keepalive.interval / NS_PER_S),
        .keepalive_probes = c->keepalive.probes,
    };
    if (c->bind.kind != ADDR_UNSET && addr_of_plan(&c->bind, &from) == 0)
        options.bind = &from;
    struct conn *conn;
    struct tls_context *context = NULL;
    const char *why = "unusable address";
    int r = addr_of_plan(&h->endpoint->address, &to);
    if (t->refused) {
        why = "a subjectAltNames condition that cannot be checked";
        r = -ENOTSUP;
    }
    if (r == 0 && t->tls)
        r = tls_shelf_client(&u->worker->tls, u->worker->now->plan, t->tls, &context, &why);
    if (r < 0) {
        *ret_why = view_of(why);
        return r;
    }
    r = conn_connect(u->worker->loop, &to, &options, &conn);
    if (r < 0) {
        *ret_why = view_of(strerror(-r));
        return r;
    }
    if (context) {
        struct tls_options tls = {.sni = t->tls->sni,
                                  .sans = t->sans,
                                  .n_sans = t->n_sans,
                                  .alpn = alpn,
                                  .n_alpn = n_alpn,
                                  .timeout = c->connect_timeout};
        struct conn *lower = conn;
        r = tls_connect(context, lower, &tls, &conn);
        if (r < 0) {
            conn_close(lower);
            *ret_why = VIEW("TLS could not be started");
            return r;
        }
    }
    *ret_conn = conn;
    return 0;
}

/* What the HTTP ALPN filter offers (filters/alpn in Istio): so that the other sidecar knows whom it serves. */
static size_t alpn_for(const struct upstream *u, enum http_version version, struct view alpn[3])
{
    if (!u->cluster->allow_alpn_override)
        return 0;
    alpn[0] = version == HTTP_2 ? VIEW("istio-h2") : VIEW("istio-http/1.1");
    alpn[1] = VIEW("istio");
    alpn[2] = version == HTTP_2 ? VIEW("h2") : VIEW("http/1.1");
    return 3;
}

static void ask_fail(struct pool_ask *a, enum end_reason reason, struct view text)
{
    list_del(&a->link);
    if (a->counted) {
        a->counted = false;
        a->pool->n_line--;
        breaker_give(&a->pool->upstream->breaker, BREAKER_PENDING);
    }
    a->state = POOL_FAILED;
    a->reason = reason;
    a->text_n = 0;
    for (size_t i = 0; i < text.n && a->text_n < sizeof(a->text); i++)
        a->text[a->text_n++] = (unsigned char)text.p[i] < ' ' ? ' ' : text.p[i];
    task_wake(a->task, a->bits);
}

static int connection_open(struct host_pool *p, enum http_version version, enum end_reason *ret_reason,
                           struct view *ret_why)
{
    struct upstream *u = p->upstream;
    struct worker *w = u->worker;
    struct view alpn[3];
    size_t n_alpn = alpn_for(u, version, alpn);
    if (!breaker_take(&u->breaker, BREAKER_CONNECTIONS)) {
        *ret_reason = END_OVERFLOW;
        return -EBUSY;
    }
    struct conn *conn;
    worker_count(&w->counters.upstream_connects, 1);
    int r = pool_dial(u, p->host, alpn, n_alpn, &conn, ret_why);
    if (r < 0) {
        worker_count(&w->counters.upstream_connect_failures, 1);
        breaker_give(&u->breaker, BREAKER_CONNECTIONS);
        *ret_reason = END_CONNECT_FAILED;
        return r;
    }
    struct pool_conn *c = mem_alloc(sizeof(*c));
    c->pool = p;
    c->connecting = true;
    c->version = version;
    c->upstream = upstream_ref(u);
    c->opened = loop_now(w->loop);
    task_init(&c->task, w->loop, pool_conn_run, "pool");
    struct http_conn_config config = {
        .role = HTTP_CLIENT,
        .version = version,
        .scheme = VIEW("http"),
        .idle_ns = u->cluster->idle_timeout,
        .max_requests = u->cluster->max_requests_per_connection,
    };
    c->http = http_conn_new(w->http, conn, &config, &c->task, POOL_CONN_HTTP);
    list_push(version == HTTP_2 ? &p->multiplexed : &p->busy, &c->link);
    p->n_connecting++;
    worker_count(&w->counters.upstream_active, 1);
    return 0;
}

static void pool_conn_close(struct pool_conn *c)
{
    struct host_pool *p = c->pool;
    struct upstream *u = p->upstream;
    if (c->connecting)
        p->n_connecting--;
    c->http = http_conn_free(c->http);
    task_done(&c->task);
    list_del(&c->link);
    breaker_give(&u->breaker, BREAKER_CONNECTIONS);
    worker_count(&u->worker->counters.upstream_active, -1);
    c->pool = NULL;
    if (c->asks) /* its streams see HTTP_RESET; the last of them frees the shell */
        return;
    mem_free(c);
    upstream_unref(u);
}

static bool give_stream(struct pool_conn *c, struct pool_ask *a)
{
    int r = http_conn_open(c->http, a->task, a->bits, &a->stream);
    if (r < 0)
        return false;
    list_del(&a->link);
    if (a->counted) {
        a->counted = false;
        c->pool->n_line--;
        breaker_give(&c->pool->upstream->breaker, BREAKER_PENDING);
    }
    a->conn = c;
    a->state = POOL_READY;
    c->asks++;
    return true;
}

static struct pool_ask *first_in_line(struct host_pool *p, enum http_version version)
{
    LIST_EACH (&p->line, struct pool_ask, link, a)
        if (a->version == version)
            return a;
    return NULL;
}

/* A connection that is free or has room serves those who wait. */
static void serve_line(struct pool_conn *c)
{
    struct pool_ask *a;
    while (!c->drained && (http_conn_ready(c->http) & HTTP_CONN_CAPACITY) && (a = first_in_line(c->pool, c->version)) &&
           give_stream(c, a))
        task_wake(a->task, a->bits);
}

/* HTTP/1: to the idle list, where the next request finds it; nothing changes for HTTP/2. */
static void settle(struct pool_conn *c)
{
    serve_line(c);
    if (c->version == HTTP_2)
        return;
    bool idle = !c->connecting && (http_conn_ready(c->http) & HTTP_CONN_CAPACITY) && http_conn_streams(c->http) == 0;
    if (idle == c->in_idle)
        return;
    list_del(&c->link);
    c->in_idle = idle;
    if (idle)
        list_push_front(&c->pool->idle, &c->link);
    else
        list_push(&c->pool->busy, &c->link);
}

static enum end_reason connect_reason(struct pool_conn *c)
{
    struct conn *below = http_conn_below(c->http);
    int e = below ? conn_error(below) : http_conn_error(c->http);
    if (e == -ETIMEDOUT)
        return END_CONNECT_TIMEOUT;
    return below && below->lower && conn_error(below->lower) == 0 ? END_TLS_FAILED : END_CONNECT_FAILED;
}

/* Nobody else will serve those who counted on this connection: they fail with its error, as many as it would have. */
static void fail_line(struct pool_conn *c)
{
    struct host_pool *p = c->pool;
    struct conn *below = http_conn_below(c->http);
    enum end_reason reason = connect_reason(c);
    char text[160];
    struct view v = below ? conn_error_text(below) : view_of("connection lost");
    v = view_head(v, sizeof(text));
    memcpy(text, v.p ? v.p : "", v.n);
    struct pool_ask *a;
    worker_count(&c->pool->upstream->worker->counters.upstream_connect_failures, 1);
    bool others = p->n_connecting > 1;
    while ((a = first_in_line(p, c->version))) {
        ask_fail(a, reason, (struct view){text, v.n});
        if (others)
            break;
    }
}

/* HTTP/2: one connection at a time, the others wait for its streams. */
static bool wants_connection(const struct host_pool *p, enum http_version version)
{
    return version == HTTP_2 ? p->n_connecting == 0 : p->n_connecting < p->n_line;
}

static void pool_conn_run(struct task *t, uint32_t events)
{
    struct pool_conn *c = CONTAINER_OF(t, struct pool_conn, task);
    (void)events;
    unsigned ready = http_conn_ready(c->http);
    if (ready & HTTP_CONN_CLOSED) {
        struct host_pool *p = c->pool;
        struct upstream *u = upstream_ref(p->upstream);
        struct host *h = host_ref(p->host);
        enum http_version version = c->version;
        if (c->connecting && !c->drained) /* drained: the plan changed meanwhile, another one follows its settings */
            fail_line(c);
        pool_conn_close(c);
        if (wants_connection(p, version) && first_in_line(p, version))
            pool_open_for_line(p, version);
        host_unref(h);
        upstream_unref(u);
        return;
    }
    if (c->connecting && (ready & HTTP_CONN_CAPACITY)) {
        c->connecting = false;
        c->pool->n_connecting--;
    }
    settle(c);
}

/* ---- asking ---- */

void pool_ask_init(struct pool_ask *a, struct task *task, uint32_t bits)
{
    *a = (struct pool_ask){.task = task, .bits = bits};
    list_init(&a->link);
}

static bool take_free(struct host_pool *p, struct pool_ask *a)
{
    if (a->version == HTTP_2) {
        LIST_EACH (&p->multiplexed, struct pool_conn, link, c)
            if (!c->connecting && !c->drained && give_stream(c, a))
                return true;
        return false;
    }
    if (list_empty(&p->idle))
        return false;
    struct pool_conn *c = LIST_ITEM(p->idle.next, struct pool_conn, link);
    if (!give_stream(c, a))
        return false;
    list_del(&c->link);
    list_push(&p->busy, &c->link);
    c->in_idle = false;
    return true;
}

static void pool_open_for_line(struct host_pool *p, enum http_version version)
{
    enum end_reason reason = END_CONNECT_FAILED;
    struct view why = VIEW_NONE;
    struct pool_ask *a;
    if (connection_open(p, version, &reason, &why) == 0)
        return;
    if (reason == END_OVERFLOW && (!list_empty(&p->busy) || !list_empty(&p->multiplexed)))
        return; /* the line is served by those that are open */
    while ((a = first_in_line(p, version)))
        ask_fail(a, reason, why);
}

void pool_ask(struct pool_ask *a, struct upstream *u, struct host *h, enum http_version version)
{
    struct host_pool *p = host_pool(u, h);
    a->pool = p;
    a->version = version;
    if (take_free(p, a))
        return;
    if (!breaker_take(&u->breaker, BREAKER_PENDING)) {
        ask_fail(a, END_OVERFLOW, VIEW_NONE);
        return;
    }
    a->counted = true;
    a->state = POOL_WAITS;
    list_push(&p->line, &a->link);
    p->n_line++;
    if (wants_connection(p, version))
        pool_open_for_line(p, version);
}

void pool_ask_done(struct pool_ask *a)
{
    list_del(&a->link);
    if (a->counted) {
        a->counted = false;
        a->pool->n_line--;
        breaker_give(&a->pool->upstream->breaker, BREAKER_PENDING);
    }
    struct pool_conn *c = a->conn;
    a->conn = NULL;
    a->stream = NULL;
    a->state = POOL_OUT;
    if (!c)
        return;
    c->asks--;
    if (!c->pool) { /* closed already */
        if (c->asks == 0) {
            upstream_unref(c->upstream);
            mem_free(c);
        }
        return;
    }
    if (!(http_conn_ready(c->http) & HTTP_CONN_CLOSED))
        settle(c);
}

/* ---- all of a cluster ---- */

void pools_drain(struct upstream *u)
{
    LIST_EACH (&u->pools, struct host_pool, link, p) {
        struct list *all[] = {&p->idle, &p->busy, &p->multiplexed};
        for (size_t i = 0; i < COUNT_OF(all); i++)
            LIST_EACH (all[i], struct pool_conn, link, c) {
                c->drained = true;
                http_conn_drain(c->http);
            }
    }
}
