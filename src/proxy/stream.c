// SPDX-License-Identifier: Apache-2.0
/* The life of a request, step by step (stream.h says where the longer parts live):
 *
 *   admit     may it come in? request id, forwarded headers, path, upgrade, peer metadata        request.c
 *   route     virtual host and route; redirects, direct answers and CORS preflights end here     plan/route_match.c
 *   fault     injected delay, injected abort                                                     filter/fault.c
 *   prepare   header changes, rewrites, time-outs                                                request.c
 *   pick      cluster, circuit breakers, endpoint                                                upstream.c, plan/balance_*.c
 *   connect   a stream on a pooled connection                                                    pool.c
 *   send      the request's head                                                                 request.c
 *   await     the request's body goes up; the answer's head comes                                forward.c
 *   backoff   only before another try                                                            plan/retry.c
 *   relay     the answer's head and body go down                                                 response.c, forward.c
 *   answer    an answer of our own goes down                                                     response.c
 *   finish    outcome, access log, metrics                                                       log.c
 *
 * Each wait ends by what the stream waits for, by the client going away, or by the earliest of its due times.
 */
#include "proxy/stream.h"

#include <string.h>

#include "base/must.h"
#include "http/conn.h"
#include "net/loop.h"
#include "plan/listener.h"
#include "plan/plan.h"
#include "proxy/connection.h"
#include "proxy/filter/cors.h"
#include "proxy/filter/fault.h"
#include "proxy/filter/mirror.h"
#include "proxy/filter/peer_metadata.h"
#include "proxy/log.h"
#include "proxy/worker.h"
#include "telemetry/peer_metadata.h"

#define STREAM_STEPS(STEP)                                                                                             \
    STEP(stream_admit, 0)                                                                                              \
    STEP(stream_route, 0)                                                                                              \
    STEP(stream_fault, 0) /* fault.delay */                                                                            \
    STEP(stream_prepare, 0)                                                                                            \
    STEP(stream_pick, 0)    /* names: the resolver's time-out */                                                       \
    STEP(stream_connect, 0) /* cluster.connect_timeout */                                                              \
    STEP(stream_send, 0)                                                                                               \
    STEP(stream_await, 0)   /* route.timeout, retry.per_try_timeout, idle_timeout */                                   \
    STEP(stream_backoff, 0) /* retry_backoff() */                                                                      \
    STEP(stream_relay, 0)   /* route.timeout, idle_timeout */                                                          \
    STEP(stream_answer, 60 * NS_PER_S)                                                                                 \
    STEP(stream_finish, 0)
STREAM_STEPS(STEP_DECLARE)
static const struct step stream_steps[] = {STREAM_STEPS(STEP_ROW)};
enum { STREAM_STEPS(STEP_INDEX) };

static void stream_run(struct task *t, uint32_t events);

void stream_new(struct connection *c, struct http_stream *down)
{
    struct worker *w = c->worker;
    struct stream *s = pool_take(w->stream_pool);
    memset(s, 0, sizeof(*s));
    s->connection = c;
    s->worker = w;
    s->down = down;
    s->http = c->chain->http;
    s->generation = generation_ref(w->now);
    s->grpc = -1;
    s->started = loop_now(w->loop);
    list_push(&c->streams, &s->link);
    worker_count(&w->counters.requests, 1);
    worker_count(&w->counters.requests_active, 1);
    task_init(&s->task, w->loop, stream_run, "stream");
    steps_init(&s->steps, &s->task, STREAM_LATE, stream_steps, COUNT_OF(stream_steps));
    timer_init(&s->timer, &s->task, STREAM_TIME);
    pool_ask_init(&s->ask, &s->task, STREAM_POOL);
    list_init(&s->names.link);
    list_init(&s->mirrors);
    s->names.task = &s->task;
    s->names.bits = STREAM_NAMES;
    http_stream_own(down, &s->task, STREAM_DOWN);
    task_wake(&s->task, STREAM_DOWN);
}

static void stream_free(struct stream *s)
{
    struct connection *c = s->connection;
    struct worker *w = s->worker;
    forward_drop_try(s);
    upstream_wait_done(&s->names);
    for (uint32_t i = 0; i < s->n_tried; i++)
        host_unref(s->tried[i]);
    upstream_unref(s->upstream);
    http_stream_free(s->down);
    if (s->kept.cap)
        worker_give_buf(w, &s->kept);
    mirror_forget(s);
    peer_unref(s->peer);
    timer_done(&s->timer);
    steps_done(&s->steps);
    task_done(&s->task);
    list_del(&s->link);
    generation_unref(s->generation);
    worker_count(&w->counters.requests_active, -1);
    pool_give(w->stream_pool, s);
    connection_stream_gone(c);
}

