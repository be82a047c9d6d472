// SPDX-License-Identifier: Apache-2.0
/* compile/reuse.c: what is reused after a change is what would be made anew. Objects that a change does not touch keep their
 * addresses, as in the control plane's store.
 */
#include "compile/compile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/map.h"
#include "mesh/parse.h"
#include "plan/print.h"

#define POD(ns, name, ip, account, labels, ready)                                                                      \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: " ns ", labels: {" labels "}}\n"                 \
    "spec: {serviceAccountName: " account ", containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}\n"     \
    "status: {phase: Running, podIP: " ip ", conditions: [{type: Ready, status: \"" ready "\"}]}\n"
#define SERVICE(ns, name, ip, port)                                                                                    \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns "}\n"                                   \
    "spec: {clusterIP: " ip ", selector: {app: " name "}, ports: [{" port ", targetPort: 8080}]}\n"
#define SLICE(ns, name, pod, ip)                                                                                       \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"                                        \
    "metadata: {name: " name "-x, namespace: " ns ", labels: {kubernetes.io/service-name: " name "}}\n"                \
    "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [" ip "], targetRef: {kind: Pod, name: " pod "}}]\n"
#define ISTIO "apiVersion: networking.istio.io/v1\nkind: "
#define SIDECAR "app: web, version: v1, security.istio.io/tlsMode: istio"

static const char *const base[] = {
    SERVICE("a", "web", "10.96.0.1", "name: http, port: 80"),
    SLICE("a", "web", "web-0", "10.0.0.1"),
    POD("a", "web-0", "10.0.0.1", "web", SIDECAR, "True"),
    SERVICE("b", "peers", "None", "name: http, port: 9000, appProtocol: tcp"),
    SLICE("b", "peers", "peer-0", "10.0.0.2"),
    POD("b", "peer-0", "10.0.0.2", "peer", "app: peers, security.istio.io/tlsMode: istio", "True"),
    ISTIO "VirtualService\nmetadata: {name: web, namespace: a}\n"
          "spec: {hosts: [web], http: [{timeout: 3s, route: [{destination: {host: web, subset: v1}}]}]}\n",
    ISTIO "DestinationRule\nmetadata: {name: web, namespace: a}\n"
          "spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}\n",
    ISTIO
    "ServiceEntry\nmetadata: {name: vms, namespace: a}\nspec: {hosts: [vms.example], location: MESH_INTERNAL,\n"
    "  resolution: STATIC, ports: [{number: 81, name: http, protocol: HTTP}], workloadSelector: {labels: {vm: x}}}\n",
    POD("a", "vm-0", "10.0.0.3", "vm", "vm: x", "True"),
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: a}\n"
    "spec: {mtls: {mode: PERMISSIVE}}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: \"{}\"}\n",
    SERVICE("b", "plain", "10.96.0.9", "name: http, port: 80"), /* nobody has rules for it */
};

