// SPDX-License-Identifier: Apache-2.0
/* Injection settings under Istio's names: each is seen in the pod that it makes; what cannot be is refused by name; pairs in
 * the webhook's path.
 */
#include "inject/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct world {
    struct arena arena;
    struct diags diags;
    struct inject_config config;
    int err;
};

static void read_both(struct world *w, const char *values, const char *config)
{
    struct origin at = {.kind = VIEW("ConfigMap"), .name = VIEW("istio-sidecar-injector")};
    arena_init(&w->arena, 0);
    diags_init(&w->diags, &w->arena);
    w->err = inject_settings_read(&w->arena, &w->diags, &at,
                                  &(struct inject_settings){view_of(values), view_of(config), VIEW_NONE}, &w->config);
}

/* The pod that the settings make of a small one, as JSON. */
static struct view inject(struct world *w, const char *pod)
{
    struct node *in = NULL, *out = NULL;
    struct buf b = {0};
    assert_int_equal(w->err, 0);
    assert_int_equal(node_parse(&w->arena, view_of(pod), &in, NULL), 0);
    assert_int_equal(inject_pod(&w->arena, &w->diags, in, VIEW("shop"), &w->config, &out), 0);
    node_print_json(out, &b);
    struct view text = arena_view(&w->arena, buf_read(&b));
    buf_done(&b);
    return text;
}

#define POD "{metadata: {name: web, labels: {app: web}}, spec: {containers: [{name: web, image: x}]}}"

