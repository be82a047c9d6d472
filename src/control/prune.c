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
static const char *const service_paths[] = {META,
                                            "spec.type",
                                            "spec.clusterIP",
                                            "spec.clusterIPs",
                                            "spec.externalIPs",
                                            "spec.selector",
                                            "spec.ports",
                                            "spec.externalName",
                                            "spec.sessionAffinity",
                                            "spec.publishNotReadyAddresses",
                                            NULL};

static const char *const *paths_of(enum mesh_kind kind)
{
    return kind == KIND_POD              ? pod_paths
           : kind == KIND_ENDPOINT_SLICE ? slice_paths
           : kind == KIND_NAMESPACE      ? namespace_paths
           : kind == KIND_SERVICE        ? service_paths
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

static bool has_named_port(const struct node *container)
{
    const struct node *ports = node_get(container, VIEW("ports"));

    for (uint32_t i = 0; node_is(ports, NODE_SEQ) && i < ports->n; i++)
        if (node_get(ports->items[i], VIEW("name")))
            return true;
    return false;
}

/* Containers are asked for their named ports and nothing else (pod_port). A pod without any would not decode. */
static void keep_named_ports(struct node *list, uint32_t least)
{
    uint32_t n = 0;

    if (!node_is(list, NODE_SEQ))
        return;
    for (uint32_t i = 0; i < list->n; i++)
        if (has_named_port(list->items[i]) || i < least)
            list->items[n++] = list->items[i];
    list->n = n;
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
    if (kind == KIND_POD) {
        keep_named_ports(node_at(tree, "spec.containers"), 1);
        keep_named_ports(node_at(tree, "spec.initContainers"), 0);
    }
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

/* Maps whose keys are the user's words. All other keys are names of fields, and nothing decoded points to them. */
static bool has_own_keys(struct view name)
{
    return view_is(name, "labels") || view_is(name, "annotations") || view_is(name, "selector");
}

/* Texts only: the nodes stay where they are. */
static void own_texts(struct arena *a, struct node *n, bool keys)
{
    if (n->type == NODE_SEQ) {
        for (uint32_t i = 0; i < n->n; i++)
            own_texts(a, n->items[i], false);
    } else if (n->type == NODE_MAP) {
        for (uint32_t i = 0; i < n->n; i++) {
            struct node_field *f = &n->fields[i];
            if (keys)
                f->key = arena_view(a, f->key);
            own_texts(a, f->value, !keys && has_own_keys(f->key));
        }
    } else {
        n->text = arena_view(a, n->text);
    }
}

struct node *prune_own(struct arena *a, enum mesh_kind kind, struct node *tree)
{
    if (!paths_of(kind))
        return node_copy(a, tree);
    own_texts(a, tree, false);
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
    struct service *s = OBJECT_AS(o, SERVICE, service);

    if (!paths_of(o->kind))
        return;
    o->node = NULL;
    for (uint32_t i = 0; s && i < s->n_ports; i++)
        s->ports[i].part.node = NULL;
    if (p) {
        forget_containers(p->spec.containers, p->spec.n_containers);
        forget_containers(p->spec.init_containers, p->spec.n_init_containers);
    }
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
