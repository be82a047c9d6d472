// SPDX-License-Identifier: Apache-2.0
/* What the controllers share: the store, the clock of this round, and the few moves that all of them make (find what I
 * own, make a pod from a template, say how it is, remove in order).
 *
 * Controllers are level-triggered: cluster_run() calls each of them over all objects of its kind, again and again until
 * none changed the store, so a controller is one function that compares what should be with what is and keeps no memory.
 * What depends on time names the moment at which it wants to be asked again (cluster_again).
 *
 *   void deployment_reconcile(struct cluster *c)
 *   {
 *       CLUSTER_EACH(c, KIND_DEPLOYMENT, r) …
 *   }
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "inject/inject.h"
#include "mesh/pod.h"
#include "mesh/workload.h"
#include "sandbox/store.h"

struct cluster {
    struct store *store;
    struct inject_config inject;
    struct arena round; /* lists and trees of one cluster_run */
    uint64_t now;       /* wall clock of this round */
    uint64_t again;     /* wall clock at which cluster_run is to be called again; UINT64_MAX: when something changes */
    uint32_t service_cidr;                          /* host byte order, /16 */
    uint32_t dns_ip;                                /* never given to a Service */
    struct view root_cert;                          /* PEM, for ConfigMap istio-ca-root-cert; empty: none is made */
    bool ending;                                    /* the sandbox goes down: nothing new is started */
    void (*warn)(void *arg, const struct diags *d); /* a pod could not be made: told once */
    void *arg;
    uint64_t warned; /* hash of what was last told */
};

void cluster_init(struct cluster *c, struct store *store);
void cluster_done(struct cluster *c);
/* Namespaces default, istio-system and kube-system. */
int cluster_bootstrap(struct cluster *c) must_check;
void cluster_run(struct cluster *c);

void cluster_again(struct cluster *c, uint64_t wall_ns);

/* Removes an object as its kind asks: pods end gracefully (a deletionTimestamp, then the kubelet), namespaces take
 * their content along, everything else goes at once and its dependants with the next round. grace_s < 0: the pod's own.
 * -ENOENT. */
int cluster_delete(struct cluster *c, enum mesh_kind kind, struct view ns, struct view name, int64_t grace_s);

/* Everything that has `owner` as controlling owner; lives until the end of the round. */
struct record **cluster_owned(struct cluster *c, enum mesh_kind kind, const struct record *owner, size_t *ret_n);

/* Writes `status` when it differs from what is there. */
void cluster_set_status(struct cluster *c, const struct record *r, struct node *status);

struct cluster_pod {
    const struct record *owner;
    const struct pod_template *template;
    struct view name;                /* the whole name */
    struct view hostname, subdomain; /* of a StatefulSet's pod */
    struct label labels[4];          /* on top of the template's */
    size_t n_labels;
    const char *restart_policy; /* NULL: the template's */
};
/* Makes a pod through admission; false: it was refused (told once through warn). */
bool cluster_make_pod(struct cluster *c, const struct cluster_pod *p);

/* Of a Pod record. */
static inline const struct pod *record_pod(const struct record *r)
{
    return OBJECT_AS(r->object, POD, pod);
}
bool pod_active(const struct record *r); /* neither finished nor on its way out */
bool pod_available(struct cluster *c, const struct record *r, uint32_t min_ready_s); /* ready for so long */

/* A short name for a pod template: equal templates have equal hashes. */
struct view template_hash(struct arena *a, const struct pod_template *t);

/* Trees. */
struct node *tree_new(struct arena *a, struct view api_version, struct view kind, struct view ns, struct view name);
void tree_own(struct arena *a, struct node *tree, const struct record *owner); /* metadata.ownerReferences */
struct view tree_time(struct arena *a, uint64_t wall_ns);                      /* 2026-11-22T18:41:20Z */
void tree_condition(struct arena *a, struct node *status, const struct record *was, const char *type, bool value,
                    const char *reason, struct view message, uint64_t now);

#define CLUSTER_EACH(c, kind, r)                                                                                       \
    for (size_t r##_n = 0, r##_i = 0, r##_once = 1; r##_once; r##_once = 0)                                            \
        for (struct record **r##_all = store_list((c)->store, (kind), VIEW_NONE, &(c)->round, &r##_n), *r = NULL;      \
             r##_i < r##_n && (r = r##_all[r##_i], 1); r##_i++)

/* The controllers, in the order in which cluster_run calls them: one file each in sandbox/controller/. */
#define CONTROLLERS(X)                                                                                                 \
    X(namespace)    /* default service account, istio-ca-root-cert, and the end of a namespace */                      \
    X(deployment)   /* replica sets of a Deployment, rolling */                                                        \
    X(replica_set)  /* pods of a ReplicaSet */                                                                         \
    X(stateful_set) /* numbered pods, in order */                                                                      \
    X(daemon_set)   /* one pod: there is one node */                                                                   \
    X(job)          /* pods until enough of them succeeded */                                                          \
    X(endpoint)     /* EndpointSlices and Endpoints of Services */                                                     \
    X(garbage)      /* what is owned by nothing any more */

#define CONTROLLER(name) void name##_reconcile(struct cluster *c);
CONTROLLERS(CONTROLLER)
#undef CONTROLLER
