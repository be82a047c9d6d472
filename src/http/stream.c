// SPDX-License-Identifier: Apache-2.0
/* Streams: taking them from and giving them back to the worker's free list, and the calls of stream.h, which go to the
 * protocol of the stream's connection. A stream whose connection is gone answers -EPIPE by itself.
 */
#include "http/stream.h"

#include <errno.h>

#include "http/internal.h"

static const struct {
    const char *name, *text;
} fins[] = {
#define FIN(name, text) [HTTP_FIN_##name] = {#name, text},
#include "http/fin.def"
#undef FIN
};

const char *http_fin_name(enum http_fin fin)
{
    return fins[fin].name;
}

const char *http_fin_text(enum http_fin fin)
{
    return fins[fin].text;
}

struct http_stream *http_stream_take(struct http_conn *c)
{
    struct http_shared *shared = c->shared;
    struct list *node = list_pop(&shared->streams);
    struct http_stream *s;
    if (node) {
        s = LIST_ITEM(node, struct http_stream, link);
        shared->n_streams--;
    } else {
        s = (struct http_stream *)mem_alloc(sizeof(*s));
        arena_init(&s->arena, shared->head_bytes);
        list_init(&s->link);
        shared->heap_count++;
    }
    headers_init(&s->in, &s->arena);
    /* Everything between the arena and the end but the link; the compiler makes a few wide stores of it. */
    s->trailers = s->informational = NULL;
    s->conn = c;
    s->shared = shared;
    s->detail = NULL;
    s->wire_in = s->wire_out = s->body_in = s->body_out = 0;
    s->id = s->reset_code = 0;
    s->ready = 0;
    s->fin = HTTP_FIN_NONE;
    s->version = 0;
    s->expect_continue = s->content_length_known = false;
    s->content_length = 0;
    s->task = NULL;
    s->bits = 0;
    s->flags = 0;
    s->framing_out = 0;
    s->left_out = 0;
    s->in_first = s->in_last = s->out_first = s->out_last = NULL;
    s->out_n = 0;
    c->n_streams++;
    return s;
}

void http_stream_give(struct http_shared *shared, struct http_stream *s)
{
#ifdef WEFT_ARENA_MALLOC
    const uint32_t keep = 0;
#else
    const uint32_t keep = HTTP_STREAMS_KEPT;
#endif
    list_del(&s->link);
    while (s->in_first) {
        struct http_block *b = s->in_first;
        s->in_first = b->next;
        pool_give(&shared->blocks, b);
    }
    if (shared->n_streams >= keep) {
        arena_done(&s->arena);
        mem_free(s);
        return;
    }
    arena_clear(&s->arena);
    list_push_front(&shared->streams, &s->link);
    shared->n_streams++;
}

void http_stream_end(struct http_stream *s, enum http_fin fin, const char *detail)
{
    if (s->ready & HTTP_RESET)
        return;
    s->ready = (uint8_t)((s->ready & ~(HTTP_DATA | HTTP_WRITABLE | HTTP_INFORMATIONAL)) | HTTP_RESET);
    s->fin = (uint8_t)fin;
    s->detail = detail;
    http_stream_wake(s);
}

void http_stream_own(struct http_stream *s, struct task *task, uint32_t bits)
{
    s->task = task;
    s->bits = bits;
}

static inline bool dead(const struct http_stream *s)
{
    return !s->conn || (s->ready & HTTP_RESET);
}

int http_stream_headers(struct http_stream *s, const struct headers *h, bool end)
{
    return dead(s) || (s->flags & STREAM_OUT_HEAD) ? -EPIPE : http_protocol_of(s->conn)->headers(s, h, end);
}

int http_stream_inform(struct http_stream *s, const struct headers *h)
{
    if (dead(s) || (s->flags & STREAM_OUT_HEAD))
        return -EPIPE;
    unsigned status = headers_status(h);
    return status / 100 != 1 || status == 101 ? -EINVAL : http_protocol_of(s->conn)->inform(s, h);
}

ssize_t http_stream_data(struct http_stream *s, struct view v, bool end)
{
    if (dead(s))
        return -EPIPE;
    if (s->flags & STREAM_OUT_DONE)
        return v.n ? -EPIPE : 0; /* content-length has ended it already */
    return http_protocol_of(s->conn)->data(s, v, end);
}

int http_stream_trailers(struct http_stream *s, const struct headers *h)
{
    if (dead(s))
        return -EPIPE;
    return s->flags & STREAM_OUT_DONE ? 0 : http_protocol_of(s->conn)->trailers(s, h);
}

bool http_stream_peek(struct http_stream *s, struct view *ret_bytes)
{
    if (!(s->ready & HTTP_DATA))
        return false;
    return (s->conn ? http_protocol_of(s->conn) : &http_2)->peek(s, ret_bytes); /* only HTTP/2 outlives its conn */
}

void http_stream_consume(struct http_stream *s, size_t n)
{
    if (n && (s->ready & HTTP_DATA))
        (s->conn ? http_protocol_of(s->conn) : &http_2)->consume(s, n);
}

bool http_stream_last(const struct http_stream *s, struct view v)
{
    const struct http_block *b = s->in_first;
    if (b)
        return (s->flags & STREAM_IN_DONE) && !s->trailers && !b->next && v.n == b->end - b->at;
    return s->conn && s->conn->config.version == HTTP_1 && s->conn->parser.framing == H1_LENGTH &&
           v.n == s->conn->parser.run;
}

void http_stream_informed(struct http_stream *s)
{
    s->ready &= (uint8_t)~HTTP_INFORMATIONAL;
}

void http_stream_reset(struct http_stream *s, enum http_reset_code code)
{
    if (!dead(s))
        http_protocol_of(s->conn)->reset(s, code);
}

struct http_stream *http_stream_free(struct http_stream *s)
{
    if (!s)
        return NULL;
    s->task = NULL;
    if (s->conn)
        http_protocol_of(s->conn)->free(s);
    else
        http_stream_give(s->shared, s);
    return NULL;
}
