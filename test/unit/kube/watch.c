// SPDX-License-Identifier: Apache-2.0
/* Watches against a server that behaves as real ones do on bad days: pages, versions that are forgotten, rights that are
 * taken away, definitions that are deleted with all that they define.
 */
#include "kube/watch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "fake.h"
#include "wire/node.h"

static const struct kube_resource pods = {{NULL, 0}, {"v1", 2}, {"pods", 4}, true};
static const struct kube_resource routes = {{"x.io", 4}, {"v1,v1beta1", 10}, {"routes", 6}, true};

#define ITEM(name, version, rest)                                                                                      \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"d\",\"resourceVersion\":\"" version                          \
    "\",\"managedFields\":[{\"manager\":\"k\"}]}" rest "}"
#define LIST(kind, version, more, items)                                                                               \
    "{\"kind\":\"" kind "List\",\"apiVersion\":\"x.io/v1\",\"metadata\":{\"resourceVersion\":\"" version               \
    "\",\"continue\":\"" more "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}"
#define POD_LIST "GET /api/v1/pods?limit"
#define POD_WATCH "GET /api/v1/pods?watch"
#define ROUTE_LIST "GET /apis/x.io/v1/routes?limit"
#define ROUTE_WATCH "GET /apis/x.io/v1/routes?watch"
#define DEFINITION "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/routes.x.io"

struct fixture {
    struct fake fake;
    struct kube_watch *w;
    char log[512]; /* "+name -name ." */
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    fake_init(&f->fake, false);
    fake_client(&f->fake);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kube_watch_free(f->w);
    fake_done(&f->fake);
    mem_free(f);
    return 0;
}

static void open_pods(struct fixture *f)
{
    fake_rule(&f->fake, POD_LIST, 200, LIST("Pod", "5", "", ITEM("a", "1", "") "," ITEM("b", "2", "")));
    fake_rule(&f->fake, POD_WATCH, 0, "");
    f->w = kube_watch_new(f->fake.client, &pods, VIEW_NONE, &f->fake.owner);
}

static void open_routes(struct fixture *f)
{
    fake_rule(&f->fake, ROUTE_LIST, 200, LIST("Route", "5", "", ITEM("a", "1", "") "," ITEM("b", "2", "")));
    fake_rule(&f->fake, ROUTE_WATCH, 0, "");
    fake_rule(&f->fake, DEFINITION, 200, "{\"metadata\":{\"name\":\"routes.x.io\"}}");
    f->w = kube_watch_with(f->fake.client, &routes, &(struct kube_watch_options){.custom = true, .no_status = true},
                           &f->fake.owner);
}

/* What was told in this much time. */
static const char *told(struct fixture *f, uint64_t ns)
{
    struct kube_event e;
    f->log[0] = 0;
    fake_run(&f->fake, ns);
    while (kube_watch_next(f->w, &e)) {
        size_t n = strlen(f->log);
        if (e.type == KUBE_SET)
            assert_null(node_at(e.node, "metadata.managedFields"));
        snprintf(f->log + n, sizeof(f->log) - n, e.type == KUBE_SYNCED ? "." : "%c%.*s ",
                 e.type == KUBE_SET ? '+' : '-', VIEW_ARGS(e.name));
    }
    return f->log;
}

static void a_list_comes_in_pages(void **state)
{
    struct fixture *f = *state;
    fake_rule(&f->fake, POD_LIST, 200, LIST("Pod", "5", "p/2=", ITEM("a", "1", "")));
    fake_rule(&f->fake, POD_LIST "=500&continue=p%2F2%3D", 200, LIST("Pod", "5", "p3", ITEM("b", "2", "")));
    fake_rule(&f->fake, POD_LIST "=500&continue=p3", 200, LIST("Pod", "5", "", ITEM("c", "3", "")));
    fake_rule(&f->fake, POD_WATCH, 0, "");
    f->w = kube_watch_new(f->fake.client, &pods, VIEW_NONE, &f->fake.owner);
    assert_string_equal(told(f, NS_PER_S), "+a +b +c .");
    assert_int_equal(fake_saw(&f->fake, POD_LIST), 3);
    assert_int_equal(fake_saw(&f->fake, POD_WATCH "=1&allowWatchBookmarks=true&timeoutSeconds="), 1);
    assert_int_equal(f->fake.n_conns, 1);
    assert_true(kube_watch_synced(f->w) && kube_watch_connected(f->w));
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
}

