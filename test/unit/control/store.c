// SPDX-License-Identifier: Apache-2.0
/* What sources say becomes snapshots: debounced, complete, and with the last good object when a new one is bad. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/source.h"
#include "control/store.h"
#include "net/loop.h"
#include "net/sim.h"

#define SERVICE(name, ip)                                                                                              \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: default}\nspec: {clusterIP: " ip             \
    ", ports: [{name: http, port: 80}]}\n"
#define VS(name, more)                                                                                                 \
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name                                 \
    ", namespace: default}\nspec: {hosts: [" name "], " more "http: [{route: [{destination: {host: " name "}}]}]}\n"

struct fixture {
    struct sim *sim;
    struct loop *loop;
    struct task task;
    struct store *store;
    unsigned told;
    uint64_t told_at;
};

static void run(struct task *t, uint32_t events)
{
    struct fixture *f = CONTAINER_OF(t, struct fixture, task);

    f->told++;
    f->told_at = loop_now(f->loop);
}

static void init(struct fixture *f)
{
    *f = (struct fixture){.sim = sim_new(1)};
    f->loop = sim_loop(sim_host(f->sim, "istiod", "10.0.0.1"), SIM_PROXY);
    task_init(&f->task, f->loop, run, "owner");
    f->store = store_new(f->loop, &f->task, 1);
    sim_run(f->sim, NS_PER_S);
}

static void done(struct fixture *f)
{
    store_free(f->store);
    task_done(&f->task);
    sim_free(f->sim);
}

static void file(struct fixture *f, const char *path, const char *text, int want)
{
    assert_int_equal(store_put_file(f->store, view_of(path), view_of(text)), want);
}

static void the_first_change_is_told_at_once_and_more_are_gathered(void **state)
{
    struct fixture f;
    struct store_snapshot *s;
    uint64_t begin;

    init(&f);
    begin = sim_now(f.sim);
    file(&f, "a.yaml", SERVICE("a", "10.96.0.1"), 0);
    sim_run(f.sim, NS_PER_MS);
    assert_int_equal(f.told, 1);
    s = store_take(f.store);
    assert_int_equal(s->n_objects, 1);
    store_release(f.store, s);
    for (int i = 0; i < 20; i++) {
        file(&f, "b.yaml", i & 1 ? SERVICE("b", "10.96.0.2") : SERVICE("b", "10.96.0.3"), 0);
        sim_run(f.sim, NS_PER_MS);
    }
    assert_int_equal(f.told, 1);
    sim_run(f.sim, 100 * NS_PER_MS);
    assert_int_equal(f.told, 2);
    assert_true(f.told_at - begin <= 130 * NS_PER_MS);
    s = store_take(f.store);
    assert_int_equal(s->n_objects, 2);
    assert_null(store_take(f.store)); /* nothing new */
    store_release(f.store, s);
    done(&f);
}

static void nothing_is_told_before_every_source_has_spoken(void **state)
{
    struct fixture f;
    struct store_snapshot *s;

    init(&f);
    store_expect(f.store);
    store_expect(f.store);
    file(&f, "a.yaml", SERVICE("a", "10.96.0.1"), 0);
    store_synced(f.store);
    sim_run(f.sim, NS_PER_S);
    assert_int_equal(f.told, 0);
    assert_null(store_take(f.store));
    assert_false(store_ready(f.store));
    store_synced(f.store);
    sim_run(f.sim, NS_PER_MS);
    assert_int_equal(f.told, 1);
    s = store_take(f.store);
    assert_non_null(s);
    store_release(f.store, s);
    done(&f);
}

