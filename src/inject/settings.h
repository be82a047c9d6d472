// SPDX-License-Identifier: Apache-2.0
/* The injection settings of an installation, under Istio's names: ConfigMap istio-sidecar-injector, key `values` (JSON: the
 * part of the chart's values that injection reads) and, if it is there, key `config` (YAML: policy, selectors …).
 *
 *   struct inject_config c;
 *   err = inject_settings_read(&arena, &diags, &at, &text, &c);     // starts from Kubernetes' defaults
 *
 * settings.def is the complete list. A value that cannot be right, or asks for what weft cannot do (Go templates of one's
 * own, the CNI plugin …), is an error; one that has no meaning here is a warning; what Istio's other parts read is skipped.
 */
#pragma once

#include "inject/inject.h"

/* Images docker.io/weft/weft-proxy:<our version> for both containers, imagePullPolicy as Kubernetes chooses it. */
struct inject_config inject_config_kubernetes(struct arena *a);

struct inject_settings {
    struct view values, config; /* texts; may be empty */
    struct view revision;       /* wins over that of the values; empty: theirs, else default */
};

/* -EINVAL: diags says what is wrong, *ret untouched. Everything in *ret lives in the arena. */
int inject_settings_read(struct arena *a, struct diags *d, const struct origin *at, const struct inject_settings *text,
                         struct inject_config *ret) must_check;

/* Key-value pairs in the webhook's path (behind /inject/): "cluster/c1/net/n1/KEY/v--slash--w", or ":ENV:KEY=v:ENV:…".
 * They become environment of the proxy; cluster and net also mean ISTIO_META_CLUSTER_ID and ISTIO_META_NETWORK.
 * -EINVAL: not pairs, not names of variables, or too many. */
int inject_settings_path(struct arena *a, struct view path, struct inject_config *c) must_check;
