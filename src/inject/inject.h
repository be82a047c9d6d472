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
#include "inject/annotations.h"
#include "mesh/label.h"
#include "mesh/mesh_config.h"
#include "wire/node.h"

struct inject_parts;

/* One number, number list or text of the settings: empty or unset means Istio's default. */
struct inject_config {
    struct view revision;     /* "default" */
    struct strings tags;      /* other names that namespaces may call this revision by */
    struct view cluster_id;   /* "Kubernetes" */
    struct view network;      /* empty */
    struct view mesh_id;      /* empty: of MeshConfig, else the trust domain */
    struct view image_proxy;  /* weft/proxy */
    struct view image_node;   /* weft/node: the init container */
    struct view node_command; /* weft-node, when the image holds other programs, too; empty: the image's own */
    struct view pull_policy;  /* empty: Kubernetes decides by the tag */
    struct strings pull_secrets;
    struct view domain;     /* cluster.local */
    struct view root_ns;    /* istio-system */
    struct view ca_address; /* istiod.istio-system.svc:15012 */
    struct view discovery;  /* the same, for configuration; empty: ca_address */

    /* The containers. Trees are borrowed. */
    const struct node *resources, *init_resources; /* NULL: 100m and 128Mi to 2 and 1Gi; init: as the proxy */
    const struct node *lifecycle, *seccomp;        /* NULL: none */
    struct view log_level, component_log_level, agent_log_level; /* warning, misc:error, default:info */
    bool log_json, privileged, force_apply;
    struct opt_bool hold, rewrite_probes, startup_probe; /* false, true, true */
    struct opt_u32 status_port, startup_failures;        /* 15020, 600 */
    struct opt_u32 ready_delay, ready_period, ready_failures;
    struct labels env;                /* more environment of the proxy */
    struct labels annotations;        /* more annotations of the pod */
    struct view capture[ANNOTATIONS]; /* defaults of the traffic annotations */

    /* The decision. */
    bool native_sidecars;                        /* kubelet ≥ 1.33: on by default */
    bool default_policy;                         /* neither label nor annotation decides: inject (policy: enabled) */
    bool every_namespace;                        /* enableNamespacesByDefault */
    bool gateway_template;                       /* defaultTemplates: [gateway] */
    const struct label_selector *never, *always; /* by the pod's labels, where it does not say itself */
    uint32_t n_never, n_always;

    const struct mesh_config *mesh;   /* NULL: defaults */
    const struct inject_parts *parts; /* the templates' texts, read once; NULL: each time */
};

struct inject_config inject_config_default(void);
const struct inject_parts *inject_parts_new(struct arena *a) __attribute__((returns_nonnull));

struct inject_decision {
    bool inject;
    const char *why; /* a sentence for `weft inject --explain` and the log: which label, annotation or rule decided */
};

/* By the labels of the namespace and the pod's labels, annotations and spec (Istio's webhook selectors, then its
 * injection rules). `pod` is a Pod or a pod template (metadata and spec). */
struct inject_decision inject_decide(const struct labels *ns_labels, struct view ns, const struct node *pod,
                                     const struct inject_config *c);
/* The second half alone: what the injector asks of a pod that the API server's selectors have sent it. */
struct inject_decision inject_required(struct view ns, const struct node *pod, const struct inject_config *c);

/* Injects without asking inject_decide. `ns`: the pod's namespace, when its metadata names none. The result is a new tree
 * in the arena that shares with `pod` what it leaves alone; `pod` is not changed. -EINVAL: an annotation's value is wrong (diags says which). */
int inject_pod(struct arena *a, struct diags *d, const struct node *pod, struct view ns, const struct inject_config *c,
               struct node **ret_pod) must_check;
