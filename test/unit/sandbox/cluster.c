// SPDX-License-Identifier: Apache-2.0
/* The controllers on a store without a kubelet: the test plays it, marks pods ready, and counts what is there in between. */
#include "sandbox/cluster.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mesh/endpoints.h"
#include "mesh/service.h"
#include "sandbox/admit.h"
#include "wire/node.h"

struct fixture {
    struct store *store;
    struct cluster c;
    struct arena a;
    struct diags d;
    uint32_t next_ip;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    arena_init(&f->a, 0);
    diags_init(&f->d, &f->a);
    f->store = store_new(NULL, NULL);
    cluster_init(&f->c, f->store);
    f->c.service_cidr = 0x0a600000;
    f->c.dns_ip = 0x0a60000a;
    f->c.root_cert = VIEW("-----BEGIN CERTIFICATE-----\n");
    assert_int_equal(cluster_bootstrap(&f->c), 0);
    cluster_run(&f->c);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cluster_done(&f->c);
    store_free(f->store);
    arena_done(&f->a);
    mem_free(f);
    return 0;
}

static int apply(struct fixture *f, const char *text)
{
    struct apply_result *results;
    size_t n;
    int err = admit_apply(&f->c, VIEW("test.yaml"), view_of(text), VIEW_NONE, &f->a, &f->d, &results, &n);
    cluster_run(&f->c);
    return err;
}

static struct record **pods(struct fixture *f, size_t *n)
{
    return store_list(f->store, KIND_POD, VIEW("default"), &f->a, n);
}

static void set_status(struct fixture *f, const struct record *r, const char *phase, bool ready)
{
    struct node *tree = tree_new(&f->a, VIEW("v1"), VIEW("Pod"), r->ns, r->name);
    struct node *status = node_make(&f->a, tree, "status", NODE_MAP);
    node_set_str(&f->a, status, "phase", view_of(phase));
    struct view ip = record_pod(r)->ip;
    node_set_str(&f->a, status, "podIP", ip.n ? ip : arena_printf(&f->a, "10.244.0.%u", ++f->next_ip));
    tree_condition(&f->a, status, r, "Ready", ready, NULL, VIEW_NONE, f->c.now);
    assert_int_equal(store_write(f->store, &(struct store_put){.tree = tree, .mode = STORE_STATUS}, &f->d, NULL), 0);
}

/* The kubelet's turn: ends what is to end, runs what is to run. */
static void kubelet(struct fixture *f, bool ready)
{
    size_t n;
    struct record **all = pods(f, &n);
    for (size_t i = 0; i < n; i++) {
        if (all[i]->object->meta.deleting)
            store_remove(f->store, KIND_POD, all[i]->ns, all[i]->name);
        else
            set_status(f, all[i], "Running", ready);
    }
    cluster_run(&f->c);
}

static size_t count_ready(struct fixture *f, size_t *ret_all)
{
    size_t n, ready = 0;
    struct record **all = pods(f, &n);
    for (size_t i = 0; i < n; i++)
        ready += !all[i]->object->meta.deleting && pod_is_ready(record_pod(all[i]));
    *ret_all = n;
    return ready;
}

#define DEPLOYMENT(replicas, image)                                                                                    \
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: " replicas                       \
    "\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n"            \
    "      containers: [{name: web, image: " image ", ports: [{containerPort: 8080, name: http}]}]\n"

static void a_deployment_keeps_its_replicas(void **state)
{
    struct fixture *f = *state;
    size_t n;
    assert_int_equal(apply(f, DEPLOYMENT("3", "a")), 0);
    struct record **all = pods(f, &n);
    assert_int_equal(n, 3);
    struct view name = all[0]->name; /* web-<hash>-<five> */
    assert_true(view_starts(name, VIEW("web-")) && name.p[name.n - 6] == '-');
    kubelet(f, true);
    assert_int_equal(cluster_delete(&f->c, KIND_POD, VIEW("default"), all[0]->name, 0), 0);
    cluster_run(&f->c);
    kubelet(f, true);
    kubelet(f, true);
    assert_int_equal(count_ready(f, &n), 3);
    assert_int_equal(n, 3);
    assert_int_equal(apply(f, DEPLOYMENT("1", "a")), 0);
    kubelet(f, true);
    assert_int_equal(count_ready(f, &n), 1);
    assert_int_equal(n, 1);
}

static void a_rollout_never_serves_with_less_than_three_quarters(void **state)
{
    struct fixture *f = *state;
    size_t n, most = 0, least = 100;
    assert_int_equal(apply(f, DEPLOYMENT("4", "a")), 0);
    kubelet(f, true);
    assert_int_equal(apply(f, DEPLOYMENT("4", "b")), 0);
    for (int i = 0; i < 20; i++) {
        size_t ready = count_ready(f, &n);
        struct record **all = pods(f, &n);
        size_t active = 0;
        for (size_t k = 0; k < n; k++)
            active += pod_active(all[k]);
        least = ready < least ? ready : least;
        most = active > most ? active : most;
        kubelet(f, true);
    }
    assert_true(least >= 3);
    assert_true(most <= 5); /* 25 % more; those that are on their way out do not count */
    struct record **all = pods(f, &n);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_true(view_is(record_pod(all[i])->spec.containers[0].image, "b"));
}

