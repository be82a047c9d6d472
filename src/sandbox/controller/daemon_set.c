// SPDX-License-Identifier: Apache-2.0
/* DaemonSets: one pod a node, and the sandbox is one node. A new template ends the old pod, then makes the new one. */
#include "sandbox/cluster.h"

#include "wire/node.h"

static void report(struct cluster *c, const struct record *r, int64_t pods, int64_t ready, int64_t available,
                   int64_t updated)
{
    struct arena *a = &c->round;
    struct node *status = node_new(a, NODE_MAP);
    node_set_int(a, status, "observedGeneration", r->object->meta.generation);
    node_set_int(a, status, "desiredNumberScheduled", 1);
    node_set_int(a, status, "currentNumberScheduled", pods);
    node_set_int(a, status, "updatedNumberScheduled", updated);
    node_set_int(a, status, "numberReady", ready);
    node_set_int(a, status, "numberAvailable", available);
    cluster_set_status(c, r, status);
}

static void make(struct cluster *c, const struct record *r, const struct daemon_set *s, struct view hash)
{
    char suffix[6];
    store_suffix(suffix, 5);
    struct cluster_pod p = {.owner = r, .template = &s->template};
    p.name = arena_printf(&c->round, "%.*s-%s", VIEW_ARGS(r->name), suffix);
    p.labels[p.n_labels++] = (struct label){VIEW("controller-revision-hash"), hash};
    cluster_make_pod(c, &p);
}

void daemon_set_reconcile(struct cluster *c)
{
    CLUSTER_EACH(c, KIND_DAEMON_SET, r)
    {
        const struct daemon_set *s = OBJECT_AS(r->object, DAEMON_SET, daemon_set);
        struct view hash = template_hash(&c->round, &s->template);
        size_t n;
        struct record **pods = cluster_owned(c, KIND_POD, r, &n);
        int64_t ready = 0, available = 0, updated = 0;
        bool kept = false;
        for (size_t i = 0; i < n; i++) {
            bool current = view_eq(labels_get(&pods[i]->object->meta.labels, VIEW("controller-revision-hash")), hash);
            if (pod_active(pods[i]) && current && !kept)
                kept = true;
            else
                (void)cluster_delete(c, KIND_POD, pods[i]->ns, pods[i]->name, -1);
            ready += pod_active(pods[i]) && pod_is_ready(record_pod(pods[i]));
            available += pod_available(c, pods[i], s->min_ready_s);
            updated += current;
        }
        if (n == 0)
            make(c, r, s, hash);
        report(c, r, n > 0, ready, available, updated);
    }
}
