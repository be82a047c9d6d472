// SPDX-License-Identifier: Apache-2.0
/* See reply.h. A reply owns itself: it ends when all was sent, the stream broke, or a minute passed. */
#include "control/reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/stream.h"
#include "net/loop.h"
#include "net/timer.h"

enum { EVENT_STREAM = 1, EVENT_LATE = 2 };

#define REPLY_TIMEOUT (60 * NS_PER_S)

struct reply {
    struct task task;
    struct timer timer;
    struct http_stream *stream;
    struct buf body;
};

static void reply_free(struct reply *r)
{
    http_stream_free(r->stream);
    timer_done(&r->timer);
    task_done(&r->task);
    buf_done(&r->body);
    free(r);
}

static void reply_run(struct task *t, uint32_t events)
{
    struct reply *r = CONTAINER_OF(t, struct reply, task);
    struct view body;
    ssize_t n;

    while (http_stream_peek(r->stream, &body)) /* a request body means nothing here */
        http_stream_consume(r->stream, body.n);
    if (buf_len(&r->body)) {
        n = http_stream_data(r->stream, buf_read(&r->body), true);
        if (n < 0) {
            reply_free(r);
            return;
        }
        buf_drop(&r->body, (size_t)n);
    }
    if (events & EVENT_LATE || r->stream->ready & HTTP_RESET || !buf_len(&r->body))
        reply_free(r);
}

void reply_send(struct loop *loop, struct http_stream *s, unsigned status, struct view content_type, struct buf *body)
{
    struct reply *r = calloc(1, sizeof(*r));
    struct headers h;
    char length[24];
    int n;

    must(r != NULL);
    r->stream = s;
    r->body = *body;
    *body = (struct buf){0};
    task_init(&r->task, loop, reply_run, "reply");
    timer_init(&r->timer, &r->task, EVENT_LATE);
    timer_in(&r->timer, REPLY_TIMEOUT);
    http_stream_own(s, &r->task, EVENT_STREAM);
    n = snprintf(length, sizeof(length), "%zu", buf_len(&r->body));
    headers_init(&h, NULL);
    if (headers_add(&h, HEADER_STATUS, header_status_text(status)) < 0 ||
        headers_add(&h, HEADER_CONTENT_TYPE, content_type) < 0 ||
        headers_add(&h, HEADER_CONTENT_LENGTH, view_make(length, (size_t)n)) < 0 ||
        http_stream_headers(s, &h, !buf_len(&r->body)) < 0) {
        reply_free(r);
        return;
    }
    task_wake(&r->task, EVENT_STREAM);
}

void reply_text(struct loop *loop, struct http_stream *s, unsigned status, const char *text)
{
    struct buf body = {0};

    buf_str(&body, text);
    reply_send(loop, s, status, VIEW("text/plain; charset=utf-8"), &body);
}
