// SPDX-License-Identifier: Apache-2.0
/* That the chart agrees with the rest of weft: injection reads its settings without a complaint, its gateway is what
 * injection makes, its definitions are the kinds that weft decodes, its webhooks choose the pods that inject_decide injects.
 */
#include "install/chart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject/settings.h"
#include "mesh/core.h"
#include "mesh/mesh_config.h"
#include "mesh/object.h"
#include "mesh/parse.h"

static struct chart render(struct arena *a, const char *sets)
{
    struct chart chart;
    struct view why = VIEW_NONE, text = view_of(sets);
    if (chart_render(a, NULL, &text, sets ? 1 : 0, &chart, &why) < 0)
        fail_msg("%.*s", VIEW_ARGS(why));
    return chart;
}

static const struct node *find(const struct chart *chart, const char *kind, const char *name)
{
    for (size_t i = 0; i < chart->n; i++)
        if (strcmp(chart->objects[i].kind->kind, kind) == 0 && view_is(chart->objects[i].name, name))
            return chart->objects[i].tree;
    fail_msg("no %s %s", kind, name);
    return NULL;
}

static struct inject_config settings_of(struct arena *a, struct diags *d, const struct chart *chart)
{
    const struct node *data = node_get(find(chart, "ConfigMap", "istio-sidecar-injector"), VIEW("data"));
    struct inject_config c = inject_config_kubernetes(a);
    struct origin at = {.kind = VIEW("ConfigMap")};
    struct inject_settings text = {.values = node_text_at(data, "values"), .config = node_text_at(data, "config")};
    assert_int_equal(inject_settings_read(a, d, &at, &text, &c), 0);
    return c;
}

static void injection_reads_the_settings_without_a_complaint(void **state)
{
    struct arena a;
    struct diags d;
    struct buf b = {0};
    arena_init(&a, 0);
    diags_init(&d, &a);
    struct chart chart = render(&a, "global.hub=registry.local/x,global.tag=t1,global.proxy.logLevel=debug,"
                                    "sidecarInjectorWebhook.enableNamespacesByDefault=true");
    struct inject_config c = settings_of(&a, &d, &chart);
    diags_print(&d, &b, false);
    if (d.n_errors || d.n_warnings)
        fail_msg("%s", buf_cstr(&b));
    assert_true(view_is(c.image_proxy, "registry.local/x/weft-proxy:t1"));
    assert_true(view_is(c.log_level, "debug"));
    assert_true(c.every_namespace);
    buf_done(&b);
    arena_done(&a);
}

static void mesh_config_is_read_without_a_complaint(void **state)
{
    struct arena a;
    struct diags d;
    struct buf b = {0};
    struct object_list objects = {0};
    struct mesh_config *mesh = NULL;
    arena_init(&a, 0);
    diags_init(&d, &a);
    struct chart chart = render(&a, "meshConfig.defaultConfig.holdApplicationUntilProxyStarts=true");
    node_print_yaml(find(&chart, "ConfigMap", "istio"), &b);
    assert_int_equal(mesh_parse(&a, &d, &(struct mesh_source){.text = buf_read(&b)}, &objects), 0);
    assert_int_equal(objects.n, 1);
    assert_int_equal(mesh_config_parse(&a, &d, OBJECT_AS(objects.list[0], CONFIG_MAP, config_map), &mesh), 0);
    assert_int_equal(d.n_errors + d.n_warnings, 0);
    assert_true(view_is(mesh->default_config->discovery_address, "istiod.istio-system.svc:15012"));
    assert_true(mesh->default_config->hold_application.value);
    buf_done(&b);
    arena_done(&a);
}

/* ---- the gateway ---- */

static const struct node *container_of(const struct node *pod)
{
    const struct node *all = node_at(pod, "spec.containers");
    assert_int_equal(all->n, 1);
    return all->items[0];
}

static const struct node *named(const struct node *list, struct view name)
{
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
        if (view_eq(node_text_at(list->items[i], "name"), name))
            return list->items[i];
    return NULL;
}

/* Everything of `want` is in `got`, but for names in `but` (NUL-separated). */
static void same_named(const char *what, const struct node *want, const struct node *got, const char *but)
{
    for (uint32_t i = 0; i < want->n; i++) {
        struct view name = node_text_at(want->items[i], "name");
        const struct node *other = named(got, name);
        bool skipped = false;
        for (const char *p = but; *p; p += strlen(p) + 1)
            skipped = skipped || view_is(name, p);
        if (skipped)
            continue;
        if (!other || !node_eq(want->items[i], other)) {
            struct buf b = {0};
            node_print_json(want->items[i], &b);
            buf_str(&b, " is not ");
            if (other)
                node_print_json(other, &b);
            fail_msg("%s %.*s: %s", what, VIEW_ARGS(name), buf_cstr(&b));
        }
    }
}