static void a_rollout_waits_for_pods_that_do_not_become_ready(void **state)
{
    struct fixture *f = *state;
    size_t n;
    assert_int_equal(apply(f, DEPLOYMENT("4", "a")), 0);
    kubelet(f, true);
    assert_int_equal(apply(f, DEPLOYMENT("4", "broken")), 0);
    for (int i = 0; i < 10; i++) {
        struct record **all = pods(f, &n);
        for (size_t k = 0; k < n; k++) {
            bool old = view_is(record_pod(all[k])->spec.containers[0].image, "a");
            if (all[k]->object->meta.deleting)
                store_remove(f->store, KIND_POD, all[k]->ns, all[k]->name);
            else
                set_status(f, all[k], "Running", old);
        }
        cluster_run(&f->c);
    }
    assert_true(count_ready(f, &n) >= 3);
}

static const struct record *slice_of(struct fixture *f)
{
    size_t n;
    struct record **all = store_list(f->store, KIND_ENDPOINT_SLICE, VIEW("default"), &f->a, &n);
    assert_int_equal(n, 1);
    return all[0];
}

static void endpoints_follow_readiness(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(apply(f, "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, "
                              "ports: [{port: 80, targetPort: http}]}\n---\n" DEPLOYMENT("2", "a")),
                     0);
    kubelet(f, false);
    const struct endpoint_slice *s = OBJECT_AS(slice_of(f)->object, ENDPOINT_SLICE, endpoint_slice);
    assert_int_equal(s->n_endpoints, 2);
    assert_false(s->endpoints[0].ready.value);
    assert_int_equal(s->ports[0].port, 8080);
    kubelet(f, true);
    s = OBJECT_AS(slice_of(f)->object, ENDPOINT_SLICE, endpoint_slice);
    assert_true(s->endpoints[0].ready.value && s->endpoints[1].ready.value);
    size_t n;
    struct record **all = pods(f, &n);
    assert_int_equal(cluster_delete(&f->c, KIND_POD, VIEW("default"), all[0]->name, 30), 0);
    cluster_run(&f->c);
    s = OBJECT_AS(slice_of(f)->object, ENDPOINT_SLICE, endpoint_slice);
    int ready = 0, ending = 0;
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        ready += s->endpoints[i].ready.value;
        ending += s->endpoints[i].terminating.value;
    }
    assert_int_equal(ready, 1); /* the new pod is not ready yet, the old one is on its way out */
    assert_int_equal(ending, 1);
}

static void services_get_addresses_and_keep_them(void **state)
{
    struct fixture *f = *state;
    struct view before = VIEW_NONE;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            apply(f, arena_printf(&f->a,
                                  "apiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {i: '%d'}}\n"
                                  "spec: {ports: [{port: 80}]}\n",
                                  i)
                         .p),
            0);
        const struct record *r = store_get(f->store, KIND_SERVICE, VIEW("default"), VIEW("web"));
        struct view ip = OBJECT_AS(r->object, SERVICE, service)->cluster_ip;
        assert_true(view_starts(ip, VIEW("10.96.")));
        assert_true(i == 0 || view_eq(ip, before));
        before = arena_view(&f->a, ip);
    }
    struct view taken = arena_printf(
        &f->a, "apiVersion: v1\nkind: Service\nmetadata: {name: thief}\nspec: {clusterIP: %.*s, ports: [{port: 80}]}\n",
        VIEW_ARGS(before));
    assert_int_not_equal(apply(f, taken.p), 0);
    assert_null(store_get(f->store, KIND_SERVICE, VIEW("default"), VIEW("thief")));
}

static void a_job_finishes_and_failures_have_a_limit(void **state)
{
    struct fixture *f = *state;
    size_t n;
    assert_int_equal(
        apply(f, "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  completions: 2\n  template: {spec: "
                 "{restartPolicy: Never, containers: [{name: a, image: b}]}}\n"),
        0);
    for (int i = 0; i < 2; i++) {
        struct record **all = pods(f, &n);
        assert_int_equal(n, i + 1);
        for (size_t k = 0; k < n; k++)
            set_status(f, all[k], "Succeeded", false);
        cluster_run(&f->c);
    }
    const struct record *job = store_get(f->store, KIND_JOB, VIEW("default"), VIEW("j"));
    assert_true(view_is(node_text_at(job->tree, "status.conditions.0.type"), "Complete"));
    assert_int_equal(
        apply(f, "apiVersion: batch/v1\nkind: Job\nmetadata: {name: bad}\nspec:\n  backoffLimit: 0\n  template: {spec: "
                 "{restartPolicy: Never, containers: [{name: a, image: b}]}}\n"),
        0);
    struct record **all = pods(f, &n);
    for (size_t k = 0; k < n; k++)
        if (view_starts(all[k]->name, VIEW("bad-")))
            set_status(f, all[k], "Failed", false);
    cluster_run(&f->c);
    job = store_get(f->store, KIND_JOB, VIEW("default"), VIEW("bad"));
    assert_true(view_is(node_text_at(job->tree, "status.conditions.0.reason"), "BackoffLimitExceeded"));
}

