// SPDX-License-Identifier: Apache-2.0
/* One of many: a Lease (coordination.k8s.io/v1) that at most one replica holds, as client-go's leader election does it.
 *
 *   struct kube_lease *l = kube_lease_new(api, &(struct kube_lease_config){.ns = VIEW("istio-system"),
 *       .name = VIEW("weft-leader"), .holder = pod_name, .duration_ns = 15 * NS_PER_S}, &my_task);
 *   …my_task is woken with KUBE_WAKE when it is won or lost… if (kube_lease_held(l)) write();
 *   kube_lease_free(l);                                  // gives it up, so that another one need not wait
 *
 * The holder renews every KUBE_LEASE_RETRY (2 s); when it could not for two thirds of the duration (10 s) it stops to be the
 * holder by itself, before anybody else may take over. Others take over when they have not seen the Lease change for the
 * whole duration by their own clock: clocks of machines are never compared. Writes carry the resourceVersion, so of two
 * that try at once one gets 409 and waits.
 *
 * As with every such lease, a process that was stopped may believe for a moment that it still holds it: kube_lease_held()
 * therefore looks at the clock, and what is written under it must be harmless when written twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct kube_client;
struct kube_lease;
struct task;

struct kube_lease_config { /* copied */
    struct view ns, name, holder;
    uint64_t duration_ns; /* 0: 15 s; whole seconds */
};

/* wake: woken with KUBE_WAKE when held or not changes; may be NULL. */
struct kube_lease *kube_lease_new(struct kube_client *c, const struct kube_lease_config *config, struct task *wake);
bool kube_lease_held(const struct kube_lease *l);            /* NULL: true, there is nobody else (a sandbox) */
struct view kube_lease_holder(const struct kube_lease *l);   /* as last seen; empty: nobody, or not known */
uint64_t kube_lease_transitions(const struct kube_lease *l); /* how often it changed hands, by the Lease itself */
/* Takes NULL, returns NULL. A holder gives it up, for which the loop is turned for at most a second: not inside of a task. */
struct kube_lease *kube_lease_free(struct kube_lease *l);