static void a_page_that_is_too_old_begins_the_list_again(void **state)
{
    struct fixture *f = *state;
    fake_rule(&f->fake, POD_LIST, 200, LIST("Pod", "5", "p2", ITEM("a", "1", "")));
    fake_rule(&f->fake, POD_LIST "=500&continue=p2", 410, "{}");
    fake_rule(&f->fake, POD_WATCH, 0, "");
    f->w = kube_watch_new(f->fake.client, &pods, VIEW_NONE, &f->fake.owner);
    assert_string_equal(told(f, 10 * NS_PER_MS), "+a ");
    fake_rule(&f->fake, POD_LIST, 200, LIST("Pod", "7", "", ITEM("b", "6", "")));
    assert_string_equal(told(f, NS_PER_S), "+b -a .");
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
}

static void bookmarks_and_events_move_the_version_that_is_resumed(void **state)
{
    struct fixture *f = *state;
    open_pods(f);
    assert_string_equal(told(f, NS_PER_S), "+a +b .");
    fake_line(&f->fake, "/api/v1/pods", EVENT("MODIFIED", ITEM("a", "6", "")));
    fake_line(&f->fake, "/api/v1/pods", EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"99\"}}"));
    fake_hang_up(&f->fake, "/api/v1/pods");
    assert_string_equal(told(f, NS_PER_S), "+a ");
    assert_int_equal(fake_saw(&f->fake, POD_LIST), 1);
    assert_true(view_find_view(buf_read(&f->fake.log), VIEW("resourceVersion=99")) < buf_len(&f->fake.log));
}

static void a_new_list_tells_only_what_is_new(void **state)
{
    struct fixture *f = *state;
    open_pods(f);
    assert_string_equal(told(f, NS_PER_S), "+a +b .");
    fake_rule(&f->fake, POD_LIST, 200, LIST("Pod", "9", "", ITEM("a", "1", "") "," ITEM("c", "8", "")));
    fake_line(&f->fake, "/api/v1/pods", EVENT("ERROR", "{\"code\":410,\"message\":\"too old resource version\"}"));
    assert_string_equal(told(f, NS_PER_S), "+c -b .");
}

static void a_server_that_fails_is_asked_again_from_the_same_version(void **state)
{
    struct fixture *f = *state;
    open_pods(f);
    told(f, NS_PER_S);
    fake_line(&f->fake, "/api/v1/pods", EVENT("ERROR", "{\"code\":500,\"message\":\"etcdserver: no leader\"}"));
    fake_run(&f->fake, 20 * NS_PER_MS);
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_SERVER_ERROR);
    assert_true(view_is(kube_watch_error(f->w), "etcdserver: no leader"));
    assert_string_equal(told(f, NS_PER_S), "");
    assert_int_equal(fake_saw(&f->fake, POD_LIST), 1);
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
}

static void what_is_known_outlives_a_server_that_is_away_for_a_minute(void **state)
{
    struct fixture *f = *state;
    open_pods(f);
    told(f, NS_PER_S);
    fake_down(&f->fake);
    assert_string_equal(told(f, 60 * NS_PER_S), "");
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_UNREACHABLE);
    assert_int_equal(kube_watch_known(f->w), 2);
    fake_up(&f->fake);
    fake_run(&f->fake, 11 * NS_PER_S);
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
    fake_line(&f->fake, "/api/v1/pods", EVENT("ADDED", ITEM("c", "7", "")));
    assert_string_equal(told(f, NS_PER_S), "+c ");
    assert_int_equal(fake_saw(&f->fake, POD_LIST), 1);
}

static void a_server_that_sends_its_clients_elsewhere_interrupts_nothing(void **state)
{
    struct fixture *f = *state;
    open_pods(f);
    told(f, NS_PER_S);
    fake_drain(&f->fake);
    fake_run(&f->fake, NS_PER_S);
    struct kube_request r = {.verb = KUBE_GET, .resource = pods, .ns = VIEW("d"), .name = VIEW("a")};
    struct kube_call *c = kube_call_new(f->fake.client, &r, NULL);
    fake_line(&f->fake, "/api/v1/pods", EVENT("ADDED", ITEM("c", "7", "")));
    assert_string_equal(told(f, NS_PER_S), "+c "); /* still on the old connection */
    assert_int_equal(kube_call_status(c), 404);    /* on a new one */
    kube_call_free(c);
    assert_int_equal(f->fake.n_conns, 2);
    fake_hang_up(&f->fake, "/api/v1/pods");
    fake_run(&f->fake, NS_PER_S);
    fake_line(&f->fake, "/api/v1/pods", EVENT("ADDED", ITEM("d", "8", "")));
    assert_string_equal(told(f, NS_PER_S), "+d ");
    assert_int_equal(f->fake.n_conns, 2);
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
}

