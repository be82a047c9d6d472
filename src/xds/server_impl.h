// SPDX-License-Identifier: Apache-2.0
/* What server.c (streams, requests) and respond.c (responses) share: the state of one proxy's stream. Private to both.
 *
 * For each type a proxy has: the names that it asked for, and what it holds in terms of shared plans (held.h). What is to be
 * sent is the difference between the published plan and that. A response is never put together in memory: its parts are
 * encoded resources that all proxies share (encoded.h), written as far as the peer reads.
 */
#pragma once

#include "net/timer.h"
#include "xds/encoded.h"
#include "xds/held.h"
#include "xds/server.h"
#include "xds/types.h"

struct grpc_call;
struct xds_codec;

struct in_flight {                 /* one resource of the response that waits for its ACK */
    struct resource *now, *before; /* before NULL: it was new */
};

struct stream_type {
    struct shared_names *asked;
    struct held held;
    struct name_set suspect; /* was part of a refused response: sent alone from now on */
    struct in_flight *flight;
    uint32_t n_flight;
    bool outstanding;   /* a response waits for its ACK */
    bool dirty;         /* there may be something to send */
    bool closed;        /* the response that is being built takes no more resources */
    bool must_answer;   /* an answer is due even if it is empty: first request of a wildcard */
    uint32_t n_denied;  /* resources of the plan that it refused: they are as good as sent, but not in use */
    struct buf missing; /* names asked for that do not exist, each behind its length: to be said so once */
};

struct response { /* on its way into the call */
    struct xds_encoded **parts;
    struct buf tail; /* what follows the resources: removed names, version, nonce */
    uint32_t n_parts, at_part;
    size_t at_byte, bytes; /* of the part, or of the tail when there is no part left; bytes: of all parts */
    bool begun;
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
    bool published;
    const struct plan *plan[LAYERS]; /* published */
    struct plan *merged;             /* of both, made when somebody asks: xds_proxy_plan */
    struct buf early;                /* requests before the first publish, each behind its length */
    size_t early_bytes;              /* of the requests in `early` */
    struct response out;
    uint64_t unsettled; /* loop time of the first publish that is not settled; 0: none */
    uint64_t moved;     /* loop time: when the peer last took bytes of a response, or there were none for it */
    struct buf nacks[RESOURCE_KINDS];
    struct shared_text *version, *settled, *sent[RESOURCE_KINDS], *acked[RESOURCE_KINDS];
    struct stream_type types[RESOURCE_KINDS];
};

struct xds_server {
    struct loop *loop;
    struct task *owner, *listener;
    uint32_t bits, listener_bits;
    struct task task;
    struct timer sweep;
    struct shelf shelf;
    struct shared_text *version; /* of the last publish */
    struct list all, ready, proxies;
    struct xds_cache cache;
    struct xds_codec *codec;
    struct xds_server_stats stats;
    uint32_t n_streams;
    size_t early_bytes; /* of all streams */
};

void server_tell_listener(struct xds_server *x);
void stream_set_nack(struct stream *s, enum resource_kind kind, struct view text);
void stream_set_sync(struct stream *s, enum resource_kind kind);
/* The resource of this name in the published plan, or NULL. */
struct resource *stream_planned(const struct stream *s, enum resource_kind kind, uint64_t name_hash);
bool stream_wants(const struct stream *s, enum resource_kind kind, uint64_t name_hash);
void stream_begin(struct stream *s, enum resource_kind kind); /* finds out whether the type has something to send */
void response_clear(struct stream *s);
/* Lists of bytes, each behind its length. */
void stream_list_add(struct buf *b, struct view v);
bool stream_list_next(struct view *rest, struct view *ret);
/* Sends what may be sent now, in push order. 0, -EAGAIN (the call takes no more), -errno. */
int stream_pump(struct stream *s);
