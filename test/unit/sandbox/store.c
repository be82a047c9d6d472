// SPDX-License-Identifier: Apache-2.0
/* The store counts changes, keeps the last good object, and hands out what happened since a version. */
#include "sandbox/store.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/limits.h"
#include "wire/node.h"

struct fixture {
    struct store *store;
    struct arena a;
    struct diags d;
    int changes;
};

static void changed(void *arg)
{
    ((struct fixture *)arg)->changes++;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    arena_init(&f->a, 0);
    diags_init(&f->d, &f->a);
    f->store = store_new(changed, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_free(f->store);
    arena_done(&f->a);
    mem_free(f);
    return 0;
}

static struct node *parse(struct fixture *f, const char *text)
{
    struct node *n;
    assert_int_equal(node_parse(&f->a, view_of(text), &n, NULL), 0);
    return n;
}

static int put(struct fixture *f, const char *text, struct record **ret)
{
    return store_write(f->store, &(struct store_put){.tree = parse(f, text)}, &f->d, ret);
}

static void a_change_makes_a_new_version_and_no_change_makes_none(void **state)
{
    struct fixture *f = *state;
    struct record *first, *same, *second;
    assert_int_equal(
        put(f, "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}", &first), 0);
    uint64_t version = first->version;
    assert_true(first->uid.n == 36);
    assert_true(view_is(first->ns, "default"));
    assert_int_equal(
        put(f, "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}", &same), 0);
    assert_true(same->version == version);
    assert_int_equal(f->changes, 1);
    struct view uid = arena_view(&f->a, first->uid);
    assert_int_equal(
        put(f, "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 81}]}}", &second), 0);
    assert_true(second->version > version);
    assert_true(view_eq(second->uid, uid));
    assert_int_equal(second->object->meta.generation, 2);
}

static void what_cannot_be_decoded_leaves_the_last_good_one(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        put(f, "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}", NULL), 0);
    assert_int_equal(put(f, "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {prots: []}}", NULL),
                     -EINVAL);
    assert_int_equal(f->d.n_errors, 1);
    const struct record *r = store_get(f->store, KIND_SERVICE, VIEW("default"), VIEW("web"));
    assert_non_null(node_at(r->tree, "spec.ports.0.port"));
}

static void status_and_spec_are_written_apart(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        put(f, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: b}]}}", NULL), 0);
    struct store_put status = {
        .tree = parse(
            f, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: []}, status: {phase: Running}}"),
        .mode = STORE_STATUS};
    struct record *r;
    assert_int_equal(store_write(f->store, &status, &f->d, &r), 0);
    assert_true(view_is(node_text_at(r->tree, "status.phase"), "Running"));
    assert_true(view_is(node_text_at(r->tree, "spec.containers.0.name"), "a"));
    assert_int_equal(put(f,
                         "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {x: z}}, spec: {containers: [{name: "
                         "a, image: b}]}}",
                         &r),
                     0);
    assert_true(view_is(node_text_at(r->tree, "status.phase"), "Running"));
}

static void stale_writers_and_second_creators_are_told(void **state)
{
    struct fixture *f = *state;
    struct record *r;
    const char *text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: b}}";
    assert_int_equal(put(f, text, &r), 0);
    struct store_put again = {.tree = parse(f, text), .create = true};
    assert_int_equal(store_write(f->store, &again, &f->d, NULL), -EEXIST);
    struct store_put stale = {.tree = parse(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: c}}"),
                              .expect = r->version + 7};
    assert_int_equal(store_write(f->store, &stale, &f->d, NULL), -ESTALE);
    stale.expect = r->version;
    assert_int_equal(store_write(f->store, &stale, &f->d, NULL), 0);
}

static void events_follow_in_order_until_they_are_too_old(void **state)
{
    struct fixture *f = *state;
    struct record *r;
    int err;
    assert_int_equal(put(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '0'}}", &r), 0);
    uint64_t start = r->version;
    store_remove(f->store, KIND_CONFIG_MAP, VIEW("default"), VIEW("c"));
    const struct store_event *e = store_event(f->store, start - 1, &err);
    assert_true(e && e->type == STORE_ADDED && e->version == start);
    e = store_event(f->store, e->version, &err);
    assert_true(e && e->type == STORE_DELETED && e->version == start + 1);
    assert_null(store_event(f->store, e->version, &err));
    assert_int_equal(err, 0);
    for (int i = 0; i < LIMIT_STORE_EVENTS + 1; i++) {
        struct view text =
            arena_printf(&f->a, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '%d'}}", i);
        assert_int_equal(put(f, text.p, NULL), 0);
    }
    assert_null(store_event(f->store, start, &err));
    assert_int_equal(err, -ESTALE);
    assert_non_null(store_event(f->store, store_version(f->store) - 1, &err));
}

static void lists_are_sorted_and_outlive_changes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}", NULL), 0);
    assert_int_equal(put(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", NULL), 0);
    assert_int_equal(put(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: other}}", NULL), 0);
    size_t n;
    struct record **all = store_list(f->store, KIND_CONFIG_MAP, VIEW("default"), &f->a, &n);
    store_remove(f->store, KIND_CONFIG_MAP, VIEW("default"), VIEW("a"));
    assert_int_equal(n, 2);
    assert_true(view_is(all[0]->name, "a") && view_is(all[1]->name, "b"));
    store_list(f->store, KIND_CONFIG_MAP, VIEW_NONE, &f->a, &n);
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_makes_a_new_version_and_no_change_makes_none, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_decoded_leaves_the_last_good_one, setup, teardown),
        cmocka_unit_test_setup_teardown(status_and_spec_are_written_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_writers_and_second_creators_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(events_follow_in_order_until_they_are_too_old, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_sorted_and_outlive_changes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
