// SPDX-License-Identifier: Apache-2.0
/* HTTP/1.1 and 1.0 (RFC 9112) without I/O: a strict parser for requests and responses and one canonical writer.
 *
 *   struct h1 p;
 *   h1_init(&p, H1_REQUEST);
 *   r = h1_head(&p, &headers, bytes, &n);          // -EAGAIN: call again with more bytes in the same place (or
 *                                                  // headers_rebase first); 0: n bytes were the head
 *   drop(n);
 *   while (!h1_done(&p)) {
 *       r = h1_frame(&p, bytes, &trailers, &n);    // 0: drop(n) bytes of framing; then p.run bytes of body follow
 *       drop(n); use(at most p.run bytes); h1_took(&p, used);
 *   }
 *   h1_next(&p);                                   // the next message of this connection
 *
 * Views in `headers` borrow `bytes`. What the versions of HTTP agree on comes out: :method :path :authority (from Host or
 * an absolute target) or :status, then the end-to-end headers. Everything that belongs to the connection is taken out:
 * Connection and what it names, Keep-Alive, Transfer-Encoding, TE other than "trailers", Upgrade unless it is a real one.
 *
 * Rule: what any of nginx, HAProxy, Go or llhttp would refuse is refused (h1_reason.def), and every writer below emits
 * one canonical form, so that no two servers can read the same message differently.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/must.h"
#include "base/view.h"
#include "wire/headers.h"

enum h1_kind { H1_REQUEST, H1_RESPONSE };

enum h1_reason {
#define H1_REASON(name, status, text) H1_##name,
#include "wire/h1_reason.def"
#undef H1_REASON
};
const char *h1_reason_text(enum h1_reason reason);
unsigned h1_reason_status(enum h1_reason reason);

enum h1_framing {
    H1_NO_BODY,
    H1_LENGTH,  /* content-length */
    H1_CHUNKED, /* transfer-encoding: chunked */
    H1_CLOSE,   /* response: until the connection ends */
    H1_TUNNEL,  /* 101, or 2xx to CONNECT: raw bytes until the connection ends */
};

struct h1 {
    uint64_t run;           /* body bytes that follow next; UINT64_MAX when only the end of the connection ends them */
    uint64_t length;        /* H1_LENGTH: content-length */
    uint32_t line, scanned; /* offsets from the start of the head or of the trailers */
    uint32_t extension_n;   /* bytes of chunk extensions skipped in this message */
    uint8_t kind, state, reason;
    uint8_t framing; /* enum h1_framing; valid after h1_head() */
    uint8_t version; /* 10 or 11 */
    bool keep_alive; /* the sender will go on with this connection */
    bool upgrade;    /* Upgrade with Connection: upgrade; the value stays in the headers */
    bool expect_continue;
    bool interim; /* response: 1xx but 101; another head follows */
    /* Set by the caller after h1_init(): so many bytes may be read behind those that h1_head() is given, and the first of
     * them is NUL. 32 let the last lines of a head go as fast as the others. */
    uint8_t slack;
    /* Set by the caller before h1_head() of a response: what the request was. */
    bool to_head, to_connect;
};

void h1_init(struct h1 *p, enum h1_kind kind);
void h1_next(struct h1 *p); /* ready for the next message; to_head and to_connect are false again */

/* 0: the head is complete; -EAGAIN: more bytes needed; -EBADMSG: refused, p->reason. */
int h1_head(struct h1 *p, struct headers *h, struct view bytes, size_t *ret_n) must_check;

/* Takes framing bytes from the front of `bytes`. 0: *ret_n bytes were framing, and now p->run > 0 or h1_done();
 * -EAGAIN: the same, but more bytes are needed to go on (*ret_n is valid too); -EBADMSG. `trailers` (initialised) is
 * filled from bytes that are among the *ret_n just taken: copy what is to stay. */
int h1_frame(struct h1 *p, struct view bytes, struct headers *trailers, size_t *ret_n) must_check;
static inline void h1_took(struct h1 *p, uint64_t n)
{
    if (p->run != UINT64_MAX)
        p->run -= n;
}
bool h1_done(const struct h1 *p);
/* The connection ended here: 0 when that ends the message properly, -EBADMSG (TRUNCATED) when it is cut off. */
int h1_eof(struct h1 *p) must_check;

/* Server: our answer made the connection a tunnel; raw bytes follow the request's head. */
void h1_tunnel(struct h1 *p);

/* How a head is to be written. */
struct h1_out {
    enum h1_kind kind;
    enum h1_framing framing; /* H1_NO_BODY writes no framing header by itself */
    bool length_zero;        /* with H1_NO_BODY: write content-length: 0 unless the list has a content-length */
    bool close;              /* connection: close */
    bool keep_alive_1_0;     /* connection: keep-alive, for an HTTP/1.0 client */
};

/* An upper bound for what h1_write_head() and h1_write_trailers() write. */
static inline size_t h1_room(const struct headers *h)
{
    return h->bytes + (size_t)h->n * 4 + 192;
}

/* Return the end of what was written, or NULL: a name, value, target or authority that must not go on the wire, or :method,
 * :path or :status is missing. */
char *h1_write_head(char *to, const struct headers *h, const struct h1_out *out) must_check;
char *h1_write_trailers(char *to, const struct headers *h) must_check; /* "0\r\n" trailers "\r\n" */
enum { H1_CHUNK_HEAD = 18, H1_LAST_CHUNK = 5 };
char *h1_write_chunk_head(char *to, uint64_t n); /* at most H1_CHUNK_HEAD bytes; "\r\n" follows the data */
