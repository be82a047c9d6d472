// SPDX-License-Identifier: Apache-2.0
/* The life of a downstream connection (connection.h), step by step:
 *
 *   begin      where did it want to go? (SO_ORIGINAL_DST) and which listener serves that?
 *   inspect    TLS or not, SNI, ALPN, HTTP version: only what the listener asks for, and for as long as it says
 *   choose     the filter chain, or the end
 *   secure     TLS handshake, if the chain has TLS
 *   codec      HTTP/1 or HTTP/2, where it is still open
 *   serve      streams (stream.h) or a relay (tcp.h), until the end
 */
#include "proxy/connection.h"

#include <string.h>

#include "base/must.h"
#include "http/conn.h"
#include "net/loop.h"
#include "plan/defaults.h"
#include "plan/plan.h"
#include "proxy/inspect.h"
#include "proxy/log.h"
#include "proxy/proxy_impl.h"
#include "proxy/stream.h"
#include "proxy/tcp.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define CONNECTION_STEPS(STEP)                                                                                         \
    STEP(connection_begin, 0)                                                                                          \
    STEP(connection_inspect, 0) /* listener.inspect_timeout */                                                         \
    STEP(connection_choose, 0)                                                                                         \
    STEP(connection_secure, 0)                                                                                         \
    STEP(connection_handshake, 15 * NS_PER_S)                                                                          \
    STEP(connection_codec, 60 * NS_PER_S)                                                                              \
    STEP(connection_serve, 0) /* http_manager.max_connection_duration; idle timeouts are http's and the relay's */
CONNECTION_STEPS(STEP_DECLARE)
static const struct step connection_steps[] = {CONNECTION_STEPS(STEP_ROW)};
enum { CONNECTION_STEPS(STEP_INDEX) };

#define FIRST_BYTES (60 * NS_PER_S) /* how long a client that has to speak first may be silent */

static void connection_run(struct task *t, uint32_t events);

void connection_new(struct worker *w, const struct listener *accepted, struct conn *conn)
{
    struct connection *c = pool_take(w->connection_pool);
    memset(c, 0, sizeof(*c));
    c->worker = w;
    c->conn = conn;
    c->accepted = resource_ref(accepted);
    c->listener = resource_ref(accepted);
    c->opened = loop_now(w->loop);
    c->draining = worker_drains(w, accepted);
    c->number = worker_count(&w->counters.connections, 1);
    worker_count(&w->counters.connections_active, 1);
    arena_init(&c->arena, 512);
    list_init(&c->streams);
    list_push(&w->connections, &c->link);
    task_init(&c->task, w->loop, connection_run, "connection");
    steps_init(&c->steps, &c->task, CONNECTION_LATE, connection_steps, COUNT_OF(connection_steps));
    conn_own(conn, &c->task, CONNECTION_IN, CONNECTION_OUT);
    task_wake(&c->task, CONNECTION_IN);
}

static void connection_free(struct connection *c)
{
    struct worker *w = c->worker;
    must(list_empty(&c->streams));
    c->relay = relay_free(c->relay);
    c->http = http_conn_free(c->http);
    conn_close(c->conn);
    log_connection_peer_done(c);
    steps_done(&c->steps);
    task_done(&c->task);
    list_del(&c->link);
    resource_unref(c->listener);
    resource_unref(c->accepted);
    arena_done(&c->arena);
    worker_count(&w->counters.connections_active, -1);
    pool_give(w->connection_pool, c);
    worker_check_closed(w);
}

static void connection_run(struct task *t, uint32_t events)
{
    struct connection *c = CONTAINER_OF(t, struct connection, task);
    if (c->relay) {
        if (!relay_run(c->relay, events))
            connection_free(c);
        return;
    }
    if (steps_walk(&c->steps, c) == STEP_DONE)
        connection_free(c);
}

static enum step_result connection_end(struct connection *c, enum end_reason why)
{
    c->reason = why;
    log_connection(c);
    return STEP_DONE;
}

/* ---- begin ---- */