static void objects_of_different_kinds_may_share_a_name(void **state)
{
    struct fixture f;

    init(&f);
    file(&f, "a.yaml", SERVICE("reviews", "10.96.0.1") "---\n" VS("reviews", ""), 0);
    file(&f, "b.yaml",
         "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews, namespace: "
         "default}\nspec: {host: reviews}\n",
         0);
    assert_int_equal(store_count(f.store, KIND_SERVICE), 1);
    assert_int_equal(store_count(f.store, KIND_VIRTUAL_SERVICE), 1);
    assert_int_equal(store_count(f.store, KIND_DESTINATION_RULE), 1);
    store_del(f.store, KIND_VIRTUAL_SERVICE, VIEW("default"), VIEW("reviews"));
    assert_int_equal(store_count(f.store, KIND_SERVICE), 1);
    assert_int_equal(store_count(f.store, KIND_VIRTUAL_SERVICE), 0);
    done(&f);
}

static void a_bad_object_is_named_and_its_last_good_one_stays(void **state)
{
    struct fixture f;
    struct buf out = {0};

    init(&f);
    file(&f, "a.yaml", VS("a", "") "---\n" VS("b", ""), 0);
    file(&f, "a.yaml", VS("a", "htpp: 1, ") "---\n" VS("b", "") "---\n" VS("c", ""), -EINVAL);
    assert_int_equal(store_count(f.store, KIND_VIRTUAL_SERVICE), 3);
    assert_int_equal(store_rejected(f.store), 1);
    store_print_rejected(f.store, &out);
    assert_true(view_find_view(buf_read(&out), VIEW("htpp")) < buf_len(&out));
    file(&f, "a.yaml", VS("a", ""), 0); /* good again: what is gone from the file, goes */
    assert_int_equal(store_count(f.store, KIND_VIRTUAL_SERVICE), 1);
    assert_int_equal(store_rejected(f.store), 0);
    store_del_file(f.store, VIEW("a.yaml"));
    assert_int_equal(store_count(f.store, KIND_VIRTUAL_SERVICE), 0);
    buf_done(&out);
    done(&f);
}

static void json_of_an_api_server_is_put_and_replaced(void **state)
{
    struct fixture f;
    struct buf out = {0};
    struct store_snapshot *s;

    init(&f);
    store_put_json(f.store, VIEW("{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\","
                                 "\"namespace\":\"default\"},\"data\":{\"tls.key\":\"c2VjcmV0\"}}"));
    store_put_json(f.store, VIEW("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"default\"}}"));
    store_put_json(f.store, VIEW("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"default\","
                                 "\"labels\":{\"a\":\"b\"}}}"));
    store_put_json(f.store, VIEW("{\"apiVersion\":\"v1\",\"kind\":"));
    assert_int_equal(store_count(f.store, KIND_NAMESPACE), 1);
    assert_int_equal(store_count(f.store, KIND_SECRET), 1);
    s = store_take(f.store);
    assert_true(labels_is(&snapshot_get(s->mesh, KIND_NAMESPACE, VIEW_NONE, VIEW("default"))->meta.labels, "a", "b"));
    store_release(f.store, s);
    store_print_json(f.store, &out);
    assert_true(view_find_view(buf_read(&out), VIEW("c2VjcmV0")) == buf_len(&out)); /* never printed */
    buf_done(&out);
    done(&f);
}

