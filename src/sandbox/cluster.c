// SPDX-License-Identifier: Apache-2.0
/* One round of all controllers, and the moves that they share (cluster.h). */
#include "sandbox/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sandbox/admit.h"
#include "wire/node.h"

enum { ROUNDS = 64 }; /* of one run: a chain Deployment → ReplicaSet → Pod → EndpointSlice needs four */

void cluster_init(struct cluster *c, struct store *store)
{
    *c = (struct cluster){.store = store, .inject = inject_config_default()};
    arena_init(&c->round, 64 * 1024);
    c->now = clock_wall();
    c->again = UINT64_MAX;
}

void cluster_done(struct cluster *c)
{
    arena_done(&c->round);
}

void cluster_again(struct cluster *c, uint64_t wall_ns)
{
    if (wall_ns < c->again)
        c->again = wall_ns;
}

int cluster_bootstrap(struct cluster *c)
{
    static const char *const names[] = {"default", "istio-system", "kube-system"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct node *tree = tree_new(&c->round, VIEW("v1"), VIEW("Namespace"), VIEW_NONE, view_of(names[i]));
        struct node *labels = node_make(&c->round, node_get(tree, VIEW("metadata")), "labels", NODE_MAP);
        node_set_str(&c->round, labels, "kubernetes.io/metadata.name", view_of(names[i]));
        int err = store_write(c->store, &(struct store_put){.tree = tree, .create = true}, NULL, NULL);
        if (err)
            return err;
    }
    return 0;
}

void cluster_run(struct cluster *c)
{
    c->now = clock_wall();
    c->again = UINT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t before = store_version(c->store);
#define RECONCILE(name) name##_reconcile(c);
        CONTROLLERS(RECONCILE)
#undef RECONCILE
        arena_clear(&c->round);
        if (store_version(c->store) == before)
            return;
    }
    (void)odd(!"controllers did not settle");
    cluster_again(c, c->now + NS_PER_S);
}

int cluster_delete(struct cluster *c, enum mesh_kind kind, struct view ns, struct view name, int64_t grace_s)
{
    struct record *r = store_get(c->store, kind, ns, name);
    if (!r)
        return -ENOENT;
    if (kind != KIND_POD && kind != KIND_NAMESPACE) {
        store_remove(c->store, kind, ns, name);
        return 0;
    }
    if (r->object->meta.deleting)
        return 0;
    struct arena a;
    arena_init(&a, 0);
    struct node *tree = node_copy(&a, r->tree), *meta = node_get(tree, VIEW("metadata"));
    node_set_str(&a, meta, "deletionTimestamp", tree_time(&a, clock_wall()));
    if (kind == KIND_POD) {
        const struct pod *pod = record_pod(r);
        int64_t own = pod->spec.termination_grace_s.set ? pod->spec.termination_grace_s.value : 30;
        node_set_int(&a, meta, "deletionGracePeriodSeconds", grace_s < 0 ? own : grace_s);
    }
    int err = store_write(c->store, &(struct store_put){.tree = tree}, NULL, NULL);
    arena_done(&a);
    return err;
}

static bool owned_by(const struct record *r, const struct record *owner)
{
    const struct object_meta *meta = &r->object->meta;
    for (uint32_t i = 0; i < meta->n_owners; i++)
        if (meta->owners[i].controller && view_eq(meta->owners[i].uid, owner->uid))
            return true;
    return false;
}

struct record **cluster_owned(struct cluster *c, enum mesh_kind kind, const struct record *owner, size_t *ret_n)
{
    size_t n, kept = 0;
    struct record **all = store_list(c->store, kind, owner->ns, &c->round, &n);
    for (size_t i = 0; i < n; i++)
        if (owned_by(all[i], owner))
            all[kept++] = all[i];
    *ret_n = kept;
    return all;
}

void cluster_set_status(struct cluster *c, const struct record *r, struct node *status)
{
    const struct node *was = node_get(r->tree, VIEW("status"));
    if (was && node_eq(was, status))
        return;
    struct node *tree =
        tree_new(&c->round, node_text_at(r->tree, "apiVersion"), node_text_at(r->tree, "kind"), r->ns, r->name);
    node_set(&c->round, tree, VIEW("status"), status);
    int err = store_write(c->store, &(struct store_put){.tree = tree, .mode = STORE_STATUS}, NULL, NULL);
    (void)odd(err == 0 || err == -ENOENT);
}

/* The template's metadata (labels and annotations only) with ours on top. */
static void copy_metadata(struct arena *a, struct node *tree, const struct cluster_pod *p)
{
    const struct node *from = node_get(p->template->part.node, VIEW("metadata"));
    struct node *meta = node_get(tree, VIEW("metadata"));
    static const char *const parts[] = {"labels", "annotations"};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const struct node *part = node_get(from, view_of(parts[i]));
        if (part)
            node_set(a, meta, view_of(parts[i]), node_copy(a, part));
    }
    struct node *labels = node_make(a, meta, "labels", NODE_MAP);
    for (size_t i = 0; i < p->n_labels; i++)
        node_set(a, labels, arena_view(a, p->labels[i].key), node_str(a, arena_view(a, p->labels[i].value)));
}

