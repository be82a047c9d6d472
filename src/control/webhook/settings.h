// SPDX-License-Identifier: Apache-2.0
/* What /inject needs to know, as it changes: the injection settings and MeshConfig from each snapshot, and whether kubelets run
 * native sidecars, from a watch of the Nodes.
 *
 *   struct settings *s = settings_new(&config);
 *   settings_snapshot(s, snapshot);                  // ConfigMap istio-sidecar-injector[-<revision>]
 *   const struct inject_config *c = settings_now(s); // NULL: no snapshot yet
 *   settings_free(s);
 *
 * Settings that are wrong are logged with the reason and the last good ones stay. Native sidecars as Istio decides with
 * ENABLE_NATIVE_SIDECARS=auto: when every kubelet is 1.33 or newer; true and false are orders. Without the right to see Nodes
 * sidecars are classic, which works everywhere.
 */
#pragma once

#include "base/view.h"
#include "inject/inject.h"

struct kube_client;
struct loop;
struct mesh_snapshot;
struct settings;

struct settings_config { /* texts and pointers must outlive it */
    struct loop *loop;
    struct kube_client *kube; /* Nodes; NULL: none */
    struct view revision, ns, cluster_id;
    const char *native; /* ENABLE_NATIVE_SIDECARS: auto, true, false; NULL: auto */
};

struct settings *settings_new(const struct settings_config *config) __attribute__((returns_nonnull));
struct settings *settings_free(struct settings *s); /* NULL */
void settings_snapshot(struct settings *s, const struct mesh_snapshot *snapshot);
/* Valid until the loop's next turn. */
const struct inject_config *settings_now(struct settings *s);