static void what_an_old_snapshot_holds_outlives_its_replacement(void **state)
{
    struct fixture f;
    struct store_snapshot *old, *now;
    const struct service *s;

    init(&f);
    file(&f, "a.yaml", SERVICE("a", "10.96.0.1"), 0);
    old = store_take(f.store);
    file(&f, "a.yaml", SERVICE("a", "10.96.0.2"), 0);
    now = store_take(f.store);
    store_del_file(f.store, VIEW("a.yaml"));
    s = (const struct service *)(void *)snapshot_get(old->mesh, KIND_SERVICE, VIEW("default"), VIEW("a"));
    assert_true(view_is(s->o.meta.name, "a"));
    store_release(f.store, old);
    s = (const struct service *)(void *)snapshot_get(now->mesh, KIND_SERVICE, VIEW("default"), VIEW("a"));
    assert_true(view_is(s->o.meta.name, "a")); /* ASan sees it if it is not there */
    store_release(f.store, now);
    done(&f);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void wait_told(struct fixture *f, unsigned n)
{
    for (int i = 0; i < 200 && f->told < n; i++)
        loop_turn(f->loop, true);
    assert_true(f->told >= n);
}

static void a_folder_is_read_and_read_again_when_it_changes(void **state)
{
    struct fixture f = {0};
    struct source_file *source = NULL;
    char dir[] = "/tmp/weft-store-XXXXXX", path[64];

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.yaml", dir);
    write_text(path, SERVICE("a", "10.96.0.1"));
    f.loop = loop_new(NULL);
    task_init(&f.task, f.loop, run, "owner");
    f.store = store_new(f.loop, &f.task, 1);
    assert_int_equal(source_file_new(f.loop, dir, f.store, &source), 0);
    wait_told(&f, 1);
    assert_int_equal(store_count(f.store, KIND_SERVICE), 1);
    write_text(path, SERVICE("a", "10.96.0.1") "---\n" SERVICE("b", "10.96.0.2"));
    wait_told(&f, 2);
    assert_int_equal(store_count(f.store, KIND_SERVICE), 2);
    unlink(path);
    wait_told(&f, 3);
    assert_int_equal(store_count(f.store, KIND_SERVICE), 0);
    assert_int_equal(source_file_new(f.loop, "/nowhere/at/all", f.store, &source), -ENOENT);
    source_file_free(source);
    store_free(f.store);
    task_done(&f.task);
    loop_free(f.loop);
    rmdir(dir);
}

#define POD(phase, more)                                                                                               \
    VIEW("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"default\",\"labels\":{" \
         "\"security.istio.io/tlsMode\":\"istio\"},\"annotations\":{\"sidecar.istio.io/status\":\"{long}\"},"          \
         "\"managedFields\":[{\"manager\":\"x\"}]" more "},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"," \
         "\"env\":[{\"name\":\"SETTING\",\"value\":\"v\"}],\"ports\":[{\"containerPort\":9080}]}]},\"status\":{"       \
         "\"phase\":\"" phase "\",\"podIP\":\"10.0.0.7\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}")

static void of_a_pod_only_what_is_read_is_kept(void **state)
{
    struct fixture f;
    struct store_snapshot *s;
    const struct pod *p;

    init(&f);
    store_put_json(f.store, POD("Running", ""));
    s = store_take(f.store);
    p = (const struct pod *)(void *)snapshot_get(s->mesh, KIND_POD, VIEW("default"), VIEW("p"));
    assert_true(p && view_is(p->ip, "10.0.0.7") && pod_is_ready(p));
    assert_int_equal(p->spec.containers[0].ports[0].port, 9080);
    assert_true(labels_is(&p->o.meta.labels, "security.istio.io/tlsMode", "istio"));
    assert_true(
        labels_is(&p->o.meta.annotations, "sidecar.istio.io/status", "{}")); /* that it is there is what counts */
    assert_int_equal(p->spec.containers[0].n_env, 0);
    assert_null(p->o.node);
    assert_null(p->spec.containers[0].part.node);
    assert_null(p->spec.containers[0].ports[0].part.node);
    store_release(f.store, s);
    done(&f);
}

#define CONTAINER(name, ports) "{\"name\":\"" name "\",\"image\":\"i\",\"ports\":[" ports "]}"

static void a_port_is_found_by_its_name_in_whatever_container_it_is(void **state)
{
    static const struct int_or_str named = {.set = true, .text = {"web", 3}};
    struct fixture f;
    struct store_snapshot *s;
    const struct pod *p;

    init(&f);
    store_put_json(
        f.store,
        VIEW("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"default\"},"
             "\"spec\":{\"containers\":[" CONTAINER("first", "") "," CONTAINER(
                 "second", "{\"containerPort\":1}") "," CONTAINER("third",
                                                                  "{\"name\":\"web\",\"containerPort\":8080}") "]}}"));
    s = store_take(f.store);
    p = (const struct pod *)(void *)snapshot_get(s->mesh, KIND_POD, VIEW("default"), VIEW("p"));
    assert_int_equal(pod_port(&p->spec, &named), 8080);
    assert_int_equal(p->spec.n_containers, 2); /* the second has nothing that anybody asks for */
    store_release(f.store, s);
    done(&f);
}

static void of_a_service_no_tree_is_kept_but_what_it_says(void **state)
{
    struct fixture f;
    struct store_snapshot *s;
    const struct service *v;

    init(&f);
    store_put_json(f.store,
                   VIEW("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"v\",\"namespace\":"
                        "\"default\",\"labels\":{\"labels\":\"x\"}},\"spec\":{\"clusterIP\":\"10.96.0.1\","
                        "\"ipFamilies\":[\"IPv4\"],\"selector\":{\"selector\":\"y\"},\"ports\":[{\"name\":"
                        "\"http\",\"port\":80,\"targetPort\":\"web\"}]},\"status\":{\"loadBalancer\":{}}}"));
    store_put_json(f.store, POD("Running", "")); /* over the memory that the text was read into */
    s = store_take(f.store);
    v = (const struct service *)(void *)snapshot_get(s->mesh, KIND_SERVICE, VIEW("default"), VIEW("v"));
    assert_true(v && view_is(v->cluster_ip, "10.96.0.1") && v->n_ports == 1);
    assert_true(view_is(v->ports[0].name, "http") && view_is(v->ports[0].target_port.text, "web"));
    assert_true(labels_is(&v->selector, "selector", "y") && labels_is(&v->o.meta.labels, "labels", "x"));
    assert_null(v->o.node);
    assert_null(v->ports[0].part.node);
    store_release(f.store, s);
    done(&f);
}

#define VS_JSON(version, timeout, status)                                                                              \
    VIEW("{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":{\"name\":\"v\","        \
         "\"namespace\":\"default\",\"resourceVersion\":\"" version                                                    \
         "\"},\"spec\":{\"hosts\":[\"a\"],\"http\":[{\"timeout\":"                                                     \
         "\"" timeout "\",\"route\":[{\"destination\":{\"host\":\"a\"}}]}]},\"status\":{\"x\":\"" status "\"}}")

static void what_says_nothing_new_is_not_told(void **state)
{
    static const struct {
        struct view json;
        bool told;
    } rows[] = {
        {POD("Running", ""), true},
        {POD("Running", ""), false},
        {POD("Running", ",\"resourceVersion\":\"7\""), false}, /* a heartbeat */
        {POD("Failed", ""), true},
        {VS_JSON("1", "1s", "a"), true},
        {VS_JSON("2", "1s", "b"), false}, /* our own status */
        {VS_JSON("3", "2s", "b"), true},
    };
    struct fixture f;

    init(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_snapshot *s;
        store_put_json(f.store, rows[i].json);
        s = store_take(f.store);
        assert_int_equal(s != NULL, rows[i].told);
        store_release(f.store, s);
    }
    done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_change_is_told_at_once_and_more_are_gathered),
        cmocka_unit_test(nothing_is_told_before_every_source_has_spoken),
        cmocka_unit_test(objects_of_different_kinds_may_share_a_name),
        cmocka_unit_test(a_bad_object_is_named_and_its_last_good_one_stays),
        cmocka_unit_test(json_of_an_api_server_is_put_and_replaced),
        cmocka_unit_test(of_a_pod_only_what_is_read_is_kept),
        cmocka_unit_test(a_port_is_found_by_its_name_in_whatever_container_it_is),
        cmocka_unit_test(of_a_service_no_tree_is_kept_but_what_it_says),
        cmocka_unit_test(what_says_nothing_new_is_not_told),
        cmocka_unit_test(what_an_old_snapshot_holds_outlives_its_replacement),
        cmocka_unit_test(a_folder_is_read_and_read_again_when_it_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
