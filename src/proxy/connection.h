// SPDX-License-Identifier: Apache-2.0
/* A downstream connection: accepted, told apart, secured, then served as HTTP or as bytes.
 *
 *   accept → original destination → inspect → filter chain → TLS handshake → codec → serve (streams or a relay)
 *
 * The steps and their deadlines are the table at the top of connection.c. One task; streams have tasks of their own
 * (stream.h), a relay shares the connection's (tcp.h).
 *
 * Invariants: the connection owns its conn until the HTTP connection or the relay takes it; it frees itself when all of
 * its streams are gone. It references the listener that accepted it and the one that serves it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/step.h"
#include "net/task.h"
#include "net/tls.h"
#include "plan/end_reason.h"
#include "plan/listener.h"

struct access_logger;
struct http_conn;
struct peer;
struct relay;
struct worker;

enum { CONNECTION_LOGS = 4 };
enum { CONNECTION_ALPN = 8 }; /* protocols of a ClientHello that filter chains are matched with */

enum connection_bits {
    CONNECTION_IN = 1,
    CONNECTION_OUT = 2,
    CONNECTION_LATE = 4,
    CONNECTION_HTTP = 8,
    CONNECTION_EMPTY = 16, /* the last stream went */
    CONNECTION_DRAIN = 32,
    CONNECTION_RELAY = 64,
    CONNECTION_REPORT = 128,
};

/* What the first bytes were. */
enum spoken {
    SPOKEN_UNKNOWN, /* not looked at, or nothing that we know */
    SPOKEN_TLS,
    SPOKEN_HTTP10,
    SPOKEN_HTTP11,
    SPOKEN_HTTP2,
    SPOKEN_SILENT, /* nothing came in time: the server speaks first */
};

struct connection {
    struct task task;
    struct steps steps;
    struct list link; /* in worker->connections */
    struct list streams;
    struct worker *worker;
    struct conn *conn;               /* until http takes it over */
    const struct listener *accepted; /* referenced: the one with the socket */
    const struct listener *listener; /* referenced: the one that serves */
    const struct filter_chain *chain;
    struct http_conn *http;
    struct relay *relay;
    struct addr local, remote;
    struct addr destination; /* original destination, else local */
    enum spoken spoken;
    enum end_reason reason;
    const char *why; /* static text: why TLS could not even begin; else NULL */
    struct access_logger *loggers[CONNECTION_LOGS];
    uint32_t n_loggers;
    bool redirected; /* destination came from the kernel's NAT */
    bool draining, tls, waited;
    uint32_t filters;    /* 1 << enum http_filter_kind: what the chain's HTTP manager has */
    uint32_t inspectors; /* that still have to run */
    uint64_t opened;
    uint64_t number;    /* of the connection in this worker */
    struct arena arena; /* what lives as long as the connection; seldom used */
    struct view sni;    /* of an inspected ClientHello */
    struct view alpn[CONNECTION_ALPN];
    uint32_t n_alpn;
    char remote_text[64]; /* ip:port */
    char local_text[64];  /* of the destination */
    char remote_ip[48];
    uint8_t remote_n, remote_ip_n, local_n;
    struct view xfcc;        /* our element of x-forwarded-client-cert, once it is made */
    const struct peer *peer; /* what the other side said about itself over this connection; referenced */
};

void connection_new(struct worker *w, const struct listener *accepted, struct conn *conn); /* takes conn over */
void connection_drain(struct connection *c);
void connection_abort(struct connection *c); /* now; frees */
void connection_stream_gone(struct connection *c);

static inline struct view connection_remote_ip(const struct connection *c)
{
    return (struct view){c->remote_ip, c->remote_ip_n};
}