static void stateful_pods_come_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    size_t n;
    assert_int_equal(
        apply(f,
              "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 2\n  serviceName: db\n"
              "  selector: {matchLabels: {app: db}}\n  template: {metadata: {labels: {app: db}}, spec: {containers: "
              "[{name: a, image: b}]}}\n"),
        0);
    struct record **all = pods(f, &n);
    assert_int_equal(n, 1);
    assert_true(view_is(all[0]->name, "db-0"));
    assert_true(view_is(record_pod(all[0])->spec.hostname, "db-0"));
    kubelet(f, true);
    pods(f, &n);
    assert_int_equal(n, 2);
}

static void what_owns_nothing_goes_and_a_namespace_takes_its_content(void **state)
{
    struct fixture *f = *state;
    size_t n;
    assert_int_equal(apply(f, DEPLOYMENT("2", "a")), 0);
    kubelet(f, true);
    assert_int_equal(cluster_delete(&f->c, KIND_DEPLOYMENT, VIEW("default"), VIEW("web"), -1), 0);
    cluster_run(&f->c);
    kubelet(f, true);
    pods(f, &n);
    assert_int_equal(n, 0);
    assert_int_equal(apply(f, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\n---\n"
                              "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"),
                     0);
    assert_non_null(store_get(f->store, KIND_CONFIG_MAP, VIEW("shop"), VIEW("istio-ca-root-cert")));
    assert_non_null(store_get(f->store, KIND_SERVICE_ACCOUNT, VIEW("shop"), VIEW("default")));
    assert_int_equal(cluster_delete(&f->c, KIND_NAMESPACE, VIEW_NONE, VIEW("shop"), -1), 0);
    cluster_run(&f->c);
    assert_null(store_get(f->store, KIND_CONFIG_MAP, VIEW("shop"), VIEW("c")));
    assert_null(store_get(f->store, KIND_NAMESPACE, VIEW_NONE, VIEW("shop")));
}

static void apply_keeps_what_others_added_and_drops_what_the_file_dropped(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        apply(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {mine: a}}, data: {x: '1', y: '2'}}"),
        0);
    const struct record *r = store_get(f->store, KIND_CONFIG_MAP, VIEW("default"), VIEW("c"));
    struct node *patch;
    assert_int_equal(node_parse(&f->a, VIEW("{metadata: {labels: {theirs: b}}}"), &patch, NULL), 0);
    assert_int_equal(admit_write(&f->c, &(struct store_put){.tree = merge_patch(&f->a, r->tree, patch)}, &f->d, NULL),
                     0);
    assert_int_equal(
        apply(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {mine: a}}, data: {x: '3'}}"), 0);
    r = store_get(f->store, KIND_CONFIG_MAP, VIEW("default"), VIEW("c"));
    assert_true(view_is(node_text_at(r->tree, "metadata.labels.theirs"), "b"));
    assert_true(view_is(node_text_at(r->tree, "data.x"), "3"));
    assert_null(node_at(r->tree, "data.y"));
}

static void a_labelled_namespace_injects_its_pods(void **state)
{
    struct fixture *f = *state;
    size_t n;
    assert_int_equal(
        apply(f, "{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {istio-injection: enabled}}}"),
        0);
    assert_int_equal(apply(f, DEPLOYMENT("1", "a")), 0);
    struct record **all = pods(f, &n);
    assert_int_equal(n, 1);
    assert_true(record_pod(all[0])->spec.n_init_containers >= 1);
    assert_true(labels_has(&all[0]->object->meta.annotations, VIEW("sidecar.istio.io/status")));
}

static void an_object_in_no_namespace_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    assert_int_not_equal(apply(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: nowhere}}"), 0);
    struct diag *one = LIST_ITEM(f->d.all.next, struct diag, link);
    assert_string_equal(one->code, "WEFT0301");
    assert_true(one->at.line == 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_deployment_keeps_its_replicas),
        TEST(a_rollout_never_serves_with_less_than_three_quarters),
        TEST(a_rollout_waits_for_pods_that_do_not_become_ready),
        TEST(endpoints_follow_readiness),
        TEST(services_get_addresses_and_keep_them),
        TEST(a_job_finishes_and_failures_have_a_limit),
        TEST(stateful_pods_come_one_after_the_other),
        TEST(what_owns_nothing_goes_and_a_namespace_takes_its_content),
        TEST(apply_keeps_what_others_added_and_drops_what_the_file_dropped),
        TEST(a_labelled_namespace_injects_its_pods),
        TEST(an_object_in_no_namespace_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
