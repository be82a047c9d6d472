// SPDX-License-Identifier: Apache-2.0
/* The injection decision, row by row of Istio's table: labels of the namespace, label, revision and annotation of the pod. */
#include "inject/inject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct row {
    const char *injection, *ns_rev;                      /* labels of the namespace */
    const char *label, *rev, *annotation;                /* of the pod */
    const char *tag;                                     /* of this revision */
    const char *ns;                                      /* NULL: default */
    bool host_network, every_namespace, policy_disabled; /* special cases */
    bool inject;
};

static const struct row rows[] = {
    {.injection = "enabled", .inject = true},
    {.injection = "enabled", .label = "true", .inject = true},
    {.injection = "enabled", .label = "false"},
    {.injection = "enabled", .label = "maybe", .inject = true},
    {.injection = "enabled", .annotation = "false"},
    {.injection = "enabled", .annotation = "true", .inject = true},
    {.injection = "enabled", .label = "true", .annotation = "false", .inject = true},
    {.injection = "enabled", .label = "false", .annotation = "true"},
    {.injection = "enabled", .policy_disabled = true},
    {.injection = "enabled", .annotation = "true", .policy_disabled = true, .inject = true},
    {.injection = "disabled"},
    {.injection = "disabled", .label = "true"},
    {.injection = "disabled", .rev = "default"},
    {.ns_rev = "default", .inject = true},
    {.ns_rev = "default", .label = "false"},
    {.ns_rev = "canary"},
    {.ns_rev = "canary", .label = "true"},
    {.injection = "enabled", .ns_rev = "canary", .inject = true},
    {.injection = "disabled", .ns_rev = "default"},
    {.inject = false},
    {.label = "true", .inject = true},
    {.label = "false"},
    {.annotation = "true"},
    {.rev = "default", .inject = true},
    {.rev = "default", .label = "true", .inject = true},
    {.rev = "default", .label = "false"},
    {.rev = "canary"},
    {.rev = "canary", .label = "true"},
    {.every_namespace = true, .inject = true},
    {.every_namespace = true, .label = "false"},
    {.every_namespace = true, .ns = "kube-system"},
    {.injection = "enabled", .ns = "kube-system"},
    {.injection = "enabled", .ns = "local-path-storage"},
    {.injection = "enabled", .host_network = true},
    {.label = "true", .host_network = true},
    {.ns_rev = "prod", .tag = "prod", .inject = true},
    {.ns_rev = "prod", .tag = "prod", .label = "false"},
    {.ns_rev = "prod", .tag = "test"},
    {.rev = "prod", .tag = "prod", .inject = true},
    {.rev = "default", .tag = "prod", .inject = true},
};

static void put(struct arena *a, struct node *map, const char *key, const char *value)
{
    if (value)
        node_set_str(a, map, key, view_of(value));
}

static struct node *make_pod(struct arena *a, const struct row *r)
{
    struct node *pod = node_new(a, NODE_MAP), *meta = node_make(a, pod, "metadata", NODE_MAP);
    put(a, node_make(a, meta, "labels", NODE_MAP), "sidecar.istio.io/inject", r->label);
    put(a, node_make(a, meta, "labels", NODE_MAP), "istio.io/rev", r->rev);
    put(a, node_make(a, meta, "annotations", NODE_MAP), "sidecar.istio.io/inject", r->annotation);
    if (r->host_network)
        node_set_bool(a, node_make(a, pod, "spec", NODE_MAP), "hostNetwork", true);
    return pod;
}

static void every_row_of_the_table_decides_as_istio_does(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct row *r = &rows[i];
        struct label list[2];
        struct labels labels = {list, 0};
        struct arena a;
        arena_init(&a, 0);
        if (r->injection)
            list[labels.n++] = (struct label){VIEW("istio-injection"), view_of(r->injection)};
        if (r->ns_rev)
            list[labels.n++] = (struct label){VIEW("istio.io/rev"), view_of(r->ns_rev)};
        struct inject_config c = inject_config_default();
        struct view tag = view_of(r->tag);
        c.tags = (struct strings){&tag, r->tag ? 1 : 0};
        c.every_namespace = r->every_namespace;
        c.default_policy = !r->policy_disabled;
        struct inject_decision got =
            inject_decide(&labels, r->ns ? view_of(r->ns) : VIEW("default"), make_pod(&a, r), &c);
        if (got.inject != r->inject)
            fail_msg("row %zu: %s", i, got.why);
        assert_non_null(got.why);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_of_the_table_decides_as_istio_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
