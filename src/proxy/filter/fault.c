// SPDX-License-Identifier: Apache-2.0
/* Fault injection (fault.h), as Envoy's fault filter: the delay is served first, then the abort is decided. */
#include "proxy/filter/fault.h"

#include "base/rng.h"
#include "net/loop.h"
#include "plan/route.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

static bool lot(struct stream *s, uint32_t per_million)
{
    return per_million && rng_below(loop_rng(s->worker->loop), 1000000) < per_million;
}

enum fault_decision fault_decide(struct stream *s, uint16_t *ret_status)
{
    const struct fault *f = s->route->fault;
    if (!f)
        return FAULT_NONE;
    uint64_t now = loop_now(s->worker->loop);
    if (!s->delayed && f->delay && lot(s, f->delay_per_million)) {
        s->delayed = true;
        s->delay_due = now + f->delay;
        forward_timer(s);
    }
    if (s->delay_due > now)
        return FAULT_WAIT;
    s->delay_due = 0;
    if ((f->abort_status || f->abort_grpc >= 0) && lot(s, f->abort_per_million)) {
        s->faulted = true;
        s->fault_grpc = f->abort_grpc;
        *ret_status = f->abort_status ? f->abort_status : 200;
        return FAULT_ABORT;
    }
    return FAULT_NONE;
}
