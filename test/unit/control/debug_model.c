// SPDX-License-Identifier: Apache-2.0
/* What /metrics says of a model: each figure moves when, and only when, the thing that it is named after happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../mesh/snapshot_of.h"
#include "base/spread.h"
#include "control/debug_model.h"

#define SERVICE(name)                                                                                                  \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: default}\n"                             \
    "spec: {selector: {app: " name "}, ports: [{name: http, port: 80}]}\n"
#define SLICE(name, pod, ready)                                                                                        \
    "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                                      \
    "metadata: {name: " name "-" pod ", namespace: default, labels: {kubernetes.io/service-name: " name "}}\n"         \
    "addressType: IPv4\nports: [{name: http, port: 80}]\n"                                                             \
    "endpoints: [{addresses: [10.0.0.1], conditions: {ready: " ready "}, targetRef: {kind: Pod, name: " pod "}}]\n"
#define POD(name)                                                                                                      \
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: default}\n"                                 \
    "spec: {containers: [{name: app, image: x}]}\nstatus: {podIP: 10.0.0.1}\n"
#define ROUTES(name, host)                                                                                             \
    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name ", namespace: default}\n"  \
    "spec: {hosts: [" host "], http: [{route: [{destination: {host: web}}]}]}\n"
#define RULE(name, subset)                                                                                             \
    "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: " name ", namespace: default}\n" \
    "spec: {host: web, subsets: [{name: " subset "}]}\n"

static void each_figure_is_of_what_it_is_named_after(void **state)
{
    static const struct {
        const char *objects;
        struct model_figures want;
    } rows[] = {
        {SERVICE("web") SLICE("web", "web-1", "true") POD("web-1"), {0}},
        {SERVICE("web"), {.services_without = 1}},
        {SERVICE("web") SLICE("web", "web-1", "false") POD("web-1"), {.services_without = 1, .endpoints_not_ready = 1}},
        {SERVICE("web") SLICE("web", "web-1", "true"), {.endpoints_without_pod = 1}},
        {ROUTES("a", "web") ROUTES("b", "other"), {0}},
        {ROUTES("a", "web") ROUTES("b", "web.default.svc.cluster.local"), {.duplicate_hosts = 1}},
        {RULE("a", "v1") RULE("b", "v2"), {0}},
        {RULE("a", "v1") RULE("b", "v1"), {.duplicate_subsets = 1}},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_figures f;
        struct arena a;

        arena_init(&a, 0);
        model_count(&f, snapshot_of(&a, rows[i].objects), NULL);
        const uint64_t *got = (const uint64_t *)&f, *want = (const uint64_t *)&rows[i].want;
        for (size_t k = 0; k < sizeof(f) / sizeof(*got); k++)
            if (got[k] != want[k])
                fail_msg("row %zu, figure %zu: %d, not %d", i, k, (int)got[k], (int)want[k]);
        arena_done(&a);
    }
}

static void without_a_snapshot_there_is_nothing_to_count(void **state)
{
    struct model_figures f = {.services_without = 7};

    model_count(&f, NULL, NULL);
    assert_int_equal(f.services_without, 0);
}

static void a_duration_counts_in_its_bucket_and_in_all_that_are_wider(void **state)
{
    struct spread s = {0};
    struct buf out = {0};

    spread_add(&s, 100 * NS_PER_MS);
    spread_add(&s, 100 * NS_PER_MS + 1);
    spread_add(&s, 60 * NS_PER_S);
    spread_print(&s, "x_seconds", "X.", &out);
    const char *text = buf_cstr(&out);
    assert_non_null(strstr(text, "# TYPE x_seconds histogram\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{le=\"0.05\"} 0\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{le=\"0.1\"} 1\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{le=\"0.5\"} 2\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{le=\"30\"} 2\n"));
    assert_non_null(strstr(text, "x_seconds_bucket{le=\"+Inf\"} 3\nx_seconds_sum 60.200000001\nx_seconds_count 3\n"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_figure_is_of_what_it_is_named_after),
        cmocka_unit_test(without_a_snapshot_there_is_nothing_to_count),
        cmocka_unit_test(a_duration_counts_in_its_bucket_and_in_all_that_are_wider),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
