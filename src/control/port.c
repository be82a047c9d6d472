// SPDX-License-Identifier: Apache-2.0
/* See port.h. One task accepts; each connection has one of its own that waits for requests and for its end. */
#include "control/port.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "net/acceptor.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "trust/spiffe.h"

enum { EVENT_ACCEPT = 1 };
enum { EVENT_CONN = 1, EVENT_STREAM = 2 };

#define DATA_FRAME 4000 /* a thousand proxies: one page of frame buffer each instead of five (wire/h2_memory.c) */
#define HEADERS_TIMEOUT (10 * NS_PER_S)
#define IDLE_TIMEOUT (120 * NS_PER_S) /* without any stream; xDS streams live as long as they like */

struct port {
    struct port_config config;
    struct acceptor *acceptor;
    struct task task;
    struct list connections;
    uint32_t n_connections;
};

struct port_conn {
    struct task task;
    struct list link;
    struct port *port;
    struct http_conn *http;
};

static void port_conn_free(struct port_conn *c)
{
    list_del(&c->link);
    c->port->n_connections--;
    http_conn_free(c->http);
    task_done(&c->task);
    free(c);
}

static void hand_over(struct port_conn *c, struct http_stream *s)
{
    struct conn *below = http_conn_below(c->http);
    const struct tls_info *tls = below ? tls_info(below) : NULL;
    struct port_request q = {.stream = s, .tls = tls != NULL, .from = below ? conn_remote(below) : NULL};
    struct view target = headers_value(&s->in, HEADER_PATH);
    struct spiffe id;
    size_t mark = view_find(target, '?');

    q.path = view_head(target, mark);
    q.query = view_from(target, mark + 1);
    if (tls && tls->verified && spiffe_parse(tls->spiffe, &id) == 0)
        q.peer = (struct xds_identity){id.trust_domain, id.ns, id.sa};
    c->port->config.serve(c->port->config.arg, &q);
}

static void port_conn_run(struct task *t, uint32_t events)
{
    struct port_conn *c = CONTAINER_OF(t, struct port_conn, task);
    struct http_stream *s;

    while ((s = http_conn_accept(c->http, &c->task, EVENT_STREAM)))
        hand_over(c, s);
    if (http_conn_ready(c->http) & HTTP_CONN_CLOSED)
        port_conn_free(c);
}

static void welcome(struct port *p, struct conn *raw)
{
    const struct http_conn_config http = {.role = HTTP_SERVER,
                                          .version = p->config.version,
                                          .scheme = p->config.tls ? VIEW("https") : VIEW("http"),
                                          .idle_ns = IDLE_TIMEOUT,
                                          .max_data = DATA_FRAME,
                                          .headers_ns = HEADERS_TIMEOUT};
    struct conn *conn = raw;
    struct port_conn *c;

    if (p->n_connections >= LIMIT_CONTROL_CONNECTIONS) {
        conn_abort(raw);
        return;
    }
    if (p->config.tls && tls_accept(p->config.tls, raw, &(struct tls_options){0}, &conn) < 0) {
        conn_abort(raw);
        return;
    }
    c = calloc(1, sizeof(*c));
    must(c != NULL);
    c->port = p;
    task_init(&c->task, p->config.loop, port_conn_run, "control connection");
    list_push(&p->connections, &c->link);
    p->n_connections++;
    c->http = http_conn_new(p->config.http, conn, &http, &c->task, EVENT_CONN);
}

static void port_run(struct task *t, uint32_t events)
{
    struct port *p = CONTAINER_OF(t, struct port, task);
    struct conn *conn;

    while (acceptor_accept(p->acceptor, &conn) == 0)
        welcome(p, conn);
}

int port_open(const struct port_config *config, struct port **ret_port)
{
    struct port *p = calloc(1, sizeof(*p));
    int r;

    must(p != NULL);
    p->config = *config;
    list_init(&p->connections);
    task_init(&p->task, config->loop, port_run, "control port");
    r = acceptor_open(config->loop, &config->at, &(struct acceptor_options){0}, &p->task, EVENT_ACCEPT, &p->acceptor);
    if (r < 0) {
        task_done(&p->task);
        free(p);
        return r;
    }
    *ret_port = p;
    return 0;
}

struct port *port_free(struct port *p)
{
    if (!p)
        return NULL;
    LIST_EACH (&p->connections, struct port_conn, link, c) {
        port_conn_free(c);
    }
    acceptor_close(p->acceptor);
    task_done(&p->task);
    free(p);
    return NULL;
}

const struct addr *port_addr(const struct port *p)
{
    return acceptor_addr(p->acceptor);
}

uint32_t port_connections(const struct port *p)
{
    return p->n_connections;
}