static const struct {
    const char *what;
    int at; /* which of the base is replaced; -1: added */
    const char *by;
} rows[] = {
    {"an endpoint", 1, SLICE("a", "web", "web-0", "10.0.0.9")},
    {"the endpoint of a headless service", 4, SLICE("b", "peers", "peer-0", "10.0.0.8")},
    {"no endpoints at all", 1, ""},
    {"a pod's sidecar", 2, POD("a", "web-0", "10.0.0.1", "web", "app: web, version: v1", "True")},
    {"a pod's account", 2, POD("a", "web-0", "10.0.0.1", "other", SIDECAR, "True")},
    {"a pod's labels, by which subsets select", 2,
     POD("a", "web-0", "10.0.0.1", "web", "app: web, version: v2, security.istio.io/tlsMode: istio", "True")},
    {"a pod that is gone", 2, ""},
    {"a pod that a ServiceEntry selects", 9, POD("a", "vm-0", "10.0.0.3", "vm", "vm: x", "False")},
    {"a service's port", 0, SERVICE("a", "web", "10.96.0.1", "name: http, port: 82")},
    {"a service that is gone", 0, ""},
    {"a new service", -1, SERVICE("b", "new", "10.96.0.3", "name: http, port: 80")},
    {"a route's timeout", 6,
     ISTIO "VirtualService\nmetadata: {name: web, namespace: a}\n"
           "spec: {hosts: [web], http: [{timeout: 4s, route: [{destination: {host: web}}]}]}\n"},
    {"a VirtualService that is gone", 6, ""},
    {"a policy", 7,
     ISTIO "DestinationRule\nmetadata: {name: web, namespace: a}\nspec: {host: web, trafficPolicy: {loadBalancer: "
           "{simple: RANDOM}}, subsets: [{name: v1, labels: {version: v1}}]}\n"},
    {"a DestinationRule that is gone", 7, ""},
    {"strict mTLS refused", 10,
     "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: a}\n"
     "spec: {mtls: {mode: DISABLE}}\n"},
    {"the mesh's settings", 11,
     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n"
     "data: {mesh: \"outboundTrafficPolicy: {mode: REGISTRY_ONLY}\"}\n"},
    {"the mesh's retries", 11,
     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n"
     "data: {mesh: \"defaultHttpRetryPolicy: {attempts: 5}\"}\n"},
    {"another name of a service", -1,
     "apiVersion: v1\nkind: Service\nmetadata: {name: alias, namespace: a}\n"
     "spec: {type: ExternalName, externalName: plain.b.svc.cluster.local, ports: [{name: http, port: 80}]}\n"},
    {"how requests are hashed", -1,
     ISTIO "DestinationRule\nmetadata: {name: plain, namespace: b}\nspec: {host: plain, trafficPolicy: "
           "{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}}\n"},
    {"the address of a service without rules", 12, SERVICE("b", "plain", "10.96.0.8", "name: http, port: 80")},
    {"a host that is also its address", -1,
     ISTIO "ServiceEntry\nmetadata: {name: address, namespace: b}\nspec: {hosts: [10.9.9.9], addresses: [10.9.9.9],\n"
           "  resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}\n"},
    {"who else claims its name", -1,
     ISTIO "ServiceEntry\nmetadata: {name: claim, namespace: a}\nspec: {hosts: [plain.b], resolution: STATIC,\n"
           "  ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.1.1.1}]}\n"},
};

enum { MOST = sizeof(base) / sizeof(base[0]) + 1 };

struct world {
    struct arena arena;
    struct diags diags;
    struct object *objects[MOST];
    uint32_t n;
};

static struct object *parse(struct world *w, const char *text)
{
    struct object_list list = {0};
    struct mesh_source src = {.text = view_of(text)};

    assert_int_equal(mesh_parse(&w->arena, &w->diags, &src, &list), 0);
    assert_int_equal(list.n, 1);
    return list.list[0];
}

/* A table that says a domain twice is refused by every proxy. */
static void assert_domains_are_unique(const struct plan *p)
{
    PLAN_EACH(p, RESOURCE_ROUTES, r)
    {
        const struct route_table *t = (const struct route_table *)r;
        struct map seen;

        map_init(&seen, NULL);
        for (uint32_t i = 0; i < t->n_hosts; i++)
            for (uint32_t k = 0; k < t->hosts[i].n_domains; k++) {
                assert_null(map_get(&seen, t->hosts[i].domains[k]));
                map_put(&seen, t->hosts[i].domains[k], r);
            }
        map_done(&seen);
    }
}

/* Some proxies' plans in one text. */
static void print_all(struct compiler *c, struct buf *out)
{
    static const struct {
        enum proxy_kind kind;
        struct view ns, pod, ip;
    } proxies[] = {{PROXY_SIDECAR, {"a", 1}, {"web-0", 5}, {"10.0.0.1", 8}},
                   {PROXY_SIDECAR, {"b", 1}, {"peer-0", 6}, {"10.0.0.2", 8}},
                   {PROXY_GATEWAY, {"b", 1}, {"gw", 2}, {"10.0.0.7", 8}}};

    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
        struct plan *p = compile_plan(
            c, &(struct proxy_facts){
                   .kind = proxies[i].kind, .ns = proxies[i].ns, .pod = proxies[i].pod, .ip = proxies[i].ip});
        plan_print(out, p);
        assert_domains_are_unique(p);
        plan_unref(p);
    }
}

