// SPDX-License-Identifier: Apache-2.0
/* Jobs: pods until `completions` of them succeeded, at most `parallelism` at once, at most `backoffLimit` failures.
 * A failed pod is followed by another after a back-off of 1 s doubling to 32 s (Kubernetes starts at 10 s; a stand-in
 * should not make people wait). A pod is finished when its containers are: native sidecars are ended by the kubelet.
 */
#include "sandbox/cluster.h"

#include "base/clock.h"
#include "wire/node.h"

struct count {
    int64_t active, succeeded, failed, ready;
    uint64_t last_failure; /* wall clock */
};

static uint32_t restarts_of(const struct record *pod)
{
    const struct node *all = node_at(pod->tree, "status.containerStatuses");
    int64_t sum = 0, one;
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++) {
        const struct node *n = node_get(all->items[i], VIEW("restartCount"));
        if (n && node_i64(n, &one) == 0)
            sum += one;
    }
    return (uint32_t)sum;
}

/* When the pod's last container ended. */
static uint64_t ended_at(const struct record *pod)
{
    const struct node *all = node_at(pod->tree, "status.containerStatuses");
    uint64_t last = pod->object->meta.created, at;
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++)
        if (clock_parse_time(node_text_at(all->items[i], "state.terminated.finishedAt"), &at) == 0 && at > last)
            last = at;
    return last;
}

static struct count count_pods(struct record **pods, size_t n)
{
    struct count k = {0};
    for (size_t i = 0; i < n; i++) {
        const struct pod *pod = record_pod(pods[i]);
        if (view_is(pod->phase, "Succeeded")) {
            k.succeeded++;
        } else if (view_is(pod->phase, "Failed")) {
            k.failed++;
            uint64_t at = ended_at(pods[i]);
            k.last_failure = at > k.last_failure ? at : k.last_failure;
        } else if (!pods[i]->object->meta.deleting) {
            k.active++;
            k.ready += pod_is_ready(pod);
            k.failed += restarts_of(pods[i]); /* restartPolicy: OnFailure */
        }
    }
    return k;
}

static bool has_condition(const struct record *r, const char *type)
{
    const struct node *all = node_at(r->tree, "status.conditions");
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++)
        if (view_is(node_text_at(all->items[i], "type"), type) &&
            view_is(node_text_at(all->items[i], "status"), "True"))
            return true;
    return false;
}

static void end_active(struct cluster *c, struct record **pods, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pod_active(pods[i]))
            (void)cluster_delete(c, KIND_POD, pods[i]->ns, pods[i]->name, -1);
}

static void start_more(struct cluster *c, const struct record *r, const struct job *j, const struct count *k)
{
    int64_t left = (int64_t)j->completions - k->succeeded;
    int64_t room = (left < (int64_t)j->parallelism ? left : (int64_t)j->parallelism) - k->active;
    if (k->last_failure && room > 0) {
        uint64_t wait = NS_PER_S << (k->failed > 5 ? 5 : k->failed - 1);
        if (k->last_failure + wait > c->now) {
            cluster_again(c, k->last_failure + wait);
            return;
        }
    }
    for (int64_t i = 0; i < room; i++) {
        char suffix[6];
        store_suffix(suffix, 5);
        bool named = j->template.spec.restart_policy.n > 0;
        struct cluster_pod p = {.owner = r, .template = &j->template, .restart_policy = named ? NULL : "Never"};
        p.name = arena_printf(&c->round, "%.*s-%s", VIEW_ARGS(r->name), suffix);
        p.labels[p.n_labels++] = (struct label){VIEW("batch.kubernetes.io/job-name"), r->name};
        p.labels[p.n_labels++] = (struct label){VIEW("job-name"), r->name};
        p.labels[p.n_labels++] = (struct label){VIEW("batch.kubernetes.io/controller-uid"), r->uid};
        if (!cluster_make_pod(c, &p))
            return;
    }
}

/* Why the job failed; NULL: it did not. */
static const char *failure(struct cluster *c, const struct record *r, const struct job *j, const struct count *k)
{
    if (k->failed > (int64_t)j->backoff_limit)
        return "BackoffLimitExceeded";
    if (!j->active_deadline_s.set)
        return NULL;
    uint64_t due = r->object->meta.created + (uint64_t)j->active_deadline_s.value * NS_PER_S;
    if (due <= c->now)
        return "DeadlineExceeded";
    cluster_again(c, due);
    return NULL;
}

static void report(struct cluster *c, const struct record *r, const struct count *k, bool complete, const char *failed)
{
    struct arena *a = &c->round;
    struct node *status = node_new(a, NODE_MAP);
    node_set_str(a, status, "startTime", tree_time(a, r->object->meta.created));
    node_set_int(a, status, "active", complete || failed ? 0 : k->active);
    node_set_int(a, status, "ready", k->ready);
    node_set_int(a, status, "succeeded", k->succeeded);
    node_set_int(a, status, "failed", k->failed);
    struct view was = node_text_at(r->tree, "status.completionTime");
    if (complete)
        node_set_str(a, status, "completionTime", was.n ? arena_view(a, was) : tree_time(a, c->now));
    if (complete)
        tree_condition(a, status, r, "Complete", true, "CompletionsReached", VIEW_NONE, c->now);
    if (failed)
        tree_condition(a, status, r, "Failed", true, failed, VIEW_NONE, c->now);
    cluster_set_status(c, r, status);
}

static void expire(struct cluster *c, const struct record *r, const struct job *j)
{
    const struct node *first = node_at(r->tree, "status.conditions.0");
    uint64_t since;
    if (!j->ttl_after_finished_s.set || clock_parse_time(node_text_at(first, "lastTransitionTime"), &since))
        return;
    uint64_t due = since + (uint64_t)j->ttl_after_finished_s.value * NS_PER_S;
    if (due <= c->now)
        (void)cluster_delete(c, KIND_JOB, r->ns, r->name, -1);
    else
        cluster_again(c, due);
}

void job_reconcile(struct cluster *c)
{
    CLUSTER_EACH(c, KIND_JOB, r)
    {
        const struct job *j = OBJECT_AS(r->object, JOB, job);
        size_t n;
        struct record **pods = cluster_owned(c, KIND_POD, r, &n);
        if (has_condition(r, "Complete") || has_condition(r, "Failed")) {
            expire(c, r, j);
            continue;
        }
        struct count k = count_pods(pods, n);
        const char *failed = failure(c, r, j, &k);
        bool complete = !failed && k.succeeded >= (int64_t)j->completions;
        if (complete || failed || j->suspend)
            end_active(c, pods, n);
        else
            start_more(c, r, j, &k);
        report(c, r, &k, complete, failed);
    }
}
