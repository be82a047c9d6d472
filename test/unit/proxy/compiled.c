// SPDX-License-Identifier: Apache-2.0
/* Plans of a small mesh (compiled.h): parsed, compiled, encoded and decoded as between control plane and proxy. */
#include "compiled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compile/compile.h"
#include "mesh/parse.h"
#include "xds/codec.h"

static const char objects_text[] =
    "apiVersion: v1\nkind: Service\nmetadata: {name: reviews, namespace: default}\n"
    "spec: {clusterIP: 10.96.0.3, selector: {app: reviews}, ports: [{name: http, port: 9080}, {name: tcp-raw, port: "
    "9000}, {name: mystery, port: 9001}]}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: page-1, namespace: default, labels: {app: page, version: v1, security.istio.io/tlsMode: istio}}\n"
    "spec: {serviceAccountName: page, containers: [{name: app, image: x}]}\n"
    "status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: \"True\"}]}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: reviews-1, namespace: default, labels: {app: reviews, version: v1, security.istio.io/tlsMode: "
    "istio}}\n"
    "spec: {serviceAccountName: reviews, containers: [{name: app, image: x, ports: [{containerPort: 9080}, "
    "{containerPort: 9000}, {containerPort: 9001}]}]}\n"
    "status: {podIP: 10.0.0.2, phase: Running, conditions: [{type: Ready, status: \"True\"}]}\n---\n"
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: reviews-x, namespace: default, labels: {kubernetes.io/service-name: reviews}}\n"
    "addressType: IPv4\nports: [{name: http, port: 9080}, {name: tcp-raw, port: 9000}, {name: mystery, port: 9001}]\n"
    "endpoints:\n- {addresses: [10.0.0.2], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, "
    "namespace: default}}\n";

static struct plan *over_the_wire(const struct plan *p)
{
    struct plan *out = plan_new();
    struct xds_codec *codec = xds_codec_new();
    for (int k = 0; k < RESOURCE_KINDS; k++)
        PLAN_EACH(p, k, r)
        {
            struct buf bytes = {0};
            struct resource *copy;
            struct view why;
            xds_encode(r, &bytes);
            if (xds_decode(codec, (enum resource_kind)k, buf_read(&bytes), &copy, &why) < 0)
                fail_msg("%.*s", VIEW_ARGS(why));
            if (resource_prepare(copy, &why) < 0)
                fail_msg("%.*s", VIEW_ARGS(why));
            plan_put(out, copy);
            resource_unref(copy);
            buf_done(&bytes);
        }
    xds_codec_free(codec);
    return out;
}

struct plan *compiled_plan(const char *more, const char *pod)
{
    struct arena arena, *a = &arena;
    arena_init(a, 64 * 1024);
    struct diags diags;
    struct object_list objects = {0};
    diags_init(&diags, a);
    struct mesh_source src = {.file = VIEW("mesh.yaml"),
                              .text = arena_printf(a, "%s%s%s", objects_text, more ? "---\n" : "", more ? more : "")};
    if (mesh_parse(a, &diags, &src, &objects) < 0) {
        struct buf b = {0};
        diags_print(&diags, &b, false);
        fail_msg("%s", buf_cstr(&b));
    }
    struct mesh_snapshot *snap = snapshot_new(a, &diags, objects.list, objects.n);
    struct compiler *c = compiler_new(snap, NULL);
    const struct pod *o = (const struct pod *)snapshot_get(snap, KIND_POD, VIEW("default"), view_of(pod));
    struct proxy_facts facts = {
        .kind = PROXY_SIDECAR, .ns = VIEW("default"), .pod = view_of(pod), .ip = o->ip, .labels = o->o.meta.labels};
    struct plan *compiled = compile_plan(c, &facts), *p = over_the_wire(compiled);
    plan_unref(compiled);
    compiler_free(c);
    arena_done(a);
    return p;
}
