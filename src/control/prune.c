// SPDX-License-Identifier: Apache-2.0
/* See prune.h: what is kept of each kind is a list of paths; `*` is any element of a list, and a path keeps all below it.
 * A new reader of a field in mesh/, compile/ or control/ adds its path here.
 */
#include "control/prune.h"

#include "base/must.h"

enum { MOST_PATHS = 48 };

#define META                                                                                                           \
    "apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion",           \
        "metadata.generation", "metadata.creationTimestamp", "metadata.deletionTimestamp", "metadata.generateName",    \
        "metadata.labels", "metadata.annotations", "metadata.ownerReferences"

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
    if (node_is(annotations, NODE_MAP))
        node_del(annotations, VIEW("kubectl.kubernetes.io/last-applied-configuration"));
}
