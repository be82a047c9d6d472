// SPDX-License-Identifier: Apache-2.0
/* ReplicaSets: as many active pods as spec.replicas says. Too many: those that serve least go first (not ready before
 * ready, younger before older), as Kubernetes does.
 */
#include "sandbox/cluster.h"

#include <stdio.h>
#include <stdlib.h>

static int least_useful_first(const void *x, const void *y)
{
    const struct record *a = *(struct record *const *)x, *b = *(struct record *const *)y;
    bool ready_a = pod_is_ready(record_pod(a)), ready_b = pod_is_ready(record_pod(b));
    if (ready_a != ready_b)
        return ready_a ? 1 : -1;
    uint64_t age_a = a->object->meta.created, age_b = b->object->meta.created;
    if (age_a != age_b)
        return age_a > age_b ? -1 : 1;
    return view_cmp(a->name, b->name);
}

static void scale(struct cluster *c, const struct record *r, const struct replica_set *rs, struct record **active,
                  size_t n)
{
    for (size_t i = n; i < rs->replicas; i++) {
        char suffix[6];
        store_suffix(suffix, 5);
        struct cluster_pod p = {.owner = r, .template = &rs->template};
        p.name = arena_printf(&c->round, "%.*s-%s", VIEW_ARGS(r->name), suffix);
        if (!cluster_make_pod(c, &p))
            return;
    }
    if (n <= rs->replicas)
        return;
    qsort(active, n, sizeof(*active), least_useful_first);
    for (size_t i = 0; i < n - rs->replicas; i++)
        (void)cluster_delete(c, KIND_POD, active[i]->ns, active[i]->name, -1);
}

static void report(struct cluster *c, const struct record *r, const struct replica_set *rs, struct record **active,
                   size_t n)
{
    struct arena *a = &c->round;
    int64_t ready = 0, available = 0;
    for (size_t i = 0; i < n; i++) {
        ready += pod_is_ready(record_pod(active[i]));
        available += pod_available(c, active[i], rs->min_ready_s);
    }
    struct node *status = node_new(a, NODE_MAP);
    node_set_int(a, status, "replicas", (int64_t)n);
    node_set_int(a, status, "fullyLabeledReplicas", (int64_t)n);
    node_set_int(a, status, "readyReplicas", ready);
    node_set_int(a, status, "availableReplicas", available);
    node_set_int(a, status, "observedGeneration", r->object->meta.generation);
    cluster_set_status(c, r, status);
}

static struct record **active_pods(struct cluster *c, const struct record *r, size_t *ret_n)
{
    size_t n, active = 0;
    struct record **pods = cluster_owned(c, KIND_POD, r, &n);
    for (size_t i = 0; i < n; i++)
        if (pod_active(pods[i]))
            pods[active++] = pods[i];
    *ret_n = active;
    return pods;
}

void replica_set_reconcile(struct cluster *c)
{
    CLUSTER_EACH(c, KIND_REPLICA_SET, r)
    {
        const struct replica_set *rs = OBJECT_AS(r->object, REPLICA_SET, replica_set);
        size_t n;
        struct record **pods = active_pods(c, r, &n);
        scale(c, r, rs, pods, n);
        pods = active_pods(c, r, &n); /* a Deployment counts on what is reported: as it is now */
        report(c, r, rs, pods, n);
    }
}
