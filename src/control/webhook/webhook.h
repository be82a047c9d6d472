// SPDX-License-Identifier: Apache-2.0
/* The webhooks of an API server: HTTPS on 15017 (Service istiod:443) with a certificate of the mesh's own CA.
 *
 *   /inject, /inject/cluster/C/net/N/…    MutatingWebhookConfiguration istio-sidecar-injector: sidecars for new pods
 *   /validate                             ValidatingWebhookConfiguration istio-validator-…: the analyzers' word on objects
 *   /ready                                200 once both can answer
 *
 *   r = webhook_new(&config, &w, &why);
 *   webhook_snapshot(w, snapshot);          // each new one: MeshConfig and the injection settings are read from it
 *   webhook_print_metrics(w, &out);
 *   webhook_free(w);
 *
 * The port opens with the first certificate and takes a new one long before the old one ends, and whenever the CA changes.
 * bundle.h keeps the configurations' caBundle right, so that an API server trusts it.
 *
 * Invariants: before the first snapshot /inject answers 503, so that the failure policy decides and no pod goes without its
 * sidecar by accident. A request is bounded in bytes and time, and all of them together; what it says stays in its answer.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "net/addr.h"

struct arena;
struct authority;
struct http_shared;
struct kube_client;
struct loop;
struct mesh_snapshot;
struct webhook;

struct webhook_config { /* texts and pointers must outlive it */
    struct loop *loop;
    struct http_shared *http;
    struct kube_client *kube; /* NULL: no configuration is patched, sidecars are native only by order */
    struct authority *authority;
    struct addr at;
    struct view revision;   /* "default" */
    struct view ns;         /* istio-system: of our Service and ConfigMaps */
    struct view cluster_id; /* Kubernetes */
};

int webhook_new(const struct webhook_config *config, struct webhook **ret, const char **ret_why) must_check;
struct webhook *webhook_free(struct webhook *w); /* NULL */
/* Borrowed until the next one; NULL: there is none any more. */
void webhook_snapshot(struct webhook *w, const struct mesh_snapshot *snapshot);
void webhook_print_metrics(const struct webhook *w, struct buf *out);

/* The names of our Service, which certificates of ours must say: istiod.<ns>.svc …, with a revision also istiod-<rev>.<ns>….
 * How many. */
enum { SERVICE_NAMES = 8 };
size_t webhook_service_names(struct arena *a, struct view ns, struct view revision, struct view ret[SERVICE_NAMES]);
const struct addr *webhook_addr(const struct webhook *w); /* where it really listens; NULL: not yet */
