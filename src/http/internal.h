// SPDX-License-Identifier: Apache-2.0
/* What the files of http/ share and nobody else includes: the connection object, its buffers, and the two protocols
 * (h1_conn.c, h2_conn.c) behind one set of functions.
 *
 * How a byte goes: conn_run() (conn.c) is the connection's task; it lets the protocol parse, which calls http_fill() when
 * it wants bytes. Owners write through stream.c, the protocol appends to `out`, and one flush at the end of the loop's
 * turn sends it. A buffer is a block of the worker's pool, held only while it has bytes; a head that is larger than a
 * block gets a buffer of its own for as long.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "http/conn.h"
#include "http/stream.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/task.h"
#include "net/timer.h"
#include "wire/h1.h"

enum { HTTP_BLOCK = 16 * 1024, HTTP_STREAMS_KEPT = 128, HTTP_BLOCKS_KEPT = 64 };

struct h2;
struct h2_memory;

struct http_shared {
    struct loop *loop;
    struct pool blocks;
    struct list streams; /* free ones, with their arenas */
    uint32_t n_streams;
    uint32_t head_bytes; /* chunk of a stream's arena */
    uint64_t heap_count;
    struct h2_memory *h2;
};

/* Bytes of one direction: data[at..end). data NULL: none. */
struct http_bytes {
    char *data;
    uint32_t at, end, cap;
};

/* Body bytes of an HTTP/2 stream. */
struct http_block {
    struct http_block *next;
    uint32_t at, end;
    char data[];
};

enum conn_bits {
    CONN_IN = 1,
    CONN_OUT = 2,
    CONN_READ = 4, /* an owner consumed, or the next message may begin */
    CONN_TIMER = 8,
};

enum stream_flags {
    STREAM_ACCEPTED = 1,              /* server: an owner has it */
    STREAM_IN_DONE = 2,               /* the received message is complete, consumed or not */
    STREAM_OUT_HEAD = 4,              /* our final head was sent */
    STREAM_OUT_DONE = 8,              /* our message is complete (perhaps still in `out`) */
    STREAM_WANT_WRITE = 16,           /* the owner got a short count */
    STREAM_UPGRADE = 32,              /* the request asks for a tunnel: Upgrade or CONNECT */
    STREAM_HEAD = 64,                 /* the request is HEAD: no body in the response */
    STREAM_DISCARD_OUT = 128,         /* body bytes of our response are taken and dropped (HEAD, 204, 304) */
    STREAM_FREED = 256,               /* HTTP/2: the owner is gone, nghttp2 is not yet */
    STREAM_H2_OPEN = 512,             /* HTTP/2: nghttp2 knows it */
    STREAM_DEFERRED = 1024,           /* HTTP/2: nghttp2 asked for body bytes and there were none */
    STREAM_WANT_ROOM = 4096,          /* HTTP/2: it waits for the send buffer, not for a window */
    STREAM_CONNECT_AS_UPGRADE = 2048, /* HTTP/2: extended CONNECT, shown to the owner as an upgrade */
};

struct http_conn {
    struct task task;
    struct flush flush;
    struct timer timer;
    struct http_shared *shared;
    struct conn *conn;
    struct task *owner;
    uint32_t owner_bits;
    uint32_t n_streams, requests;
    struct http_bytes in, out;
    struct list streams;
    uint64_t idle_since;
    uint64_t flushed, flushed_before; /* bytes that the kernel took; the same when the exchange began */
    const char *detail;
    struct http_conn_config config;
    int error;
    uint32_t lingered;
    uint8_t fin;
    bool accept, draining, closed, refused, up;
    bool close_after_flush, lingering, eof;
    bool unread;     /* a request's body was left behind: linger before closing */
    bool abort;      /* the peer must not take our end for a proper one */
    bool more_below; /* the last receive filled its room */
    /* HTTP/1 */
    struct http_stream *stream; /* the current exchange; a server has one from the first byte of a request */
    struct h1 parser;
    bool keep_alive, had_bytes;
    bool part_came;   /* of a message, since we last said so to the peer */
    uint8_t hastened; /* how often in this exchange */
    /* HTTP/2 */
    struct h2 *h2;
    struct list incomplete; /* server: streams whose head is not complete, or was refused */
    struct list unaccepted; /* server: for http_conn_accept(), in order */
    uint32_t n_blocked;     /* streams that want to write */
    bool last_goaway;
};

/* conn.c */
ssize_t http_fill(struct http_conn *c); /* receives into `in`: > 0, 0 end, -EAGAIN, -errno */
char *http_out_room(struct http_conn *c, size_t n);
void http_flush_soon(struct http_conn *c);
void http_conn_wake(struct http_conn *c);
void http_conn_end(struct http_conn *c, enum http_fin fin, const char *detail, int error); /* over; streams are reset */
void http_conn_finish(struct http_conn *c); /* closes in good order once everything is sent */
void http_release_in(struct http_conn *c);  /* gives an empty buffer back */
void http_timer_idle(struct http_conn *c);

static inline size_t http_bytes_n(const struct http_bytes *b)
{
    return b->end - b->at;
}

static inline struct view http_bytes_view(const struct http_bytes *b)
{
    return b->data ? (struct view){b->data + b->at, b->end - b->at} : VIEW("");
}

static inline void http_bytes_drop(struct http_bytes *b, size_t n)
{
    b->at += (uint32_t)n;
    if (b->at == b->end)
        b->at = b->end = 0;
}

/* h1_conn.c */
void http1_head_timeout(struct http_conn *c);

/* h2_conn.c */
void http2_conn_begin(struct http_conn *c);
void http2_drain_timeout(struct http_conn *c);
struct http_stream *http2_conn_accept(struct http_conn *c);

/* stream.c */
struct http_stream *http_stream_take(struct http_conn *c);
void http_stream_give(struct http_shared *shared, struct http_stream *s);
void http_stream_end(struct http_stream *s, enum http_fin fin, const char *detail); /* HTTP_RESET, and wakes */
static inline void http_stream_wake(struct http_stream *s)
{
    if (s->task)
        task_wake(s->task, s->bits);
}

/* The two protocols. */
struct http_protocol {
    void (*read)(struct http_conn *c, bool edge); /* parse, receive more, until nothing is left or owners must act */
    void (*produce)(struct http_conn *c);         /* HTTP/2: frames into `out`; HTTP/1: nothing */
    void (*flushed)(struct http_conn *c);         /* `out` has room again */
    void (*drain)(struct http_conn *c);
    void (*gone)(struct http_conn *c); /* the connection is over: resets its streams */
    int (*open)(struct http_conn *c, struct http_stream **ret_stream);
    uint32_t (*capacity)(const struct http_conn *c);
    int (*headers)(struct http_stream *s, const struct headers *h, bool end);
    int (*inform)(struct http_stream *s, const struct headers *h);
    ssize_t (*data)(struct http_stream *s, struct view v, bool end);
    int (*trailers)(struct http_stream *s, const struct headers *h);
    bool (*peek)(struct http_stream *s, struct view *ret_bytes);
    void (*consume)(struct http_stream *s, size_t n);
    void (*reset)(struct http_stream *s, enum http_reset_code code);
    void (*free)(struct http_stream *s);
};
extern const struct http_protocol http_1, http_2;
static inline const struct http_protocol *http_protocol_of(const struct http_conn *c)
{
    return c->config.version == HTTP_2 ? &http_2 : &http_1;
}
