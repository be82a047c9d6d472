// SPDX-License-Identifier: Apache-2.0
/* Names to addresses, without blocking: c-ares on the loop's sockets and timers, or the simulation's own names.
 * Follows /etc/resolv.conf and /etc/hosts (search domains, ndots) as the libc would.
 *
 *   struct resolver *r = resolver_new(loop, NULL);
 *   query_init(&q, &task, MY_RESOLVED);
 *   resolve(r, &q, VIEW("details.default.svc.cluster.local"), RESOLVE_V4 | RESOLVE_V6);
 *   … in run():  if (q.status == 0) use(q.addrs, q.n_addrs, q.ttl);   // -EAGAIN: not yet; -ENOENT: no such name
 *   query_done(&q);                                                    // cancels; may come at any time
 *
 * Invariants: addresses have port 0 and are sorted (v4 first, then by bytes), so that equal answers are equal. ttl is at
 * least 1 s. A resolver belongs to one loop; resolver_free ends open queries with -ECANCELED.
 */
#pragma once

#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "net/addr.h"
#include "net/task.h"

struct loop;
struct resolver;

enum resolve_families {
    RESOLVE_V4 = 1,
    RESOLVE_V6 = 2,
};

struct query {
    struct task *task;
    uint32_t bits;
    int status; /* 0, -EAGAIN (open or not started), -ENOENT, -ETIMEDOUT, -ECONNREFUSED, -EINVAL, -ECANCELED, -EIO */
    struct addr *addrs; /* owned by the query */
    uint32_t n_addrs;
    uint32_t ttl; /* seconds */
    void *open;   /* the resolver's part; NULL: not under way */
};

struct resolver_options {
    const struct addr *servers; /* instead of those in resolv.conf */
    uint32_t n_servers;
    uint32_t timeout_ms; /* of one try; 0: 2000 */
    uint32_t tries;      /* 0: 3 */
};

struct resolver *resolver_new(struct loop *l, const struct resolver_options *options); /* NULL: no memory, bad conf */
struct resolver *resolver_free(struct resolver *r);                                    /* NULL */
void query_init(struct query *q, struct task *task, uint32_t bits);
void resolve(struct resolver *r, struct query *q, struct view name, uint32_t families); /* sets bits when answered */
void query_done(struct query *q);
