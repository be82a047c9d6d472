// SPDX-License-Identifier: Apache-2.0
/* An HTTP connection: one HTTP/1 or HTTP/2 codec over a `struct conn` of net/, in the server or the client role.
 *
 * It owns a task of its own that receives, parses and flushes. It never calls the user: streams wake their owners
 * (http/stream.h), the connection wakes its owner's task with the bits given to http_conn_new(), and the owner then looks
 * at http_conn_ready():
 *
 *   server   while ((s = http_conn_accept(c, task, BIT_STREAM))) …a request is there, s->in holds it…
 *   client   if (http_conn_open(c, task, BIT_UPSTREAM, &s) == 0) http_stream_headers(s, &request, true);
 *   both     if (http_conn_ready(c) & HTTP_CONN_CLOSED) http_conn_free(c);
 *
 * A malformed HTTP/1 request is answered here (400, 414, 431 or 501, then closed): the owner sees HTTP_CONN_REFUSED and
 * HTTP_CONN_CLOSED for its access log, and no stream. The receive buffer is borrowed from the worker's pool only while
 * bytes are pending; so is the send buffer. http_conn_free() is the only way to get rid of one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "http/stream.h"

struct conn;
struct http_shared;
struct loop;
struct task;

/* What the connections of one worker share: buffer and stream pools, nghttp2's free lists. One per loop. */
struct http_shared *http_shared_new(struct loop *loop);
/* Its streams live for days, and there are thousands: each begins with a kilobyte for its heads instead of four. */
void http_shared_long_streams(struct http_shared *shared);
void http_shared_trim(struct http_shared *shared);                 /* gives back what is idle */
struct http_shared *http_shared_free(struct http_shared *shared);  /* after its last connection and stream */
uint64_t http_shared_heap_count(const struct http_shared *shared); /* how often the heap was asked: must stop growing */

enum http_role { HTTP_SERVER, HTTP_CLIENT };
enum http_version { HTTP_1, HTTP_2 };

struct http_conn_config {
    enum http_role role;
    enum http_version version;
    struct view scheme;    /* "http" or "https": the :scheme of HTTP/1 requests; static */
    uint64_t idle_ns;      /* no stream for so long: closed, fin IDLE. 0: never */
    uint64_t headers_ns;   /* server: from the first byte of a request to its complete head. 0: never */
    uint32_t max_requests; /* then drained. 0: any number */
    uint32_t max_streams;  /* server, HTTP/2: SETTINGS_MAX_CONCURRENT_STREAMS. 0: LIMIT_H2_STREAMS */
    uint32_t max_data;     /* HTTP/2: bytes of one DATA frame that we send. 0: what the peer takes */
};

/* Takes the conn over, which must be connected or connecting (its TLS handshake may still run); bytes that were looked at
 * while sniffing go back with conn_unread() before. `owner` is woken with
 * `bits` whenever http_conn_ready() changed. */
struct http_conn *http_conn_new(struct http_shared *shared, struct conn *conn, const struct http_conn_config *config,
                                struct task *owner, uint32_t bits);
/* Closes it now. Streams that still run get HTTP_RESET and stay their owners' to free. Takes NULL, returns NULL. */
struct http_conn *http_conn_free(struct http_conn *c);
void http_conn_own(struct http_conn *c, struct task *owner, uint32_t bits);

enum http_conn_ready {
    HTTP_CONN_ACCEPT = 1,   /* server: http_conn_accept() gives a stream */
    HTTP_CONN_CAPACITY = 2, /* client: http_conn_open() gives a stream */
    HTTP_CONN_IDLE = 4,     /* no stream at all: a client may put it into its pool */
    HTTP_CONN_DRAINING = 8, /* no new streams (GOAWAY, Connection: close, http_conn_drain) */
    HTTP_CONN_CLOSED = 16,  /* over: free it */
    HTTP_CONN_REFUSED = 32, /* the peer's bytes were refused; http_conn_fin() and _detail() say why */
    HTTP_CONN_UP = 64,      /* connected, TLS included: a failure before is a connect failure */
};
unsigned http_conn_ready(const struct http_conn *c);

/* Server: the next request, head complete; NULL when none waits. */
struct http_stream *http_conn_accept(struct http_conn *c, struct task *task, uint32_t bits);
/* Client: 0; -EAGAIN no capacity now (HTTP/1 busy, peer's MAX_CONCURRENT_STREAMS, its SETTINGS not here yet: wait for
 * HTTP_CONN_CAPACITY); -EPIPE draining or closed. */
int http_conn_open(struct http_conn *c, struct task *task, uint32_t bits, struct http_stream **ret_stream) must_check;
/* How many more streams http_conn_open() would give now; 0 when draining. */
uint32_t http_conn_capacity(const struct http_conn *c);
uint32_t http_conn_streams(const struct http_conn *c);

/* Finishes what runs and closes: HTTP/1 says Connection: close on its next response, HTTP/2 sends GOAWAY, and the last one
 * a round trip later. HTTP_CONN_CLOSED follows. */
void http_conn_drain(struct http_conn *c);
#define HTTP_DRAIN_IDLE (5 * NS_PER_S) /* an idle HTTP/1 client has that long to ask once more and be told */

enum http_version http_conn_version(const struct http_conn *c);
enum http_fin http_conn_fin(const struct http_conn *c);
const char *http_conn_detail(const struct http_conn *c);  /* static text or NULL */
int http_conn_error(const struct http_conn *c);           /* errno of the failed send or recv, 0: none */
struct conn *http_conn_below(struct http_conn *c);        /* addresses, TLS facts */
uint64_t http_conn_idle_since(const struct http_conn *c); /* loop time of the end of its last stream */
