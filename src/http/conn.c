// SPDX-License-Identifier: Apache-2.0
/* The part of an HTTP connection that both versions share: its task, its two buffers, the one flush a turn, timers, the
 * ways to end. What the bytes mean is the business of h1_conn.c and h2_conn.c.
 *
 * Endings: http_conn_end() is immediate (failure, or nothing to lose); http_conn_finish() sends what is in `out`, closes
 * our direction, and throws away what the peer still sends for a moment, because closing a socket with unread bytes
 * would reset it and the peer could lose our last answer. The conn below is closed by http_conn_free() only, so its
 * facts (addresses, error text) stay readable until the owner has logged them.
 */
#include "http/conn.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "http/internal.h"
#include "wire/h2.h"

#define LINGER_NS NS_PER_S

struct http_shared *http_shared_new(struct loop *loop)
{
    struct http_shared *shared = (struct http_shared *)mem_alloc(sizeof(*shared));
    shared->loop = loop;
    pool_init(&shared->blocks, HTTP_BLOCK, HTTP_BLOCKS_KEPT);
    list_init(&shared->streams);
    shared->h2 = h2_memory_new();
    shared->head_bytes = 4096;
    return shared;
}

void http_shared_long_streams(struct http_shared *shared)
{
    shared->head_bytes = 1024;
}

void http_shared_trim(struct http_shared *shared)
{
    LIST_EACH (&shared->streams, struct http_stream, link, s) {
        list_del(&s->link);
        arena_done(&s->arena);
        mem_free(s);
    }
    shared->n_streams = 0;
    pool_done(&shared->blocks);
}

struct http_shared *http_shared_free(struct http_shared *shared)
{
    if (!shared)
        return NULL;
    http_shared_trim(shared);
    h2_memory_free(shared->h2);
    mem_free(shared);
    return NULL;
}

uint64_t http_shared_heap_count(const struct http_shared *shared)
{
    return shared->heap_count + shared->blocks.n_heap + h2_memory_heap_count(shared->h2);
}

void http_conn_wake(struct http_conn *c)
{
    if (c->owner)
        task_wake(c->owner, c->owner_bits);
}

void http_flush_soon(struct http_conn *c)
{
    flush_soon(&c->flush, c->shared->loop);
}

static void bytes_release(struct http_shared *shared, struct http_bytes *b)
{
    if (!b->data)
        return;
    if (b->cap == HTTP_BLOCK)
        pool_give(&shared->blocks, b->data);
    else
        mem_free(b->data);
    *b = (struct http_bytes){0};
}

void http_release_in(struct http_conn *c)
{
    if (c->in.data && c->in.at == c->in.end)
        bytes_release(c->shared, &c->in);
}

/* A head that is being parsed has views into the buffer that moves. */
static void moved(struct http_conn *c, const char *old, size_t n, const char *now)
{
    if (c->stream && !(c->stream->ready & HTTP_HEADERS))
        headers_rebase(&c->stream->in, old, n, now);
}

/* Free room behind `in`: a block, the front of the block, or a buffer for one large head. */
static size_t in_room(struct http_conn *c)
{
    struct http_bytes *b = &c->in;
    if (!b->data) {
        *b = (struct http_bytes){.data = (char *)pool_take(&c->shared->blocks), .cap = HTTP_BLOCK};
    } else if (b->at == b->end) {
        b->at = b->end = 0;
    } else if (b->end == b->cap && b->at > 0) {
        size_t n = http_bytes_n(b);
        memmove(b->data, b->data + b->at, n);
        moved(c, b->data + b->at, n, b->data);
        b->at = 0;
        b->end = (uint32_t)n;
    } else if (b->end == b->cap && b->cap < LIMIT_HTTP_HEAD_BUFFER) {
        char *large = (char *)mem_alloc(LIMIT_HTTP_HEAD_BUFFER);
        c->shared->heap_count++;
        memcpy(large, b->data, b->end);
        moved(c, b->data, b->end, large);
        struct http_bytes now = {large, 0, b->end, LIMIT_HTTP_HEAD_BUFFER};
        bytes_release(c->shared, b);
        *b = now;
    }
    return b->cap - b->end;
}

