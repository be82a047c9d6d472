// SPDX-License-Identifier: Apache-2.0
/* Upstream connections of one worker: opened on demand, reused, bounded.
 *
 * Each host has a pool (host->pool) with its HTTP/1 connections (the one used last is taken first) and its HTTP/2
 * connections. A stream that finds no free connection waits in line while one is opened; whoever comes free first
 * serves the longest waiting one.
 *
 *   pool_ask_init(&s->ask, &s->task, STREAM_POOL);
 *   pool_ask(&s->ask, upstream, host, HTTP_1);      // state: POOL_READY at once, or POOL_WAITS and later the bits
 *   … in run(): POOL_READY: s->ask.stream; POOL_FAILED: s->ask.reason, s->ask.text
 *   pool_ask_done(&s->ask);                         // after http_stream_free of the stream that it got
 *
 * TCP relays use pool_dial: the same transport and limits, one connection each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/must.h"
#include "base/view.h"
#include "http/conn.h"
#include "net/addr.h"
#include "net/conn.h"
#include "plan/balance.h"
#include "plan/end_reason.h"

struct upstream;

/* Connections to one host; host->pool points here. */
struct host_pool {
    struct upstream *upstream;
    struct host *host;
    struct list link;        /* in upstream->pools */
    struct list idle;        /* HTTP/1 without stream, last used first */
    struct list busy;        /* HTTP/1 with its stream, and all that are connecting */
    struct list multiplexed; /* HTTP/2 */
    struct list line;        /* struct pool_ask: waiting, oldest first */
    uint32_t n_connecting, n_line;
};

enum pool_state {
    POOL_OUT,    /* not asked */
    POOL_WAITS,  /* in line */
    POOL_READY,  /* stream is there */
    POOL_FAILED, /* reason and text say why */
};

struct pool_ask {
    struct list link;
    struct task *task;
    uint32_t bits;
    enum pool_state state;
    enum http_version version;
    struct host_pool *pool;
    struct http_stream *stream;
    struct pool_conn *conn; /* that carries the stream */
    enum end_reason reason;
    bool counted;   /* BREAKER_PENDING is taken */
    char text[160]; /* transport failure reason; printable, cut */
    uint8_t text_n;
};

/* One upstream connection; its facts are for the access log and the metrics. */
struct pool_conn {
    struct list link;
    struct host_pool *pool;    /* NULL: closed, kept for the streams that still name it */
    struct upstream *upstream; /* referenced while it exists */
    struct http_conn *http;
    struct task task;
    enum http_version version;
    bool connecting, in_idle, drained;
    uint32_t asks; /* streams that it carries */
    uint64_t opened;
};

void pool_ask_init(struct pool_ask *a, struct task *task, uint32_t bits);
void pool_ask(struct pool_ask *a, struct upstream *u, struct host *h, enum http_version version);
/* Leaves the line, or gives the connection back: call it after freeing the stream. */
void pool_ask_done(struct pool_ask *a);

/* One raw connection (TLS as the endpoint demands), for TCP. -ENOENT and so on with *ret_why as text. */
int pool_dial(struct upstream *u, struct host *h, const struct view *alpn, size_t n_alpn, struct conn **ret_conn,
              struct view *ret_why) must_check;

bool pool_unused(const struct host *h); /* nothing but idle connections */
/* Idle connections close now, others when their streams end; who waits for one being set up gets another. */
void pools_drain(struct upstream *u);
/* Why an HTTP connection or stream failed, in end_reason's words. */
enum end_reason pool_reason(enum http_fin fin, bool response_started);