static void connection_names(struct connection *c)
{
    char text[ADDR_TEXT];
    struct view v = addr_print(&c->remote, text);
    c->remote_n = (uint8_t)(v.n < sizeof(c->remote_text) ? v.n : sizeof(c->remote_text));
    memcpy(c->remote_text, v.p, c->remote_n);
    struct view ip = addr_print_ip(&c->remote, text);
    c->remote_ip_n = (uint8_t)(ip.n < sizeof(c->remote_ip) ? ip.n : sizeof(c->remote_ip));
    memcpy(c->remote_ip, ip.p, c->remote_ip_n);
    v = addr_print(&c->destination, text);
    c->local_n = (uint8_t)(v.n < sizeof(c->local_text) ? v.n : sizeof(c->local_text));
    memcpy(c->local_text, v.p, c->local_n);
}

static enum step_result connection_begin(void *self)
{
    struct connection *c = self;
    c->local = *conn_local(c->conn);
    c->remote = *conn_remote(c->conn);
    c->destination = c->local;
    const struct listener *l = c->accepted;
    if (l->use_original_dst || (l->inspect & INSPECT_ORIGINAL_DST))
        c->redirected = conn_original_dst(c->conn, &c->destination) == 0;
    connection_names(c);
    if (l->use_original_dst && c->redirected) {
        struct plan_addr to = plan_addr_from(&c->destination);
        const struct listener *there = c->worker->now ? plan_listener_for(c->worker->now->plan, &to) : NULL;
        if (there) {
            resource_unref(c->listener);
            c->listener = resource_ref(there);
        }
    }
    c->inspectors = listener_inspectors(c->listener, c->destination.port) & (INSPECT_TLS | INSPECT_HTTP);
    return STEP_NEXT;
}

/* ---- inspect ---- */

static struct connection_facts facts_of(const struct connection *c)
{
    return (struct connection_facts){
        .destination = plan_addr_from(&c->destination),
        .source = plan_addr_from(&c->remote),
        .tls = c->spoken == SPOKEN_TLS,
        .server_name = c->sni,
        .alpn = c->alpn,
        .n_alpn = c->n_alpn,
    };
}

/* Silence. Where the server may speak first the connection goes on; a client that has to speak first gets a while. */
static enum step_result inspect_late(struct connection *c)
{
    struct connection_facts facts = facts_of(c);
    if (c->listener->continue_on_timeout && listener_serves_silence(c->listener, &facts)) {
        c->spoken = SPOKEN_SILENT;
        return STEP_NEXT;
    }
    if (!c->listener->continue_on_timeout || c->waited)
        return connection_end(c, END_DOWNSTREAM_LOCAL_CLOSE);
    c->waited = true;
    steps_extend(&c->steps, FIRST_BYTES);
    return STEP_WAIT;
}

static enum step_result connection_inspect(void *self)
{
    struct connection *c = self;
    if (!c->inspectors)
        return STEP_NEXT;
    int r = inspect(c);
    if (r == 0)
        return STEP_NEXT;
    if (r != -EAGAIN)
        return connection_end(c, END_DOWNSTREAM_CLOSED);
    if (steps_late(&c->steps))
        return inspect_late(c);
    if (c->steps.deadline == TIMER_NEVER && c->listener->inspect_timeout)
        steps_extend(&c->steps, c->listener->inspect_timeout);
    return STEP_WAIT;
}

/* ---- choose ---- */

static enum step_result connection_choose(void *self)
{
    struct connection *c = self;
    struct connection_facts facts = facts_of(c);
    c->chain = listener_find_chain(c->listener, &facts);
    if (!c->chain) {
        worker_count(&c->worker->counters.no_chain, 1);
        return connection_end(c, END_NO_FILTER_CHAIN);
    }
    return STEP_NEXT;
}

/* ---- secure ---- */

static enum step_result connection_secure(void *self)
{
    struct connection *c = self;
    if (!c->chain->tls) {
        steps_jump(&c->steps, AT_connection_codec);
        return STEP_NEXT;
    }
    struct tls_context *context;
    struct tls_options options = {.timeout = 15 * NS_PER_S};
    struct tls_san *sans = NULL;
    struct tls_server *tls = c->chain->tls;
    int r = tls_sans_of(&c->arena, &tls->common, &sans, &options.n_sans);
    options.sans = sans;
    if (r == 0)
        r = tls_shelf_server(&c->worker->tls, c->worker->now ? c->worker->now->plan : NULL, tls, &context, &c->why);
    if (r == 0)
        r = tls_accept(context, c->conn, &options, &c->conn);
    if (r < 0)
        return connection_end(c, END_DOWNSTREAM_TLS);
    c->tls = true;
    conn_own(c->conn, &c->task, CONNECTION_IN, CONNECTION_OUT);
    return STEP_NEXT;
}

