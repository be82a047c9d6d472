// SPDX-License-Identifier: Apache-2.0
/* The validating webhook's word on objects, and how /inject's settings follow snapshots. */
#include "control/webhook/settings.h"
#include "control/webhook/stats.h"
#include "control/webhook/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../mesh/snapshot_of.h"
#include "base/clock.h"
#include "net/loop.h"
#include "wire/node.h"

static const char mesh_text[] =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: "
    "[{name: http, port: 80}]}\n"
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: old, namespace: shop}\n"
    "spec: {hosts: [other], http: [{route: [{destination: {host: nowhere}}]}]}\n";

struct world {
    struct arena arena;
    struct mesh_snapshot *snapshot;
    struct validate_outcome seen;
    struct node *tree;
};

static void begin(struct world *w, const char *text)
{
    arena_init(&w->arena, 0);
    w->snapshot = snapshot_of(&w->arena, text);
}

/* object and old: YAML; NULL: none. */
static int ask(struct world *w, const char *group, const char *kind, const char *operation, const char *object,
               const char *old)
{
    struct buf body = {0}, out = {0};
    struct node *n = NULL, *o = NULL;
    if (object)
        assert_int_equal(node_parse(&w->arena, view_of(object), &n, NULL), 0);
    if (old)
        assert_int_equal(node_parse(&w->arena, view_of(old), &o, NULL), 0);
    buf_printf(
        &body,
        "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":\"u\",\"kind\":"
        "{\"group\":\"%s\",\"version\":\"v1\",\"kind\":\"%s\"},\"operation\":\"%s\",\"object\":",
        group, kind, operation);
    node_print_json(n ? n : node_new(&w->arena, NODE_NULL), &body);
    buf_str(&body, ",\"oldObject\":");
    node_print_json(o ? o : node_new(&w->arena, NODE_NULL), &body);
    buf_str(&body, "}}");
    int status = validate_review(&w->arena, buf_read(&body), w->snapshot, &out, &w->seen);
    w->tree = NULL;
    if (!status)
        assert_int_equal(node_parse(&w->arena, arena_view(&w->arena, buf_read(&out)), &w->tree, NULL), 0);
    buf_done(&body);
    buf_done(&out);
    return status;
}

#define NET "networking.istio.io"
#define VS(name, spec)                                                                                                 \
    "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: " name                                \
    ", namespace: shop}, spec: " spec "}"
#define GOOD "{hosts: [web], http: [{route: [{destination: {host: web}}]}]}"
#define WRONG "{hosts: [web], http: [{route: [{destination: {host: web}}], tiemout: 5s}]}"

