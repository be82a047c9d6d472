// SPDX-License-Identifier: Apache-2.0
/* What the control plane says of itself over HTTP (15014; readiness also on 8080), with Istio's paths and metric names:
 *
 *   /ready  /healthz  /version  /metrics
 *   /debug/syncz      one object a proxy: what it was sent and acknowledged, in sync or since when not, last refusal
 *   /debug/configz    every object that is known, but Secrets
 *   /debug/diagz      diagnostics of objects that were rejected
 *   /debug/problemz   kinds that are not current (an API server that is away, a right or a definition that is missing)
 *   /debug/config_dump?proxyID=reviews-v1.default     the plan of a proxy as text, Secrets by hash
 */
#pragma once

#include "control/port.h"

struct authority;
struct ca_service;
struct debug;
struct push;
struct status;
struct reviewer;
struct root_cert;
struct source_kube;
struct store;
struct webhook;
struct xds_server;

struct debug_config { /* pointers must outlive it; what is not there may be NULL */
    struct loop *loop;
    struct store *store;
    struct push *push;
    struct xds_server *xds;
    struct authority *authority;
    struct ca_service *ca_service;
    struct reviewer *reviewer;
    struct root_cert *roots;
    struct source_kube *kube;
    const struct webhook *webhook;
    struct status *status; /* may be NULL */
    struct view cluster_id;
};

struct debug *debug_new(const struct debug_config *config) __attribute__((returns_nonnull));
struct debug *debug_free(struct debug *d);                   /* NULL */
void debug_serve(void *debug, const struct port_request *q); /* a port's serve function */
