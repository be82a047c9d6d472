// SPDX-License-Identifier: Apache-2.0
/* A port of the control plane: accepts connections, plaintext or TLS, speaks HTTP/1 or HTTP/2 on them, and hands each
 * request to one function.
 *
 *   r = port_open(&(struct port_config){.loop = l, .http = h, .at = addr, .version = HTTP_2, .serve = serve, .arg = self}, &p);
 *   static void serve(void *arg, const struct port_request *q) { … takes q->stream over … }
 *   port_free(p);
 *
 * serve() runs inside the task of the connection, never inside another one's call; the stream is its own from then on.
 * TLS clients may show a certificate; who they are is in q->peer then.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "http/conn.h"
#include "net/addr.h"
#include "xds/server.h"

struct loop;
struct port;
struct tls_context;

struct port_request {
    struct http_stream *stream;
    struct view path;  /* without the query */
    struct view query; /* behind ?, may be empty */
    bool tls;
    const struct addr *from;  /* the caller's; during the call */
    struct xds_identity peer; /* of a verified client certificate; empty: none */
};

struct port_config {
    struct loop *loop;
    struct http_shared *http;
    struct addr at;
    struct tls_context *tls; /* NULL: plaintext. The caller's, must outlive the port */
    enum http_version version;
    void (*serve)(void *arg, const struct port_request *q);
    void *arg;
};

int port_open(const struct port_config *config, struct port **ret_port) must_check;
struct port *port_free(struct port *p); /* closes its connections, too; NULL */
const struct addr *port_addr(const struct port *p);
uint32_t port_connections(const struct port *p);
