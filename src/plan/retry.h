// SPDX-License-Identifier: Apache-2.0
/* Whether a try may be followed by another one, when, and where not.
 *
 * retry_wanted() judges one failed try by the route's policy; the worker also asks breaker_take(BREAKER_RETRIES), and
 * whether the request's body is still there to send again. Back-off is Envoy's: random in [0, base × (2^n − 1)], capped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/rng.h"
#include "plan/end_reason.h"
#include "plan/route.h"

struct try_outcome {
    enum end_reason reason; /* END_OK: a response came */
    uint16_t status;        /* of the response; 0: none */
    int grpc_status;        /* of a response that has it in headers; -1: none */
    bool request_sent;      /* at least the head reached the connection */
    bool ratelimited;       /* response has x-envoy-ratelimited */
};

bool retry_wanted(const struct retry_policy *p, const struct try_outcome *o);

/* Pause before retry number n, counted from 1. */
uint64_t retry_backoff(const struct retry_policy *p, uint32_t n, struct rng *rng);

/* "5xx,connect-failure,503" → bits and statuses (at most max_statuses). -EINVAL: *ret_bad is the unknown word. */
int retry_parse_on(struct view text, uint32_t *ret_on, uint16_t *statuses, uint32_t *n_statuses, uint32_t max_statuses,
                   struct view *ret_bad) must_check;
void retry_print_on(struct buf *out, uint32_t on); /* comma-separated, in Envoy's order */
