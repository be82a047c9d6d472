// SPDX-License-Identifier: Apache-2.0
/* One HTTP exchange, the same for HTTP/1 and HTTP/2 and for both roles: headers out and in, body bytes with
 * back-pressure, trailers, an end with a reason. Made by http_conn_accept() or http_conn_open() (http/conn.h).
 *
 * Nothing is called back. The stream's connection sets level bits in `ready` and wakes the owner's task with the bits the
 * owner named; the owner looks at `ready` and acts until nothing is left to do:
 *
 *   if (s->ready & HTTP_HEADERS) route(&s->in);
 *   while (http_stream_peek(s, &v)) http_stream_consume(s, use(v));     // views borrow the receive buffer
 *   if (s->ready & HTTP_END) …all of the body was peeked and consumed, trailers (or NULL) are in s->trailers…
 *   if (s->ready & HTTP_RESET) …s->fin and s->detail say why; nothing more comes or goes…
 *   http_stream_free(s);                                              // always, exactly once; resets it if it still runs
 *
 * Received headers live in the stream's arena until http_stream_free(). What is sent is copied or put on the wire
 * before the call returns, so sent headers and data may be borrowed from anywhere. Everything sent in one task run
 * leaves in one system call at its end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/must.h"
#include "base/view.h"
#include "wire/headers.h"

struct http_conn;
struct http_shared;
struct task;

enum http_fin {
#define FIN(name, text) HTTP_FIN_##name,
#include "http/fin.def"
#undef FIN
};
const char *http_fin_name(enum http_fin fin); /* "PEER_RESET" */
const char *http_fin_text(enum http_fin fin);

/* Levels, not edges: a bit stays set as long as its sentence is true. */
enum http_ready {
    HTTP_HEADERS = 1,   /* s->in holds the request, or the final response */
    HTTP_DATA = 2,      /* http_stream_peek() gives bytes */
    HTTP_END = 4,       /* the message is complete and all its bytes are consumed; s->trailers is final */
    HTTP_RESET = 8,     /* ended before its time, see fin; only http_stream_free() makes sense now */
    HTTP_WRITABLE = 16, /* http_stream_data() would take bytes; after a short count the owner is woken when it can */
    HTTP_INFORMATIONAL = 32, /* client: s->informational holds a 1xx (not 101); cleared by http_stream_informed() */
    HTTP_SENT = 64,          /* our side is complete and its last byte was handed to the kernel */
    HTTP_TUNNEL = 128,       /* raw bytes both ways: 101 or a 2xx to CONNECT has passed */
};

/* RFC 9113 §7. On HTTP/1 every reset closes the connection. */
enum http_reset_code {
    HTTP_NO_ERROR = 0,
    HTTP_PROTOCOL_ERROR = 1,
    HTTP_INTERNAL_ERROR = 2,
    HTTP_REFUSED_STREAM = 7,
    HTTP_CANCEL = 8,
    HTTP_ENHANCE_YOUR_CALM = 11,
};

struct http_stream {
    /* Read by the owner, written by http/ only. */
    struct headers in;             /* HTTP_HEADERS: what was received */
    struct headers *trailers;      /* HTTP_END: received trailers, NULL: none */
    struct headers *informational; /* HTTP_INFORMATIONAL */
    struct arena arena;            /* the owner may use it too; lives until http_stream_free() */
    struct http_conn *conn;        /* NULL once the connection is gone */
    const char *detail;         /* static text: the rule that was broken, e.g. "h1.content_length_invalid"; or NULL */
    uint64_t wire_in, wire_out; /* bytes of this stream on the wire before TLS: heads, framing and bodies */
    uint64_t body_in, body_out; /* body bytes alone */
    uint32_t id;                /* HTTP/2 stream id; on HTTP/1 the count of the exchange, from 1 */
    uint32_t reset_code;        /* received with RST_STREAM or GOAWAY */
    uint8_t ready;              /* enum http_ready */
    uint8_t fin;                /* enum http_fin */
    uint8_t version;            /* 10, 11 or 20: what the peer spoke in this exchange */
    bool expect_continue;       /* server: the client waits for 100 before it sends the body */
    bool content_length_known;  /* the received message has this many body bytes: content_length */
    uint64_t content_length;

    /* Private to http/. */
    struct http_shared *shared;
    struct task *task;
    uint32_t bits;
    uint16_t flags; /* enum stream_flags */
    uint8_t framing_out;
    uint64_t left_out;                       /* body bytes that our content-length still promises */
    struct list link;                        /* of its connection, or of the free list */
    struct http_block *in_first, *in_last;   /* HTTP/2: received, not consumed */
    struct http_block *out_first, *out_last; /* HTTP/2: taken from the owner, not yet framed */
    uint32_t out_n;
};

/* Wakes `task` with `bits` from now on: a stream may change owners. */
void http_stream_own(struct http_stream *s, struct task *task, uint32_t bits);

/* Sends the head. Request: :method and :path (or CONNECT with :authority); response: :status. Connection-bound headers
 * are the codec's business and ignored here, but `upgrade`, which makes an upgrade request or a 101. end: no body and no
 * trailers follow. Without end, a `content-length` header frames the body on HTTP/1, otherwise it is chunked.
 * 0; -EPIPE when the stream is over; -EINVAL when a header cannot be sent (then nothing was). */
int http_stream_headers(struct http_stream *s, const struct headers *h, bool end) must_check;
/* 1xx but 101, before the final response. */
int http_stream_inform(struct http_stream *s, const struct headers *h) must_check;
/* Takes as many bytes of v as there is room for and returns how many: fewer than v.n means wait for HTTP_WRITABLE. `end`
 * counts only when all were taken (v may be empty then). -EPIPE when the stream is over; -EMSGSIZE when the bytes do
 * not agree with the content-length that was sent. */
ssize_t http_stream_data(struct http_stream *s, struct view v, bool end) must_check;
/* Trailers, and the end. Dropped with the end kept when HTTP/1 framing has no place for them. */
int http_stream_trailers(struct http_stream *s, const struct headers *h) must_check;

/* The next received body bytes, contiguous; false when there are none now. Valid until consumed or the task returns. */
bool http_stream_peek(struct http_stream *s, struct view *ret_bytes);
void http_stream_consume(struct http_stream *s, size_t n);
void http_stream_informed(struct http_stream *s);
/* Whether `v`, from http_stream_peek(), is known to be the rest of the message, without trailers behind it: who passes it on
 * may say `end` with it and saves a frame. False also when that is not known yet. */
bool http_stream_last(const struct http_stream *s, struct view v);

/* Ends the stream now, in both directions; fin becomes LOCAL_RESET. Without effect when it is over. */
void http_stream_reset(struct http_stream *s, enum http_reset_code code);
/* Gives the stream back; resets it first (CANCEL) if it was still running. Takes NULL, returns NULL. Server role: a
 * response that was completely sent is still delivered, even if the request's body was not read to its end. */
struct http_stream *http_stream_free(struct http_stream *s);

static inline bool http_stream_over(const struct http_stream *s) /* both sides complete, or reset */
{
    return (s->ready & HTTP_RESET) || (s->ready & (HTTP_END | HTTP_SENT)) == (HTTP_END | HTTP_SENT);
}
