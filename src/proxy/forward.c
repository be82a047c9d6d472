// SPDX-License-Identifier: Apache-2.0
/* Bodies, time-outs and further tries (stream.h). Bytes are taken from one side only as the other side takes them, so
 * neither can make us hold more than what its codec buffers. While another try is possible, the request's body is kept
 * as it is sent, up to LIMIT_HTTP_RETRY_BODY_BYTES; beyond that the request is sent once.
 */
#include "base/limits.h"
#include "base/must.h"
#include "net/loop.h"
#include "plan/retry.h"
#include "proxy/filter/mirror.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

static void moved(struct stream *s)
{
    if (s->idle) {
        uint64_t due = loop_now(s->worker->loop) + s->idle;
        bool first = s->idle_due == 0;
        s->idle_due = due;
        if (first)
            forward_timer(s);
    }
}

/* The route's time-out runs from the end of the request. */
static void request_received(struct stream *s)
{
    if (s->request_received)
        return;
    s->request_received = true;
    s->received = loop_now(s->worker->loop);
    if (s->timeout && !s->route_due) {
        s->route_due = s->received + s->timeout;
        forward_timer(s);
    }
}

static void keep(struct stream *s, struct view v)
{
    const struct retry_policy *p = s->route->forward.retry;
    if (!p || s->responded || s->kept_lost)
        return;
    if (buf_len(&s->kept) + v.n > LIMIT_HTTP_RETRY_BODY_BYTES) {
        s->kept_lost = true;
        worker_give_buf(s->worker, &s->kept);
        return;
    }
    if (!s->kept.cap)
        s->kept = worker_take_buf(s->worker);
    buf_view(&s->kept, v);
}

/* Bytes of an earlier try first; false: the endpoint takes no more now. */
static bool replay(struct stream *s)
{
    struct view v = view_from(buf_read(&s->kept), s->replayed);
    if (!v.n)
        return true;
    ssize_t n = http_stream_data(s->up, v, false);
    if (n > 0)
        s->replayed += (size_t)n;
    return n == (ssize_t)v.n;
}

void forward_request(struct stream *s)
{
    struct http_stream *down = s->down, *up = s->up;
    if (!s->request_received && (down->ready & HTTP_END))
        request_received(s);
    if (!up || s->request_ended || (up->ready & HTTP_RESET) || !replay(s))
        return;
    struct view v;
    while (http_stream_peek(down, &v)) {
        bool last = http_stream_last(down, v);
        size_t all = v.n;
        ssize_t n = http_stream_data(up, v, last);
        if (n <= 0)
            return;
        v.n = (size_t)n;
        s->request_ended = last && v.n == all;
        keep(s, v);
        s->replayed += v.n;
        if (s->count_messages)
            grpc_count(&s->messages_up, v);
        if (!list_empty(&s->mirrors))
            mirror_data(s, v);
        http_stream_consume(down, v.n);
        moved(s);
    }
    if (!(down->ready & HTTP_END))
        return;
    request_received(s);
    if (s->request_ended) {
        mirror_end(s);
        return;
    }
    int r = down->trailers ? http_stream_trailers(up, down->trailers) : (int)http_stream_data(up, VIEW_NONE, true);
    s->request_ended = r >= 0;
    if (!list_empty(&s->mirrors))
        mirror_end(s);
}

void forward_response(struct stream *s)
{
    struct http_stream *down = s->down, *up = s->up;
    if (s->response_ended)
        return;
    struct view v;
    while (http_stream_peek(up, &v)) {
        bool last = http_stream_last(up, v);
        ssize_t n = http_stream_data(down, v, last);
        if (n <= 0)
            return;
        s->response_ended = last && (size_t)n == v.n;
        if (s->count_messages)
            grpc_count(&s->messages_down, view_head(v, (size_t)n));
        http_stream_consume(up, (size_t)n);
        moved(s);
    }
    if (!(up->ready & HTTP_END) || s->response_ended)
        return;
    int r = up->trailers ? http_stream_trailers(down, up->trailers) : (int)http_stream_data(down, VIEW_NONE, true);
    s->response_ended = r >= 0;
}

void forward_timer(struct stream *s)
{
    uint64_t due = TIMER_NEVER;
    const uint64_t all[] = {s->route_due, s->try_due, s->idle_due, s->delay_due};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i] && all[i] < due)
            due = all[i];
    if (due == TIMER_NEVER)
        timer_rest(&s->timer);
    else
        timer_set(&s->timer, due);
}

void forward_drop_try(struct stream *s)
{
    s->up = http_stream_free(s->up);
    if (s->ask.state != POOL_OUT)
        pool_ask_done(&s->ask);
    if (s->counted) {
        s->counted = false;
        s->endpoint->active--;
        breaker_give(&s->upstream->breaker, BREAKER_REQUESTS);
    }
    if (s->retry_taken) {
        s->retry_taken = false;
        breaker_give(&s->upstream->breaker, BREAKER_RETRIES);
    }
    if (s->endpoint) {
        host_unref(s->endpoint);
        s->endpoint = NULL;
    }
}

bool forward_retry(struct stream *s, const struct try_outcome *o)
{
    const struct retry_policy *p = s->route->forward.retry;
    if (!p || s->responded || s->kept_lost || s->upgrade || !retry_wanted(p, o))
        return false;
    if (s->attempts > p->attempts) {
        s->retry_exhausted = p->attempts > 0;
        return false;
    }
    if (s->route_due && loop_now(s->worker->loop) >= s->route_due)
        return false;
    if (!s->retry_taken && !breaker_take(&s->upstream->breaker, BREAKER_RETRIES))
        return false;
    if (s->endpoint && s->n_tried < STREAM_TRIED)
        s->tried[s->n_tried++] = host_ref(s->endpoint);
    s->retry_taken = false; /* it passes from this try to the next */
    forward_drop_try(s);
    s->retry_taken = true;
    worker_count(&s->worker->counters.retries, 1);
    s->request_ended = false;
    s->replayed = 0;
    s->try_late = false;
    s->try_due = 0;
    s->delay_due = loop_now(s->worker->loop) + retry_backoff(p, s->attempts, loop_rng(s->worker->loop));
    forward_timer(s);
    return true;
}
