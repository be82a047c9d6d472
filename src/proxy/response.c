// SPDX-License-Identifier: Apache-2.0
/* What goes back to the client (stream.h): the endpoint's answer with the route's changes, or an answer of our own that
 * says why there is none. Texts and headers of our own answers are Envoy's, because people search for them.
 */
#include <string.h>

#include "base/must.h"
#include "net/loop.h"
#include "plan/listener.h"
#include "proxy/connection.h"
#include "proxy/filter/cors.h"
#include "proxy/filter/peer_metadata.h"
#include "proxy/stream.h"
#include "proxy/text.h"
#include "proxy/worker.h"
#include "wire/grpc.h"

static void put(struct headers *h, enum header_id id, struct view value)
{
    int r = headers_set(h, id, value);
    odd(r == 0);
}

int response_grpc(const struct stream *s, const struct headers *h)
{
    struct view v = s->grpc_request ? headers_value(h, HEADER_GRPC_STATUS) : VIEW_NONE;
    uint64_t status;
    return v.n && view_u64(v, &status) == 0 && status <= 16 ? (int)status : -1;
}

static void server_header(struct stream *s, struct headers *h)
{
    const struct http_manager *m = s->http;
    if (!m->server_name.n || m->server_header == SERVER_PASS_THROUGH)
        return;
    if (m->server_header == SERVER_OVERWRITE || !headers_has(h, HEADER_SERVER))
        put(h, HEADER_SERVER, m->server_name);
}

static void new_cookie(struct stream *s, struct headers *h)
{
    const struct hash_policy *p = s->new_cookie;
    struct view v = arena_printf(&s->down->arena, "%.*s=\"%016llx\"; Max-Age=%llu; HttpOnly", VIEW_ARGS(p->name),
                                 (unsigned long long)s->cookie_value, (unsigned long long)(p->cookie_ttl / NS_PER_S));
    if (p->cookie_path.n)
        v = arena_printf(&s->down->arena, "%.*s; Path=%.*s", VIEW_ARGS(v), VIEW_ARGS(p->cookie_path));
    odd(headers_add(h, HEADER_SET_COOKIE, v) == 0);
}

void response_prepare(struct stream *s)
{
    struct headers *h = &s->up->in;
    s->status = (uint16_t)headers_status(h);
    char *text = arena_alloc_raw(&s->down->arena, TEXT_U64, 1);
    put(h, HEADER_X_ENVOY_UPSTREAM_SERVICE_TIME, text_u64(text, (loop_now(s->worker->loop) - s->sent_up) / NS_PER_MS));
    headers_mutate(s, h, &s->weighted->headers.response);
    headers_mutate(s, h, &s->route->changes.response);
    if (s->route->cors)
        cors_answer(s, h, false);
    if (s->new_cookie)
        new_cookie(s, h);
    server_header(s, h);
}

/* ---- answers of our own ---- */

static const char *reset_words(enum end_reason reason)
{
    switch ((int)reason) {
    case END_CONNECT_FAILED:
    case END_TLS_FAILED:
        return "remote connection failure";
    case END_CONNECT_TIMEOUT:
        return "connection timeout";
    case END_UPSTREAM_CLOSED:
        return "connection termination";
    case END_UPSTREAM_RESET:
        return "remote reset";
    case END_UPSTREAM_REFUSED:
        return "remote refused stream reset";
    case END_UPSTREAM_PROTOCOL:
        return "protocol error";
    case END_LOCAL_RESET:
        return "local reset";
    case END_OVERFLOW:
        return "overflow";
    default:
        return NULL;
    }
}

static struct view default_body(struct stream *s, enum end_reason reason)
{
    const char *words = reset_words(reason);
    if (words) {
        struct view v =
            arena_printf(&s->down->arena, "upstream connect error or disconnect/reset before headers. %s: %s",
                         s->attempts > 1 ? "retried and the latest reset reason" : "reset reason", words);
        if (s->text.n)
            v = arena_printf(&s->down->arena, "%.*s, transport failure reason: %.*s", VIEW_ARGS(v), VIEW_ARGS(s->text));
        return v;
    }
    switch ((int)reason) {
    case END_UPSTREAM_TIMEOUT:
    case END_PER_TRY_TIMEOUT:
        return VIEW("upstream request timeout");
    case END_STREAM_IDLE:
        return VIEW("stream timeout");
    default:
        return VIEW_NONE;
    }
}

