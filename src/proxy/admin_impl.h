// SPDX-License-Identifier: Apache-2.0
/* A request to one of the proxy's own ports, as the functions of admin.def see it. A function fills out, status and
 * type, or sets pending and calls admin_answer() later.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "net/task.h"

struct admin;
struct fetch;
struct http_conn;
struct http_stream;
struct proxy;

enum admin_port {
    ADMIN_MAIN = 1,    /* 15000 */
    ADMIN_STATUS = 2,  /* 15020 */
    ADMIN_HEALTH = 4,  /* 15021 */
    ADMIN_METRICS = 8, /* 15090 */
};

enum admin_method {
    ADMIN_GET,        /* GET and HEAD */
    ADMIN_POST,       /* POST; 405 otherwise */
    ADMIN_POST_LOCAL, /* and only from this pod; 403 otherwise */
};

enum admin_bits {
    ADMIN_STREAM = 1,
    ADMIN_FETCHED = 2,
};

struct admin_request {
    struct list link; /* in the connection's requests */
    struct task task;
    struct proxy *proxy;
    struct http_stream *stream;
    struct view path, query; /* in the stream's headers */
    struct buf out;
    unsigned status;
    const char *type;
    bool pending, sent_head, sent_all;
    struct fetch *fetch; /* prober.c, scrape.c */
    void (*fetched)(struct admin_request *r);
};

void admin_render_metrics(struct admin_request *r); /* scrape.c */
void admin_answer(struct admin_request *r);         /* out, status and type are final */

#define ADMIN(path, ports, method, fn, help) void fn(struct admin_request *r);
#include "proxy/admin.def"
#undef ADMIN
