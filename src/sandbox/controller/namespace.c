// SPDX-License-Identifier: Apache-2.0
/* Namespaces: each has service account `default` and ConfigMap `istio-ca-root-cert` (what proxies trust the control
 * plane by: made here, so that it is there before the control plane, which keeps it right from then on). One that is
 * deleted takes its content along, pods in order, and goes when it is empty. Here too: garbage,
 * the objects whose owner is gone.
 */
#include "sandbox/cluster.h"

#include "wire/node.h"

static void ensure_account(struct cluster *c, struct view ns)
{
    if (store_get(c->store, KIND_SERVICE_ACCOUNT, ns, VIEW("default")))
        return;
    struct node *tree = tree_new(&c->round, VIEW("v1"), VIEW("ServiceAccount"), ns, VIEW("default"));
    int err = store_write(c->store, &(struct store_put){.tree = tree, .create = true}, NULL, NULL);
    (void)odd(err == 0);
}

static void ensure_root(struct cluster *c, struct view ns)
{
    if (!c->root_cert.n || store_get(c->store, KIND_CONFIG_MAP, ns, VIEW("istio-ca-root-cert")))
        return;
    struct arena *a = &c->round;
    struct node *tree = tree_new(a, VIEW("v1"), VIEW("ConfigMap"), ns, VIEW("istio-ca-root-cert"));
    node_set(a, node_make(a, node_get(tree, VIEW("metadata")), "labels", NODE_MAP), VIEW("istio.io/config"),
             node_str(a, VIEW("true")));
    node_set(a, node_make(a, tree, "data", NODE_MAP), VIEW("root-cert.pem"), node_str(a, c->root_cert));
    int err = store_write(c->store, &(struct store_put){.tree = tree}, NULL, NULL);
    (void)odd(err == 0);
}

static void empty_out(struct cluster *c, const struct record *r)
{
    size_t left = 0;
    for (int kind = 0; kind < MESH_KINDS; kind++) {
        if (!mesh_kinds[kind].namespaced)
            continue;
        size_t n;
        struct record **all = store_list(c->store, (enum mesh_kind)kind, r->name, &c->round, &n);
        for (size_t i = 0; i < n; i++)
            (void)cluster_delete(c, (enum mesh_kind)kind, all[i]->ns, all[i]->name, -1);
        left += kind == KIND_POD ? n : 0;
    }
    if (!left)
        store_remove(c->store, KIND_NAMESPACE, VIEW_NONE, r->name);
}

void namespace_reconcile(struct cluster *c)
{
    CLUSTER_EACH(c, KIND_NAMESPACE, r)
    {
        if (r->object->meta.deleting) {
            empty_out(c, r);
            continue;
        }
        ensure_account(c, r->name);
        ensure_root(c, r->name);
    }
}

static bool owner_lives(struct cluster *c, const struct record *r)
{
    const struct object_meta *meta = &r->object->meta;
    if (!meta->n_owners)
        return true;
    for (uint32_t i = 0; i < meta->n_owners; i++) {
        enum mesh_kind kind;
        if (mesh_kind_of(meta->owners[i].api_version, meta->owners[i].kind, &kind))
            return true; /* not ours to judge */
        const struct record *owner = store_get(c->store, kind, r->ns, meta->owners[i].name);
        if (owner && view_eq(owner->uid, meta->owners[i].uid))
            return true;
    }
    return false;
}

void garbage_reconcile(struct cluster *c)
{
    for (int kind = 0; kind < MESH_KINDS; kind++)
        CLUSTER_EACH(c, (enum mesh_kind)kind, r)
    if (!owner_lives(c, r))
        (void)cluster_delete(c, r->kind, r->ns, r->name, -1);
}