static void the_gateways_container_is_what_injection_makes(void **state)
{
    struct arena a;
    struct diags d;
    struct node *made;
    arena_init(&a, 0);
    diags_init(&d, &a);
    struct chart chart = render(&a, NULL);
    struct inject_config c = settings_of(&a, &d, &chart);
    const struct node *pod = node_at(find(&chart, "Deployment", "istio-ingressgateway"), "spec.template");
    struct node *bare;
    assert_int_equal(
        node_parse(&a,
                   VIEW("metadata: {name: istio-ingressgateway, labels: {app: istio-ingressgateway, istio: "
                        "ingressgateway, sidecar.istio.io/inject: \"true\"}, annotations: "
                        "{inject.istio.io/templates: gateway}}\n"
                        "spec: {serviceAccountName: istio-ingressgateway-service-account, containers: "
                        "[{name: istio-proxy, image: auto}]}\n"),
                   &bare, NULL),
        0);
    assert_int_equal(inject_pod(&a, &d, bare, VIEW("istio-system"), &c, &made), 0);
    const struct node *want = container_of(made), *got = container_of(pod);
    static const char *const fields[] = {"image", "args", "securityContext", "readinessProbe", "resources"};
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (!node_eq(node_get(want, view_of(fields[i])), node_get(got, view_of(fields[i])))) {
            struct buf b = {0};
            node_print_json(node_get(want, view_of(fields[i])), &b);
            fail_msg("%s: injection makes %s", fields[i], buf_cstr(&b));
        }
    /* what depends on the owner: injection was given no Deployment; the ports are the chart's own */
    same_named("env", node_get(want, VIEW("env")), node_get(got, VIEW("env")),
               "ISTIO_META_WORKLOAD_NAME\0ISTIO_META_OWNER\0ISTIO_META_POD_PORTS\0");
    same_named("port", node_get(want, VIEW("ports")), node_get(got, VIEW("ports")), "");
    same_named("mount", node_get(want, VIEW("volumeMounts")), node_get(got, VIEW("volumeMounts")), "");
    same_named("volume", node_at(made, "spec.volumes"), node_at(pod, "spec.volumes"), "");
    assert_true(node_eq(node_at(made, "spec.securityContext.sysctls"), node_at(pod, "spec.securityContext.sysctls")));
    arena_done(&a);
}

/* ---- definitions ---- */

static void the_definitions_are_the_kinds_that_weft_decodes(void **state)
{
    struct arena a;
    unsigned found = 0;
    arena_init(&a, 0);
    struct chart chart = render(&a, NULL);
    for (int i = 0; i < MESH_KINDS; i++) {
        const struct mesh_kind_info *k = &mesh_kinds[i];
        if (!view_ends(k->group, VIEW("istio.io")))
            continue;
        struct view name = arena_printf(&a, "%.*s.%.*s", VIEW_ARGS(k->plural), VIEW_ARGS(k->group));
        const struct node *crd = find(&chart, "CustomResourceDefinition", arena_str(&a, name));
        const struct node *versions = node_at(crd, "spec.versions"), *shorts = node_at(crd, "spec.names.shortNames");
        struct view rest = k->versions, version;
        uint32_t n = 0;
        assert_true(view_eq(node_text_at(crd, "spec.names.kind"), k->kind));
        while (view_cut(&rest, ',', &version))
            if (!view_eq(node_text_at(versions->items[n++], "name"), version))
                fail_msg("%.*s: version %.*s", VIEW_ARGS(name), VIEW_ARGS(version));
        assert_int_equal(n, versions->n);
        assert_true(view_eq(node_text(shorts->items[0]), k->shorts));
        found++;
    }
    assert_int_equal(found, 5);
    arena_done(&a);
}

static void each_definition_stores_one_version_and_every_kind_of_istio_and_the_gateway_api_is_there(void **state)
{
    struct arena a;
    unsigned istio = 0, gateway = 0;
    arena_init(&a, 0);
    struct chart chart = render(&a, NULL);
    for (size_t i = 0; i < chart.n; i++) {
        const struct node *crd = chart.objects[i].tree, *versions = node_at(crd, "spec.versions");
        unsigned stored = 0;
        if (!view_is(node_text_at(crd, "kind"), "CustomResourceDefinition"))
            continue;
        istio += view_ends(chart.objects[i].name, VIEW(".istio.io"));
        gateway += view_ends(chart.objects[i].name, VIEW(".gateway.networking.k8s.io"));
        for (uint32_t v = 0; v < versions->n; v++)
            stored += node_bool(node_get(versions->items[v], VIEW("storage")), false);
        assert_int_equal(stored, 1);
    }
    assert_int_equal(istio, 15);
    assert_int_equal(gateway, 10);
    arena_done(&a);
}

/* ---- webhooks ---- */

