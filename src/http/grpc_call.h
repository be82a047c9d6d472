// SPDX-License-Identifier: Apache-2.0
/* gRPC over an HTTP stream: unary and streaming, both ends. Messages in, messages out, a status at the end.
 *
 *   client   grpc_call_start(conn, &(struct grpc_call_config){.path = "/pkg.Svc/Method"}, task, BIT_CALL, &call);
 *            grpc_call_send(call, bytes, true);                      // true: no more from us
 *            … woken with BIT_CALL: while ((r = grpc_call_recv(call, &msg)) == 0) use(msg);
 *            r == -ENODATA: grpc_call_status(call), grpc_call_message(call)
 *   server   call = grpc_call_accept(stream, task, BIT_CALL);         // stream from http_conn_accept(), path in stream->in
 *            recv and send as above; grpc_call_finish(call, GRPC_OK, VIEW_NONE);
 *
 * Nothing is called back; recv also moves bytes that wait to be sent, so call it at each wake. Received messages are at
 * most LIMIT_GRPC_MESSAGE_BYTES; more ends the call with RESOURCE_EXHAUSTED. Compressed messages are refused
 * (UNIMPLEMENTED): we never announce an encoding.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "http/conn.h"
#include "http/stream.h"
#include "wire/grpc.h"

struct grpc_call;

struct grpc_call_config {
    struct view path;               /* "/package.Service/Method" */
    struct view authority;          /* :authority */
    struct view scheme;             /* empty: "http" */
    struct view authorization;      /* e.g. "Bearer …"; empty: none. Never logged */
    const struct headers *metadata; /* more request headers, or NULL */
    uint64_t deadline_ns;           /* loop time; 0: none. Sent as grpc-timeout and kept here: DEADLINE_EXCEEDED */
};

/* 0, or what http_conn_open() says: -EAGAIN (no capacity yet), -EPIPE. */
int grpc_call_start(struct http_conn *conn, const struct grpc_call_config *config, struct task *task, uint32_t bits,
                    struct grpc_call **ret_call) must_check;
/* Takes the stream over. NULL when it was no gRPC request: it has been answered (415, 405) and freed. */
struct grpc_call *grpc_call_accept(struct http_stream *s, struct task *task, uint32_t bits);

/* Copies and queues one message. end: client, half-close behind it. -EPIPE when the call is over; -EAGAIN when with it more
 * than LIMIT_GRPC_PENDING_BYTES would wait: try again at the next wake. */
int grpc_call_send(struct grpc_call *call, struct view message, bool end) must_check;
/* One message of n bytes that its owner writes piece by piece from where they are, without a copy here: begin, then write until
 * all are taken and nothing else in between. begin: 0, -EAGAIN (earlier messages wait), -EPIPE, -EMSGSIZE. write: how many were
 * taken; fewer than all means wait for the next wake. -EPIPE. */
int grpc_call_begin(struct grpc_call *call, size_t n) must_check;
ssize_t grpc_call_write(struct grpc_call *call, struct view bytes) must_check;
int grpc_call_end(struct grpc_call *call);              /* client: half-close without a message */
size_t grpc_call_pending(const struct grpc_call *call); /* bytes that wait to be sent */

/* 0: *ret_message is the next message, valid until the next recv on this call. -EAGAIN: not yet. -ENODATA: no more come
 * (client: the status is known; server: the client has said all, or is gone: HTTP_RESET of its stream). */
int grpc_call_recv(struct grpc_call *call, struct view *ret_message) must_check;

/* Server: trailers with the status, after what was queued (recv at each wake until grpc_call_done(), then free). */
void grpc_call_finish(struct grpc_call *call, enum grpc_status status, struct view message);

/* Client: valid after -ENODATA. Transport failures are mapped as the gRPC HTTP/2 mapping says (UNAVAILABLE …). */
enum grpc_status grpc_call_status(const struct grpc_call *call);
struct view grpc_call_message(const struct grpc_call *call);  /* percent-decoded, printable */
struct http_stream *grpc_call_stream(struct grpc_call *call); /* its headers; NULL when it is gone */
bool grpc_call_done(const struct grpc_call *call);
struct grpc_call *grpc_call_free(struct grpc_call *call); /* cancels if still running; takes NULL, returns NULL */
