// SPDX-License-Identifier: Apache-2.0
/* The proxy's end of xDS: one delta ADS stream that turns into a succession of plans.
 *
 *   struct xds_client *x = xds_client_new(&config, &task, BIT_PLAN);
 *   xds_client_set_token(x, token);                    // before, and whenever the projected token changes
 *   … woken with BIT_PLAN:  const struct plan *p = xds_client_plan(x);     // NULL until the first complete one
 *   xds_client_free(x);
 *
 * It subscribes to CDS, EDS, LDS, RDS (and SDS for kubernetes:// names and ROOTCA), acknowledges or refuses each response as a whole
 * with the sentence of the decoder, and publishes a plan when it is complete: every EDS cluster has its endpoints and
 * every listener its route table. So a listener is never used before what it names is there. What stays incomplete for
 * XDS_WARM_MS is published as it is (and answers 503 or 404 where something is missing).
 *
 * A stream that breaks is tried again with exponential back-off and jitter (0.2 s doubling to 10 s), telling the control
 * plane what it already has; until then the last good plan stays. Resources in a plan are prepared (resource_prepare).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "plan/plan.h"
#include "xds/node.h"

struct http_shared;
struct loop;
struct resolver;
struct task;
struct tls_context;
struct xds_client;

struct xds_client_config { /* copied; pointers stay the caller's and must outlive the client */
    struct loop *loop;
    struct http_shared *http;
    struct resolver *resolver; /* may be NULL when host is an address */
    struct view host;          /* istiod.istio-system.svc, or an address */
    uint16_t port;             /* 15012, 15010 */
    struct tls_context *tls;   /* NULL: plaintext */
    struct view server_name;   /* SNI and DNS SAN to expect; empty: host */
    const struct xds_node *node;
};

struct xds_client *xds_client_new(const struct xds_client_config *config, struct task *owner, uint32_t bits);
struct xds_client *xds_client_free(struct xds_client *x); /* NULL */
void xds_client_set_token(struct xds_client *x, struct view jwt);

/* The newest complete plan; the client's reference: take one with plan_ref. */
const struct plan *xds_client_plan(const struct xds_client *x);

struct xds_client_status {
    bool connected;                              /* the stream is up and something came over it */
    bool ready;                                  /* a first plan with clusters and listeners was published */
    uint64_t connected_since;                    /* loop time */
    uint64_t updates, nacks, connects, failures; /* since start */
    uint64_t resources_received;                 /* decoded, whether used or not */
    struct view error; /* why not connected, or the last NACK; empty: none. Valid until the next turn */
    struct view version[RESOURCE_KINDS]; /* system_version_info last accepted */
};
struct xds_client_status xds_client_status(const struct xds_client *x);
