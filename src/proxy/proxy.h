// SPDX-License-Identifier: Apache-2.0
/* The data plane as a whole: a control loop (certificates, xDS, admin pages, drain) and workers that carry traffic.
 *
 *   struct proxy *p = proxy_new(&options, control_loop, worker_loops, n);    // loops of the kernel or of a simulation
 *   … run the loops, each worker's in a thread of its own …
 *   proxy_drain(p);                                     // as SIGTERM: goodbyes, streams finish, the end
 *   proxy_stop(p);  … until proxy_stopped(p) …           // everything closed
 *   proxy_free(p);
 *
 * The options come from the environment and the arguments of Istio's `pilot-agent proxy` (options.h), or from a test.
 * Without a discovery address the plan is the static one of options.plan.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "proxy/options.h"

struct loop;
struct plan;
struct proxy;

/* control may be the same loop as one worker's (simulations, tests). Options are borrowed until proxy_free. */
struct proxy *proxy_new(const struct proxy_options *options, struct loop *control, struct loop *const *workers,
                        uint32_t n_workers);
void proxy_drain(struct proxy *p);
void proxy_stop(struct proxy *p);
bool proxy_stopped(const struct proxy *p); /* nothing of it is left on any loop but the control loop's own objects */
struct proxy *proxy_free(struct proxy *p); /* NULL; after proxy_stopped */

bool proxy_ready(const struct proxy *p);                       /* as /healthz/ready says */
void proxy_run_plan(struct proxy *p, const struct plan *plan); /* takes a reference; tests and static plans */
