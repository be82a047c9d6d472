// SPDX-License-Identifier: Apache-2.0
/* What a proxy is told at start, by the names that Istio uses: arguments of `pilot-agent proxy`, environment variables
 * that injection sets, files that the kubelet mounts.
 *
 *   weft-proxy proxy sidecar --domain default.svc.cluster.local --proxyLogLevel=warning --concurrency 2
 *   POD_NAME POD_NAMESPACE INSTANCE_IP SERVICE_ACCOUNT TRUST_DOMAIN CA_ADDR PROXY_CONFIG ISTIO_META_* …
 *
 * Weft's own: --bench-route LISTEN:UPSTREAM (a plain HTTP route without control plane), --bench-tcp, and WEFT_ROOT_CERT,
 * WEFT_TOKEN, WEFT_DISCOVERY_ADDRESS, which replace paths and addresses for tests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/must.h"
#include "base/view.h"
#include "xds/node.h"

struct plan;

struct app_probe; /* prober.h */

struct proxy_options {
    struct arena arena; /* owns the views */
    struct view type;   /* sidecar, router */
    struct view pod, ns, ip, service_account, domain, trust_domain;
    struct view workload, owner, cluster_id, mesh_id, network, node_name, version, revision, interception;
    struct view canonical_service, canonical_revision, app, app_version, workload_type;
    struct xds_label *labels;
    uint32_t n_labels;
    struct view region, zone, subzone;

    struct view discovery_host, ca_host, server_name; /* empty discovery: no control plane */
    uint16_t discovery_port, ca_port;
    bool discovery_plain; /* port 15010 */
    const char *root_path, *token_path;

    uint32_t concurrency; /* workers */
    uint64_t drain;       /* terminationDrainDuration */
    uint64_t cert_ttl;    /* SECRET_TTL; 0: what the CA gives by default (24 h) */
    uint16_t admin_port, status_port, health_port, metrics_port; /* 15000 15020 15021 15090; 0: none */
    struct view admin_address;                                   /* 127.0.0.1 */
    struct view probers;                                         /* ISTIO_KUBE_APP_PROBERS */
    struct view scrape;                                          /* ISTIO_PROMETHEUS_ANNOTATIONS */
    bool exit_on_zero_connections;
    enum log_level log_level; /* the finer of --proxyLogLevel and --log_output_level: one process has both logs */
    bool log_json;

    const struct plan *plan; /* static; referenced */
};

/* Reads argv and the environment. -EINVAL: *ret_why is a sentence (in o->arena). */
int options_read(struct proxy_options *o, int argc, char **argv, char **env, struct view *ret_why) must_check;
void options_done(struct proxy_options *o);
void options_node(const struct proxy_options *o, struct xds_node *ret_node); /* views into the options */