ssize_t http_fill(struct http_conn *c)
{
    size_t room = in_room(c);
    if (room == 0)
        return -EAGAIN;
    ssize_t n = conn_recv(c->conn, c->in.data + c->in.end, room);
    if (n > 0)
        c->in.end += (uint32_t)n;
    return n;
}

char *http_out_room(struct http_conn *c, size_t n)
{
    struct http_bytes *b = &c->out;
    if (!b->data && n <= HTTP_BLOCK) {
        *b = (struct http_bytes){.data = (char *)pool_take(&c->shared->blocks), .cap = HTTP_BLOCK};
    } else if (b->cap - b->end < n) {
        size_t have = http_bytes_n(b);
        if (have + n <= b->cap) {
            memmove(b->data, b->data + b->at, have);
            b->at = 0;
            b->end = (uint32_t)have;
        } else { /* a large head behind bytes that wait: rare */
            size_t cap = HTTP_BLOCK * 2;
            while (cap < have + n)
                cap *= 2;
            char *larger = (char *)mem_alloc(cap);
            c->shared->heap_count++;
            if (have)
                memcpy(larger, b->data + b->at, have);
            struct http_bytes now = {larger, 0, (uint32_t)have, (uint32_t)cap};
            bytes_release(c->shared, b);
            *b = now;
        }
    }
    return b->data + b->end;
}

void http_timer_idle(struct http_conn *c)
{
    c->idle_since = loop_now(c->shared->loop);
    if (c->config.idle_ns)
        timer_set(&c->timer, c->idle_since + c->config.idle_ns);
}

void http_conn_end(struct http_conn *c, enum http_fin fin, const char *detail, int error)
{
    if (c->closed)
        return;
    c->closed = true;
    c->accept = false;
    if (c->fin == HTTP_FIN_NONE)
        c->fin = (uint8_t)fin;
    if (!c->detail)
        c->detail = detail;
    c->error = error;
    timer_clear(&c->timer);
    flush_done(&c->flush);
    http_protocol_of(c)->gone(c);
    bytes_release(c->shared, &c->in);
    bytes_release(c->shared, &c->out);
    http_conn_wake(c);
}

void http_conn_finish(struct http_conn *c)
{
    c->close_after_flush = true;
    http_flush_soon(c);
}

/* Of a connection that came to its end in good order. */
static enum http_fin good_fin(const struct http_conn *c)
{
    return c->fin ? (enum http_fin)c->fin : c->draining ? HTTP_FIN_DRAINED : HTTP_FIN_OK;
}

static void linger(struct http_conn *c)
{
    char *scratch = loop_scratch(c->shared->loop);
    for (;;) {
        ssize_t n = conn_recv(c->conn, scratch, LOOP_SCRATCH);
        if (n == -EAGAIN)
            return;
        c->lingered += n > 0 ? (uint32_t)n : 0;
        if (n <= 0 || c->lingered > LIMIT_HTTP_LINGER_BYTES) {
            http_conn_end(c, good_fin(c), NULL, 0);
            return;
        }
    }
}

/* Everything is sent and nothing more will be. */
static void finished(struct http_conn *c)
{
    bool unread = http_bytes_n(&c->in) > 0 || c->unread || c->refused;
    if (c->eof || c->config.role == HTTP_CLIENT || (!unread && c->config.version == HTTP_1)) {
        http_conn_end(c, good_fin(c), NULL, 0);
        return;
    }
    int r = conn_shutdown(c->conn);
    if (r < 0 && r != -EAGAIN) {
        http_conn_end(c, HTTP_FIN_PEER_CLOSED, NULL, r);
        return;
    }
    c->lingering = true;
    timer_set(&c->timer, loop_now(c->shared->loop) + LINGER_NS);
    linger(c);
}

