// SPDX-License-Identifier: Apache-2.0
/* MeshConfig and ProxyConfig: defaults, what is set, and merging by level. */
#include "mesh/mesh_config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "mesh/parse.h"

static int config(struct arena *a, const char *text, struct mesh_config **ret)
{
    struct diags d;
    struct object *o;
    struct node *tree = node_new(a, NODE_MAP), *meta, *data;
    diags_init(&d, a);
    node_set_str(a, tree, "apiVersion", VIEW("v1"));
    node_set_str(a, tree, "kind", VIEW("ConfigMap"));
    meta = node_make(a, tree, "metadata", NODE_MAP);
    node_set_str(a, meta, "name", VIEW("settings"));
    data = node_make(a, tree, "data", NODE_MAP);
    node_set_str(a, data, "mesh", view_of(text));
    assert_int_equal(mesh_decode(a, &d, NULL, tree, &o), 0);
    return mesh_config_parse(a, &d, OBJECT_AS(o, CONFIG_MAP, config_map), ret);
}

static void an_empty_config_has_istios_defaults(void **state)
{
    struct arena a;
    struct mesh_config *c;
    arena_init(&a, 0);
    assert_int_equal(config(&a, "", &c), 0);
    assert_true(view_is(c->trust_domain, "cluster.local") && view_is(c->root_ns, "istio-system"));
    assert_true(mesh_config_allow_any(c) && !c->auto_mtls.set && !c->access_log_file.n);
    arena_done(&a);
}

static void an_empty_outbound_policy_means_registry_only(void **state)
{
    struct arena a;
    struct mesh_config *c;
    arena_init(&a, 0);
    assert_int_equal(config(&a, "outboundTrafficPolicy: {}\n", &c), 0);
    assert_false(mesh_config_allow_any(c));
    assert_int_equal(config(&a, "outboundTrafficPolicy: {mode: ALLOW_ANY}\n", &c), 0);
    assert_true(mesh_config_allow_any(c));
    arena_done(&a);
}

static void what_istios_installer_writes_is_accepted(void **state)
{
    struct arena a;
    struct mesh_config *c;
    arena_init(&a, 0);
    assert_int_equal(config(&a,
                            "accessLogFile: /dev/stdout\naccessLogEncoding: JSON\nenableAutoMtls: true\n"
                            "defaultConfig:\n  discoveryAddress: istiod.istio-system.svc:15012\n"
                            "defaultProviders:\n  metrics:\n  - prometheus\n"
                            "enablePrometheusMerge: true\nrootNamespace: istio-system\ntrustDomain: cluster.local\n",
                            &c),
                     0);
    assert_int_equal(c->access_log_encoding, ACCESS_LOG_JSON);
    arena_done(&a);
}

static void what_is_not_honoured_is_refused(void **state)
{
    static const char *const texts[] = {"pathNormalization: {}\n",
                                        "enableTracing: true\n",
                                        "a: b\n",
                                        "- x\n",
                                        "a: [\n",
                                        "extensionProviders: []\n",
                                        "defaultConfig: {tracing: {}}\n",
                                        "defaultProviders: {tracing: [zipkin]}\n"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct arena a;
        struct mesh_config *c = NULL;
        arena_init(&a, 0);
        if (config(&a, texts[i], &c) != -EINVAL || c)
            fail_msg("%s", texts[i]);
        arena_done(&a);
    }
}

static void later_levels_of_proxy_config_win(void **state)
{
    struct arena a;
    struct diags d;
    struct proxy_config *low, *high;
    struct origin at = {.kind = VIEW("Pod")};
    arena_init(&a, 0);
    diags_init(&d, &a);
    assert_int_equal(proxy_config_parse(&a, &d, &at, VIEW("concurrency: 2\nproxyMetadata: {A: '1', B: '1'}\n"), &low),
                     0);
    assert_int_equal(proxy_config_parse(&a, &d, &at, VIEW("drainDuration: 5s\nproxyMetadata: {B: '2'}\n"), &high), 0);
    const struct proxy_config *c = proxy_config_merge(&a, low, high);
    assert_true(c->concurrency.value == 2 && c->drain.ns == 5 * NS_PER_S && c->metadata.n == 2);
    assert_true(labels_is(&c->metadata, "A", "1") && labels_is(&c->metadata, "B", "2"));
    assert_true(proxy_config_merge(&a, NULL, NULL)->metadata.n == 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_config_has_istios_defaults),
        cmocka_unit_test(an_empty_outbound_policy_means_registry_only),
        cmocka_unit_test(what_istios_installer_writes_is_accepted),
        cmocka_unit_test(what_is_not_honoured_is_refused),
        cmocka_unit_test(later_levels_of_proxy_config_win),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
