// SPDX-License-Identifier: Apache-2.0
/* The few lines of HTTP/1.1 that the sample needs: a server with a thread for each connection, and a client.
 *
 * Deliberately plain: an application in the mesh knows nothing of the mesh. All it does for it is to pass trace headers
 * on (headers_forwarded), as any application has to.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

struct request {
    struct view method, path, query, head, body; /* head: header lines as received; all valid during the call */
    struct buf bytes;                            /* owns them */
};

struct reply {
    int status;               /* 0: no answer at all (client side) */
    const char *content_type; /* a literal */
    struct buf extra_headers; /* whole lines, each with CRLF */
    struct buf body;
};

/* Fills the reply; runs on the connection's thread. */
typedef void (*handler)(void *app, const struct request *q, struct reply *r);

/* Serves until SIGTERM, then one more second with Connection: close, so that callers move on. 0 or an exit code. */
int http_serve(uint16_t port, handler fn, void *app);

/* Value of a header of q or of a raw head, or the empty view. */
struct view header(struct view head, const char *name);

/* The headers that a service has to pass on so that traces and per-user routes work, as whole lines. */
void headers_forwarded(const struct request *q, struct buf *out);

/* One call on a connection of its own. `headers` are whole lines. reply.status is 0 when nothing came in time. */
void http_call(const char *method, const char *host, uint16_t port, const char *path, struct view headers,
               struct view body, unsigned timeout_ms, struct reply *ret);
void reply_done(struct reply *r);

/* A kept-alive connection for many calls (the load generator's). fd is -1 until the first call and after an error. */
struct http_link {
    const char *host;
    uint16_t port;
    int fd;
};
void http_link_call(struct http_link *link, const char *path, struct view headers, unsigned timeout_ms,
                    struct reply *ret);
