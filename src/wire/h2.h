// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 (RFC 9113) without I/O: libnghttp2 tuned and fenced in, behind an interface that an own codec could take over.
 * Bytes go in with h2_recv(); what they mean comes out through a table of handlers; bytes to send are appended to a buffer
 * by h2_send(). One object is one connection, client or server.
 *
 * Beyond nghttp2's own checks: budgets for resets, control frames and window updates (h2_budget.h), decoded header size
 * and count, targets and authorities by the rules of wire/uri.h, `host` that differs from :authority, cookie crumbs put
 * together. A message that breaks one of these gets RST_STREAM(PROTOCOL_ERROR) and is never shown.
 *
 * Handlers must not call h2_recv, h2_send or h2_free. The stream pointer is what stream_new() returned or
 * h2_request() was given; after h2_forget() the handlers hear no more of that stream.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/must.h"
#include "base/view.h"
#include "wire/headers.h"

struct h2;

/* nghttp2's memory by size classes, one per worker: no malloc in the steady state. */
struct h2_memory;
struct h2_memory *h2_memory_new(void);
void h2_memory_free(struct h2_memory *m);
uint64_t h2_memory_heap_count(const struct h2_memory *m);

enum h2_block { H2_REQUEST, H2_RESPONSE, H2_INFORMATIONAL, H2_TRAILERS };

struct h2_handler {
    /* Server: the peer opened a stream. NULL refuses it (REFUSED_STREAM). */
    void *(*stream_new)(void *arg, int32_t id);
    /* A header block begins: where it goes (initialised, with an arena). */
    struct headers *(*block_begin)(void *arg, void *stream, enum h2_block block);
    /* ... and is complete and valid. wire_n: its bytes in frames. */
    void (*block_end)(void *arg, void *stream, enum h2_block block, bool end, size_t wire_n);
    void (*data)(void *arg, void *stream, struct view bytes); /* refund with h2_consumed() */
    void (*end)(void *arg, void *stream);                     /* END_STREAM came, with DATA or trailers or the head */
    /* The stream is gone. code: RFC 9113 §7; by_peer: it sent RST_STREAM or GOAWAY; detail: our reason, or NULL. */
    void (*closed)(void *arg, void *stream, uint32_t code, bool by_peer, const char *detail);
    void (*writable)(void *arg, void *stream); /* a window opened: h2_data() may take more */
    void (*settings)(void *arg);               /* the peer's SETTINGS came */
    void (*goaway)(void *arg, uint32_t code);  /* no new streams on this connection */
    void (*ping_ack)(void *arg);
};

struct h2_config {
    bool server;
    uint32_t max_streams;
    uint32_t
        max_data; /* bytes of one DATA frame that we send; 0: what the peer takes. Little memory for many connections */
};

struct h2 *h2_new(struct h2_memory *memory, const struct h2_config *config, const struct h2_handler *handler,
                  void *arg);
void h2_free(struct h2 *h);

/* 0, or -EBADMSG: the connection is over; h2_detail() names the reason, h2_flood() whether a budget broke. What
 * h2_send() then gives (GOAWAY) should still be sent. now: monotonic ns, for the budgets. */
int h2_recv(struct h2 *h, struct view bytes, uint64_t now) must_check;
const char *h2_detail(const struct h2 *h);
bool h2_flood(const struct h2 *h);

/* The next frame's bytes to send, valid until the next call; empty when there is none. Only frames that are no DATA while
 * control_only. */
struct view h2_send(struct h2 *h, bool control_only);
bool h2_wants_send(const struct h2 *h);
bool h2_finished(const struct h2 *h); /* nothing to read or write any more */

/* Streams. Heads and trailers are encoded before the call returns if h2_send() is then called with control_only until it
 * is empty; header bytes are borrowed until then. Names are lower-cased into `scratch` if need be. */
int h2_request(struct h2 *h, void *stream, const struct headers *headers, bool end, struct arena *scratch,
               int32_t *ret_id) must_check;
int h2_headers(struct h2 *h, int32_t id, const struct headers *headers, bool end, struct arena *scratch) must_check;
/* Offers body bytes; the caller then calls h2_send() while it gives bytes, and h2_data_left() tells what was not taken
 * (windows). Only one stream at a time has bytes on offer. room: most bytes of one DATA frame. */
int h2_data(struct h2 *h, int32_t id, struct view bytes, bool end) must_check;
void h2_data_room(struct h2 *h, size_t room);
size_t h2_data_left(struct h2 *h, bool *ret_end_sent); /* ends the offer */
void h2_consumed(struct h2 *h, int32_t id, size_t n);  /* opens the peer's windows again */
void h2_reset(struct h2 *h, int32_t id, uint32_t code);
void h2_forget(struct h2 *h, int32_t id);

/* How many more streams the peer takes now; 0 before its SETTINGS. */
uint32_t h2_capacity(const struct h2 *h, uint32_t open);
bool h2_peer_connect_protocol(const struct h2 *h); /* RFC 8441 */
void h2_shutdown_notice(struct h2 *h);             /* GOAWAY with the highest id, and a PING */
void h2_goaway(struct h2 *h, uint32_t code);       /* GOAWAY with the last id that we process */
