// SPDX-License-Identifier: Apache-2.0
/* Retries (retry.h): the words of retryOn, what each of them covers, and the pause between tries. */
#include "plan/retry.h"

#include <errno.h>

#include "plan/defaults.h"

/* Envoy's words and, for gRPC ones, the status that they stand for. */
static const struct {
    const char *word;
    uint32_t bit;
    int grpc;
} conditions[] = {
    {"5xx", RETRY_5XX, -1},
    {"gateway-error", RETRY_GATEWAY_ERROR, -1},
    {"reset", RETRY_RESET, -1},
    {"reset-before-request", RETRY_RESET_BEFORE_REQUEST, -1},
    {"connect-failure", RETRY_CONNECT_FAILURE, -1},
    {"envoy-ratelimited", RETRY_ENVOY_RATELIMITED, -1},
    {"retriable-4xx", RETRY_RETRIABLE_4XX, -1},
    {"refused-stream", RETRY_REFUSED_STREAM, -1},
    {"http3-post-connect-failure", RETRY_HTTP3_POST_CONNECT_FAILURE, -1},
    {"cancelled", RETRY_CANCELLED, 1},
    {"deadline-exceeded", RETRY_DEADLINE_EXCEEDED, 4},
    {"internal", RETRY_INTERNAL, 13},
    {"resource-exhausted", RETRY_RESOURCE_EXHAUSTED, 8},
    {"unavailable", RETRY_UNAVAILABLE, 14},
    {"retriable-headers", RETRY_RETRIABLE_HEADERS, -1},
    {"retriable-status-codes", RETRY_RETRIABLE_STATUS_CODES, -1},
};

static bool status_wanted(const struct retry_policy *p, const struct try_outcome *o)
{
    if (o->ratelimited && !(p->on & RETRY_ENVOY_RATELIMITED))
        return false; /* as Envoy: a rate limited answer is retried only where that is asked for */
    if (o->ratelimited)
        return true;
    if ((p->on & RETRY_5XX) && o->status >= 500)
        return true;
    if ((p->on & RETRY_GATEWAY_ERROR) && o->status >= 502 && o->status <= 504)
        return true;
    if ((p->on & RETRY_RETRIABLE_4XX) && o->status == 409)
        return true;
    if (p->on & RETRY_RETRIABLE_STATUS_CODES)
        for (uint32_t i = 0; i < p->n_statuses; i++)
            if (p->statuses[i] == o->status)
                return true;
    for (size_t i = 0; i < COUNT_OF(conditions); i++)
        if (conditions[i].grpc >= 0 && conditions[i].grpc == o->grpc_status && (p->on & conditions[i].bit))
            return true;
    return false;
}

/* Which conditions a missing answer meets, by the reason why it is missing. */
static uint32_t conditions_of(enum end_reason reason, bool request_sent)
{
    const uint32_t reset = RETRY_RESET | RETRY_5XX | RETRY_GATEWAY_ERROR;
    const uint32_t unsent = request_sent ? 0 : RETRY_RESET_BEFORE_REQUEST;
    switch ((int)reason) {
    case END_CONNECT_FAILED:
    case END_CONNECT_TIMEOUT:
    case END_TLS_FAILED:
        return reset | RETRY_CONNECT_FAILURE | RETRY_RESET_BEFORE_REQUEST;
    case END_UPSTREAM_REFUSED:
        return reset | RETRY_REFUSED_STREAM | unsent;
    case END_UPSTREAM_CLOSED:
    case END_UPSTREAM_RESET:
    case END_LOCAL_RESET:
    case END_PER_TRY_TIMEOUT:
        return reset | unsent;
    case END_UPSTREAM_PROTOCOL:
        return RETRY_5XX | RETRY_RESET;
    default: /* overflow, the route's timeout, a half-sent answer: never retried */
        return 0;
    }
}

bool retry_wanted(const struct retry_policy *p, const struct try_outcome *o)
{
    if (p->attempts == 0)
        return false;
    if (o->status || o->reason == END_OK)
        return status_wanted(p, o);
    return (p->on & conditions_of(o->reason, o->request_sent)) != 0;
}

uint64_t retry_backoff(const struct retry_policy *p, uint32_t n, struct rng *rng)
{
    uint64_t base = p->base_interval ? p->base_interval : DEFAULT_RETRY_BASE_INTERVAL;
    uint64_t most = p->max_interval ? p->max_interval : base * DEFAULT_RETRY_MAX_FACTOR;
    uint64_t window = n >= 16 ? most : base * ((UINT64_C(1) << n) - 1);
    return rng_below(rng, (window > most ? most : window) + 1);
}

static int parse_word(struct view word, uint32_t *on, uint16_t *statuses, uint32_t *n, uint32_t max)
{
    for (size_t i = 0; i < COUNT_OF(conditions); i++)
        if (view_is(word, conditions[i].word)) {
            *on |= conditions[i].bit;
            return 0;
        }
    uint64_t status;
    if (view_u64(word, &status) < 0 || status < 100 || status > 599 || *n >= max)
        return -EINVAL;
    statuses[(*n)++] = (uint16_t)status;
    return 0;
}

int retry_parse_on(struct view text, uint32_t *ret_on, uint16_t *statuses, uint32_t *n_statuses, uint32_t max_statuses,
                   struct view *ret_bad)
{
    uint32_t on = 0, n = 0;
    struct view word;
    while (view_cut(&text, ',', &word)) {
        word = view_trim(word);
        if (word.n && parse_word(word, &on, statuses, &n, max_statuses) < 0) {
            *ret_bad = word;
            return -EINVAL;
        }
    }
    if (n)
        on |= RETRY_RETRIABLE_STATUS_CODES; /* Istio: a number in retryOn implies it */
    *ret_on = on;
    *n_statuses = n;
    return 0;
}

void retry_print_on(struct buf *out, uint32_t on)
{
    const char *comma = "";
    for (size_t i = 0; i < COUNT_OF(conditions); i++)
        if (on & conditions[i].bit) {
            buf_str(out, comma);
            buf_str(out, conditions[i].word);
            comma = ",";
        }
}
