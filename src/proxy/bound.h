// SPDX-License-Identifier: Apache-2.0
/* Bound listeners: the listeners of the plan that have a socket (virtualOutbound, virtualInbound, gateway ports), opened
 * once by each worker with SO_REUSEPORT. A listener whose content changes keeps its socket: only new connections see the
 * new content. One that leaves the plan closes its socket, and its connections are drained.
 *
 * Invariants: a bound listener owns its acceptor and references its listener. Connections reference the listener
 * themselves, so they outlive it.
 */
#pragma once

#include "base/list.h"
#include "net/acceptor.h"
#include "net/task.h"
#include "plan/listener.h"

struct plan;
struct worker;

struct bound {
    struct list link; /* in worker->bounds */
    struct worker *worker;
    const struct listener *listener; /* referenced */
    struct task task;
    struct acceptor *acceptor;
};

/* Makes worker->bounds what the plan says. -errno with a sentence in `why` when a socket could not be opened: the others
 * are open all the same. */
int bounds_apply(struct worker *w, const struct plan *plan, char why[200]) must_check;
void bounds_close(struct worker *w);
