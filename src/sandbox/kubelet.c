// SPDX-License-Identifier: Apache-2.0
/* Pods of the store on the runtime (kubelet.h). A pod runs from the record that started it, which is held until the
 * runtime says that everything of it is gone; only then a deleted pod leaves the store.
 */
#include "sandbox/kubelet.h"

#include <errno.h>

#include "base/clock.h"
#include "base/map.h"
#include "wire/node.h"

struct running {
    struct record *started;  /* its struct pod is the runtime's */
    struct record *labelled; /* where the present labels and annotations live */
    bool stopping, refused;
};

struct kubelet {
    struct cluster *cluster;
    struct runtime *rt;
    struct map pods; /* uid → running; keys live in `started` */
    uint64_t seen;   /* store version up to which everything was looked at */
    bool services_given;
};

struct kubelet *kubelet_new(struct cluster *cluster, struct runtime *rt)
{
    struct kubelet *k = mem_alloc(sizeof(*k));
    k->cluster = cluster;
    k->rt = rt;
    map_init(&k->pods, NULL);
    return k;
}

static void forget(struct kubelet *k, struct running *p)
{
    map_del(&k->pods, p->started->uid);
    record_unref(p->labelled);
    record_unref(p->started);
    mem_free(p);
}

struct kubelet *kubelet_free(struct kubelet *k)
{
    if (!k)
        return NULL;
    MAP_EACH (&k->pods, it)
        forget(k, it->value);
    map_done(&k->pods);
    mem_free(k);
    return NULL;
}

size_t kubelet_running(const struct kubelet *k)
{
    return map_size(&k->pods);
}

/* ---- Status. */

static void put_time(struct arena *a, struct node *map, const char *key, uint64_t wall_ns)
{
    if (wall_ns)
        node_set_str(a, map, key, tree_time(a, wall_ns));
}

static struct node *terminated(struct arena *a, int code, struct view reason, uint64_t from, uint64_t to)
{
    struct node *n = node_new(a, NODE_MAP);
    node_set_int(a, n, "exitCode", code);
    node_set_str(a, n, "reason", arena_view(a, reason.n ? reason : code ? VIEW("Error") : VIEW("Completed")));
    put_time(a, n, "startedAt", from);
    put_time(a, n, "finishedAt", to);
    return n;
}

static struct node *container_node(struct arena *a, const struct runtime_container_status *c)
{
    struct node *n = node_new(a, NODE_MAP), *state = node_make(a, n, "state", NODE_MAP);
    node_set_str(a, n, "name", arena_view(a, c->name));
    node_set_str(a, n, "image", arena_view(a, c->image));
    node_set_bool(a, n, "ready", c->ready);
    node_set_bool(a, n, "started", c->started);
    node_set_int(a, n, "restartCount", c->restarts);
    if (c->state == CONTAINER_WAITING) {
        struct node *w = node_make(a, state, "waiting", NODE_MAP);
        node_set_str(a, w, "reason", arena_view(a, c->reason.n ? c->reason : VIEW("ContainerCreating")));
        if (c->message.n)
            node_set_str(a, w, "message", arena_view(a, c->message));
    } else if (c->state == CONTAINER_RUNNING) {
        put_time(a, node_make(a, state, "running", NODE_MAP), "startedAt", c->started_ns);
    } else {
        struct node *t = terminated(a, c->exit_code, c->reason, c->started_ns, c->finished_ns);
        if (c->message.n)
            node_set_str(a, t, "message", arena_view(a, c->message));
        node_set(a, state, VIEW("terminated"), t);
    }
    if (c->has_last)
        node_set(a, node_make(a, n, "lastState", NODE_MAP), VIEW("terminated"),
                 terminated(a, c->last_exit_code, c->last_reason, c->last_started_ns, c->last_finished_ns));
    return n;
}

static void put_address(struct arena *a, struct node *status, const struct runtime_pod_status *s)
{
    if (!s->ip)
        return;
    struct view ip = arena_view(a, view_of(s->ip_text));
    node_set_str(a, status, "podIP", ip);
    struct node *one = node_new(a, NODE_MAP);
    node_set_str(a, one, "ip", ip);
    node_push(a, node_make(a, status, "podIPs", NODE_SEQ), one);
}

