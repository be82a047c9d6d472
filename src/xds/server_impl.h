// SPDX-License-Identifier: Apache-2.0
/* What server.c (streams, requests) and respond.c (responses) share: the state of one proxy's stream. Private to both.
 *
 * For each type a proxy has: the names that it asked for (hashes), the resources that it holds (a private plan, `sent`),
 * and those that it refused (`denied`). What is to be sent is the difference between the published plan and these.
 */
#pragma once

#include "net/timer.h"
#include "xds/encoded.h"
#include "xds/names.h"
#include "xds/server.h"
#include "xds/types.h"

struct grpc_call;
struct xds_codec;

struct in_flight {                 /* one resource of the response that waits for its ACK */
    struct resource *now, *before; /* before NULL: it was new */
};

struct stream_type {
    struct name_set asked;
    struct name_set suspect; /* was part of a refused response: sent alone from now on */
    struct in_flight *flight;
    uint32_t n_flight;
    bool outstanding;   /* a response waits for its ACK */
    bool dirty;         /* there may be something to send */
    bool must_answer;   /* an answer is due even if it is empty: first request of a wildcard */
    uint32_t n_denied;  /* resources of the plan that it refused: they are as good as sent, but not in use */
    struct buf missing; /* names asked for that do not exist, each behind its length: to be said so once */
};

struct stream {
    struct xds_proxy pub; /* first */
    struct xds_server *server;
    struct task task;
    struct timer hello;
    struct grpc_call *call;
    struct arena arena; /* of the node */
    struct list ready;  /* in server->ready */
    struct list all;    /* in server->all */
    bool announced, refused_by_us, gone_told;
    const struct plan *plan;             /* published; NULL: not yet */
    struct plan *sent, *denied;          /* private: resources that it has, and that it refused */
    struct buf early;                    /* requests before the first publish, each behind its length */
    struct buf message;                  /* built and not yet taken by the call */
    struct buf texts[RESOURCE_KINDS][3]; /* behind the views of pub.types: version sent, version acked, nack */
    struct buf version, settled;
    struct stream_type types[RESOURCE_KINDS];
};

struct xds_server {
    struct loop *loop;
    struct task *owner, *listener;
    uint32_t bits, listener_bits;
    struct task task;
    struct timer sweep;
    struct list all, ready, proxies;
    struct xds_cache cache;
    struct xds_codec *codec;
    struct xds_server_stats stats;
    uint32_t n_streams;
};

void server_tell_listener(struct xds_server *x);
void stream_set_text(struct buf *b, struct view *ret, struct view text);
void stream_set_sync(struct stream *s, enum resource_kind kind);
/* The resource of this name in a plan, or NULL. */
struct resource *stream_planned(const struct plan *p, enum resource_kind kind, struct view name);
/* Lists of bytes, each behind its length. */
void stream_list_add(struct buf *b, struct view v);
bool stream_list_next(struct view *rest, struct view *ret);
/* Sends what may be sent now, in push order. 0, -EAGAIN (the call takes no more), -errno. */
int stream_pump(struct stream *s);
