// SPDX-License-Identifier: Apache-2.0
/* Deployments: one ReplicaSet for each pod template that was ever asked for, named <deployment>-<hash of the template>.
 * A new template rolls: the new set grows by maxSurge beyond the wish, the old ones shrink as long as maxUnavailable
 * allows, both 25 % by default; so requests always find ready pods. Recreate ends the old ones first. A restart is a
 * new annotation in the template (kubectl.kubernetes.io/restartedAt), hence a new hash, hence a rollout.
 */
#include "sandbox/cluster.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "wire/node.h"

enum { HISTORY = 10 }; /* empty old sets that are kept, as revisionHistoryLimit's default */

struct rollout {
    struct cluster *c;
    const struct record *r;
    const struct deployment *d;
    struct record *fresh; /* the set of the present template */
    struct record **old;
    size_t n_old;
    int64_t wanted, total, available; /* pods: as the Deployment, and summed over all sets */
    int64_t surge, unavailable;
};

static const struct replica_set *set_of(const struct record *r)
{
    return OBJECT_AS(r->object, REPLICA_SET, replica_set);
}

static int64_t status_count(const struct record *r, const char *path)
{
    int64_t n = 0;
    const struct node *at = node_at(r->tree, path);
    return at && node_i64(at, &n) == 0 ? n : 0;
}

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* "25%" of wanted, rounded up (surge) or down (unavailable). */
static int64_t share(const struct int_or_str *v, int64_t wanted, bool up)
{
    if (v->set && !v->text.n)
        return v->number;
    uint64_t percent = 25;
    if (v->set && (v->text.n < 2 || view_u64(view_head(v->text, v->text.n - 1), &percent)))
        percent = 25;
    return ((int64_t)percent * wanted + (up ? 99 : 0)) / 100;
}

static void add_hash(struct arena *a, struct node *map, const char *key, struct view hash)
{
    node_set_str(a, node_make(a, map, key, NODE_MAP), "pod-template-hash", hash);
}

static struct record *make_set(struct rollout *o, struct view name, struct view hash, int64_t replicas,
                               int64_t revision)
{
    struct arena *a = &o->c->round;
    const struct record *r = o->r;
    struct node *tree = tree_new(a, VIEW("apps/v1"), VIEW("ReplicaSet"), r->ns, name);
    struct node *meta = node_get(tree, VIEW("metadata")), *spec = node_make(a, tree, "spec", NODE_MAP);
    struct node *template = node_copy(a, o->d->template.part.node);
    const struct node *labels = node_at(template, "metadata.labels");
    if (labels)
        node_set(a, meta, VIEW("labels"), node_copy(a, labels));
    add_hash(a, meta, "labels", hash);
    add_hash(a, node_make(a, template, "metadata", NODE_MAP), "labels", hash);
    struct node *notes = node_make(a, meta, "annotations", NODE_MAP);
    node_set_str(a, notes, "deployment.kubernetes.io/revision", arena_printf(a, "%lld", (long long)revision));
    node_set_int(a, spec, "replicas", replicas);
    if (o->d->min_ready_s)
        node_set_int(a, spec, "minReadySeconds", o->d->min_ready_s);
    const struct node *selector = node_at(r->tree, "spec.selector");
    node_set(a, spec, VIEW("selector"), selector ? node_copy(a, selector) : node_new(a, NODE_MAP));
    add_hash(a, node_get(spec, VIEW("selector")), "matchLabels", hash);
    node_set(a, spec, VIEW("template"), template);
    tree_own(a, tree, r);
    struct record *made = NULL;
    struct store_put put = {.tree = tree, .create = true, .manifest = r->manifest};
    return store_write(o->c->store, &put, NULL, &made) == 0 ? made : NULL;
}

static int64_t revision_of(const struct record *r)
{
    struct view text = labels_get(&r->object->meta.annotations, VIEW("deployment.kubernetes.io/revision"));
    uint64_t n = 0;
    return view_u64(text, &n) == 0 ? (int64_t)n : 0;
}

static void set_replicas(struct rollout *o, struct record **at, int64_t replicas)
{
    struct record *r = *at;
    if (!r || (int64_t)set_of(r)->replicas == replicas)
        return;
    struct node *tree = node_copy(&o->c->round, r->tree);
    node_set_int(&o->c->round, node_make(&o->c->round, tree, "spec", NODE_MAP), "replicas", replicas);
    o->total += replicas - (int64_t)set_of(r)->replicas;
    int err = store_write(o->c->store, &(struct store_put){.tree = tree}, NULL, at);
    (void)odd(err == 0);
}

/* Finds or makes the set of the present template; the others are `old`, newest first. */
static void sort_sets(struct rollout *o)
{
    struct arena *a = &o->c->round;
    struct view hash = template_hash(a, &o->d->template);
    struct view name = arena_printf(a, "%.*s-%.*s", VIEW_ARGS(o->r->name), VIEW_ARGS(hash));
    size_t n;
    struct record **sets = cluster_owned(o->c, KIND_REPLICA_SET, o->r, &n);
    int64_t revision = 0;
    o->old = ARENA_ARRAY(a, struct record *, n + 1);
    for (size_t i = 0; i < n; i++) {
        o->total += set_of(sets[i])->replicas;
        o->available += at_most(status_count(sets[i], "status.availableReplicas"), set_of(sets[i])->replicas);
        revision = at_least(revision, revision_of(sets[i]));
        if (view_eq(sets[i]->name, name))
            o->fresh = sets[i];
        else
            o->old[o->n_old++] = sets[i];
    }
    if (o->fresh || o->d->paused || o->c->ending)
        return;
    int64_t start = o->d->recreate || n ? 0 : o->wanted; /* the very first set starts whole */
    o->fresh = make_set(o, name, hash, start, revision + 1);
    o->total += o->fresh ? start : 0;
}