static enum step_result connection_handshake(void *self)
{
    struct connection *c = self;
    int r = conn_ready(c->conn);
    if (r == -EAGAIN && !steps_late(&c->steps))
        return STEP_WAIT;
    return r < 0 ? connection_end(c, END_DOWNSTREAM_TLS) : STEP_NEXT;
}

/* ---- codec ---- */

static enum http_version by_alpn(struct view alpn)
{
    return view_is(alpn, "h2") || view_is(alpn, "istio-h2") ? HTTP_2 : HTTP_1;
}

static void serve_http(struct connection *c, enum http_version version)
{
    const struct http_manager *m = c->chain->http;
    struct http_conn_config config = {
        .role = HTTP_SERVER,
        .version = version,
        .scheme = c->tls ? VIEW("https") : VIEW("http"),
        .idle_ns = m->idle_timeout,
        .headers_ns = m->headers_timeout,
    };
    log_connection_open(c);
    c->http = http_conn_new(c->worker->http, c->conn, &config, &c->task, CONNECTION_HTTP);
    c->conn = NULL;
    if (c->draining && version == HTTP_1) /* HTTP/2 would be told to leave before its first request */
        http_conn_drain(c->http);
}

static enum step_result connection_codec(void *self)
{
    struct connection *c = self;
    if (c->chain->tcp) {
        steps_extend(&c->steps, 0);
        log_connection_open(c);
        c->relay = relay_new(c);
        task_wake(&c->task, CONNECTION_RELAY);
        return STEP_WAIT;
    }
    enum http_version version = c->chain->http->codec == CODEC_HTTP2 ? HTTP_2 : HTTP_1;
    if (c->chain->http->codec == CODEC_AUTO) {
        const struct tls_info *tls = c->tls ? tls_info(c->conn) : NULL;
        if (tls && tls->alpn.n) {
            version = by_alpn(tls->alpn);
        } else if (c->spoken == SPOKEN_HTTP10 || c->spoken == SPOKEN_HTTP11) {
            version = HTTP_1;
        } else {
            int r = inspect_preface(c->conn, c->worker->loop, &version);
            if (r == -EAGAIN && !steps_late(&c->steps))
                return STEP_WAIT;
            if (r < 0)
                return connection_end(c, END_DOWNSTREAM_CLOSED);
        }
    }
    serve_http(c, version);
    return STEP_NEXT;
}

/* ---- serve ---- */

static enum step_result connection_serve(void *self)
{
    struct connection *c = self;
    struct http_stream *down;
    while ((down = http_conn_accept(c->http, &c->task, CONNECTION_HTTP)))
        stream_new(c, down);
    unsigned ready = http_conn_ready(c->http);
    if (ready & HTTP_CONN_CLOSED) {
        if (!list_empty(&c->streams)) /* they see HTTP_RESET and end one after the other */
            return STEP_WAIT;
        if (ready & HTTP_CONN_REFUSED) {
            worker_count(&c->worker->counters.bad_requests, 1);
            log_refused(c);
        }
        return STEP_DONE;
    }
    if (steps_late(&c->steps)) {
        http_conn_drain(c->http);
        steps_extend(&c->steps, 0);
    } else if (c->steps.deadline == TIMER_NEVER && c->chain->http->max_connection_duration && !c->draining) {
        steps_extend(&c->steps, c->chain->http->max_connection_duration);
    }
    return STEP_WAIT;
}

void connection_stream_gone(struct connection *c)
{
    if (list_empty(&c->streams) && (!c->http || (http_conn_ready(c->http) & HTTP_CONN_CLOSED)))
        task_wake(&c->task, CONNECTION_EMPTY);
}

void connection_drain(struct connection *c)
{
    c->draining = true;
    if (c->http)
        http_conn_drain(c->http);
}

void connection_abort(struct connection *c)
{
    LIST_EACH (&c->streams, struct stream, link, s)
        stream_abort(s);
    connection_free(c);
}