static void a_silent_connection_is_given_up(void **state)
{
    struct fixture *f = *state;
    open_pods(f);
    told(f, NS_PER_S);
    sim_link(f->fake.sim, "apiserver", "control", &(struct sim_link){.cut = true});
    fake_run(&f->fake, 300 * NS_PER_S);
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_UNREACHABLE);
    sim_link(f->fake.sim, "apiserver", "control", &(struct sim_link){.latency = NS_PER_MS});
    fake_run(&f->fake, 30 * NS_PER_S);
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
}

static void a_right_that_is_missing_is_named_and_nothing_is_synced(void **state)
{
    struct fixture *f = *state;
    fake_rule(&f->fake, POD_LIST, 403, "{\"kind\":\"Status\",\"message\":\"pods is forbidden\",\"code\":403}");
    f->w = kube_watch_new(f->fake.client, &pods, VIEW_NONE, &f->fake.owner);
    assert_string_equal(told(f, 5 * NS_PER_S), "");
    assert_false(kube_watch_synced(f->w));
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_FORBIDDEN);
    assert_true(view_is(kube_watch_error(f->w), "pods is forbidden"));
    assert_string_equal(kube_trouble_name(KUBE_TROUBLE_FORBIDDEN), "Forbidden");
    fake_rule(&f->fake, POD_LIST, 200, LIST("Pod", "5", "", ITEM("a", "1", "")));
    fake_rule(&f->fake, POD_WATCH, 0, "");
    assert_string_equal(told(f, 11 * NS_PER_S), "+a .");
}

static void a_right_that_is_taken_away_takes_no_objects(void **state)
{
    struct fixture *f = *state;
    open_pods(f);
    told(f, NS_PER_S);
    fake_rule(&f->fake, POD_WATCH, 403, "{\"message\":\"no\"}");
    fake_rule(&f->fake, POD_LIST, 403, "{\"message\":\"no\"}");
    fake_hang_up(&f->fake, "/api/v1/pods");
    assert_string_equal(told(f, 600 * NS_PER_S), "");
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_FORBIDDEN);
    assert_int_equal(kube_watch_known(f->w), 2);
    assert_true(fake_saw(&f->fake, "GET /api/v1/pods") < 100); /* it does not hammer */
}

static void a_kind_that_is_not_defined_counts_as_empty_until_it_is(void **state)
{
    struct fixture *f = *state;
    f->w = kube_watch_with(f->fake.client, &routes, &(struct kube_watch_options){.custom = true}, &f->fake.owner);
    assert_string_equal(told(f, 60 * NS_PER_S), ".");
    assert_true(kube_watch_synced(f->w));
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_CRD_MISSING);
    assert_in_range(fake_saw(&f->fake, ROUTE_LIST), 4, 9);
    assert_in_range(fake_saw(&f->fake, "GET /apis/x.io/v1beta1/routes"), 4, 9);
    fake_rule(&f->fake, "GET /apis/x.io/v1beta1/routes?limit", 200, LIST("Route", "5", "", ITEM("a", "1", "")));
    fake_rule(&f->fake, "GET /apis/x.io/v1beta1/routes?watch", 0, "");
    assert_string_equal(told(f, 16 * NS_PER_S), "+a .");
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
}

static void an_object_that_is_deleted_is_gone_when_its_definition_stays(void **state)
{
    struct fixture *f = *state;
    open_routes(f);
    assert_string_equal(told(f, NS_PER_S), "+a +b .");
    assert_int_equal(fake_saw(&f->fake, DEFINITION), 0);
    fake_line(&f->fake, "/apis/x.io/v1/routes", EVENT("DELETED", ITEM("a", "6", "")));
    fake_line(&f->fake, "/apis/x.io/v1/routes", EVENT("DELETED", ITEM("b", "7", "")));
    fake_line(&f->fake, "/apis/x.io/v1/routes", EVENT("ADDED", ITEM("a", "8", "")));
    assert_string_equal(told(f, NS_PER_S), "-a -b +a ");
    assert_in_range(fake_saw(&f->fake, DEFINITION), 1, 2);
}

