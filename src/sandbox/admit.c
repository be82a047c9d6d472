// SPDX-License-Identifier: Apache-2.0
/* Checks, defaults and injection on the way into the store (admit.h). What is refused is told in one diagnostic with
 * the place in the file that it came from; the store keeps what it had.
 */
#include "sandbox/admit.h"

#include <errno.h>
#include <string.h>

#include "mesh/core.h"
#include "mesh/mesh_config.h"
#include "mesh/parse.h"
#include "mesh/service.h"
#include "sandbox/service_ip.h"
#include "wire/node.h"

struct admission {
    struct cluster *c;
    struct arena *a;
    struct diags *d;
    const struct object *object; /* what came, decoded */
    const struct record *old;    /* what is there, or NULL */
    struct node *tree;           /* what will be written */
};

static int refuse(struct admission *x, const char *code, struct view title, struct view hint)
{
    struct diag *one = diag_add(x->d, DIAG_ERROR, code, &x->object->at);
    one->title = title;
    one->hint = hint;
    one->effect = x->old ? VIEW("rejected; the last good one stays") : VIEW("rejected");
    return -EINVAL;
}

static int check_namespace(struct admission *x)
{
    if (!mesh_kinds[x->object->kind].namespaced)
        return 0;
    struct view ns = x->object->meta.ns;
    const struct record *r = store_get(x->c->store, KIND_NAMESPACE, VIEW_NONE, ns);
    if (r && (!r->object->meta.deleting || x->old))
        return 0;
    struct view title = r ? diag_text(x->d, "namespace `%.*s` is being deleted", VIEW_ARGS(ns))
                          : diag_text(x->d, "namespace `%.*s` does not exist", VIEW_ARGS(ns));
    struct view hint = r ? VIEW("wait until it is gone, then create it again")
                         : VIEW("add a Namespace object to the manifest, or correct metadata.namespace");
    return refuse(x, "WEFT0301", title, hint);
}

static int admit_service(struct admission *x)
{
    struct view why = VIEW_NONE;
    node_set_str(x->a, node_make(x->a, x->tree, "metadata", NODE_MAP), "namespace", x->object->meta.ns);
    if (service_ip_assign(x->c, x->a, x->tree, x->old, &why) == 0)
        return 0;
    struct view ip = node_text_at(x->tree, "spec.clusterIP");
    return refuse(x, "WEFT0302",
                  diag_text(x->d, "spec.clusterIP %.*s cannot be given: %.*s", VIEW_ARGS(ip), VIEW_ARGS(why)),
                  VIEW("leave spec.clusterIP out to get a free address"));
}

static void default_str(struct arena *a, struct node *map, const char *key, const char *value)
{
    if (!node_get(map, view_of(key)))
        node_set_str(a, map, key, view_of(value));
}

static void default_pod(struct admission *x, struct node *spec)
{
    default_str(x->a, spec, "restartPolicy", "Always");
    default_str(x->a, spec, "dnsPolicy", "ClusterFirst");
    default_str(x->a, spec, "serviceAccountName", "default");
    default_str(x->a, spec, "nodeName", "sandbox");
    if (!node_get(spec, VIEW("terminationGracePeriodSeconds")))
        node_set_int(x->a, spec, "terminationGracePeriodSeconds", 30);
}

/* Injection as the webhook does it, with the MeshConfig of this moment. */
static int inject(struct admission *x)
{
    struct view ns = x->object->meta.ns;
    const struct record *space = store_get(x->c->store, KIND_NAMESPACE, VIEW_NONE, ns);
    const struct labels none = {0}, *labels = space ? &space->object->meta.labels : &none;
    struct inject_config config = x->c->inject;
    if (!inject_decide(labels, ns, x->tree, &config).inject)
        return 0;
    const struct record *settings = store_get(x->c->store, KIND_CONFIG_MAP, config.root_ns, VIEW("istio"));
    struct mesh_config *mesh = NULL;
    struct diags ignored; /* a bad MeshConfig was told when it was applied: the defaults hold */
    diags_init(&ignored, x->a);
    if (settings && mesh_config_parse(x->a, &ignored, OBJECT_AS(settings->object, CONFIG_MAP, config_map), &mesh) == 0)
        config.mesh = mesh;
    return inject_pod(x->a, x->d, x->tree, ns, &config, &x->tree);
}