static bool send_out(struct http_conn *c)
{
    struct http_bytes *b = &c->out;
    while (b->at < b->end) {
        struct iovec iov = {b->data + b->at, b->end - b->at};
        ssize_t n = conn_send(c->conn, &iov, 1);
        if (n == -EAGAIN)
            return false;
        if (n < 0 && c->config.role == HTTP_CLIENT && c->config.version == HTTP_1) {
            http_bytes_drop(b, http_bytes_n(b)); /* an early answer may be here: let recv say how it ends */
            c->keep_alive = false;
            task_wake(&c->task, CONN_IN);
            break;
        }
        if (n < 0) {
            http_conn_end(c, n == -ECONNRESET || n == -EPIPE ? HTTP_FIN_PEER_RESET : HTTP_FIN_PEER_CLOSED, NULL,
                          (int)n);
            return false;
        }
        c->flushed += (uint64_t)n;
        http_bytes_drop(b, (size_t)n);
    }
    bytes_release(c->shared, b);
    return true;
}

/* Sends until the kernel or the protocol has no more. HTTP/2 produces frames only when there is room for them. */
static void flush(struct http_conn *c)
{
    const struct http_protocol *protocol = http_protocol_of(c);
    if (!c->up || c->closed || c->lingering)
        return;
    do {
        protocol->produce(c);
    } while (!c->closed && c->out.data && send_out(c) && c->config.version == HTTP_2);
    if (c->closed)
        return;
    protocol->flushed(c);
    if (c->close_after_flush && !c->closed && http_bytes_n(&c->out) == 0)
        finished(c);
}

static void flush_run(struct flush *f)
{
    flush(CONTAINER_OF(f, struct http_conn, flush));
}

static bool came_up(struct http_conn *c)
{
    int r = conn_ready(c->conn);
    if (r == -EAGAIN)
        return false;
    if (r < 0) {
        http_conn_end(c, HTTP_FIN_REFUSED, NULL, r);
        return false;
    }
    c->up = true;
    if (c->config.role == HTTP_CLIENT)
        http_conn_wake(c);
    http_flush_soon(c);
    return true;
}

static void idle_goaway(struct http_conn *c)
{
    c->fin = HTTP_FIN_IDLE;
    http_conn_drain(c);
}

static void timed_out(struct http_conn *c)
{
    if (c->lingering)
        http_conn_end(c, good_fin(c), NULL, 0);
    else if (c->draining && c->config.version == HTTP_2)
        http2_drain_timeout(c);
    else if (c->n_streams == 0 && c->config.version == HTTP_2)
        idle_goaway(c);
    else if (c->n_streams == 0)
        http_conn_end(c, HTTP_FIN_IDLE, NULL, 0);
    else if (c->config.version == HTTP_1 && c->config.role == HTTP_SERVER && !(c->stream->ready & HTTP_HEADERS))
        http1_head_timeout(c);
}

static void conn_run(struct task *t, uint32_t events)
{
    struct http_conn *c = CONTAINER_OF(t, struct http_conn, task);
    if (c->closed || (!c->up && !came_up(c)))
        return;
    if (c->lingering) {
        linger(c);
        if (c->closed)
            return;
    }
    if (events & CONN_TIMER)
        timed_out(c);
    if (!c->closed && !c->lingering && (events & (CONN_IN | CONN_READ)))
        http_protocol_of(c)->read(c, (events & CONN_IN) != 0);
    if (!c->closed && (events & CONN_OUT))
        flush(c);
}