static struct compiler *compiler_of(struct world *w, struct object *const *objects, uint32_t n, struct compiler *last)
{
    return compiler_new(snapshot_new(&w->arena, &w->diags, objects, n), last);
}

static void open_world(struct world *w)
{
    arena_init(&w->arena, 0);
    diags_init(&w->diags, &w->arena);
    w->n = 0;
    for (size_t i = 0; i < sizeof(base) / sizeof(base[0]); i++)
        w->objects[w->n++] = parse(w, base[i]);
}

static void what_is_reused_is_what_would_be_made_anew(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf before = {0}, reused = {0}, fresh = {0}, back = {0};
        struct compiler *first, *second, *third, *alone;
        struct object *objects[MOST];
        struct world w;
        uint32_t n = 0;

        open_world(&w);
        for (uint32_t k = 0; k < w.n; k++)
            if ((int)k != rows[i].at)
                objects[n++] = w.objects[k];
        if (*rows[i].by)
            objects[n++] = parse(&w, rows[i].by);
        first = compiler_of(&w, w.objects, w.n, NULL);
        print_all(first, &before);
        second = compiler_of(&w, objects, n, first);
        compiler_free(first);
        print_all(second, &reused);
        alone = compiler_of(&w, objects, n, NULL);
        print_all(alone, &fresh);
        third = compiler_of(&w, w.objects, w.n, second);
        compiler_free(second);
        print_all(third, &back);
        if (strcmp(buf_cstr(&before), buf_cstr(&fresh)) == 0)
            fail_msg("%s changes nothing: the row tests nothing", rows[i].what);
        if (strcmp(buf_cstr(&reused), buf_cstr(&fresh)) != 0)
            fail_msg("after a change of %s something stale is served", rows[i].what);
        if (strcmp(buf_cstr(&back), buf_cstr(&before)) != 0)
            fail_msg("after a change of %s is taken back something stale is served", rows[i].what);
        compiler_free(alone);
        compiler_free(third);
        arena_done(&w.arena);
        buf_done(&before);
        buf_done(&reused);
        buf_done(&fresh);
        buf_done(&back);
    }
}

static void a_scope_that_nothing_touched_keeps_its_plan(void **state)
{
    const struct proxy_facts facts = {.kind = PROXY_SIDECAR, .ns = VIEW("a"), .pod = VIEW("web-0")};
    const struct plan *before, *after, *shared;
    struct compiler *first, *second;
    struct world w;

    open_world(&w);
    first = compiler_of(&w, w.objects, w.n, NULL);
    plan_unref(compile_layers(first, &facts, &before));
    plan_ref(before);
    w.objects[8] = parse(&w, base[8]); /* the same again, elsewhere: all routes are made anew, and are equal */
    second = compiler_of(&w, w.objects, w.n, first);
    compiler_free(first);
    plan_unref(compile_layers(second, &facts, &after));
    assert_ptr_equal(before, after);
    first = second;
    w.objects[1] = parse(&w, rows[0].by);
    second = compiler_of(&w, w.objects, w.n, first);
    compiler_free(first);
    plan_unref(compile_layers(second, &facts, &shared));
    assert_ptr_not_equal(shared, after);
    assert_int_equal(plan_count(shared, RESOURCE_ROUTES), plan_count(after, RESOURCE_ROUTES));
    PLAN_EACH(shared, RESOURCE_ROUTES, r)
    {
        assert_ptr_equal(plan_get(after, RESOURCE_ROUTES, &(struct name_ref){r->name, r->name_hash}), r);
    }
    plan_unref(before);
    compiler_free(second);
    arena_done(&w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_reused_is_what_would_be_made_anew),
        cmocka_unit_test(a_scope_that_nothing_touched_keeps_its_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
