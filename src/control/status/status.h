// SPDX-License-Identifier: Apache-2.0
/* What became of every Istio object, written into its status: the conditions Accepted, ResolvedRefs and Programmed (and Istio's
 * Reconciled), and validationMessages; Events when one of them changes (control/status/event.h).
 *
 *   struct status *s = status_new(&(struct status_config){.loop = loop, .api = api, .store = store, .xds = xds, .push = push});
 *   … each new snapshot:  status_snapshot(s);
 *   status_free(s);
 *
 * It looks at the world a moment after something changed (a snapshot, a rejected object, an acknowledgement, a proxy that came
 * or went), works out what each object's status should say (status/condition.h, status/reach.h) and writes only what differs
 * from what the object has (status/write.h): an object that changes costs one write, a mesh that is started again none.
 *
 * One writer: whoever holds the lease. The others work nothing out. Nothing is written while proxies are still on their way:
 * a change is told when it is acknowledged, or after STATUS_PATIENCE that it is not; numbers of proxies that merely come and go
 * are followed at leisure, so that the status of 1,000 objects does not follow every pod.
 *
 * Writing a status causes no push: the store ignores what changes nothing else (store.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

struct kube_client;
struct kube_lease;
struct loop;
struct push;
struct status;
struct store;
struct xds_server;

struct status_config { /* pointers and texts must outlive it */
    struct loop *loop;
    struct kube_client *api;
    struct store *store;
    struct xds_server *xds;
    struct push *push;
    struct view instance;           /* this replica, for Events: the pod's name; empty: weft-control */
    const struct kube_lease *lease; /* who holds it writes; NULL: there is only this one */
};

struct status_stats {
    uint64_t looks;               /* times that every object was looked at */
    uint64_t look_ns;             /* CPU that they took, together */
    uint64_t writes, failures;    /* of statuses */
    uint64_t events, events_held; /* Events written; held back by their limits */
    uint32_t objects, waiting;    /* known; with a write due */
    bool leader;
};

struct status *status_new(const struct status_config *config) __attribute__((returns_nonnull));
struct status *status_free(struct status *s); /* before the push, the store and the API client; NULL */
void status_snapshot(struct status *s);       /* push_now() is another one */
void status_lease(struct status *s);          /* the lease was won or lost */
/* How many of our own proxies have what: for the replica that writes (control/status/peers.h). */
void status_print_counts(struct status *s, struct buf *out);
const struct status_stats *status_stats(struct status *s);
