// SPDX-License-Identifier: Apache-2.0
/* Sidecar injection: a pod in, a pod out. The webhook on Kubernetes, the sandbox and `weft inject` call this one function.
 *
 *   struct inject_config c = INJECT_CONFIG_DEFAULT;
 *   struct inject_decision why = inject_decide(&ns->meta.labels, pod, &c);
 *   if (why.inject)
 *       err = inject_pod(&arena, &diags, pod, ns_name, &c, &out);
 *
 * The result is the pod that Istio's default `sidecar` and `gateway` templates make (names, ports, environment,
 * volumes, probes), with our programs as the commands. Injecting an injected pod changes nothing.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "mesh/label.h"
#include "mesh/mesh_config.h"
#include "wire/node.h"

struct inject_config {
    struct view revision;           /* "default" */
    struct view cluster_id;         /* "Kubernetes" */
    struct view network;            /* empty */
    struct view image_proxy;        /* weft/proxy */
    struct view image_node;         /* weft/node: the init container */
    struct view domain;             /* cluster.local */
    struct view root_ns;            /* istio-system */
    struct view ca_address;         /* istiod.istio-system.svc:15012 */
    bool native_sidecars;           /* kubelet ≥ 1.33: on by default */
    bool default_policy;            /* neither label nor annotation decides: inject (policy: enabled) */
    bool every_namespace;           /* enableNamespacesByDefault */
    const struct mesh_config *mesh; /* NULL: defaults */
};

struct inject_config inject_config_default(void);

struct inject_decision {
    bool inject;
    const char *why; /* a sentence for `weft inject --explain` and the log: which label, annotation or rule decided */
};

/* By the labels of the namespace and the pod's labels, annotations and spec (Istio's webhook selectors, then its
 * injection rules). `pod` is a Pod or a pod template (metadata and spec). */
struct inject_decision inject_decide(const struct labels *ns_labels, struct view ns, const struct node *pod,
                                     const struct inject_config *c);

/* Injects without asking inject_decide. `ns`: the pod's namespace, when its metadata names none. The result is a new tree
 * in the arena; `pod` is not changed. -EINVAL: an annotation's value is wrong (diags says which). */
int inject_pod(struct arena *a, struct diags *d, const struct node *pod, struct view ns, const struct inject_config *c,
               struct node **ret_pod) must_check;