static void grpc_answer(struct stream *s, struct headers *h, enum end_reason reason, uint16_t status, struct view body)
{
    const struct end_reason_info *info = end_reason_info(reason);
    int code = s->faulted && s->fault_grpc >= 0 ? s->fault_grpc : info->grpc;
    if (code < 0 || status != info->http)
        code = s->faulted && s->fault_grpc >= 0 ? code : (int)grpc_status_of_http(status);
    s->grpc = (int16_t)code;
    put(h, HEADER_STATUS, VIEW("200"));
    put(h, HEADER_CONTENT_TYPE, VIEW("application/grpc"));
    char *text = arena_alloc_raw(&s->down->arena, TEXT_U64, 1);
    put(h, HEADER_GRPC_STATUS, text_u64(text, (uint64_t)code));
    if (body.n) {
        struct buf b = {0};
        grpc_message_encode(&b, body);
        put(h, HEADER_GRPC_MESSAGE, arena_view(&s->down->arena, buf_read(&b)));
        buf_done(&b);
    }
}

static void http_answer(struct stream *s, struct headers *h, uint16_t status, struct view body)
{
    struct arena *a = &s->down->arena;
    put(h, HEADER_STATUS, arena_printf(a, "%03u", status));
    char *text = arena_alloc_raw(a, TEXT_U64, 1);
    if (status >= 200 && status != 204 && status != 304)
        put(h, HEADER_CONTENT_LENGTH, text_u64(text, body.n));
    if (body.n)
        put(h, HEADER_CONTENT_TYPE, VIEW("text/plain"));
}

/* What the route adds to an answer that the route itself gives. */
static void route_answer(struct stream *s, struct headers *h, enum end_reason reason)
{
    struct match_request facts = request_facts(s);
    if (reason == END_HTTPS_REDIRECT)
        put(h, HEADER_LOCATION,
            arena_printf(&s->down->arena, "https://%.*s%.*s", VIEW_ARGS(facts.host), VIEW_ARGS(facts.path)));
    if (reason == END_DIRECT_RESPONSE && s->route->action == ROUTE_REDIRECT)
        put(h, HEADER_LOCATION, route_redirect_location(s->route, &s->down->arena, &facts));
    if (reason == END_DIRECT_RESPONSE)
        headers_mutate(s, h, &s->route->changes.response);
    cors_answer(s, h, reason == END_CORS_PREFLIGHT);
}

void response_local(struct stream *s, enum end_reason reason, uint16_t status, struct view body)
{
    struct headers h;
    headers_init(&h, &s->down->arena);
    if (!status)
        status = end_reason_info(reason)->http;
    if (!status)
        status = 503;
    if (!body.n)
        body = default_body(s, reason);
    bool grpc = s->grpc_request && reason != END_CORS_PREFLIGHT;
    if (grpc)
        grpc_answer(s, &h, reason, status, body);
    else
        http_answer(s, &h, status, body);
    s->status = grpc ? 200 : status;
    if (reason == END_OVERFLOW)
        put(&h, HEADER_X_ENVOY_OVERLOADED, VIEW("true"));
    if (reason == END_LOW_VERSION)
        odd(headers_add(&h, HEADER_UPGRADE, VIEW("HTTP/1.1")) == 0);
    route_answer(s, &h, reason);
    char *date = arena_alloc_raw(&s->down->arena, HTTP_DATE, 1);
    put(&h, HEADER_DATE, text_http_date(date, loop_wall(s->worker->loop)));
    server_header(s, &h);
    peer_metadata_answer(s, &h);
    s->responded = true;
    s->answer = grpc ? VIEW_NONE : body;
    s->response_ended = s->answer.n == 0;
    if (http_stream_headers(s->down, &h, s->response_ended) < 0)
        s->response_ended = true;
    response_local_more(s);
}

void response_local_more(struct stream *s)
{
    if (s->response_ended)
        return;
    ssize_t n = http_stream_data(s->down, s->answer, true);
    if (n < 0 || (size_t)n == s->answer.n)
        s->response_ended = true;
    else
        s->answer = view_from(s->answer, (size_t)n);
}
