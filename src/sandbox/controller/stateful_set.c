// SPDX-License-Identifier: Apache-2.0
/* StatefulSets: pods <name>-0 … <name>-(n-1), each with its host name. OrderedReady makes the next one only when all
 * before it are ready and ends the highest first; Parallel does not wait. A new template replaces pods one by one from
 * the highest down, each only while all others are ready.
 */
#include "sandbox/cluster.h"

#include "base/clock.h"
#include "wire/node.h"

struct set {
    struct cluster *c;
    const struct record *r;
    const struct stateful_set *s;
    struct view revision; /* label controller-revision-hash of up-to-date pods */
    int64_t pods, ready, available, updated;
};

static struct record *pod_at(struct set *s, uint32_t i)
{
    struct view name = arena_printf(&s->c->round, "%.*s-%u", VIEW_ARGS(s->r->name), i);
    return store_get(s->c->store, KIND_POD, s->r->ns, name);
}

static bool current(const struct set *s, const struct record *pod)
{
    return view_eq(labels_get(&pod->object->meta.labels, VIEW("controller-revision-hash")), s->revision);
}

static void make(struct set *s, uint32_t i)
{
    struct arena *a = &s->c->round;
    struct cluster_pod p = {.owner = s->r, .template = &s->s->template, .subdomain = s->s->service_name};
    p.name = p.hostname = arena_printf(a, "%.*s-%u", VIEW_ARGS(s->r->name), i);
    p.labels[p.n_labels++] = (struct label){VIEW("statefulset.kubernetes.io/pod-name"), p.name};
    p.labels[p.n_labels++] = (struct label){VIEW("apps.kubernetes.io/pod-index"), arena_printf(a, "%u", i)};
    p.labels[p.n_labels++] = (struct label){VIEW("controller-revision-hash"), s->revision};
    cluster_make_pod(s->c, &p);
}

/* One step towards what should be; in order means: return after the first thing to wait for. */
static void scale(struct set *s)
{
    for (uint32_t i = 0; i < s->s->replicas; i++) {
        struct record *pod = pod_at(s, i);
        if (!pod)
            make(s, i);
        else if (!pod_active(pod) && !pod->object->meta.deleting)
            (void)cluster_delete(s->c, KIND_POD, pod->ns, pod->name, 0);
        else if (pod_available(s->c, pod, s->s->min_ready_s))
            continue;
        if (!s->s->parallel)
            return;
    }
}

/* Pods beyond the wish, and then those of an older template, from the highest number down. */
static void shrink(struct set *s, struct record **pods, size_t n)
{
    uint32_t highest = 0;
    struct record *extra = NULL, *stale = NULL;
    bool ending = false;
    for (size_t i = 0; i < n; i++) {
        uint64_t at = 0;
        struct view number = view_from(pods[i]->name, s->r->name.n + 1);
        if (view_u64(number, &at))
            continue;
        ending = ending || pods[i]->object->meta.deleting;
        if (at >= s->s->replicas && (!extra || at >= highest)) {
            extra = pods[i];
            highest = (uint32_t)at;
        }
    }
    for (uint32_t i = s->s->replicas; i-- > 0 && !stale;) {
        struct record *pod = pod_at(s, i);
        if (pod && !current(s, pod))
            stale = pod;
        else if (!pod || !pod_available(s->c, pod, s->s->min_ready_s))
            break;
    }
    if (ending && !s->s->parallel)
        return;
    if (extra)
        (void)cluster_delete(s->c, KIND_POD, extra->ns, extra->name, -1);
    else if (stale && !ending)
        (void)cluster_delete(s->c, KIND_POD, stale->ns, stale->name, -1);
}

static void report(struct set *s, struct record **pods, size_t n)
{
    struct arena *a = &s->c->round;
    for (size_t i = 0; i < n; i++) {
        s->pods++;
        s->ready += pod_active(pods[i]) && pod_is_ready(record_pod(pods[i]));
        s->available += pod_available(s->c, pods[i], s->s->min_ready_s);
        s->updated += current(s, pods[i]);
    }
    struct node *status = node_new(a, NODE_MAP);
    node_set_int(a, status, "observedGeneration", s->r->object->meta.generation);
    node_set_int(a, status, "replicas", s->pods);
    node_set_int(a, status, "currentReplicas", s->updated);
    node_set_int(a, status, "updatedReplicas", s->updated);
    node_set_int(a, status, "readyReplicas", s->ready);
    node_set_int(a, status, "availableReplicas", s->available);
    node_set_str(a, status, "updateRevision", s->revision);
    cluster_set_status(s->c, s->r, status);
}

void stateful_set_reconcile(struct cluster *c)
{
    CLUSTER_EACH(c, KIND_STATEFUL_SET, r)
    {
        struct set s = {.c = c, .r = r, .s = OBJECT_AS(r->object, STATEFUL_SET, stateful_set)};
        struct view hash = template_hash(&c->round, &s.s->template);
        s.revision = arena_printf(&c->round, "%.*s-%.*s", VIEW_ARGS(r->name), VIEW_ARGS(hash));
        size_t n;
        struct record **pods = cluster_owned(c, KIND_POD, r, &n);
        shrink(&s, pods, n);
        scale(&s);
        pods = cluster_owned(c, KIND_POD, r, &n);
        report(&s, pods, n);
    }
}
