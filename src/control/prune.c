// SPDX-License-Identifier: Apache-2.0
/* See prune.h: what is kept of each kind is a list of paths; `*` is any element of a list, and a path keeps all below it.
 * A new reader of a field in mesh/, compile/ or control/ adds its path here.
 */
#include "control/prune.h"

#include "base/must.h"
#include "mesh/pod.h"

enum { MOST_PATHS = 48 };

#define META                                                                                                           \
    "apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid", "metadata.creationTimestamp",         \
        "metadata.deletionTimestamp", "metadata.generateName", "metadata.labels", "metadata.annotations",              \
        "metadata.ownerReferences"

static const char *const pod_paths[] = {META,
                                        "spec.serviceAccountName",
                                        "spec.nodeName",
                                        "spec.hostname",
                                        "spec.subdomain",
                                        "spec.hostNetwork",
                                        "spec.containers.*.name",
                                        "spec.containers.*.image",
                                        "spec.containers.*.ports",
                                        "spec.initContainers.*.name",
                                        "spec.initContainers.*.image",
                                        "spec.initContainers.*.ports",
                                        "spec.initContainers.*.restartPolicy",
                                        "status.phase",
                                        "status.podIP",
                                        "status.podIPs",
                                        "status.conditions.*.type",
                                        "status.conditions.*.status",
                                        NULL};
static const char *const slice_paths[] = {META,
                                          "addressType",
                                          "ports",
                                          "endpoints.*.addresses",
                                          "endpoints.*.conditions",
                                          "endpoints.*.hostname",
                                          "endpoints.*.nodeName",
                                          "endpoints.*.zone",
                                          "endpoints.*.targetRef.kind",
                                          "endpoints.*.targetRef.name",
                                          "endpoints.*.targetRef.namespace",
                                          NULL};
static const char *const namespace_paths[] = {META, "status.phase", NULL};

static const char *const *paths_of(enum mesh_kind kind)
{
    return kind == KIND_POD              ? pod_paths
           : kind == KIND_ENDPOINT_SLICE ? slice_paths
           : kind == KIND_NAMESPACE      ? namespace_paths
                                         : NULL;
}

/* paths: what is left of each path that leads here; n of them. */
static void keep_only(struct node *n, const char *const *paths, uint32_t n_paths);

static void keep_below(struct node *value, struct view key, const char *const *paths, uint32_t n_paths, bool *ret_keep)
{
    const char *rest[MOST_PATHS];
    uint32_t n = 0;

    for (uint32_t i = 0; i < n_paths; i++) {
        struct view path = view_of(paths[i]), first = view_head(path, view_find(path, '.'));
        if (!view_eq(first, key) && !view_is(first, "*"))
            continue;
        *ret_keep = true;
        if (first.n == path.n)
            return; /* all of it */
        rest[n++] = paths[i] + first.n + 1;
    }
    if (n)
        keep_only(value, rest, n);
}

static void keep_only(struct node *n, const char *const *paths, uint32_t n_paths)
{
    if (n->type == NODE_SEQ)
        for (uint32_t i = 0; i < n->n; i++) {
            bool keep = false;
            keep_below(n->items[i], VIEW("*"), paths, n_paths, &keep);
        }
    if (n->type != NODE_MAP)
        return;
    for (uint32_t i = n->n; i-- > 0;) {
        bool keep = false;
        keep_below(n->fields[i].value, n->fields[i].key, paths, n_paths, &keep);
        if (!keep)
            node_del(n, n->fields[i].key);
    }
}

void prune_object(enum mesh_kind kind, struct node *tree)
{
    const char *const *paths = paths_of(kind);
    struct node *meta = node_get(tree, VIEW("metadata")), *annotations = node_get(meta, VIEW("annotations"));
    uint32_t n = 0;

    while (paths && paths[n])
        n++;
    must(n <= MOST_PATHS);
    if (paths)
        keep_only(tree, paths, n);
    else if (node_is(meta, NODE_MAP))
        node_del(meta, VIEW("managedFields"));
    if (kind == KIND_POD && node_get(annotations, VIEW("sidecar.istio.io/status")))
        *node_get(annotations, VIEW("sidecar.istio.io/status")) = (struct node){.type = NODE_STR, .text = VIEW("{}")};
    if (node_is(annotations, NODE_MAP))
        node_del(annotations, VIEW("kubectl.kubernetes.io/last-applied-configuration"));
}

static bool same_but(const struct node *a, const struct node *b, struct view but, struct view nested)
{
    if (!node_is(a, NODE_MAP) || !node_is(b, NODE_MAP))
        return node_eq(a, b);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct node_field *f = &a->fields[i];
        const struct node *other = node_get(b, f->key);
        if (view_eq(f->key, but))
            continue;
        if (!other ||
            !(nested.n && view_eq(f->key, nested) ? same_but(f->value, other, VIEW("resourceVersion"), VIEW_NONE)
                                                  : node_eq(f->value, other)))
            return false;
    }
    return a->n - (node_get(a, but) != NULL) == b->n - (node_get(b, but) != NULL);
}

/* Equal, but for what changes without a meaning. */
bool prune_same(const struct node *a, const struct node *b)
{
    return same_but(a, b, VIEW("status"), VIEW("metadata"));
}

/* Texts only: the nodes stay where they are. */
static void own_texts(struct arena *a, struct node *n)
{
    if (n->type == NODE_SEQ) {
        for (uint32_t i = 0; i < n->n; i++)
            own_texts(a, n->items[i]);
    } else if (n->type == NODE_MAP) {
        for (uint32_t i = 0; i < n->n; i++) {
            n->fields[i].key = arena_view(a, n->fields[i].key);
            own_texts(a, n->fields[i].value);
        }
    } else {
        n->text = arena_view(a, n->text);
    }
}

struct node *prune_own(struct arena *a, enum mesh_kind kind, struct node *tree)
{
    if (!paths_of(kind))
        return node_copy(a, tree);
    own_texts(a, tree);
    return tree;
}

static void forget_containers(struct container *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        list[i].part.node = NULL;
        for (uint32_t k = 0; k < list[i].n_ports; k++)
            list[i].ports[k].part.node = NULL;
    }
}

void prune_decoded(struct object *o)
{
    struct pod *p = OBJECT_AS(o, POD, pod);

    if (!paths_of(o->kind))
        return;
    o->node = NULL;
    if (!p)
        return;
    forget_containers(p->spec.containers, p->spec.n_containers);
    forget_containers(p->spec.init_containers, p->spec.n_init_containers);
}

bool prune_all(enum mesh_kind kind)
{
    return paths_of(kind) != NULL;
}

uint64_t prune_hash(const struct node *tree)
{
    struct buf text = {0};
    uint64_t hash;

    node_print_json(tree, &text);
    hash = view_hash(buf_read(&text));
    buf_done(&text);
    return hash;
}
