// SPDX-License-Identifier: Apache-2.0
/* MeshConfig: the settings of the whole mesh, which Istio keeps in ConfigMap `istio` of the root namespace under the
 * key `mesh`; and ProxyConfig, which stands inside it as defaultConfig and in pods' annotation proxy.istio.io/config.
 *
 * Fields that weft does not honour yet are refused by name. A mesh without the ConfigMap has Istio's defaults.
 */
#pragma once

#include "base/diag.h"
#include "mesh/core.h"
#include "mesh/virtual_service.h"

enum outbound_policy { OUTBOUND_REGISTRY_ONLY, OUTBOUND_ALLOW_ANY };
enum access_log_encoding { ACCESS_LOG_TEXT, ACCESS_LOG_JSON };
enum interception_mode { INTERCEPT_REDIRECT, INTERCEPT_TPROXY, INTERCEPT_NONE };

struct proxy_config { /* only what was written is set: later levels override earlier ones */
    struct part part;
    struct opt_u32 concurrency;
    struct opt_duration drain, termination_drain;
    struct view discovery_address;
    struct opt_u32 status_port, admin_port;
    struct opt_bool hold_application;
    struct labels metadata; /* proxyMetadata: environment of the proxy, ISTIO_META_… node metadata */
    struct view mesh_id;
    bool has_interception;
    enum interception_mode interception;
};

struct mesh_outbound_policy {
    struct part part;
    enum outbound_policy mode;
};

struct mesh_config {
    struct part part;
    struct view access_log_file, access_log_format; /* empty: no access log; Istio's default format */
    enum access_log_encoding access_log_encoding;
    struct opt_bool auto_mtls; /* on when unset */
    struct view trust_domain;  /* cluster.local */
    struct strings trust_domain_aliases;
    struct view root_ns;                            /* istio-system */
    struct mesh_outbound_policy *outbound;          /* NULL: ALLOW_ANY */
    struct opt_duration connect_timeout;            /* 10 s when unset */
    struct opt_duration protocol_detection_timeout; /* 0: off, when unset */
    struct strings default_service_export_to, default_virtual_service_export_to, default_destination_rule_export_to;
    struct opt_bool prometheus_merge; /* on when unset */
    struct http_retries *default_retries;
    struct proxy_config *default_config;
};

/* Istio's defaults, in the arena. */
struct mesh_config *mesh_config_default(struct arena *a);

/* From the ConfigMap's key `mesh`; positions in diagnostics are those of the file that holds the ConfigMap.
 * -EINVAL: rejected (diags), *ret_config untouched. */
int mesh_config_parse(struct arena *a, struct diags *d, const struct config_map *cm,
                      struct mesh_config **ret_config) must_check;

/* From a pod's annotation proxy.istio.io/config (YAML); `at` names the pod. */
int proxy_config_parse(struct arena *a, struct diags *d, const struct origin *at, struct view text,
                       struct proxy_config **ret_config) must_check;
/* What `over` sets replaces what `base` has; either may be NULL. In the arena. */
struct proxy_config *proxy_config_merge(struct arena *a, const struct proxy_config *base,
                                        const struct proxy_config *over);

bool mesh_config_allow_any(const struct mesh_config *c);