static bool matches(const struct node *selector, const struct labels *labels)
{
    const struct node *all = node_get(selector, VIEW("matchExpressions"));
    for (uint32_t i = 0; all && i < all->n; i++) {
        struct view value = labels_get(labels, node_text_at(all->items[i], "key")),
                    op = node_text_at(all->items[i], "operator");
        const struct node *values = node_get(all->items[i], VIEW("values"));
        bool in = false;
        for (uint32_t v = 0; values && v < values->n; v++)
            in = in || (value.p && view_eq(value, node_text(values->items[v])));
        bool fits = view_is(op, "In")             ? in
                    : view_is(op, "NotIn")        ? !in
                    : view_is(op, "DoesNotExist") ? !value.p
                                                  : value.p != NULL;
        if (!fits)
            return false;
    }
    return true;
}

static void put(struct labels *l, struct label *room, const char *key, const char *value)
{
    if (value)
        room[l->n++] = (struct label){view_of(key), view_of(value)};
    l->list = room;
}

static unsigned entries_that_match(const struct chart *chart, const struct labels *ns, const struct labels *pod)
{
    unsigned n = 0;
    for (size_t i = 0; i < chart->n; i++) {
        const struct node *hooks = node_get(chart->objects[i].tree, VIEW("webhooks"));
        if (strcmp(chart->objects[i].kind->kind, "MutatingWebhookConfiguration") != 0)
            continue;
        for (uint32_t h = 0; h < hooks->n; h++)
            n += matches(node_get(hooks->items[h], VIEW("namespaceSelector")), ns) &&
                 matches(node_get(hooks->items[h], VIEW("objectSelector")), pod);
    }
    return n;
}

/* For all combinations of labels: one entry matches when the pod is to be injected, and never two. */
static void check_entries(const char *sets, bool every_namespace)
{
    static const char *const injection[] = {NULL, "enabled", "disabled"}, *const rev[] = {NULL, "default", "canary"},
                             *const inject[] = {NULL, "true", "false"};
    struct arena a;
    arena_init(&a, 0);
    struct chart chart = render(&a, sets);
    for (int c = 0; c < 81; c++) {
        struct label room[4];
        struct labels ns = {0}, pod = {0};
        put(&ns, room, "istio-injection", injection[c % 3]);
        put(&ns, room, "istio.io/rev", rev[c / 3 % 3]);
        put(&pod, room + 2, "sidecar.istio.io/inject", inject[c / 9 % 3]);
        put(&pod, room + 2, "istio.io/rev", rev[c / 27]);
        struct node *tree = node_new(&a, NODE_MAP), *labels;
        labels = node_make(&a, node_make(&a, tree, "metadata", NODE_MAP), "labels", NODE_MAP);
        for (size_t i = 0; i < pod.n; i++)
            node_set(&a, labels, pod.list[i].key, node_str(&a, pod.list[i].value));
        node_make(&a, tree, "spec", NODE_MAP);
        struct inject_config config = inject_config_default();
        config.revision = VIEW("default");
        config.every_namespace = every_namespace;
        config.default_policy = true;
        unsigned n = entries_that_match(&chart, &ns, &pod);
        bool injected = inject_decide(&ns, VIEW("default"), tree, &config).inject;
        if (n > 1 || (n == 1) != injected)
            fail_msg(
                "namespace istio-injection=%s istio.io/rev=%s, pod inject=%s rev=%s: %u entries match, inject_decide "
                "says %s",
                injection[c % 3], rev[c / 3 % 3], inject[c / 9 % 3], rev[c / 27], n, injected ? "yes" : "no");
    }
    arena_done(&a);
}

static void webhooks_choose_the_pods_that_are_injected_and_none_twice(void **state)
{
    check_entries(NULL, false);
    check_entries("sidecarInjectorWebhook.enableNamespacesByDefault=true", true);
}

static void a_revision_has_names_of_its_own(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct chart plain = render(&a, NULL), canary = render(&a, "revision=canary,revisionTags={prod}");
    for (size_t i = 0; i < canary.n; i++) {
        const struct chart_object *o = &canary.objects[i];
        if (strcmp(o->kind->kind, "CustomResourceDefinition") == 0 || strcmp(o->kind->kind, "Namespace") == 0)
            continue;
        for (size_t k = 0; k < plain.n; k++)
            if (plain.objects[k].kind == o->kind && view_eq(plain.objects[k].name, o->name))
                fail_msg("%s %.*s is in both", o->kind->kind, VIEW_ARGS(o->name));
    }
    find(&canary, "MutatingWebhookConfiguration", "istio-revision-tag-prod");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(injection_reads_the_settings_without_a_complaint),
        cmocka_unit_test(mesh_config_is_read_without_a_complaint),
        cmocka_unit_test(the_gateways_container_is_what_injection_makes),
        cmocka_unit_test(the_definitions_are_the_kinds_that_weft_decodes),
        cmocka_unit_test(each_definition_stores_one_version_and_every_kind_of_istio_and_the_gateway_api_is_there),
        cmocka_unit_test(webhooks_choose_the_pods_that_are_injected_and_none_twice),
        cmocka_unit_test(a_revision_has_names_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
