// SPDX-License-Identifier: Apache-2.0
/* What golden files cannot show: plans outlive their snapshot, proxies share, a change touches only what it must. */
#include "compile/compile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mesh/parse.h"
#include "plan/print.h"

struct world {
    struct arena a;
    struct diags diags;
    struct mesh_snapshot *snap;
};

/* Services s0 … s(n-1) over namespaces ns0 … ns9, a pod each, and one VirtualService; `timeout` varies it. */
static void write_world(struct buf *b, int services, const char *timeout)
{
    for (int i = 0; i < services; i++) {
        int ns = i % 10;
        buf_printf(
            b,
            "apiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: ns%d}\nspec: {clusterIP: 10.96.%d.%d, "
            "selector: {app: s%d}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n",
            i, ns, i / 250, i % 250 + 1, i);
        buf_printf(b,
                   "apiVersion: v1\nkind: Pod\nmetadata: {name: p%d, namespace: ns%d, labels: {app: s%d, "
                   "security.istio.io/tlsMode: istio}}\nspec: {containers: [{name: c, image: i}]}\nstatus: {podIP: "
                   "10.0.%d.%d, phase: Running}\n---\n",
                   i, ns, i, i / 250, i % 250 + 1);
        buf_printf(
            b,
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s%d, namespace: ns%d, labels: "
            "{kubernetes.io/service-name: s%d}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: "
            "[{addresses: [10.0.%d.%d], targetRef: {kind: Pod, name: p%d, namespace: ns%d}}]\n---\n",
            i, ns, i, i / 250, i % 250 + 1, i, ns);
    }
    buf_printf(b,
               "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: s0, namespace: ns0}\nspec: "
               "{hosts: [s0], http: [{timeout: %s, retries: {attempts: 1, retryOn: \"5xx,503\"}, match: [{uri: {regex: "
               "/a.*}, headers: {x: {exact: why}}}], route: [{destination: {host: s0}}]}]}\n",
               timeout);
}

static void open_world(struct world *w, int services, const char *timeout)
{
    struct buf b = {0};
    struct object_list objects = {0};
    arena_init(&w->a, 64 * 1024);
    diags_init(&w->diags, &w->a);
    write_world(&b, services, timeout);
    struct mesh_source src = {.file = VIEW("world.yaml"), .text = buf_read(&b)};
    if (mesh_parse(&w->a, &w->diags, &src, &objects) < 0) {
        struct buf text = {0};
        diags_print(&w->diags, &text, false);
        fail_msg("%s", buf_cstr(&text));
    }
    w->snap = snapshot_new(&w->a, &w->diags, objects.list, objects.n);
    buf_done(&b);
}

static struct plan *plan_for(struct compiler *c, const struct world *w, int i)
{
    struct view ns = arena_printf((struct arena *)&w->a, "ns%d", i % 10);
    struct view name = arena_printf((struct arena *)&w->a, "p%d", i);
    const struct pod *pod = OBJECT_AS(snapshot_get(w->snap, KIND_POD, ns, name), POD, pod);
    assert_non_null(pod);
    return compile_plan(c,
                        &(struct proxy_facts){
                            .kind = PROXY_SIDECAR, .ns = ns, .pod = name, .ip = pod->ip, .labels = pod->o.meta.labels});
}

/* Resources of a that b has not, by identity. */
static unsigned only_in(const struct plan *a, const struct plan *b)
{
    unsigned n = 0;
    for (int k = 0; k < RESOURCE_KINDS; k++)
        PLAN_EACH(a, k, r)
    n += plan_get(b, (enum resource_kind)k, &(struct name_ref){r->name, r->name_hash}) != r;
    return n;
}

static void a_plan_outlives_snapshot_and_compiler(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 20, "3s");
    struct compiler *c = compiler_new(w.snap, NULL);
    struct plan *p = plan_for(c, &w, 0);
    compiler_free(c);
    arena_done(&w.a);
    struct buf text = {0};
    plan_print(&text, p); /* reads every byte that a plan has; sanitizers watch */
    assert_true(buf_len(&text) > 1000);
    for (int k = 0; k < RESOURCE_KINDS; k++)
        PLAN_EACH(p, k, r)
        {
            struct view error;
            assert_int_equal(resource_prepare(r, &error), 0);
        }
    buf_done(&text);
    plan_unref(p);
}

static void proxies_share_all_but_their_inbound_side(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 40, "3s");
    struct compiler *c = compiler_new(w.snap, NULL);
    struct plan *a = plan_for(c, &w, 0), *b = plan_for(c, &w, 10), *other = plan_for(c, &w, 1);
    assert_int_equal(only_in(a, b), 2); /* inbound|8080|| and virtualInbound */
    /* Another namespace has its own short names, so the route table differs too; clusters and endpoints are the same. */
    assert_int_equal(only_in(a, other), 3);
    plan_unref(a);
    plan_unref(b);
    plan_unref(other);
    compiler_free(c);
    arena_done(&w.a);
}

static void a_change_touches_only_what_depends_on_it(void **state)
{
    (void)state;
    struct world w1, w2, w3;
    open_world(&w1, 40, "3s");
    open_world(&w2, 40, "3s");
    open_world(&w3, 40, "4s");
    struct compiler *c1 = compiler_new(w1.snap, NULL);
    struct plan *first = plan_for(c1, &w1, 5);
    struct compiler *c2 = compiler_new(w2.snap, c1);
    compiler_free(c1);
    arena_done(&w1.a);
    struct plan *same = plan_for(c2, &w2, 5);
    assert_int_equal(only_in(same, first), 0); /* parsed anew, yet the very same resources */
    struct compiler *c3 = compiler_new(w3.snap, c2);
    compiler_free(c2);
    arena_done(&w2.a);
    struct plan *changed = plan_for(c3, &w3, 5);
    assert_int_equal(only_in(changed, first), 1); /* the route table */
    struct name_ref table = name_ref(VIEW("80"));
    assert_ptr_not_equal(plan_routes(changed, &table), plan_routes(first, &table));
    plan_unref(first);
    plan_unref(same);
    plan_unref(changed);
    compiler_free(c3);
    arena_done(&w3.a);
}

static void a_proxy_without_pod_or_services_still_gets_a_plan(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, "3s");
    struct compiler *c = compiler_new(w.snap, NULL);
    struct plan *p =
        compile_plan(c, &(struct proxy_facts){.kind = PROXY_SIDECAR, .ns = VIEW("empty"), .pod = VIEW("x")});
    struct plan *g =
        compile_plan(c, &(struct proxy_facts){.kind = PROXY_GATEWAY, .ns = VIEW("empty"), .pod = VIEW("x")});
    struct name_ref inbound = name_ref(VIEW("virtualInbound")), outbound = name_ref(VIEW("virtualOutbound"));
    assert_non_null(plan_listener(p, &inbound));
    assert_non_null(plan_listener(p, &outbound));
    assert_int_equal(plan_count(g, RESOURCE_LISTENER), 0);
    assert_int_equal(plan_count(g, RESOURCE_CLUSTER), 2);
    plan_unref(p);
    plan_unref(g);
    compiler_free(c);
    arena_done(&w.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_outlives_snapshot_and_compiler),
        cmocka_unit_test(proxies_share_all_but_their_inbound_side),
        cmocka_unit_test(a_change_touches_only_what_depends_on_it),
        cmocka_unit_test(a_proxy_without_pod_or_services_still_gets_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