static void objects_stay_when_their_definition_is_deleted(void **state)
{
    struct fixture *f = *state;
    open_routes(f);
    told(f, NS_PER_S);
    fake_rule(&f->fake, DEFINITION, 200, "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}");
    fake_line(&f->fake, "/apis/x.io/v1/routes", EVENT("DELETED", ITEM("a", "6", "")));
    assert_string_equal(told(f, NS_PER_S), "");
    fake_line(&f->fake, "/apis/x.io/v1/routes", EVENT("DELETED", ITEM("b", "7", "")));
    fake_hang_up(&f->fake, "/apis/x.io/v1/routes");
    fake_rule(&f->fake, ROUTE_WATCH, 404, "{}");
    fake_rule(&f->fake, ROUTE_LIST, 404, "{}");
    fake_rule(&f->fake, DEFINITION, 404, "{}");
    assert_string_equal(told(f, 30 * NS_PER_S), "");
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_CRD_DELETED);
    assert_int_equal(kube_watch_known(f->w), 2);
}

static void a_definition_that_is_back_has_a_minute_to_get_its_objects(void **state)
{
    struct fixture *f = *state;
    char definition[128];
    struct buf made = {0};
    open_routes(f);
    told(f, NS_PER_S);
    fake_rule(&f->fake, ROUTE_WATCH, 404, "{}");
    fake_rule(&f->fake, ROUTE_LIST, 404, "{}");
    fake_hang_up(&f->fake, "/apis/x.io/v1/routes");
    told(f, NS_PER_S);
    clock_print_time(&made, loop_wall(f->fake.loop));
    snprintf(definition, sizeof(definition), "{\"metadata\":{\"creationTimestamp\":\"%s\"}}", buf_cstr(&made));
    buf_done(&made);
    fake_rule(&f->fake, DEFINITION, 200, definition);
    fake_rule(&f->fake, ROUTE_WATCH, 0, "");
    fake_rule(&f->fake, ROUTE_LIST, 200, LIST("Route", "20", "", ITEM("a", "19", ",\"spec\":{}")));
    assert_string_equal(told(f, 16 * NS_PER_S), "+a ..");
    assert_int_equal(kube_watch_known(f->w), 2);
    told(f, 60 * NS_PER_S);
    assert_int_equal(kube_watch_known(f->w), 1);
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NONE);
}

static void who_may_not_look_at_definitions_believes_deletions(void **state)
{
    struct fixture *f = *state;
    open_routes(f);
    told(f, NS_PER_S);
    fake_rule(&f->fake, DEFINITION, 403, "{}");
    fake_line(&f->fake, "/apis/x.io/v1/routes", EVENT("DELETED", ITEM("a", "6", "")));
    assert_string_equal(told(f, NS_PER_S), "-a ");
}

static void a_change_of_status_alone_is_not_told(void **state)
{
    struct fixture *f = *state;
    open_routes(f);
    told(f, NS_PER_S);
    fake_line(&f->fake, "/apis/x.io/v1/routes", EVENT("MODIFIED", ITEM("a", "6", ",\"status\":{\"ok\":1}")));
    assert_string_equal(told(f, NS_PER_S), "");
    fake_line(&f->fake, "/apis/x.io/v1/routes",
              EVENT("MODIFIED", ITEM("a", "7", ",\"spec\":{\"n\":1},\"status\":{\"ok\":1}")));
    assert_string_equal(told(f, NS_PER_S), "+a ");
}

static void an_answer_that_is_no_list_is_named(void **state)
{
    struct fixture *f = *state;
    fake_rule(&f->fake, POD_LIST, 200, "<html>a proxy's page</html>");
    f->w = kube_watch_new(f->fake.client, &pods, VIEW_NONE, &f->fake.owner);
    assert_string_equal(told(f, NS_PER_S), "");
    assert_int_equal(kube_watch_trouble(f->w), KUBE_TROUBLE_NOT_UNDERSTOOD);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_list_comes_in_pages),
        TEST(a_page_that_is_too_old_begins_the_list_again),
        TEST(bookmarks_and_events_move_the_version_that_is_resumed),
        TEST(a_new_list_tells_only_what_is_new),
        TEST(a_server_that_fails_is_asked_again_from_the_same_version),
        TEST(what_is_known_outlives_a_server_that_is_away_for_a_minute),
        TEST(a_server_that_sends_its_clients_elsewhere_interrupts_nothing),
        TEST(a_silent_connection_is_given_up),
        TEST(a_right_that_is_missing_is_named_and_nothing_is_synced),
        TEST(a_right_that_is_taken_away_takes_no_objects),
        TEST(a_kind_that_is_not_defined_counts_as_empty_until_it_is),
        TEST(an_object_that_is_deleted_is_gone_when_its_definition_stays),
        TEST(objects_stay_when_their_definition_is_deleted),
        TEST(a_definition_that_is_back_has_a_minute_to_get_its_objects),
        TEST(who_may_not_look_at_definitions_believes_deletions),
        TEST(a_change_of_status_alone_is_not_told),
        TEST(an_answer_that_is_no_list_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
