// SPDX-License-Identifier: Apache-2.0
/* Names: short hosts, wildcards, gateways, visibility, and the order in which objects win. */
#include "mesh/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "snapshot_of.h"

static void short_hosts_are_completed_with_the_rules_namespace(void **state)
{
    static const struct {
        const char *host, *is;
    } rows[] = {
        {"reviews", "reviews.prod.svc.cluster.local"},
        {"reviews.other", "reviews.other"},
        {"*", "*"},
        {"", ""},
        {"*.example.com", "*.example.com"},
        {"10.0.0.1", "10.0.0.1"},
        {"::1", "::1"},
    };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_true(view_is(mesh_fqdn(&a, view_of(rows[i].host), VIEW("prod"), VIEW("cluster.local")), rows[i].is));
    arena_done(&a);
}

static void wildcards_cover_names_below_them_only(void **state)
{
    static const struct {
        const char *pattern, *host;
        bool matches;
    } rows[] = {
        {"*", "a.b", true},
        {"*.example.com", "a.example.com", true},
        {"*.example.com", "a.b.example.com", true},
        {"*.example.com", "example.com", false},
        {"*.example.com", "badexample.com", false},
        {"*.example.com", ".example.com", false},
        {"a.example.com", "A.Example.com", true},
        {"a.example.com", "b.example.com", false},
        {"*.example.com", "*.example.com", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (host_matches(view_of(rows[i].pattern), view_of(rows[i].host)) != rows[i].matches)
            fail_msg("%s ~ %s", rows[i].pattern, rows[i].host);
}

static void gateway_references_name_a_namespace(void **state)
{
    static const struct {
        const char *ref, *ns, *name;
    } rows[] = {
        {"edge", "prod", "edge"},
        {"infra/edge", "infra", "edge"},
        {"./edge", "prod", "edge"},
        {"edge.infra.svc.cluster.local", "infra", "edge"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct view ns, name;
        gateway_ref_resolve(view_of(rows[i].ref), VIEW("prod"), &ns, &name);
        assert_true(view_is(ns, rows[i].ns) && view_is(name, rows[i].name));
    }
}

static void gateways_serve_hosts_of_the_namespaces_they_allow(void **state)
{
    static const struct {
        const char *server, *vs_host, *vs_ns;
        bool matches;
    } rows[] = {
        {"*", "a.example.com", "x", true},
        {"*.example.com", "a.example.com", "x", true},
        {"*.example.com", "*.a.example.com", "x", true},
        {"a.example.com", "*.example.com", "x", true},
        {"x/a.example.com", "a.example.com", "x", true},
        {"y/a.example.com", "a.example.com", "x", false},
        {"./*", "a.example.com", "infra", true},
        {"./*", "a.example.com", "x", false},
        {"*/a.example.com", "a.example.com", "x", true},
        {"b.example.com", "a.example.com", "x", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (gateway_host_matches(view_of(rows[i].server), VIEW("infra"), view_of(rows[i].vs_ns),
                                 view_of(rows[i].vs_host)) != rows[i].matches)
            fail_msg("row %zu", i);
}

static void exports_decide_who_sees(void **state)
{
    struct view none[] = {VIEW("x")}, own[] = {VIEW(".")}, all[] = {VIEW("*")};
    struct strings empty = {0}, to_x = {none, 1}, to_own = {own, 1}, to_all = {all, 1};
    assert_true(export_visible(&empty, VIEW("a"), VIEW("b")));
    assert_true(export_visible(&to_all, VIEW("a"), VIEW("b")));
    assert_true(export_visible(&to_x, VIEW("a"), VIEW("x")));
    assert_false(export_visible(&to_x, VIEW("a"), VIEW("a")));
    assert_true(export_visible(&to_own, VIEW("a"), VIEW("a")));
    assert_false(export_visible(&to_own, VIEW("a"), VIEW("b")));
}

static const char text[] =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
    "spec: {selector: {app: web}, ports: [{port: 80}]}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop, labels: {app: web, version: v1}}\n"
    "spec: {containers: [{name: c}]}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: shop, labels: {app: other}}\n"
    "spec: {containers: [{name: c}]}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: se, namespace: shop}\n"
    "spec: {hosts: ['*.example.com'], ports: [{number: 443, name: tls}]}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: se2, namespace: shop}\n"
    "spec: {hosts: ['*.a.example.com'], ports: [{number: 443, name: tls}]}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    "metadata: {name: b, creationTimestamp: '2026-01-02T00:00:00Z'}\nspec: {host: web}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    "metadata: {name: c, creationTimestamp: '2026-01-01T00:00:00Z'}\nspec: {host: web}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    "metadata: {name: a, creationTimestamp: '2026-01-02T00:00:00Z'}\nspec: {host: web}\n---\n"
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n"
    "data: {mesh: \"trustDomain: example.org\"}\n";

static void a_snapshot_finds_hosts_pods_and_settings(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct mesh_snapshot *s = snapshot_of(&a, text);
    const struct mesh_host *h = snapshot_host(s, VIEW("web.shop.svc.cluster.local"));
    assert_true(h && h->service && view_is(h->ns, "shop"));
    assert_null(snapshot_host(s, VIEW("x.example.com")));
    h = snapshot_host_or_wildcard(s, VIEW("x.a.example.com"));
    assert_true(h && view_is(h->name, "*.a.example.com"));
    h = snapshot_host_or_wildcard(s, VIEW("x.example.com"));
    assert_true(h && view_is(h->name, "*.example.com"));
    uint32_t i = 0;
    const struct service *svc = (const void *)snapshot_get(s, KIND_SERVICE, VIEW("shop"), VIEW("web"));
    assert_non_null(svc);
    const struct pod *p = snapshot_pod(s, VIEW("shop"), &svc->selector, &i);
    assert_true(p && view_is(p->o.meta.name, "web-1"));
    assert_null(snapshot_pod(s, VIEW("shop"), &svc->selector, &i));
    assert_true(view_is(s->config->trust_domain, "example.org"));
    const char *order[] = {"c", "a", "b"}; /* by age, then name */
    uint32_t n = 0;
    SNAPSHOT_EACH(s, DESTINATION_RULE, destination_rule, dr)
    assert_true(view_is(dr->o.meta.name, order[n++]));
    assert_int_equal(n, 3);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_hosts_are_completed_with_the_rules_namespace),
        cmocka_unit_test(wildcards_cover_names_below_them_only),
        cmocka_unit_test(gateway_references_name_a_namespace),
        cmocka_unit_test(gateways_serve_hosts_of_the_namespaces_they_allow),
        cmocka_unit_test(exports_decide_who_sees),
        cmocka_unit_test(a_snapshot_finds_hosts_pods_and_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