static struct node *status_node(struct arena *a, const struct record *r, const struct runtime_pod_status *s)
{
    static const char *const phases[] = {[PHASE_PENDING] = "Pending",
                                         [PHASE_RUNNING] = "Running",
                                         [PHASE_SUCCEEDED] = "Succeeded",
                                         [PHASE_FAILED] = "Failed"};
    struct node *n = node_new(a, NODE_MAP);
    uint64_t now = clock_wall();
    node_set_str(a, n, "phase", view_of(phases[s->phase]));
    if (s->reason.n)
        node_set_str(a, n, "reason", arena_view(a, s->reason));
    if (s->message.n)
        node_set_str(a, n, "message", arena_view(a, s->message));
    tree_condition(a, n, r, "PodScheduled", true, NULL, VIEW_NONE, now);
    tree_condition(a, n, r, "Initialized", s->initialized, NULL, VIEW_NONE, now);
    tree_condition(a, n, r, "ContainersReady", s->containers_ready, NULL, VIEW_NONE, now);
    tree_condition(a, n, r, "Ready", s->ready, NULL, VIEW_NONE, now);
    put_address(a, n, s);
    put_time(a, n, "startTime", s->started_ns);
    for (size_t i = 0; i < s->n_containers; i++) {
        const char *list = s->containers[i].init ? "initContainerStatuses" : "containerStatuses";
        node_push(a, node_make(a, n, list, NODE_SEQ), container_node(a, &s->containers[i]));
    }
    return n;
}

static void write_status(struct kubelet *k, const struct record *r, struct arena *a, struct node *status)
{
    struct node *tree = tree_new(a, VIEW("v1"), VIEW("Pod"), r->ns, r->name);
    node_set(a, tree, VIEW("status"), status);
    int err = store_write(k->cluster->store, &(struct store_put){.tree = tree, .mode = STORE_STATUS}, NULL, NULL);
    (void)odd(err == 0 || err == -ENOENT);
}

static struct record *record_of(struct kubelet *k, const struct running *p)
{
    struct record *r = store_get(k->cluster->store, KIND_POD, p->started->ns, p->started->name);
    return r && view_eq(r->uid, p->started->uid) ? r : NULL;
}

static void ended(struct kubelet *k, struct running *p)
{
    const struct record *r = record_of(k, p);
    if (r && r->object->meta.deleting)
        store_remove(k->cluster->store, KIND_POD, r->ns, r->name);
    forget(k, p);
}

void kubelet_collect(struct kubelet *k)
{
    const struct runtime_pod_status *s;
    struct arena a;
    arena_init(&a, 16 * 1024);
    while ((s = runtime_next(k->rt))) {
        struct running *p = map_get(&k->pods, s->uid);
        if (!p)
            continue;
        struct record *r = record_of(k, p);
        if (r)
            write_status(k, r, &a, status_node(&a, r, s));
        if (s->gone)
            ended(k, p);
        arena_clear(&a);
    }
    arena_done(&a);
}

/* ---- Starting and ending. */

/* A pod that cannot run here waits, and says why; nothing is retried until it is deleted. */
static void refuse(struct kubelet *k, struct running *p, struct view why, struct arena *a)
{
    p->refused = true;
    const struct pod *pod = record_pod(p->started);
    struct node *n = node_new(a, NODE_MAP);
    node_set_str(a, n, "phase", VIEW("Pending"));
    node_set_str(a, n, "reason", VIEW("CreateContainerConfigError"));
    node_set_str(a, n, "message", why);
    tree_condition(a, n, NULL, "PodScheduled", true, NULL, VIEW_NONE, clock_wall());
    tree_condition(a, n, NULL, "Ready", false, "ContainersNotReady", why, clock_wall());
    for (uint32_t i = 0; i < pod->spec.n_containers; i++) {
        struct runtime_container_status c = {.name = pod->spec.containers[i].name,
                                             .image = pod->spec.containers[i].image,
                                             .reason = VIEW("CreateContainerConfigError"),
                                             .message = why};
        node_push(a, node_make(a, n, "containerStatuses", NODE_SEQ), container_node(a, &c));
    }
    write_status(k, p->started, a, n);
    struct diags d;
    diags_init(&d, a);
    struct diag *one = diag_add(&d, DIAG_ERROR, "WEFT0306", &p->started->object->at);
    one->title =
        diag_text(&d, "pod `%.*s` cannot run in the sandbox: %.*s", VIEW_ARGS(p->started->name), VIEW_ARGS(why));
    one->effect = VIEW("the pod stays Pending");
    if (k->cluster->warn)
        k->cluster->warn(k->cluster->arg, &d);
}