/* The waiting step returns at once, and the step `to` is next. */
static void stream_cut(struct stream *s, uint16_t to)
{
    s->cut = true;
    steps_jump(&s->steps, to);
}

static void stream_client_gone(struct stream *s)
{
    if (s->down->fin == HTTP_FIN_PROTOCOL || s->down->fin == HTTP_FIN_TOO_LARGE)
        s->reason = s->down->version == 20 ? END_DOWNSTREAM_PROTOCOL_H2 : END_DOWNSTREAM_PROTOCOL;
    else if (s->down->fin == HTTP_FIN_FLOOD)
        s->reason = END_DOWNSTREAM_FLOOD;
    else
        s->reason = s->down->version == 20 && s->down->conn ? END_DOWNSTREAM_RESET : END_DOWNSTREAM_CLOSED;
    stream_cut(s, AT_stream_finish);
}

/* Answers instead of whatever was going on; or ends the stream when the answer's head is out already. */
static enum step_result stream_reply(struct stream *s, enum end_reason reason, uint16_t status, struct view body)
{
    forward_drop_try(s);
    s->reason = reason;
    if (s->responded) {
        http_stream_reset(s->down, HTTP_INTERNAL_ERROR);
        steps_jump(&s->steps, AT_stream_finish);
    } else {
        response_local(s, reason, status, body);
        steps_jump(&s->steps, AT_stream_answer);
    }
    return STEP_NEXT;
}

static enum step_result stream_over(struct stream *s)
{
    steps_jump(&s->steps, AT_stream_finish);
    return STEP_NEXT;
}

static void stream_due(struct stream *s)
{
    uint64_t now = loop_now(s->worker->loop);
    if (s->route_due && now >= s->route_due) {
        s->route_due = 0;
        stream_reply(s, END_UPSTREAM_TIMEOUT, 0, VIEW_NONE);
        s->cut = true;
    } else if (s->try_due && now >= s->try_due) {
        s->try_due = 0;
        s->try_late = true;
    } else if (s->idle_due && now >= s->idle_due) {
        s->idle_due = 0;
        stream_reply(s, END_STREAM_IDLE, s->request_ended ? 504 : 408, VIEW_NONE);
        s->cut = true;
    } else {
        forward_timer(s);
    }
}

static void stream_run(struct task *t, uint32_t events)
{
    struct stream *s = CONTAINER_OF(t, struct stream, task);
    if (__builtin_expect(s->down->ready & HTTP_RESET, 0))
        stream_client_gone(s);
    else if (__builtin_expect(events & STREAM_TIME, 0))
        stream_due(s);
    if (steps_walk(&s->steps, s) == STEP_DONE)
        stream_free(s);
}

static inline bool stream_was_cut(struct stream *s)
{
    bool cut = s->cut;
    s->cut = false;
    return cut;
}

void stream_abort(struct stream *s)
{
    s->reason = END_DOWNSTREAM_LOCAL_CLOSE;
    log_stream(s);
    stream_free(s);
}

/* ---- the steps ---- */

static enum step_result stream_admit(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    enum end_reason reason = request_admit(s);
    if (reason != END_OK)
        return stream_reply(s, reason, 0, VIEW_NONE);
    return STEP_NEXT;
}

static const struct route_table *routes_of(struct stream *s)
{
    return s->http->routes ? s->http->routes : plan_routes(s->generation->plan, &s->http->rds);
}

static enum step_result stream_route(void *self)
{
    struct stream *s = self;
    struct match_request facts = request_facts(s);
    const struct route_table *table = routes_of(s);
    s->host = table ? route_table_find(table, facts.host) : NULL;
    if (s->host && s->host->require_tls == REQUIRE_TLS_ALL && !facts.tls)
        return stream_reply(s, END_HTTPS_REDIRECT, 301, VIEW_NONE);
    s->route = s->host ? virtual_host_find(s->host, &facts) : NULL;
    if (!s->route)
        return stream_reply(s, END_NO_ROUTE, 0, VIEW_NONE);
    if (s->route->cors && cors_preflight(s))
        return stream_reply(s, END_CORS_PREFLIGHT, 0, VIEW_NONE);
    return STEP_NEXT;
}