static void roll(struct rollout *o)
{
    int64_t fresh = set_of(o->fresh)->replicas;
    if (fresh > o->wanted)
        set_replicas(o, &o->fresh, o->wanted);
    else
        set_replicas(o, &o->fresh, at_least(fresh, at_most(o->wanted, fresh + o->wanted + o->surge - o->total)));
    int64_t fresh_missing = (int64_t)set_of(o->fresh)->replicas - status_count(o->fresh, "status.availableReplicas");
    int64_t floor = o->wanted - o->unavailable;
    /* Pods of old sets that serve nobody go first. */
    int64_t spare = o->total - floor - at_least(fresh_missing, 0);
    for (size_t i = 0; i < o->n_old && spare > 0; i++) {
        int64_t has = set_of(o->old[i])->replicas;
        int64_t idle = at_most(spare, has - status_count(o->old[i], "status.availableReplicas"));
        if (idle <= 0)
            continue;
        set_replicas(o, &o->old[i], has - idle);
        spare -= idle;
    }
    spare = o->available - floor;
    for (size_t i = 0; i < o->n_old && spare > 0; i++) {
        int64_t has = set_of(o->old[i])->replicas, take = at_most(spare, has);
        set_replicas(o, &o->old[i], has - take);
        spare -= take;
    }
}

static void recreate(struct rollout *o)
{
    bool gone = true;
    for (size_t i = 0; i < o->n_old; i++) {
        set_replicas(o, &o->old[i], 0);
        size_t n;
        cluster_owned(o->c, KIND_POD, o->old[i], &n);
        gone = gone && n == 0;
    }
    if (gone)
        set_replicas(o, &o->fresh, o->wanted);
}

static int newest_first(const void *x, const void *y)
{
    int64_t a = revision_of(*(struct record *const *)x), b = revision_of(*(struct record *const *)y);
    return (a < b) - (a > b);
}

static void forget_history(struct rollout *o)
{
    if (o->n_old <= HISTORY)
        return;
    qsort(o->old, o->n_old, sizeof(*o->old), newest_first);
    for (size_t i = HISTORY; i < o->n_old; i++)
        if (set_of(o->old[i])->replicas == 0 && status_count(o->old[i], "status.replicas") == 0)
            (void)cluster_delete(o->c, KIND_REPLICA_SET, o->old[i]->ns, o->old[i]->name, -1);
}

static void report(struct rollout *o)
{
    struct arena *a = &o->c->round;
    int64_t replicas = 0, ready = 0, available = 0;
    for (size_t i = 0; i < o->n_old; i++) {
        replicas += status_count(o->old[i], "status.replicas");
        ready += status_count(o->old[i], "status.readyReplicas");
        available += status_count(o->old[i], "status.availableReplicas");
    }
    int64_t updated = o->fresh ? status_count(o->fresh, "status.replicas") : 0;
    if (o->fresh) {
        replicas += updated;
        ready += status_count(o->fresh, "status.readyReplicas");
        available += status_count(o->fresh, "status.availableReplicas");
    }
    bool done = updated == o->wanted && replicas == o->wanted && available >= o->wanted;
    struct node *status = node_new(a, NODE_MAP);
    node_set_int(a, status, "observedGeneration", o->r->object->meta.generation);
    node_set_int(a, status, "replicas", replicas);
    node_set_int(a, status, "updatedReplicas", updated);
    node_set_int(a, status, "readyReplicas", ready);
    node_set_int(a, status, "availableReplicas", available);
    node_set_int(a, status, "unavailableReplicas", at_least(o->wanted - available, 0));
    bool enough = available >= o->wanted - o->unavailable;
    tree_condition(a, status, o->r, "Available", enough,
                   enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable", VIEW_NONE, o->c->now);
    tree_condition(a, status, o->r, "Progressing", true, done ? "NewReplicaSetAvailable" : "ReplicaSetUpdated",
                   VIEW_NONE, o->c->now);
    cluster_set_status(o->c, o->r, status);
}

void deployment_reconcile(struct cluster *c)
{
    CLUSTER_EACH(c, KIND_DEPLOYMENT, r)
    {
        const struct deployment *d = OBJECT_AS(r->object, DEPLOYMENT, deployment);
        struct rollout o = {.c = c, .r = r, .d = d, .wanted = d->replicas};
        o.surge = share(&d->max_surge, o.wanted, true);
        o.unavailable = share(&d->max_unavailable, o.wanted, false);
        if (o.surge == 0 && o.unavailable == 0)
            o.unavailable = 1; /* else it could never roll */
        sort_sets(&o);
        if (o.fresh && !d->paused) {
            if (d->recreate)
                recreate(&o);
            else
                roll(&o);
            forget_history(&o);
        }
        report(&o);
    }
}
