// SPDX-License-Identifier: Apache-2.0
/* A stream: one HTTP request on its way through the proxy, from its head to its access log line. The table of steps at
 * the top of stream.c is the life of a request; the parts of a step that are more than a few lines live in files by
 * name: request.c (what becomes of the request's headers), response.c (the same for answers, and answers of our own),
 * forward.c (bodies, timeouts and retries), filter/ (fault, cors, peer metadata).
 *
 * Invariants: a stream has one task and owns its downstream http_stream, its ask to the pool and at most one upstream
 * http_stream. It holds the generation of the plan that it was routed by. It ends in stream_finish, always, and only
 * there it is freed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "http/stream.h"
#include "net/step.h"
#include "net/task.h"
#include "net/timer.h"
#include "plan/end_reason.h"
#include "plan/retry.h"
#include "plan/route.h"
#include "proxy/filter/grpc_stats.h"
#include "proxy/pool.h"
#include "proxy/upstream.h"

struct connection;
struct generation;
struct http_manager;
struct peer;
struct worker;

enum stream_bits {
    STREAM_DOWN = 1,
    STREAM_UP = 2,
    STREAM_POOL = 4,
    STREAM_TIME = 8,  /* one of the due times below */
    STREAM_LATE = 16, /* a step's own deadline */
    STREAM_NAMES = 32,
};

enum { STREAM_TRIED = 6 }; /* hosts that are remembered for retries */

struct stream {
    struct task task;
    struct steps steps;
    struct list link; /* in connection->streams */
    struct connection *connection;
    struct worker *worker;
    struct generation *generation;
    const struct http_manager *http;
    const struct virtual_host *host;
    const struct route *route; /* NULL: none matched */
    const struct weighted_cluster *weighted;
    struct http_stream *down, *up;
    struct upstream *upstream;
    struct host *endpoint; /* referenced */
    struct pool_ask ask;
    struct upstream_wait names;

    enum end_reason reason;
    uint16_t status; /* that the client got; 0: none */
    int16_t grpc;    /* grpc-status that the client got; -1: none */
    int16_t fault_grpc;
    bool cut;      /* the waiting step is over, whatever it waits for */
    bool try_late; /* per-try time-out */
    bool counted;  /* BREAKER_REQUESTS and endpoint->active are taken */
    bool grpc_request, upgrade, responded, delayed, faulted, retry_exhausted;
    bool request_received; /* from the client, completely */
    bool request_ended;    /* the end of the request was sent upstream */
    bool response_ended;   /* the end of the answer was sent to the client */
    bool count_messages;   /* gRPC, and the filter is there */
    bool origin_allowed;   /* CORS */
    bool peer_asked;       /* the request carried peer metadata: answer with ours */

    uint32_t attempts;
    uint32_t n_tried;
    struct host *tried[STREAM_TRIED]; /* referenced */
    bool retry_taken;                 /* BREAKER_RETRIES */
    struct buf kept;                  /* request body as sent so far, for a retry */
    bool kept_lost;                   /* it grew too large */
    size_t replayed;                  /* of kept, sent to the current try */

    struct timer timer;                               /* the earliest of: */
    uint64_t route_due, try_due, idle_due, delay_due; /* 0: none */
    uint64_t timeout, try_timeout, idle;              /* ns; 0: none */

    uint64_t started, received, sent_up, first_up, ended; /* loop time */
    struct view path;                                     /* as it came, for the log (rewritten ones are in :path) */
    struct view text;                                     /* transport failure reason */
    struct view origin;                                   /* CORS */
    struct view answer;                                   /* rest of the body of an answer of our own */
    struct grpc_count messages_up, messages_down;         /* only with HTTP_FILTER_GRPC_STATS */
    struct list mirrors;                                  /* struct mirror.siblings: those that still want the body */
    struct addr upstream_addr, upstream_local;            /* of the last try, for the log */
    const struct hash_policy *new_cookie;
    uint64_t cookie_value;
    const struct peer *peer; /* the other workload, when it told us; referenced */
};

void stream_new(struct connection *c, struct http_stream *down);
void stream_abort(struct stream *s); /* now, whatever it does */

/* --- between the files of a stream --- */

/* request.c */
enum end_reason request_admit(struct stream *s);        /* END_OK, or why the request is answered at once */
void request_prepare(struct stream *s);                 /* after routing: mutations, rewrites */
void request_attempt(struct stream *s);                 /* before each try */
void request_hash(struct stream *s, struct pick *pick); /* for consistent hashing */
struct match_request request_facts(const struct stream *s);
void headers_mutate(struct stream *s, struct headers *h, const struct header_mutations *m);

/* response.c */
void response_prepare(struct stream *s); /* the head that came from upstream, in place */
/* An answer of our own. status 0: that of the reason. Sends head and body; the stream then only waits to be sent. */
void response_local(struct stream *s, enum end_reason reason, uint16_t status, struct view body);
void response_local_more(struct stream *s);                         /* what of its body is still to be sent */
int response_grpc(const struct stream *s, const struct headers *h); /* grpc-status, -1: none */

/* forward.c */
void forward_request(struct stream *s);  /* what has come of the body goes up */
void forward_response(struct stream *s); /* and down */
void forward_timer(struct stream *s);    /* sets the timer to the earliest due time */
bool forward_retry(struct stream *s,
                   const struct try_outcome *o); /* whether another try follows; lets go of this one */
void forward_drop_try(struct stream *s);         /* upstream stream and its connection */