bool cluster_make_pod(struct cluster *c, const struct cluster_pod *p)
{
    if (c->ending)
        return false;
    struct arena *a = &c->round;
    struct node *tree = tree_new(a, VIEW("v1"), VIEW("Pod"), p->owner->ns, p->name);
    copy_metadata(a, tree, p);
    tree_own(a, tree, p->owner);
    const struct node *spec_of = node_get(p->template->part.node, VIEW("spec"));
    struct node *spec = spec_of ? node_copy(a, spec_of) : node_new(a, NODE_MAP);
    node_set(a, tree, VIEW("spec"), spec);
    if (p->hostname.n)
        node_set_str(a, spec, "hostname", p->hostname);
    if (p->subdomain.n)
        node_set_str(a, spec, "subdomain", p->subdomain);
    if (p->restart_policy)
        node_set_str(a, spec, "restartPolicy", view_of(p->restart_policy));
    struct diags d;
    diags_init(&d, a);
    int err =
        admit_write(c, &(struct store_put){.tree = tree, .create = true, .manifest = p->owner->manifest}, &d, NULL);
    if (!err)
        return true;
    cluster_again(c, c->now + NS_PER_S);
    struct buf text = {0};
    diags_print(&d, &text, false);
    uint64_t hash = view_hash(buf_read(&text));
    if (hash != c->warned && c->warn)
        c->warn(c->arg, &d);
    c->warned = hash;
    buf_done(&text);
    return false;
}

bool pod_active(const struct record *r)
{
    struct view phase = record_pod(r)->phase;
    return !r->object->meta.deleting && !view_is(phase, "Succeeded") && !view_is(phase, "Failed");
}

/* lastTransitionTime of a condition; 0 when unknown. */
static uint64_t condition_since(const struct record *r, const char *type)
{
    const struct node *all = node_at(r->tree, "status.conditions");
    uint64_t at = 0;
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++)
        if (view_is(node_text_at(all->items[i], "type"), type) &&
            clock_parse_time(node_text_at(all->items[i], "lastTransitionTime"), &at) == 0)
            return at;
    return 0;
}

bool pod_available(struct cluster *c, const struct record *r, uint32_t min_ready_s)
{
    if (!pod_active(r) || !pod_is_ready(record_pod(r)))
        return false;
    if (!min_ready_s)
        return true;
    uint64_t due = condition_since(r, "Ready") + min_ready_s * NS_PER_S;
    if (due <= c->now)
        return true;
    cluster_again(c, due);
    return false;
}

/* As Kubernetes' SafeEncodeString over FNV-1a: digits become letters that form no words. */
struct view template_hash(struct arena *a, const struct pod_template *t)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    struct buf json = {0};
    node_print_json(t->part.node, &json);
    struct view text = buf_read(&json);
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < text.n; i++)
        h = (h ^ (uint8_t)text.p[i]) * 16777619u;
    buf_done(&json);
    char digits[16];
    int n = snprintf(digits, sizeof(digits), "%u", h);
    for (int i = 0; i < n; i++)
        digits[i] = letters[digits[i] % (int)(sizeof(letters) - 1)];
    return arena_view(a, view_make(digits, (size_t)n));
}

struct node *tree_new(struct arena *a, struct view api_version, struct view kind, struct view ns, struct view name)
{
    struct node *tree = node_new(a, NODE_MAP);
    node_set_str(a, tree, "apiVersion", arena_view(a, api_version));
    node_set_str(a, tree, "kind", arena_view(a, kind));
    struct node *meta = node_make(a, tree, "metadata", NODE_MAP);
    node_set_str(a, meta, "name", arena_view(a, name));
    if (ns.n)
        node_set_str(a, meta, "namespace", arena_view(a, ns));
    return tree;
}

void tree_own(struct arena *a, struct node *tree, const struct record *owner)
{
    struct node *list = node_make(a, node_get(tree, VIEW("metadata")), "ownerReferences", NODE_SEQ);
    struct node *ref = node_new(a, NODE_MAP);
    node_set_str(a, ref, "apiVersion", arena_view(a, node_text_at(owner->tree, "apiVersion")));
    node_set_str(a, ref, "kind", arena_view(a, node_text_at(owner->tree, "kind")));
    node_set_str(a, ref, "name", arena_view(a, owner->name));
    node_set_str(a, ref, "uid", arena_view(a, owner->uid));
    node_set_bool(a, ref, "controller", true);
    node_set_bool(a, ref, "blockOwnerDeletion", true);
    node_push(a, list, ref);
}

struct view tree_time(struct arena *a, uint64_t wall_ns)
{
    struct buf b = {0};
    clock_print_time(&b, wall_ns);
    struct view v = buf_read(&b);
    v = arena_printf(a, "%.*sZ", (int)view_find(v, '.'), v.p); /* Kubernetes writes whole seconds */
    buf_done(&b);
    return v;
}

void tree_condition(struct arena *a, struct node *status, const struct record *was, const char *type, bool value,
                    const char *reason, struct view message, uint64_t now)
{
    const struct node *old = NULL, *all = was ? node_at(was->tree, "status.conditions") : NULL;
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++)
        if (view_is(node_text_at(all->items[i], "type"), type))
            old = all->items[i];
    struct view text = value ? VIEW("True") : VIEW("False");
    bool same = old && view_eq(node_text_at(old, "status"), text);
    struct view since = same ? arena_view(a, node_text_at(old, "lastTransitionTime")) : tree_time(a, now);
    struct node *one = node_new(a, NODE_MAP);
    node_set_str(a, one, "type", view_of(type));
    node_set_str(a, one, "status", text);
    node_set_str(a, one, "lastTransitionTime", since);
    if (reason)
        node_set_str(a, one, "reason", view_of(reason));
    if (message.n)
        node_set_str(a, one, "message", arena_view(a, message));
    node_push(a, node_make(a, status, "conditions", NODE_SEQ), one);
}