static enum step_result stream_fault(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    uint16_t status;
    switch (fault_decide(s, &status)) {
    case FAULT_WAIT:
        return STEP_WAIT;
    case FAULT_ABORT:
        return stream_reply(s, END_FAULT_ABORT, status, VIEW("fault filter abort"));
    case FAULT_NONE:
        break;
    }
    if (s->route->action == ROUTE_REDIRECT || s->route->action == ROUTE_DIRECT) {
        bool redirect = s->route->action == ROUTE_REDIRECT;
        return stream_reply(s, END_DIRECT_RESPONSE, redirect ? s->route->redirect->status : s->route->direct->status,
                            redirect ? VIEW_NONE : s->route->direct->body);
    }
    return STEP_NEXT;
}

static enum step_result stream_prepare(void *self)
{
    struct stream *s = self;
    const struct route *r = s->route;
    if (s->connection->filters & 1u << HTTP_FILTER_PEER_METADATA)
        peer_metadata_request(s);
    if (s->upgrade && r->forward.websocket_off)
        return stream_reply(s, END_UPGRADE_REFUSED, 0, VIEW_NONE);
    s->weighted = r->forward.n_clusters == 1 ? &r->forward.clusters[0]
                                             : route_pick_cluster(r, rng_next(loop_rng(s->worker->loop)));
    struct upstream *u = worker_upstream(s->worker, &s->weighted->cluster);
    if (!u)
        return stream_reply(s, END_NO_CLUSTER, r->forward.cluster_not_found, VIEW_NONE);
    s->upstream = upstream_ref(u);
    request_prepare(s);
    if (r->forward.n_mirrors)
        mirror_start(s);
    return STEP_NEXT;
}

/* A try ended without an answer that may be passed on: another one, or the answer that says so. */
static enum step_result stream_failed(struct stream *s, const struct try_outcome *o, struct view body)
{
    if (forward_retry(s, o)) {
        steps_jump(&s->steps, AT_stream_backoff);
        return STEP_NEXT;
    }
    return stream_reply(s, o->reason, 0, body);
}

static enum step_result stream_pick(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    struct upstream *u = s->upstream;
    if (upstream_resolving(u, &s->names))
        return STEP_WAIT;
    struct pick pick = {.now = loop_now(s->worker->loop)};
    request_hash(s, &pick);
    const struct retry_policy *retry = s->route->forward.retry;
    if (s->n_tried && retry && retry->previous_hosts) {
        pick.tried = s->tried;
        pick.n_tried = s->n_tried;
        pick.attempts = retry->host_attempts ? retry->host_attempts : 1;
    }
    s->endpoint = upstream_pick(u, &pick, &s->connection->destination);
    if (!s->endpoint)
        return stream_reply(s, u->dns_failed ? END_DNS_FAILED : END_NO_HEALTHY_UPSTREAM, 0,
                            VIEW("no healthy upstream"));
    host_ref(s->endpoint);
    if (!breaker_take(&u->breaker, BREAKER_REQUESTS))
        return stream_reply(s, END_OVERFLOW, 0, VIEW_NONE);
    s->endpoint->active++;
    s->counted = true;
    s->attempts++;
    return STEP_NEXT;
}

static enum http_version version_for(const struct stream *s)
{
    if (s->upgrade)
        return HTTP_1;
    switch (s->upstream->cluster->protocol) {
    case PROTOCOL_HTTP1:
        return HTTP_1;
    case PROTOCOL_HTTP2:
        return HTTP_2;
    case PROTOCOL_DOWNSTREAM:
        break;
    }
    return s->down->version == 20 ? HTTP_2 : HTTP_1;
}

static enum step_result stream_connect(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    if (s->ask.state == POOL_OUT)
        pool_ask(&s->ask, s->upstream, s->endpoint, version_for(s));
    if (s->ask.state == POOL_WAITS && !s->try_late)
        return STEP_WAIT;
    if (s->ask.state == POOL_READY)
        return STEP_NEXT;
    struct try_outcome o = {.reason = s->try_late ? END_PER_TRY_TIMEOUT : s->ask.reason, .grpc_status = -1};
    s->text = arena_view(&s->down->arena, (struct view){s->ask.text, s->ask.text_n});
    if (o.reason != END_OVERFLOW)
        upstream_record(s->upstream, s->endpoint, OUTLIER_LOCAL);
    return stream_failed(s, &o, VIEW_NONE);
}

