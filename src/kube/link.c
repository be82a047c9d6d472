// SPDX-License-Identifier: Apache-2.0
/* Making connections and sharing them (link.h).
 *
 * A link goes through: name → socket and TLS → HTTP. ALPN says which HTTP it is. A connection that died without a word is
 * found by TCP keepalive within 30 s, or sooner when a call got no answer and nothing else came either: then the server is
 * asked for its version, which it knows even when its etcd is away, and if it does not answer that, the connection goes.
 */
#include "kube/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/conn.h"
#include "kube/fetch.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/timer.h"

enum { LINK_IO = 1, LINK_HTTP = 2, LINK_LATE = 4, LINK_NAME = 8 };
#define CONNECT_LATE (5 * NS_PER_S)
#define LINK_LATE_NS (15 * NS_PER_S) /* name, socket and TLS together */
#define PROBE_LATE (3 * NS_PER_S)

struct kube_link {
    struct list link;
    struct kube_client *client;
    struct task task;
    struct timer late;
    struct query query;
    uint32_t at;       /* which of the name's addresses */
    struct conn *conn; /* until it is up; then */
    struct http_conn *http;
    struct http_stream *probe; /* is anybody there? */
    uint64_t heard;            /* bytes received before the probe */
    struct fetch *only;        /* HTTP/1: whose it is. NULL on HTTP/2, and while that is not known */
};

static void link_free(struct kube_link *l)
{
    list_del(&l->link);
    query_done(&l->query);
    http_stream_free(l->probe);
    conn_close(l->conn);
    http_conn_free(l->http);
    timer_done(&l->late);
    task_done(&l->task);
    mem_free(l);
}

void kube_link_wake(struct kube_client *c)
{
    LIST_EACH (&c->waiting, struct fetch, wait, f)
        task_wake(f->task, f->bits);
}

/* ---- coming up ---- */

static void failed(struct kube_link *l, int err, struct view text)
{
    struct kube_client *c = l->client;
    struct fetch *only = l->only;

    snprintf(c->why, sizeof(c->why), "%.*s://%.*s: %.*s", VIEW_ARGS(c->scheme), VIEW_ARGS(c->authority),
             VIEW_ARGS(text.n ? text : view_of(strerror(-err))));
    link_free(l);
    LIST_EACH (&c->waiting, struct fetch, wait, f) {
        if (only && f != only)
            continue;
        f->link_error = err;
        list_del(&f->wait);
        task_wake(f->task, f->bits);
    }
}

static int connect_to(struct kube_link *l, const struct addr *to)
{
    struct kube_client *c = l->client;
    bool local = to->family == ADDR_UNIX;
    struct conn_options o = {.timeout = CONNECT_LATE,
                             .keepalive = !local,
                             .keepalive_idle = 15,
                             .keepalive_interval = 5,
                             .keepalive_probes = 3};
    struct conn *lower;
    int err = conn_connect(c->loop, to, &o, &lower);
    if (err)
        return err;
    l->conn = lower;
    if (c->tls) {
        struct tls_options t = {.sans = &c->san, .n_sans = c->config.insecure ? 0 : 1, .timeout = LINK_LATE_NS};
        t.sni = c->san.kind == TLS_SAN_DNS ? c->san.text : VIEW_NONE;
        err = tls_connect(c->context, lower, &t, &l->conn);
        if (err) {
            conn_close(lower);
            l->conn = NULL;
            return err;
        }
    }
    conn_own(l->conn, &l->task, LINK_IO, LINK_IO);
    task_wake(&l->task, LINK_IO);
    return 0;
}

/* The next of the name's addresses; -ENOENT when there is none left. */
static int connect_next(struct kube_link *l)
{
    int err = -ENOENT;
    while (l->at < l->query.n_addrs && err) {
        struct addr to = l->query.addrs[l->at++];
        to.port = l->client->port;
        err = connect_to(l, &to);
    }
    return err;
}

static void up(struct kube_link *l)
{
    struct kube_client *c = l->client;
    const struct tls_info *info = tls_info(l->conn);
    struct http_conn_config config = {.role = HTTP_CLIENT, .scheme = c->tls ? VIEW("https") : VIEW("http")};

    config.version = info && view_is(info->alpn, "h2") ? HTTP_2 : HTTP_1;
    c->h1 = config.version == HTTP_1;
    l->http = http_conn_new(c->http, l->conn, &config, &l->task, LINK_HTTP);
    l->conn = NULL;
    timer_clear(&l->late);
    c->why[0] = 0;
    kube_link_wake(c);
    LIST_EACH (&c->pausing, struct kube_retry, link, r) {
        list_del(&r->link);
        task_wake(r->task, r->bits);
    }
}

static void run_name(struct kube_link *l)
{
    if (l->query.status == -EAGAIN)
        return;
    int err = l->query.status ? l->query.status : connect_next(l);
    if (err)
        failed(l, err, err == -ENOENT ? VIEW("no such name") : VIEW_NONE);
}

static void run_conn(struct kube_link *l, uint32_t events)
{
    int err = conn_ready(l->conn);
    if (err == -EAGAIN && (events & LINK_LATE))
        err = -ETIMEDOUT;
    if (!err) {
        up(l);
    } else if (err != -EAGAIN) {
        struct conn *old = l->conn;
        l->conn = NULL;
        if (connect_next(l)) /* what was said of the last address is told */
            failed(l, err, conn_error_text(old));
        conn_close(old);
    }
}