static void start(struct kubelet *k, struct record *r)
{
    struct running *p = mem_alloc(sizeof(*p));
    p->started = record_ref(r);
    p->labelled = record_ref(r);
    map_put(&k->pods, r->uid, p);
    struct arena a;
    arena_init(&a, 4096);
    struct view why = VIEW_NONE;
    int err = runtime_pod_start(k->rt, record_pod(r), &a, &why);
    if (err)
        refuse(k, p, why.n ? why : arena_printf(&a, "it could not be started: %s", strerror(-err)), &a);
    arena_done(&a);
}

static void stop(struct kubelet *k, struct running *p, const struct record *r)
{
    int64_t grace = 0;
    const struct node *wanted = r ? node_at(r->tree, "metadata.deletionGracePeriodSeconds") : NULL;
    bool own = !wanted || node_i64(wanted, &grace);
    p->stopping = true;
    uint64_t grace_ns = !r ? 0 : own ? UINT64_MAX : (uint64_t)grace * NS_PER_S;
    if (p->refused || runtime_pod_stop(k->rt, p->started->uid, grace_ns) == -ENOENT)
        ended(k, p);
}

static bool same_labels(const struct labels *a, const struct labels *b)
{
    return a->n == b->n && labels_match(a, b);
}

/* downwardAPI files show the present labels and annotations. */
static void relabel(struct kubelet *k, struct running *p, struct record *r)
{
    struct object_meta *shown = &p->started->object->meta;
    const struct object_meta *now = &r->object->meta;
    if (r == p->labelled)
        return;
    bool same = same_labels(&shown->labels, &now->labels) && same_labels(&shown->annotations, &now->annotations);
    record_ref(r);
    shown->labels = now->labels;
    shown->annotations = now->annotations;
    record_unref(p->labelled);
    p->labelled = r;
    if (!same)
        (void)runtime_pod_meta_changed(k->rt, p->started->uid);
}

static void sync_pod(struct kubelet *k, struct record *r)
{
    struct running *p = map_get(&k->pods, r->uid);
    bool finished = view_is(record_pod(r)->phase, "Succeeded") || view_is(record_pod(r)->phase, "Failed");
    if (r->object->meta.deleting) {
        if (!p)
            store_remove(k->cluster->store, KIND_POD, r->ns, r->name);
        else if (!p->stopping)
            stop(k, p, r);
        return;
    }
    if (p)
        relabel(k, p, r);
    else if (!finished && !k->cluster->ending)
        start(k, r);
}

/* Pods that left the store without being asked to end. */
static void sync_lost(struct kubelet *k)
{
    bool found = true;
    while (found) {
        found = false;
        MAP_EACH (&k->pods, it) {
            struct running *p = it->value;
            if (!p->stopping && !record_of(k, p)) {
                stop(k, p, NULL);
                found = true;
                break;
            }
        }
    }
}

/* What changed since the last time: are there new rules or names to give? Mounted items follow at once. */
static bool look_at_changes(struct kubelet *k)
{
    const struct store_event *e;
    int err;
    bool services = false;
    while ((e = store_event(k->cluster->store, k->seen, &err))) {
        k->seen = e->version;
        enum mesh_kind kind = e->record->kind;
        if (kind == KIND_CONFIG_MAP || kind == KIND_SECRET)
            runtime_items_changed(k->rt, kind == KIND_SECRET ? RUNTIME_SECRET : RUNTIME_CONFIG_MAP, e->record->ns,
                                  e->record->name);
        services = services || kind == KIND_SERVICE || kind == KIND_ENDPOINT_SLICE || kind == KIND_ENDPOINTS;
    }
    if (err)
        k->seen = store_version(k->cluster->store);
    return services || err;
}

void kubelet_sync(struct kubelet *k)
{
    struct arena a;
    arena_init(&a, 16 * 1024);
    if (look_at_changes(k) || !k->services_given) {
        struct runtime_services table = service_table(k->cluster->store, &a);
        runtime_services_set(k->rt, &table);
        k->services_given = true;
    }
    size_t n;
    struct record **pods = store_list(k->cluster->store, KIND_POD, VIEW_NONE, &a, &n);
    for (size_t i = 0; i < n; i++)
        sync_pod(k, pods[i]);
    sync_lost(k);
    arena_done(&a);
}