static int admit_pod(struct admission *x)
{
    struct node *spec = node_make(x->a, x->tree, "spec", NODE_MAP);
    if (x->old) {
        if (node_eq(spec, node_get(x->old->tree, VIEW("spec"))))
            return 0;
        return refuse(x, "WEFT0303",
                      diag_text(x->d, "the spec of pod `%.*s` cannot be changed while it exists",
                                VIEW_ARGS(x->object->meta.name)),
                      VIEW("delete the pod and apply again, or use a Deployment, which replaces its pods"));
    }
    default_pod(x, spec);
    struct view account = node_text_at(spec, "serviceAccountName");
    if (!store_get(x->c->store, KIND_SERVICE_ACCOUNT, x->object->meta.ns, account) && !view_is(account, "default"))
        return refuse(x, "WEFT0304",
                      diag_text(x->d,
                                "pod `%.*s` names service account `%.*s`, which does not exist in namespace `%.*s`",
                                VIEW_ARGS(x->object->meta.name), VIEW_ARGS(account), VIEW_ARGS(x->object->meta.ns)),
                      VIEW("apply the ServiceAccount; the pod is made as soon as it is there"));
    return inject(x);
}

static int admit_selector(struct admission *x)
{
    if (!x->old || node_eq(node_at(x->tree, "spec.selector"), node_at(x->old->tree, "spec.selector")))
        return 0;
    struct view kind = mesh_kinds[x->object->kind].kind;
    return refuse(x, "WEFT0305",
                  diag_text(x->d, "spec.selector of %.*s `%.*s` cannot be changed", VIEW_ARGS(kind),
                            VIEW_ARGS(x->object->meta.name)),
                  VIEW("delete the workload and apply again, or give it another name"));
}

static int (*const by_kind[MESH_KINDS])(struct admission *x) = {
    [KIND_SERVICE] = admit_service,     [KIND_POD] = admit_pod,
    [KIND_DEPLOYMENT] = admit_selector, [KIND_STATEFUL_SET] = admit_selector,
    [KIND_DAEMON_SET] = admit_selector,
};

static int admit(struct admission *x, const struct store_put *put, struct record **ret_record)
{
    struct mesh_source src = {0};
    if (put->manifest)
        src = (struct mesh_source){.file = put->manifest->file, .text = put->manifest->text};
    struct object *object;
    int err = mesh_decode(x->a, x->d, &src, put->tree, &object);
    if (err)
        return err;
    x->object = object;
    x->old = store_get(x->c->store, object->kind, object->meta.ns, object->meta.name);
    if (put->create && x->old)
        return -EEXIST;
    err = check_namespace(x);
    if (err)
        return err;
    x->tree = node_copy(x->a, put->tree);
    if (mesh_kinds[object->kind].namespaced)
        node_set_str(x->a, node_make(x->a, x->tree, "metadata", NODE_MAP), "namespace", object->meta.ns);
    if (put->mode == STORE_SPEC && by_kind[object->kind])
        err = by_kind[object->kind](x);
    if (err)
        return err;
    struct store_put final = *put;
    final.tree = x->tree;
    return store_write(x->c->store, &final, x->d, ret_record);
}

int admit_write(struct cluster *c, const struct store_put *put, struct diags *d, struct record **ret_record)
{
    struct admission x = {.c = c, .a = d->arena, .d = d}; /* what d says borrows from the trees made here */
    return admit(&x, put, ret_record);
}

struct node *merge_patch(struct arena *a, const struct node *tree, const struct node *patch)
{
    if (!node_is(patch, NODE_MAP))
        return node_copy(a, patch);
    struct node *out = node_is(tree, NODE_MAP) ? node_copy(a, tree) : node_new(a, NODE_MAP);
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct node_field *f = &patch->fields[i];
        if (node_is(f->value, NODE_NULL))
            node_del(out, f->key);
        else
            node_set(a, out, arena_view(a, f->key), merge_patch(a, node_get(out, f->key), f->value));
    }
    return out;
}

struct node *merge_three(struct arena *a, const struct node *last, const struct node *now, const struct node *live)
{
    if (!node_is(now, NODE_MAP) || !node_is(live, NODE_MAP))
        return node_copy(a, now);
    struct node *out = node_copy(a, live);
    for (uint32_t i = 0; node_is(last, NODE_MAP) && i < last->n; i++)
        if (!node_get(now, last->fields[i].key))
            node_del(out, last->fields[i].key);
    for (uint32_t i = 0; i < now->n; i++) {
        const struct node_field *f = &now->fields[i];
        node_set(a, out, arena_view(a, f->key),
                 merge_three(a, node_get(last, f->key), f->value, node_get(out, f->key)));
    }
    return out;
}
