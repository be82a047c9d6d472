// SPDX-License-Identifier: Apache-2.0
/* What the webhooks count, under Istio's names, as Prometheus text: sidecar_injection_…, galley_validation_…, webhook_patch_….
 *
 *   stats_injected(&s, outcome, ns);          // one /inject
 *   stats_validated(&s, &q, "invalid");       // one /validate; NULL: passed
 *   stats_print(&s, &out);
 *
 * Labels come from requests: what would be more than STATS_KINDS combinations is counted as "other".
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "inject/admission.h"

enum { STATS_KINDS = 64, STATS_BUCKETS = 8 };

struct webhook_stats {
    uint64_t requests, success, failure, skip; /* sidecar_injection_… */
    uint64_t bucket[STATS_BUCKETS], time_ns;
    struct validation_count {
        char labels[240];
        uint64_t n;
    } passed[STATS_KINDS], failed[STATS_KINDS];
    uint64_t http_errors; /* requests that were no AdmissionReviews */
    uint64_t patch_attempts, patch_retries, patch_failures, bundle_updates;
};

void stats_injected(struct webhook_stats *s, const struct inject_outcome *o, uint64_t took_ns);
/* group, version and resource as in the request; reason NULL: passed. */
void stats_validated(struct webhook_stats *s, struct view group, struct view version, struct view resource,
                     const char *reason);
void stats_print(const struct webhook_stats *s, struct buf *out);
