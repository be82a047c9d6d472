// SPDX-License-Identifier: Apache-2.0
/* Leader election in simulated time: never two holders at once, and how long it takes until there is one again. */
#include "kube/lease.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "fake.h"
#include "net/loop.h"
#include "wire/node.h"

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases"

struct fixture {
    struct fake fake;
    struct view stored; /* the one Lease; empty: none */
    uint64_t version, writes;
    bool failing;
    struct kube_lease *a, *b;
};

/* Create, read and replace with optimistic concurrency. */
static bool serve(struct fake *fake, struct fake_request *q)
{
    struct fixture *f = fake->arg;
    struct node *n;
    bool create = view_is(q->line, "POST " LEASES), read = view_starts(q->line, VIEW("GET " LEASES "/l"));
    if (!create && !read && !view_starts(q->line, VIEW("PUT " LEASES "/l")))
        return false;
    if (f->failing) {
        fake_reply(q, 500, VIEW("{}"));
        return true;
    }
    if (read || (create && f->stored.n) || (!create && !f->stored.n)) {
        fake_reply(q, create ? 409 : f->stored.n ? 200 : 404, f->stored.n && read ? f->stored : VIEW("{}"));
        return true;
    }
    struct view body = arena_view(&fake->a, buf_read(&q->body));
    assert_int_equal(node_parse(&fake->a, body, &n, NULL), 0);
    if (!create && !view_eq(node_text_at(n, "metadata.resourceVersion"),
                            arena_printf(&fake->a, "%llu", (unsigned long long)f->version))) {
        fake_reply(q, 409, VIEW("{}"));
        return true;
    }
    node_set_str(&fake->a, node_get(n, VIEW("metadata")), "resourceVersion",
                 arena_printf(&fake->a, "%llu", (unsigned long long)++f->version));
    struct buf out = {0};
    node_print_json(n, &out);
    f->stored = arena_view(&fake->a, buf_read(&out));
    f->writes++;
    buf_done(&out);
    fake_reply(q, create ? 201 : 200, f->stored);
    return true;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    fake_init(&f->fake, false);
    f->fake.hook = serve;
    f->fake.arg = f;
    fake_client(&f->fake);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kube_lease_free(f->a);
    kube_lease_free(f->b);
    fake_done(&f->fake);
    mem_free(f);
    return 0;
}

static struct kube_lease *candidate(struct fixture *f, const char *holder)
{
    struct kube_lease_config c = {.ns = VIEW("istio-system"), .name = VIEW("l"), .holder = view_of(holder)};
    return kube_lease_new(f->fake.client, &c, &f->fake.owner);
}

static struct view at(struct fixture *f, const char *path)
{
    struct node *n;
    assert_int_equal(node_parse(&f->fake.a, f->stored, &n, NULL), 0);
    return node_text_at(n, path);
}

static void the_first_one_makes_it_and_keeps_it(void **state)
{
    struct fixture *f = *state;
    f->a = candidate(f, "pod-a");
    assert_false(kube_lease_held(f->a));
    fake_run(&f->fake, NS_PER_S);
    assert_true(kube_lease_held(f->a));
    assert_int_equal(f->fake.woken, 1);
    assert_true(view_is(at(f, "spec.holderIdentity"), "pod-a"));
    assert_true(at(f, "spec.renewTime").n == strlen("2026-01-01T00:00:00.000000Z"));
    struct view acquired = at(f, "spec.acquireTime");
    f->b = candidate(f, "pod-b");
    for (int i = 0; i < 600; i++) {
        fake_run(&f->fake, 100 * NS_PER_MS);
        assert_true(kube_lease_held(f->a) && !kube_lease_held(f->b));
    }
    assert_in_range(f->writes, 24, 31); /* every two seconds and a bit */
    assert_true(view_eq(acquired, at(f, "spec.acquireTime")));
    assert_true(view_is(kube_lease_holder(f->b), "pod-a"));
    assert_int_equal(f->fake.woken, 1);
}

static void another_one_takes_over_after_the_duration(void **state)
{
    struct fixture *f = *state;
    f->a = candidate(f, "pod-a");
    fake_run(&f->fake, NS_PER_S);
    f->b = candidate(f, "pod-b");
    fake_run(&f->fake, 5 * NS_PER_S);
    f->a = kube_lease_free(f->a); /* dies: in a simulation nothing is given up */
    assert_true(view_is(at(f, "spec.holderIdentity"), "pod-a"));
    int seconds = 0;
    while (!kube_lease_held(f->b) && seconds < 60) {
        fake_run(&f->fake, NS_PER_S);
        seconds++;
    }
    assert_in_range(seconds, 12, 18);
    assert_true(view_is(at(f, "spec.holderIdentity"), "pod-b"));
    assert_int_equal(kube_lease_transitions(f->b), 1);
}

static void a_holder_that_cannot_renew_stops_before_anybody_may_take_over(void **state)
{
    struct fixture *f = *state;
    f->a = candidate(f, "pod-a");
    fake_run(&f->fake, NS_PER_S);
    f->failing = true;
    int tenths = 0;
    while (kube_lease_held(f->a) && tenths < 300) {
        fake_run(&f->fake, 100 * NS_PER_MS);
        tenths++;
    }
    assert_in_range(tenths, 60, 101);
    assert_int_equal(f->fake.woken, 2);
    f->failing = false;
    fake_run(&f->fake, 5 * NS_PER_S);
    assert_true(kube_lease_held(f->a));
}

static void there_are_never_two_on_a_bad_network(void **state)
{
    struct fixture *f = *state;
    int changes = 0;
    f->a = candidate(f, "pod-a");
    f->b = candidate(f, "pod-b");
    for (int i = 0; i < 6000; i++) {
        f->failing = i / 170 % 2;
        if (i % 700 == 0)
            fake_down(&f->fake);
        if (i % 700 == 60)
            fake_up(&f->fake);
        fake_run(&f->fake, 100 * NS_PER_MS);
        assert_false(kube_lease_held(f->a) && kube_lease_held(f->b));
        changes += kube_lease_held(f->a) || kube_lease_held(f->b);
    }
    assert_true(changes > 1000);
    f->failing = false;
}

static void one_that_was_given_up_is_taken_at_once(void **state)
{
    struct fixture *f = *state;
    f->stored = VIEW("{\"metadata\":{\"name\":\"l\",\"resourceVersion\":\"1\",\"labels\":{\"mine\":\"1\"}},\"spec\":"
                     "{\"holderIdentity\":\"\",\"leaseDurationSeconds\":1,\"leaseTransitions\":4}}");
    f->version = 1;
    f->a = candidate(f, "pod-a");
    fake_run(&f->fake, NS_PER_S);
    assert_true(kube_lease_held(f->a));
    assert_int_equal(kube_lease_transitions(f->a), 5);
    assert_true(view_is(at(f, "metadata.labels.mine"), "1")); /* what others wrote stays */
}

static void without_a_lease_there_is_nobody_else(void **state)
{
    assert_true(kube_lease_held(NULL));
    assert_null(kube_lease_free(NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_one_makes_it_and_keeps_it),
        TEST(another_one_takes_over_after_the_duration),
        TEST(a_holder_that_cannot_renew_stops_before_anybody_may_take_over),
        TEST(there_are_never_two_on_a_bad_network),
        TEST(one_that_was_given_up_is_taken_at_once),
        cmocka_unit_test(without_a_lease_there_is_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