static void objects_are_refused_or_let_in(void **state)
{
    static const struct {
        const char *group, *kind, *operation, *object, *old;
        bool allowed;
        const char *said; /* in the message or the first warning; NULL: nothing is said */
    } rows[] = {
        {NET, "VirtualService", "CREATE", VS("a", GOOD), NULL, true, NULL},
        {NET, "VirtualService", "CREATE", VS("a", WRONG), NULL, false, "did you mean `timeout`"},
        {NET, "VirtualService", "UPDATE", VS("a", WRONG), VS("a", GOOD), false, "spec.http[0]"},
        {NET, "VirtualService", "UPDATE", VS("a", WRONG), VS("a", WRONG), true, NULL},
        {NET, "VirtualService", "DELETE", NULL, VS("a", WRONG), true, NULL},
        {NET, "VirtualService", "CREATE", NULL, NULL, false, "no object"},
        {NET, "VirtualService", "UPDATE",
         "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: shop, "
         "deletionTimestamp: "
         "'2026-01-01T00:00:00Z'}, spec: " WRONG "}",
         VS("a", GOOD), true, NULL},
        {NET, "VirtualService", "CREATE", VS("a", "{hosts: [web], http: [{route: [{destination: {host: webb}}]}]}"),
         NULL, true, "did you mean `web`"},
        {NET, "VirtualService", "CREATE",
         "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: shop, annotations: "
         "{galley.istio.io/analyze-suppress: '*'}}, spec: {hosts: [web], http: [{route: [{destination: {host: "
         "webb}}]}]}}",
         NULL, true, NULL},
        {NET, "VirtualService", "CREATE",
         "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: shop, annotations: "
         "{" VALIDATE_PROBE ": 'true'}}, spec: " GOOD "}",
         NULL, false, VALIDATE_PROBE_ANSWER},
        {"security.istio.io", "AuthorizationPolicy", "CREATE",
         "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a, namespace: shop}, spec: "
         "{}}",
         NULL, false, "nothing would enforce it"},
        {"telemetry.istio.io", "Telemetry", "CREATE",
         "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: a, namespace: shop}, spec: {}}", NULL,
         true, "not supported yet"},
        {"apps", "Deployment", "CREATE", "{apiVersion: apps/v1, kind: Deployment, spec: 7}", NULL, true, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        begin(&w, mesh_text);
        assert_int_equal(ask(&w, rows[i].group, rows[i].kind, rows[i].operation, rows[i].object, rows[i].old), 0);
        struct view said = node_text_at(w.tree, "response.status.message");
        if (!said.n)
            said = node_text_at(w.tree, "response.warnings.0");
        if (w.seen.allowed != rows[i].allowed ||
            node_bool(node_at(w.tree, "response.allowed"), false) != rows[i].allowed ||
            (rows[i].said ? view_find_view(said, view_of(rows[i].said)) == said.n : said.n > 0))
            fail_msg("row %zu: allowed %d: %.*s", i, w.seen.allowed, VIEW_ARGS(said));
        arena_done(&w.arena);
    }
}

static void what_is_wrong_elsewhere_is_not_this_objects_business(void **state)
{
    struct world w;
    begin(&w, mesh_text); /* `old` routes to a host that does not exist */
    assert_int_equal(ask(&w, NET, "VirtualService", "CREATE", VS("a", GOOD), NULL), 0);
    assert_null(node_at(w.tree, "response.warnings"));
    arena_done(&w.arena);
}

static void a_megabyte_of_rules_is_judged_in_bounded_time(void **state)
{
    struct buf b = {0};
    struct world w;
    begin(&w, mesh_text);
    buf_str(&b, "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":{\"name\":\"a\","
                "\"namespace\":\"shop\"},\"spec\":{\"hosts\":[\"web\"],\"http\":[");
    for (int i = 0; buf_len(&b) < 1500000; i++)
        buf_printf(&b,
                   "%s{\"match\":[{\"uri\":{\"prefix\":\"/p%d\"},\"headers\":{\"a\":{\"exact\":\"b%d\"}}}],\"route\":[{"
                   "\"destination\":{\"host\":\"web\",\"subset\":\"v%d\"}}]}",
                   i ? "," : "", i, i, i);
    buf_str(&b, "]}}");
    uint64_t began = clock_mono();
    assert_int_equal(ask(&w, NET, "VirtualService", "CREATE", buf_cstr(&b), NULL), 0);
    uint64_t took = clock_mono() - began;
    print_message("1.5 MB of rules: %u ms, %zu MB\n", (unsigned)(took / NS_PER_MS), w.arena.used >> 20);
    assert_true(w.seen.allowed);
    assert_true(took < 10 * NS_PER_S);
    assert_true(w.arena.used < 512u << 20);
    assert_true(node_at(w.tree, "response.warnings")->n <= 16);
    buf_done(&b);
    arena_done(&w.arena);
}

static const char injector[] =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\n"
    "data:\n  values: '{\"global\":{\"hub\":\"%s\"%s}}'\n";

static void settings_follow_the_config_map_and_the_last_good_ones_stay(void **state)
{
    struct loop *l = loop_new(&(struct loop_options){.name = "test"});
    struct settings *s = settings_new(&(struct settings_config){.loop = l,
                                                                .revision = VIEW("default"),
                                                                .ns = VIEW("istio-system"),
                                                                .cluster_id = VIEW("c1"),
                                                                .native = "true"});
    static const struct {
        const char *hub, *more, *image;
    } rows[] = {
        {"one", "", "one/weft-proxy:" WEFT_VERSION},
        {"two", ",\"tag\":\"9\"", "two/weft-proxy:9"},
        {"three", ",\"proxy\":{\"statusPort\":\"no\"}", "two/weft-proxy:9"}, /* refused */
        {NULL, NULL, "two/weft-proxy:9"},                                    /* deleted */
        {"four", "", "four/weft-proxy:" WEFT_VERSION},
    };
    struct world w[COUNT_OF(rows)];
    assert_null(settings_now(s)); /* no snapshot: nobody may be injected, or left out, by accident */
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[512] = "";
        if (rows[i].hub)
            snprintf(text, sizeof(text), injector, rows[i].hub, rows[i].more);
        begin(&w[i], text);
        settings_snapshot(s, w[i].snapshot);
        const struct inject_config *c = settings_now(s);
        if (!c || !view_is(c->image_proxy, rows[i].image))
            fail_msg("row %zu: %.*s", i, VIEW_ARGS(c ? c->image_proxy : VIEW_NONE));
        assert_true(c->native_sidecars);
        assert_true(view_is(c->cluster_id, "c1"));
        assert_ptr_equal(c->mesh, w[i].snapshot->config);
    }
    settings_free(s);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        arena_done(&w[i].arena);
    loop_free(l);
}

static void counters_are_printed_under_istios_names_and_bounded(void **state)
{
    static struct webhook_stats s;
    struct buf out = {0};
    stats_injected(&s, &(struct inject_outcome){.result = INJECT_DONE}, 300 * NS_PER_US);
    stats_injected(&s, &(struct inject_outcome){.result = INJECT_FAILED}, 30 * NS_PER_S);
    stats_validated(&s, VIEW(NET), VIEW("v1"), VIEW("gateways"), NULL);
    stats_validated(&s, VIEW(NET), VIEW("v1"), VIEW("gate\"} 1\nways"), "invalid_resource");
    for (int i = 0; i < 200; i++) {
        char kind[16];
        stats_validated(&s, VIEW(NET), VIEW("v1"), view_make(kind, (size_t)snprintf(kind, sizeof(kind), "k%d", i)),
                        NULL);
    }
    stats_print(&s, &out);
    static const char *const lines[] = {
        "\nsidecar_injection_requests_total 2\n",
        "\nsidecar_injection_success_total 1\n",
        "\nsidecar_injection_failure_total 1\n",
        "_bucket{le=\"0.0001\"} 0\n",
        "_bucket{le=\"0.0005\"} 1\n",
        "_bucket{le=\"+Inf\"} 2\n",
        "galley_validation_passed{group=\"networking.istio.io\",resource=\"gateways\",version=\"v1\"} 1\n",
        ",reason=\"invalid_resource\",resource=\"gate1ways\",version=\"v1\"} 1\n",
        "resource=\"other\",version=\"other\"} 138\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (view_find_view(buf_read(&out), view_of(lines[i])) == buf_len(&out))
            fail_msg("%s not in:\n%s", lines[i], buf_cstr(&out));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_refused_or_let_in),
        cmocka_unit_test(what_is_wrong_elsewhere_is_not_this_objects_business),
        cmocka_unit_test(a_megabyte_of_rules_is_judged_in_bounded_time),
        cmocka_unit_test(settings_follow_the_config_map_and_the_last_good_ones_stay),
        cmocka_unit_test(counters_are_printed_under_istios_names_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
