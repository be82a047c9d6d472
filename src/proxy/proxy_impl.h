// SPDX-License-Identifier: Apache-2.0
/* The proxy as its own files see it: the control loop's state and what workers may ask of it. Outsiders use proxy.h.
 *
 * Invariant: workers read only what is constant after start (options, self); everything else belongs to the control
 * loop, and proxy_report is the way to it.
 */
#pragma once

#include "base/list.h"
#include "net/mailbox.h"
#include "net/resolve.h"
#include "net/timer.h"
#include "proxy/proxy.h"
#include "proxy/worker.h"
#include "trust/rotation.h"
#include "xds/client.h"

struct admin;
struct metrics;
struct peer_self;

enum proxy_bits {
    PROXY_REPORT = 1,
    PROXY_TICK = 2,
    PROXY_CONTROL = 4, /* a certificate or a plan */
    PROXY_TOKEN = 8,
};

struct proxy {
    const struct proxy_options *options;
    struct loop *loop;
    struct task task;
    struct mailbox inbox;
    struct timer tick; /* drain */
    struct timer token_timer;
    struct worker **workers;
    uint32_t n_workers, n_closed;
    struct http_shared *http;
    struct resolver *resolver;
    struct xds_node node;
    struct arena arena;
    uint64_t started; /* loop time */

    /* the plan in force */
    const struct plan *plan;
    uint64_t version; /* of the last plan that was handed out */
    uint64_t *runs;   /* per worker: version in force */
    struct ejections ejections;

    /* certificates and discovery */
    struct rotation *rotation;
    struct tls_trust *root; /* root-cert.pem */
    struct tls_identity *identity;
    struct tls_trust *trust; /* of workloads */
    struct tls_trust *above; /* of the control plane */
    uint64_t roots_from;     /* hash of what both were made of */
    struct tls_context *xds_tls;
    struct xds_client *xds;
    uint64_t first_cert, first_plan; /* loop time; 0: not yet */

    struct metrics *metrics;
    struct peer_self *self;
    struct admin *admin;

    bool was_ready, draining, stopping, quit;
    uint64_t drain_until;
};

void proxy_report(struct proxy *p, struct worker_report *r);              /* any thread; takes r over */
void proxy_post_all(struct proxy *p, const struct worker_letter *letter); /* references are taken for each worker */
void proxy_quit_soon(struct proxy *p);                                    /* /quitquitquit */
bool proxy_started(const struct proxy *p); /* every worker runs the newest plan, or one that came before */

/* control.c: certificates and xDS */
int control_start(struct proxy *p) must_check;
void control_run(struct proxy *p, uint32_t events);
void control_stop(struct proxy *p);