static enum step_result stream_send(void *self)
{
    struct stream *s = self;
    s->up = s->ask.stream;
    s->sent_up = loop_now(s->worker->loop);
    request_attempt(s);
    bool end = (s->down->ready & HTTP_END) && !s->down->trailers && buf_len(&s->kept) == 0 && !s->upgrade;
    if (http_stream_headers(s->up, &s->down->in, end) == 0)
        s->request_ended = end;
    else if (!(s->up->ready & HTTP_RESET))
        http_stream_reset(s->up, HTTP_INTERNAL_ERROR);
    if (s->try_timeout)
        s->try_due = s->sent_up + s->try_timeout;
    struct conn *below = http_conn_below(s->ask.conn->http);
    if (below) {
        s->upstream_addr = *conn_remote(below);
        s->upstream_local = *conn_local(below);
    }
    forward_request(s);
    forward_timer(s);
    return STEP_NEXT;
}

static enum step_result stream_await(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    forward_request(s);
    struct http_stream *up = s->up;
    if (up->ready & HTTP_INFORMATIONAL) {
        if (s->http->proxy_100_continue && s->down->expect_continue &&
            http_stream_inform(s->down, up->informational) < 0)
            odd(s->down->ready & HTTP_RESET);
        http_stream_informed(up);
    }
    struct try_outcome o = {.reason = END_OK, .grpc_status = -1, .request_sent = true};
    if (up->ready & HTTP_HEADERS) {
        o.status = (uint16_t)headers_status(&up->in);
        o.grpc_status = response_grpc(s, &up->in);
        o.ratelimited = headers_has(&up->in, HEADER_X_ENVOY_RATELIMITED);
        upstream_record(s->upstream, s->endpoint, outlier_event_of_status(o.status));
        s->first_up = loop_now(s->worker->loop);
        s->try_due = 0;
        if (s->route->forward.retry && forward_retry(s, &o))
            steps_jump(&s->steps, AT_stream_backoff);
        else
            steps_jump(&s->steps, AT_stream_relay);
        return STEP_NEXT;
    }
    if (!(up->ready & HTTP_RESET) && !s->try_late)
        return STEP_WAIT;
    o.reason = s->try_late ? END_PER_TRY_TIMEOUT : pool_reason((enum http_fin)up->fin, false);
    o.request_sent = up->fin != HTTP_FIN_REFUSED;
    upstream_record(s->upstream, s->endpoint, OUTLIER_LOCAL);
    return stream_failed(s, &o, VIEW_NONE);
}

static enum step_result stream_backoff(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    if (s->delay_due > loop_now(s->worker->loop))
        return STEP_WAIT;
    s->delay_due = 0;
    steps_jump(&s->steps, AT_stream_pick);
    return STEP_NEXT;
}

static enum step_result stream_relay(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    struct http_stream *up = s->up;
    if (!s->responded) {
        s->responded = true;
        if (s->connection->filters & 1u << HTTP_FILTER_PEER_METADATA)
            peer_metadata_response(s);
        response_prepare(s);
        bool end = (up->ready & HTTP_END) && !up->trailers;
        if (http_stream_headers(s->down, &up->in, end) < 0 && !(s->down->ready & HTTP_RESET))
            return stream_reply(s, END_UPSTREAM_PROTOCOL, 0, VIEW_NONE);
        s->response_ended = end;
    }
    forward_response(s);
    if (!s->response_ended) {
        if (up->ready & HTTP_RESET) {
            s->reason = pool_reason((enum http_fin)up->fin, true);
            http_stream_reset(s->down, HTTP_INTERNAL_ERROR);
            return stream_over(s);
        }
        forward_request(s);
        return STEP_WAIT;
    }
    s->grpc = (int16_t)response_grpc(s, up->trailers ? up->trailers : &up->in);
    if (s->upgrade && s->status == 101 && !s->request_ended && !(up->ready & HTTP_RESET)) {
        forward_request(s);
        return s->request_ended ? stream_over(s) : STEP_WAIT;
    }
    return stream_over(s);
}

static enum step_result stream_answer(void *self)
{
    struct stream *s = self;
    if (stream_was_cut(s))
        return STEP_NEXT;
    response_local_more(s);
    return s->response_ended || steps_late(&s->steps) ? STEP_NEXT : STEP_WAIT;
}

static enum step_result stream_finish(void *self)
{
    struct stream *s = self;
    s->ended = loop_now(s->worker->loop);
    log_stream(s);
    return STEP_DONE;
}
