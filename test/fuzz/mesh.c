// SPDX-License-Identifier: Apache-2.0
/* Manifests through everything that reads them: kinds, snapshot, analyzers, diagnostics, injection of each pod. */
#include "fuzz.h"

#include "inject/inject.h"
#include "mesh/analyze.h"
#include "mesh/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct diags d;
    struct object_list l = {0};
    struct inject_config c = inject_config_default();
    struct buf out = {0};
    arena_init(&a, 0);
    diags_init(&d, &a);
    int err = mesh_parse(&a, &d, &(struct mesh_source){.file = VIEW("fuzz.yaml"), .text = view_make(data, size)}, &l);
    struct mesh_snapshot *snap = snapshot_new(&a, &d, l.list, l.n);
    mesh_analyze(snap, &d);
    c.mesh = snap->config;
    for (uint32_t i = 0; i < l.n; i++) {
        struct node *pod;
        if (l.list[i]->kind == KIND_POD && inject_pod(&a, &d, l.list[i]->node, VIEW("default"), &c, &pod) == 0)
            node_print_yaml(pod, &out);
    }
    diags_print(&d, &out, false);
    diags_print_json(&d, &out);
    (void)err;
    buf_done(&out);
    arena_done(&a);
    return 0;
}
