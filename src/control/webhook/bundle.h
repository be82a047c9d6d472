// SPDX-License-Identifier: Apache-2.0
/* Keeps the webhook configurations of our revision such that the API server can call us: clientConfig.caBundle holds the mesh's
 * roots, and the validating one's failurePolicy goes from Ignore to Fail once it was seen to answer.
 *
 *   struct bundle *b = bundle_new(&config);       bundle_free(b);
 *
 * Ours are MutatingWebhookConfigurations with label app=sidecar-injector and ValidatingWebhookConfigurations with label
 * app=istiod, both with istio.io/rev=<revision>; in them the entries that name a Service of our namespace, or a URL. They are
 * watched: who overwrites one (helm upgrade, a person) sees it put right at once, and the n-th time in a row after a pause
 * that grows, so that two who disagree don't fight at full speed.
 *
 * Whether the validating webhook answers is asked of the API server itself: a dry run of a Gateway that our webhook always
 * refuses (VALIDATE_PROBE). Until then the policy stays Ignore, as the chart installs it.
 */
#pragma once

#include <stdbool.h>

#include "base/view.h"

struct authority;
struct bundle;
struct kube_client;
struct loop;
struct webhook_stats;

struct bundle_config { /* texts and pointers must outlive it */
    struct loop *loop;
    struct kube_client *kube;
    struct authority *authority;
    struct webhook_stats *stats;
    struct view revision, ns;
};

struct bundle *bundle_new(const struct bundle_config *config) __attribute__((returns_nonnull));
struct bundle *bundle_free(struct bundle *b); /* NULL */
/* How many configurations are known, and how many of them trust us already. */
void bundle_state(const struct bundle *b, unsigned *ret_known, unsigned *ret_right);