static void every_setting_is_seen_in_the_pod(void **state)
{
    static const struct {
        const char *values, *seen; /* a leading ! : must not be there */
    } rows[] = {
        {"", "\"image\":\"docker.io/weft/weft-proxy:" WEFT_VERSION "\",\"command\":[\"weft-node\"]"},
        {"{}", "\"image\":\"docker.io/weft/weft-proxy:" WEFT_VERSION "\""},
        {"{global: {hub: reg.local/w, tag: 7}}", "\"image\":\"reg.local/w/weft-proxy:7\""},
        {"{global: {proxy: {image: a.b/c:d}}}", "\"image\":\"a.b/c:d\""},
        {"{global: {imagePullPolicy: Always}}", "\"imagePullPolicy\":\"Always\""},
        {"", "!imagePullPolicy"},
        {"{global: {imagePullSecrets: [one, {name: two}]}}",
         "\"imagePullSecrets\":[{\"name\":\"one\"},{\"name\":\"two\"}]"},
        {"{global: {imagePullSecrets: [one]}}", "\\\"imagePullSecrets\\\":[\\\"one\\\"]"},
        {"{global: {istioNamespace: mesh}}", "\"value\":\"istiod.mesh.svc:15012\""},
        {"{revision: blue}", "istiod-blue.istio-system.svc:15012"},
        {"{revision: blue}", "\"istio.io/rev\":\"blue\""},
        {"{global: {caAddress: 'ca.x:1'}}", "\"name\":\"CA_ADDR\",\"value\":\"ca.x:1\""},
        {"{global: {network: n1}}", "\"topology.istio.io/network\":\"n1\""},
        {"{global: {network: n1}}", "\"name\":\"ISTIO_META_NETWORK\",\"value\":\"n1\""},
        {"{global: {meshID: m1}}", "\"name\":\"ISTIO_META_MESH_ID\",\"value\":\"m1\""},
        {"{global: {multiCluster: {clusterName: c1}}}", "\"name\":\"ISTIO_META_CLUSTER_ID\",\"value\":\"c1\""},
        {"{global: {logging: {level: 'default:debug'}}}", "--log_output_level=default:debug"},
        {"{global: {logging: {level: debug}}}", "--log_output_level=default:debug"},
        {"{global: {proxy: {logLevel: info, componentLogLevel: 'a:b'}}}",
         "--proxyLogLevel=info\",\"--proxyComponentLogLevel=a:b"},
        {"{global: {proxy: {clusterDomain: c.l}}}", "$(POD_NAMESPACE).svc.c.l"},
        {"{global: {proxy: {resources: {requests: {cpu: 5m}}}}}", "\"resources\":{\"requests\":{\"cpu\":\"5m\"}}"},
        {"{global: {proxy: {lifecycle: {preStop: {exec: {command: [a]}}}}}}",
         "\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"a\"]}}}"},
        {"{global: {proxy: {seccompProfile: {type: RuntimeDefault}}}}",
         "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}"},
        {"{global: {proxy: {privileged: true}}}", "\"privileged\":true"},
        {"{global: {proxy: {holdApplicationUntilProxyStarts: true}}}", "\\\"holdApplicationUntilProxyStarts\\\":true"},
        {"{global: {proxy: {statusPort: 15999}}}", "\"prometheus.io/port\":\"15999\""},
        {"{global: {proxy: {readinessInitialDelaySeconds: 3, readinessPeriodSeconds: 4, readinessFailureThreshold: "
         "5}}}",
         "\"initialDelaySeconds\":3,\"periodSeconds\":4,\"timeoutSeconds\":3,\"failureThreshold\":5"},
        {"{global: {proxy: {startupProbe: {enabled: false}}}}", "!startupProbe"},
        {"{global: {proxy: {startupProbe: {failureThreshold: 9}}}}", "\"failureThreshold\":9"},
        {"{global: {proxy: {includeIPRanges: 10.0.0.0/8, excludeIPRanges: 10.9.0.0/16}}}",
         "\"-i\",\"10.0.0.0/8\",\"-x\",\"10.9.0.0/16\""},
        {"{global: {proxy: {includeInboundPorts: '80', excludeInboundPorts: '81'}}}",
         "\"-b\",\"80\",\"-d\",\"15090,15021,81,15020\""},
        {"{global: {proxy: {includeOutboundPorts: '82', excludeOutboundPorts: '83'}}}", "\"-q\",\"82\",\"-o\",\"83\""},
        {"{global: {logAsJson: true}}", "\"--log_as_json\""},
        {"{global: {proxy_init: {forceApplyIptables: true}}}", "\"--force-apply\""},
        {"{global: {proxy_init: {resources: {limits: {cpu: 9m}}}}}", "\"resources\":{\"limits\":{\"cpu\":\"9m\"}}"},
        {"{global: {proxy_init: {image: x/init:1}}}", "\"image\":\"x/init:1\""},
        {"{sidecarInjectorWebhook: {injectedAnnotations: {a/b: c}}}", "\"a/b\":\"c\""},
        {"{sidecarInjectorWebhook: {defaultTemplates: [gateway]}}", "\"router\""},
        {"{global: {istiod: {enableAnalysis: true}, sts: {servicePort: 0}}, gateways: {x: {}}}", "istio-proxy"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        bool absent = rows[i].seen[0] == '!';
        read_both(&w, rows[i].values, "");
        struct view pod = inject(&w, POD), seen = view_of(rows[i].seen + absent);
        if ((view_find_view(pod, seen) < pod.n) == absent || w.diags.n_warnings)
            fail_msg("%s: %.*s", rows[i].values, VIEW_ARGS(pod));
        arena_done(&w.arena);
    }
}

static void what_cannot_be_is_refused_by_name(void **state)
{
    static const struct {
        const char *values, *config, *named;
    } rows[] = {
        {"{global: {hub: [a]}}", "", "global.hub"},
        {"{global: {logAsJson: perhaps}}", "", "global.logAsJson"},
        {"{global: {proxy: {statusPort: high}}}", "", "global.proxy.statusPort"},
        {"{global: {proxy: {resources: 5}}}", "", "global.proxy.resources"},
        {"{global: {proxy: {autoInject: maybe}}}", "", "global.proxy.autoInject"},
        {"{global: {proxy: {image: proxyv2}}}", "", "global.proxy.image"},
        {"{global: {proxy: {enableCoreDump: true}}}", "", "global.proxy.enableCoreDump"},
        {"{global: {nativeNftables: true}}", "", "global.nativeNftables"},
        {"{pilot: {cni: {enabled: true}}}", "", "pilot.cni.enabled"},
        {"{sidecarInjectorWebhook: {templates: {mine: 'spec:'}}}", "", "template `mine`"},
        {"{sidecarInjectorWebhook: {defaultTemplates: [sidecar, mine]}}", "", "defaultTemplates"},
        {"{sidecarInjectorWebhook: {neverInjectSelector: [{}]}}", "", "neverInjectSelector"},
        {"{sidecarInjectorWebhook: {neverInjectSelector: [{matchExpressions: [{key: a, operator: Near}]}]}}", "",
         "neverInjectSelector"},
        {"", "templates: {sidecar: a, mine: b}", "template `mine`"},
        {"", "policy: maybe", "autoInject"},
        {"[]", "", "data.values"},
        {"{", "", "data.values"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        struct buf b = {0};
        read_both(&w, rows[i].values, rows[i].config);
        diags_print(&w.diags, &b, false);
        struct view text = buf_read(&b);
        if (w.err == 0 || view_find_view(text, view_of(rows[i].named)) == text.n)
            fail_msg("%s %s: %.*s", rows[i].values, rows[i].config, VIEW_ARGS(text));
        buf_done(&b);
        arena_done(&w.arena);
    }
}

static void a_slip_is_told_with_what_was_meant(void **state)
{
    struct world w;
    read_both(&w, "{global: {proxy: {logLevl: info}}}", "");
    assert_int_equal(w.err, 0);
    assert_int_equal(w.diags.n_warnings, 1);
    struct diag *d = LIST_ITEM(w.diags.all.next, struct diag, link);
    assert_true(view_is(d->hint, "did you mean `global.proxy.logLevel`?"));
    arena_done(&w.arena);
}

static void selectors_and_the_policy_decide_where_the_pod_says_nothing(void **state)
{
    static const struct {
        const char *values, *labels;
        bool inject;
    } rows[] = {
        {"", "a: b", true},
        {"{global: {proxy: {autoInject: disabled}}}", "a: b", false},
        {"{global: {proxy: {autoInject: disabled}}}", "sidecar.istio.io/inject: 'true'", true},
        {"{sidecarInjectorWebhook: {neverInjectSelector: [{matchLabels: {a: b}}]}}", "a: b", false},
        {"{sidecarInjectorWebhook: {neverInjectSelector: [{matchLabels: {a: b}}]}}", "a: c", true},
        {"{sidecarInjectorWebhook: {neverInjectSelector: [{matchLabels: {a: b}}]}}",
         "{a: b, sidecar.istio.io/inject: 'true'}", true},
        {"{global: {proxy: {autoInject: disabled}}, sidecarInjectorWebhook: {alwaysInjectSelector: [{matchExpressions: "
         "[{key: a, operator: In, values: [b, c]}]}]}}",
         "a: c", true},
        {"{sidecarInjectorWebhook: {neverInjectSelector: [{matchExpressions: [{key: a, operator: Exists}]}], "
         "alwaysInjectSelector: [{matchLabels: {a: b}}]}}",
         "a: b", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        struct node *labels = NULL, *pod;
        read_both(&w, rows[i].values, "");
        assert_int_equal(w.err, 0);
        assert_int_equal(node_parse(&w.arena, view_of(rows[i].labels), &labels, NULL), 0);
        pod = node_new(&w.arena, NODE_MAP);
        node_set(&w.arena, node_make(&w.arena, pod, "metadata", NODE_MAP), VIEW("labels"), labels);
        struct inject_decision got = inject_required(VIEW("shop"), pod, &w.config);
        if (got.inject != rows[i].inject)
            fail_msg("row %zu: %s", i, got.why);
        arena_done(&w.arena);
    }
}

static void istios_own_config_is_understood(void **state)
{
    struct world w;
    read_both(&w, "{sidecarInjectorWebhook: {injectedAnnotations: {c: d}, defaultTemplates: [gateway]}}",
              "policy: disabled\nalwaysInjectSelector: [{matchLabels: {x: y}}]\ninjectedAnnotations: {a: b}\n"
              "templates: {sidecar: '{{ x }}', gateway: ''}\ndefaultTemplates: [sidecar]\n");
    assert_int_equal(w.err, 0);
    assert_false(w.config.default_policy);
    assert_int_equal(w.config.n_always, 1);
    assert_int_equal(w.config.annotations.n, 1); /* values replace what config said */
    assert_true(w.config.gateway_template);
    arena_done(&w.arena);
}

static void the_path_sets_environment(void **state)
{
    static const struct {
        const char *path, *seen; /* NULL: refused */
    } rows[] = {
        {"", "istio-proxy"},
        {"cluster/c1/net/n1", "\"name\":\"ISTIO_META_CLUSTER_ID\",\"value\":\"c1\""},
        {"cluster/c1/net/n1", "\"name\":\"ISTIO_META_NETWORK\",\"value\":\"n1\""},
        {"KEY/a--slash--b/", "\"name\":\"KEY\",\"value\":\"a/b\""},
        {":ENV:cluster=c2:ENV:KEY=v=w", "\"name\":\"KEY\",\"value\":\"v=w\""},
        {"cluster", NULL},
        {"9a/b", NULL},
        {"A B/c", NULL},
        {":ENV:KEY", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        read_both(&w, "", "");
        int err = inject_settings_path(&w.arena, view_of(rows[i].path), &w.config);
        if ((err == 0) != (rows[i].seen != NULL))
            fail_msg("%s: %d", rows[i].path, err);
        if (rows[i].seen) {
            struct view pod = inject(&w, POD);
            assert_true(view_find_view(pod, view_of(rows[i].seen)) < pod.n);
        }
        arena_done(&w.arena);
    }
}

static void a_pod_is_known_by_what_made_it(void **state)
{
    static const struct {
        const char *meta, *owner;
    } rows[] = {
        {"{name: p1}", "apis/v1/namespaces/shop/pods/p1"},
        {"{generateName: web-7c-, labels: {pod-template-hash: 7c}, ownerReferences: [{apiVersion: apps/v1, kind: "
         "ReplicaSet, "
         "name: web-7c, controller: true}]}",
         "apis/apps/v1/namespaces/shop/deployments/web"},
        {"{ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-7c, controller: true}]}",
         "apis/apps/v1/namespaces/shop/replicasets/web-7c"},
        {"{ownerReferences: [{apiVersion: batch/v1, kind: Job, name: nightly-29384710, controller: true}]}",
         "apis/batch/v1/namespaces/shop/cronjobs/nightly"},
        {"{ownerReferences: [{apiVersion: batch/v1, kind: Job, name: once-7, controller: true}]}",
         "apis/batch/v1/namespaces/shop/jobs/once-7"},
        {"{name: p1, labels: {service.istio.io/workload-name: other}}", "apis/v1/namespaces/shop/pods/other"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        read_both(&w, "", "");
        struct view text =
            arena_printf(&w.arena, "{metadata: %s, spec: {containers: [{name: web, image: x}]}}", rows[i].meta);
        struct view pod = inject(&w, arena_str(&w.arena, text));
        if (view_find_view(pod, view_of(rows[i].owner)) == pod.n)
            fail_msg("row %zu: %.*s", i, VIEW_ARGS(pod));
        arena_done(&w.arena);
    }
}

static void a_users_volumes_come_along(void **state)
{
    struct world w;
    read_both(&w, "", "");
    struct view pod = inject(
        &w, "{metadata: {name: p, annotations: {sidecar.istio.io/userVolume: '[{\"name\":\"v\",\"emptyDir\":{}}]', "
            "sidecar.istio.io/userVolumeMount: '{\"v\":{\"mountPath\":\"/v\"}}'}}, spec: {containers: "
            "[{name: web, image: x}]}}");
    assert_true(view_find_view(pod, VIEW("{\"name\":\"v\",\"emptyDir\":{}}")) < pod.n);
    assert_true(view_find_view(pod, VIEW("{\"mountPath\":\"/v\",\"name\":\"v\"}")) < pod.n);
    arena_done(&w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_is_seen_in_the_pod),
        cmocka_unit_test(what_cannot_be_is_refused_by_name),
        cmocka_unit_test(a_slip_is_told_with_what_was_meant),
        cmocka_unit_test(selectors_and_the_policy_decide_where_the_pod_says_nothing),
        cmocka_unit_test(istios_own_config_is_understood),
        cmocka_unit_test(the_path_sets_environment),
        cmocka_unit_test(a_pod_is_known_by_what_made_it),
        cmocka_unit_test(a_users_volumes_come_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