/* ---- is it alive? ---- */

static void probe(struct kube_link *l)
{
    struct kube_client *c = l->client;
    struct headers h;

    if (l->probe || http_conn_open(l->http, &l->task, LINK_HTTP, &l->probe))
        return;
    headers_init(&h, &l->probe->arena);
    l->heard = http_conn_below(l->http)->bytes_in;
    timer_in(&l->late, PROBE_LATE);
    if (headers_add(&h, HEADER_METHOD, VIEW("GET")) || headers_add(&h, HEADER_SCHEME, c->scheme) ||
        headers_add(&h, HEADER_PATH, VIEW("/version")) || headers_add(&h, HEADER_AUTHORITY, c->authority) ||
        headers_add(&h, HEADER_USER_AGENT, c->config.agent) || http_stream_headers(l->probe, &h, true))
        l->probe = http_stream_free(l->probe);
}

static bool is_dead(struct kube_link *l, uint32_t events)
{
    if (http_conn_ready(l->http) & HTTP_CONN_CLOSED)
        return true;
    if (!l->probe)
        return false;
    bool silent = http_conn_below(l->http)->bytes_in == l->heard;
    if (silent && (events & LINK_LATE)) {
        snprintf(l->client->why, sizeof(l->client->why), "%.*s://%.*s: the server does not answer",
                 VIEW_ARGS(l->client->scheme), VIEW_ARGS(l->client->authority));
        return true;
    }
    if (!silent) {
        timer_clear(&l->late);
        l->probe = http_stream_free(l->probe);
    }
    return false;
}

static void link_run(struct task *t, uint32_t events)
{
    struct kube_link *l = CONTAINER_OF(t, struct kube_link, task);
    struct kube_client *c = l->client;

    if (l->http) {
        if (is_dead(l, events))
            link_free(l);  /* its streams are reset, their owners try again */
        kube_link_wake(c); /* there is capacity, or another one is needed */
    } else if (l->conn) {
        run_conn(l, events);
    } else {
        run_name(l);
    }
}

static int link_new(struct kube_client *c, struct fetch *only)
{
    const char *why = "";
    int err = c->tls ? credential_tls(c, &why) : 0;
    if (err) {
        snprintf(c->why, sizeof(c->why), "%s", why);
        return err;
    }
    struct kube_link *l = mem_alloc(sizeof(*l));
    l->client = c;
    l->only = only;
    list_push(&c->links, &l->link);
    task_init(&l->task, c->loop, link_run, "kube link");
    timer_init(&l->late, &l->task, LINK_LATE);
    timer_in(&l->late, LINK_LATE_NS);
    query_init(&l->query, &l->task, LINK_NAME);
    if (c->to.family != ADDR_NONE) {
        err = connect_to(l, &c->to);
    } else {
        c->resolver = c->resolver ? c->resolver : resolver_new(c->loop, NULL);
        if (c->resolver)
            resolve(c->resolver, &l->query, c->host, RESOLVE_V4 | RESOLVE_V6);
        else
            err = -ENOMEM;
    }
    if (err)
        failed(l, err, VIEW_NONE);
    return err;
}

/* ---- for exchanges ---- */

static bool on_its_way(const struct kube_client *c, const struct fetch *f)
{
    LIST_EACH (&c->links, struct kube_link, link, l)
        if (!l->http && (!l->only || l->only == f))
            return true;
    return false;
}

int kube_link_stream(struct fetch *f)
{
    struct kube_client *c = f->client;
    bool wait = false;

    if (f->link_error || c->bad)
        return c->bad ? -EINVAL : f->link_error;
    LIST_EACH (&c->links, struct kube_link, link, l) {
        if (!l->http || (l->only && l->only != f))
            continue;
        int err = http_conn_open(l->http, f->task, f->bits, &f->stream);
        if (!err) {
            l->only = http_conn_version(l->http) == HTTP_1 ? f : NULL;
            f->heard = http_conn_below(l->http)->bytes_in;
            list_del(&f->wait);
            return 0;
        }
        wait = wait || err == -EAGAIN;
    }
    if (list_empty(&f->wait))
        list_push(&c->waiting, &f->wait);
    if (wait || on_its_way(c, f))
        return -EAGAIN;
    int err = link_new(c, c->h1 ? f : NULL);
    if (err)
        list_del(&f->wait);
    return err ? err : -EAGAIN;
}

void kube_link_silent(struct fetch *f)
{
    if (!f->stream || !f->stream->conn)
        return;
    LIST_EACH (&f->client->links, struct kube_link, link, l)
        if (l->http == f->stream->conn && !l->only && http_conn_below(l->http)->bytes_in == f->heard)
            probe(l);
}

void kube_link_forget(struct fetch *f)
{
    list_del(&f->wait);
    LIST_EACH (&f->client->links, struct kube_link, link, l)
        if (l->only == f)
            link_free(l);
}

void kube_link_close(struct kube_client *c)
{
    LIST_EACH (&c->links, struct kube_link, link, l)
        link_free(l);
    c->resolver = resolver_free(c->resolver);
}