struct http_conn *http_conn_new(struct http_shared *shared, struct conn *conn, const struct http_conn_config *config,
                                struct task *owner, uint32_t bits)
{
    struct pool *pool = loop_pool(shared->loop, sizeof(struct http_conn));
    struct http_conn *c = (struct http_conn *)pool_take(pool);
    memset(c, 0, sizeof(*c));
    task_init(&c->task, shared->loop, conn_run, "http");
    flush_init(&c->flush, flush_run);
    timer_init(&c->timer, &c->task, CONN_TIMER);
    list_init(&c->streams);
    list_init(&c->incomplete);
    list_init(&c->unaccepted);
    c->shared = shared;
    c->conn = conn;
    c->config = *config;
    if (!c->config.scheme.n)
        c->config.scheme = VIEW("http");
    c->owner = owner;
    c->owner_bits = bits;
    c->keep_alive = true;
    if (config->version == HTTP_2)
        http2_conn_begin(c);
    else
        h1_init(&c->parser, config->role == HTTP_SERVER ? H1_REQUEST : H1_RESPONSE);
    http_timer_idle(c);
    conn_own(conn, &c->task, CONN_IN, CONN_OUT);
    task_wake(&c->task, CONN_IN); /* what arrived before we owned it */
    return c;
}

struct http_conn *http_conn_free(struct http_conn *c)
{
    if (!c)
        return NULL;
    c->owner = NULL;
    http_conn_end(c, HTTP_FIN_LOCAL_RESET, NULL, 0);
    if (c->abort)
        conn_abort(c->conn);
    else
        conn_close(c->conn);
    task_done(&c->task);
    timer_done(&c->timer);
    flush_done(&c->flush);
    pool_give(loop_pool(c->shared->loop, sizeof(*c)), c);
    return NULL;
}

void http_conn_own(struct http_conn *c, struct task *owner, uint32_t bits)
{
    c->owner = owner;
    c->owner_bits = bits;
}

unsigned http_conn_ready(const struct http_conn *c)
{
    unsigned r = c->accept * HTTP_CONN_ACCEPT | c->draining * HTTP_CONN_DRAINING | c->closed * HTTP_CONN_CLOSED |
                 c->refused * HTTP_CONN_REFUSED | c->up * HTTP_CONN_UP;
    if (c->n_streams == 0 && !c->closed)
        r |= HTTP_CONN_IDLE;
    if (c->config.role == HTTP_CLIENT && http_conn_capacity(c))
        r |= HTTP_CONN_CAPACITY;
    return r;
}

struct http_stream *http_conn_accept(struct http_conn *c, struct task *task, uint32_t bits)
{
    struct http_stream *s = NULL;
    if (!c->accept)
        return NULL;
    if (c->config.version == HTTP_1) {
        s = c->stream;
        c->accept = false;
    } else {
        s = http2_conn_accept(c);
    }
    s->flags |= STREAM_ACCEPTED;
    s->task = task;
    s->bits = bits;
    return s;
}

int http_conn_open(struct http_conn *c, struct task *task, uint32_t bits, struct http_stream **ret_stream)
{
    if (c->closed || c->draining || c->close_after_flush)
        return -EPIPE;
    int r = http_protocol_of(c)->open(c, ret_stream);
    if (r == 0)
        http_stream_own(*ret_stream, task, bits);
    return r;
}

uint32_t http_conn_capacity(const struct http_conn *c)
{
    if (c->config.role == HTTP_SERVER || c->closed || c->draining || c->close_after_flush)
        return 0;
    return http_protocol_of(c)->capacity(c);
}

uint32_t http_conn_streams(const struct http_conn *c)
{
    return c->n_streams;
}

void http_conn_drain(struct http_conn *c)
{
    if (c->draining || c->closed)
        return;
    c->draining = true;
    http_protocol_of(c)->drain(c);
}

enum http_version http_conn_version(const struct http_conn *c)
{
    return c->config.version;
}

enum http_fin http_conn_fin(const struct http_conn *c)
{
    return (enum http_fin)c->fin;
}

const char *http_conn_detail(const struct http_conn *c)
{
    return c->detail;
}

int http_conn_error(const struct http_conn *c)
{
    return c->error;
}

struct conn *http_conn_below(struct http_conn *c)
{
    return c->conn;
}

uint64_t http_conn_idle_since(const struct http_conn *c)
{
    return c->idle_since;
}
