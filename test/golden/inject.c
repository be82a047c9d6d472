// SPDX-License-Identifier: Apache-2.0
/* Golden cases of injection: a file holds a pod, before it if it matters its Namespace, the MeshConfig and a first
 * comment `# native: false` for classic sidecars, and ConfigMap istio-sidecar-injector where the settings of a Kubernetes
 * installation matter. The golden file says what decided, then holds the injected pod or the diagnostics.
 */
#include "cases.h"

#include "inject/settings.h"
#include "mesh/core.h"
#include "mesh/parse.h"

static void inject_one(struct arena *a, struct diags *d, const struct object *pod, const struct labels *ns_labels,
                       const struct inject_config *c, struct buf *out)
{
    struct inject_decision why = inject_decide(ns_labels, pod->meta.ns, pod->node, c);
    struct node *result, *again;
    buf_printf(out, "# %s: %s\n", why.inject ? "injected" : "not injected", why.why);
    if (!why.inject || inject_pod(a, d, pod->node, pod->meta.ns, c, &result) < 0)
        return;
    node_print_yaml(result, out);
    if (inject_pod(a, d, result, pod->meta.ns, c, &again) < 0 || !node_eq(result, again))
        buf_str(out, "# WRONG: a second injection changes it\n");
    struct object *decoded;
    if (mesh_decode(a, d, NULL, result, &decoded) < 0)
        buf_str(out, "# WRONG: the result is not a valid pod\n");
}

/* The settings of an installation on Kubernetes; classic or native stays as the case says. */
static void read_settings(struct arena *a, struct diags *d, const struct config_map *cm, struct inject_config *c)
{
    bool native = c->native_sidecars;
    struct inject_settings text = {.values = labels_get(&cm->data, VIEW("values")),
                                   .config = labels_get(&cm->data, VIEW("config"))};
    const struct mesh_config *mesh = c->mesh;
    if (inject_settings_read(a, d, &cm->o.at, &text, c) < 0)
        return;
    c->native_sidecars = native;
    c->mesh = mesh;
}

static void produce(struct view name, struct view text, struct buf *out)
{
    struct arena a;
    struct diags d;
    struct object_list objects = {0};
    struct labels ns_labels = {0};
    struct mesh_config *mesh = NULL;
    struct inject_config c = inject_config_default();
    arena_init(&a, 0);
    diags_init(&d, &a);
    c.native_sidecars = !view_starts(text, VIEW("# native: false\n"));
    if (mesh_parse(&a, &d, &(struct mesh_source){.file = name, .text = text}, &objects) < 0)
        buf_str(out, "# the case itself is wrong\n");
    for (uint32_t i = 0; i < objects.n; i++) {
        const struct object *o = objects.list[i];
        if (o->kind == KIND_NAMESPACE)
            ns_labels = o->meta.labels;
        else if (o->kind == KIND_CONFIG_MAP && view_is(o->meta.name, "istio-sidecar-injector"))
            read_settings(&a, &d, OBJECT_AS(o, CONFIG_MAP, config_map), &c);
        else if (o->kind == KIND_CONFIG_MAP &&
                 mesh_config_parse(&a, &d, OBJECT_AS(o, CONFIG_MAP, config_map), &mesh) == 0)
            c.mesh = mesh;
        else if (o->kind == KIND_POD)
            inject_one(&a, &d, o, &ns_labels, &c, out);
    }
    diags_print(&d, out, false);
    arena_done(&a);
}

int main(int argc, char **argv)
{
    return cases_main(argc, argv, ".injected.yaml", produce);
}
