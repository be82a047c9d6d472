// SPDX-License-Identifier: Apache-2.0
/* The control plane's end of xDS: delta ADS streams, one for each proxy.
 *
 *   struct xds_server *x = xds_server_new(loop, &task, BIT_PROXY);
 *   xds_server_accept(x, http_stream, &identity);            // an authenticated stream to XDS_DELTA_PATH
 *   … woken with BIT_PROXY: while ((p = xds_server_next(x)))  // its first request is here: who is it?
 *         if (may_be(&p->node, &p->identity)) xds_proxy_publish(p, plan, version); else xds_proxy_refuse(p, GRPC_PERMISSION_DENIED, why);
 *   … each change: LIST_EACH(xds_server_proxies(x), struct xds_proxy, link, p) xds_proxy_publish(p, new_plan, version);
 *
 * A publish compares the new plan with what this proxy has and sends only differences, in push order, in responses of at
 * most XDS_RESPONSE_BYTES, one of a type unacknowledged at a time: a slow proxy skips versions that it missed, and one that
 * reads nothing for a minute is dropped. Bytes of a resource are encoded once (xds/encoded.h) and shared by all proxies that
 * they go to; what a proxy has is remembered by plans that they share, too (xds/held.h): a proxy costs no copy of either.
 *
 * A NACK is recorded (per type: when, text) and what was refused is not sent again until it changes. On reconnect the
 * proxy's initial_resource_versions are compared by content hash, so nothing unchanged is sent again, even by a new process.
 *
 * Invariants: one loop. Names that a proxy subscribes to are kept as hashes, at most XDS_SUBSCRIPTIONS of them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/must.h"
#include "base/spread.h"
#include "base/view.h"
#include "net/task.h"
#include "plan/plan.h"
#include "wire/grpc.h"
#include "xds/node.h"

struct grpc_call;
struct http_stream;
struct loop;
struct xds_server;

/* What the transport or the token proved. Empty: nobody (plaintext 15010 of a test, or a file-based mesh). */
struct xds_identity {
    struct view trust_domain, ns, service_account;
};

enum xds_sync {
    XDS_NOT_SENT, /* nothing asked for, or nothing to send */
    XDS_SENT,     /* the last response is not acknowledged yet */
    XDS_SYNCED,   /* acknowledged, nothing newer to send */
    XDS_STALE,    /* something newer waits */
    XDS_REFUSED,  /* the last response was NACKed */
};

struct xds_type_state {
    bool asked;    /* the proxy has subscribed to the type */
    bool wildcard; /* to everything of it */
    enum xds_sync sync;
    uint64_t since; /* wall ns: of the last change of sync */
    uint64_t nonce_sent, nonce_acked;
    struct view version_sent, version_acked; /* system_version_info */
    struct view nack;                        /* text of the last NACK; stays for status until an ACK */
    uint64_t nack_at;                        /* wall ns */
    uint32_t n_sent;                         /* resources this proxy has */
};

struct xds_proxy { /* read by control/, written by xds/ */
    struct list link;
    struct xds_node node;
    struct view id; /* Node.id */
    struct xds_identity identity;
    struct view version; /* of the newest plan that was published to it */
    struct view settled; /* of the newest one of which everything was acknowledged, or refused for good; empty: none */
    uint64_t connected_at; /* wall ns */
    uint32_t number;       /* of the connection, for logs */
    bool gone;             /* the stream ended; control frees it after looking, with xds_proxy_free */
    const char *gone_why;  /* static; NULL: it went by itself */
    struct xds_type_state types[RESOURCE_KINDS];
    uint64_t responses, resources; /* sent so far */
    void *user;                    /* control's */
};

struct xds_server *xds_server_new(struct loop *loop, struct task *owner, uint32_t bits)
    __attribute__((returns_nonnull));
struct xds_server *xds_server_free(struct xds_server *x); /* ends all streams; NULL */

/* Takes the stream over; identity is copied. A stream that is no gRPC is answered and freed. */
void xds_server_accept(struct xds_server *x, struct http_stream *s, const struct xds_identity *identity);

/* A proxy that sent its first request, or one that is gone and was announced before; NULL: none waits. */
struct xds_proxy *xds_server_next(struct xds_server *x);
struct list *xds_server_proxies(struct xds_server *x); /* of struct xds_proxy.link: announced, not gone */

void xds_proxy_publish(struct xds_proxy *p, const struct plan *plan, struct view version); /* takes a reference */
/* The same plan in two layers: what many proxies share, whose pointer stays the same while nothing in it changes, and what is
 * this proxy's own (or NULL). No resource may be in both. A proxy of which neither changed costs nothing. */
void xds_proxy_publish_layers(struct xds_proxy *p, const struct plan *shared, const struct plan *own,
                              struct view version);
void xds_proxy_refuse(struct xds_proxy *p, enum grpc_status status, struct view why); /* ends the stream */
void xds_proxy_free(struct xds_proxy *p);                                             /* only when gone */

const char *xds_sync_name(enum xds_sync s);

struct xds_server_stats {
    uint64_t streams, pushes[RESOURCE_KINDS], nacks[RESOURCE_KINDS], encoded, encoded_bytes, sent_bytes,
        slow;                         /* slow: proxies that were dropped because they did not read */
    uint64_t expired[RESOURCE_KINDS]; /* answers to a response that was not the last one any more */
    struct spread settle;             /* from a publish to all of it acknowledged, or refused for good */
    uint32_t proxies;
};
const struct xds_server_stats *xds_server_stats(struct xds_server *x);

/* One more task that is woken when a proxy settles, refuses something, comes or goes; NULL: nobody. */
void xds_server_listen(struct xds_server *x, struct task *task, uint32_t bits);
/* Whether it refused this very version of a resource of its plan. */
bool xds_proxy_refuses(const struct xds_proxy *p, const struct resource *r);

/* The newest that was published; NULL: none. Both layers in one: made for who asks, and kept until the next; for looking at one
 * proxy, not at all of them. */
const struct plan *xds_proxy_plan(const struct xds_proxy *p);
const struct plan *xds_proxy_layer(const struct xds_proxy *p, int layer); /* 0: shared, 1: own; NULL: none */
