// SPDX-License-Identifier: Apache-2.0
/* Plans share resources, find them by name and by address, and free what nobody holds; addresses and origins print. */
#include "plan/plan.h"

#include "plan/print.h"
#include "support.h"

static struct listener *make_listener(const char *name, const char *ip, uint16_t port, bool bind)
{
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, view_of(name));
    assert_int_equal(plan_addr_parse_ip(view_of(ip), port, &l->address), 0);
    l->bind_to_port = bind;
    return l;
}

static void put(struct plan *p, void *resource)
{
    plan_put(p, resource);
    resource_unref(resource);
}

static const struct cluster *cluster(const struct plan *p, const char *name)
{
    struct name_ref ref = name_ref(view_of(name));
    return plan_cluster(p, &ref);
}

static void a_thousand_resources_come_and_go(void **state)
{
    (void)state;
    struct plan *p = plan_new();
    char name[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "cluster-%d", i);
        put(p, RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, view_of(name)));
    }
    assert_int_equal(plan_count(p, RESOURCE_CLUSTER), 1000);
    for (int i = 0; i < 1000; i += 2) {
        snprintf(name, sizeof(name), "cluster-%d", i);
        assert_true(plan_del(p, RESOURCE_CLUSTER, view_of(name)));
        assert_false(plan_del(p, RESOURCE_CLUSTER, view_of(name)));
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "cluster-%d", i);
        assert_true((cluster(p, name) != NULL) == (i % 2 == 1));
    }
    struct arena a;
    arena_init(&a, 0);
    const struct resource **all = plan_sorted(p, RESOURCE_CLUSTER, &a);
    for (uint32_t i = 1; i < plan_count(p, RESOURCE_CLUSTER); i++)
        assert_true(view_cmp(all[i - 1]->name, all[i]->name) < 0);
    arena_done(&a);
    plan_unref(p);
}

static void a_copy_shares_and_changes_alone(void **state)
{
    (void)state;
    struct plan *p = plan_new();
    put(p, RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, VIEW("a")));
    put(p, RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, VIEW("b")));
    struct plan *next = plan_copy(p);
    put(next, RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, VIEW("b")));
    plan_del(next, RESOURCE_CLUSTER, VIEW("a"));
    assert_non_null(cluster(p, "a"));
    assert_null(cluster(next, "a"));
    assert_ptr_not_equal(cluster(p, "b"), cluster(next, "b"));
    const struct cluster *kept = resource_ref(cluster(p, "a"));
    plan_unref(p);
    plan_unref(next);
    assert_true(view_is(kept->res.name, "a"));
    resource_unref(kept);
}

static const char *listener_name(const struct plan *p, const char *ip, uint16_t port)
{
    struct plan_addr a;
    assert_int_equal(plan_addr_parse_ip(view_of(ip), port, &a), 0);
    const struct listener *l = plan_listener_for(p, &a);
    return l ? l->res.name.p : "none";
}

static void listeners_are_found_by_original_destination(void **state)
{
    (void)state;
    struct plan *p = plan_new();
    put(p, make_listener("virtual", "0.0.0.0", 15001, true));
    put(p, make_listener("wild", "0.0.0.0", 80, false));
    put(p, make_listener("exact", "10.0.0.1", 80, false));
    put(p, make_listener("second", "10.0.0.1", 80, false));
    put(p, make_listener("six", "::", 81, false));
    for (int round = 0; round < 2; round++) {
        assert_string_equal(listener_name(p, "10.0.0.1", 80), "exact"); /* of two the smaller name */
        assert_string_equal(listener_name(p, "10.0.0.2", 80), "wild");
        assert_string_equal(listener_name(p, "10.0.0.2", 81), "six");
        assert_string_equal(listener_name(p, "::1", 81), "six");
        assert_string_equal(listener_name(p, "10.0.0.2", 15001), "none"); /* binds: never handed to */
        struct plan *copy = plan_copy(p);
        plan_unref(p);
        p = copy;
    }
    plan_del(p, RESOURCE_LISTENER, VIEW("exact"));
    assert_string_equal(listener_name(p, "10.0.0.1", 80), "second");
    put(p, make_listener("second", "10.0.0.9", 80, false)); /* moved */
    assert_string_equal(listener_name(p, "10.0.0.1", 80), "wild");
    assert_string_equal(listener_name(p, "10.0.0.9", 80), "second");
    plan_del(p, RESOURCE_LISTENER, VIEW("wild"));
    assert_string_equal(listener_name(p, "10.0.0.1", 80), "none");
    plan_unref(p);
}

static void equal_content_has_an_equal_hash(void **state)
{
    (void)state;
    struct cluster *a = make_cluster(BALANCE_RANDOM), *b = make_cluster(BALANCE_RANDOM);
    resource_seal(&a->res);
    resource_seal(&b->res);
    assert_true(a->res.hash != 0 && a->res.hash == b->res.hash);
    b->connect_timeout = 1;
    resource_seal(&b->res);
    assert_true(a->res.hash != b->res.hash);
    resource_unref(a);
    resource_unref(b);
}

static void keys_are_never_printed(void **state)
{
    (void)state;
    struct tls_secret *s = tls_secret_new(VIEW("kubernetes://x"), VIEW("CHAIN"), VIEW("PRIVATE"), VIEW("CA"));
    struct buf b = {0};
    resource_print(&b, &s->res);
    assert_null(strstr(buf_cstr(&b), "PRIVATE"));
    assert_non_null(strstr(buf_cstr(&b), "kubernetes://x"));
    buf_done(&b);
    resource_unref(s);
}

static void addresses_and_prefixes_are_read_and_written(void **state)
{
    (void)state;
    static const char *const good[][2] = {{"10.0.0.1", "10.0.0.1:80"}, {"::1", "[::1]:80"}, {"a.b", "a.b:80"}};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct plan_addr a = plan_addr_of(view_of(good[i][0]), 80);
        struct buf b = {0};
        plan_addr_print(&b, &a);
        assert_string_equal(buf_cstr(&b), good[i][1]);
        buf_done(&b);
    }
    struct plan_addr a;
    struct ip_prefix p;
    assert_int_equal(plan_addr_parse_ip(VIEW("10.0.0"), 1, &a), -22);
    assert_int_equal(plan_addr_parse_ip(VIEW(""), 1, &a), -22);
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0.0/", "::/129", "x/8", "/8"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(ip_prefix_parse(view_of(bad[i]), &p), -22);
    static const struct {
        const char *prefix, *ip;
        bool inside;
    } cases[] = {
        {"10.1.2.3/8", "10.9.9.9", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"10.0.0.0/9", "10.128.0.0", false},
        {"10.0.0.1", "10.0.0.1", true},
        {"::/0", "1.2.3.4", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(ip_prefix_parse(view_of(cases[i].prefix), &p), 0);
        assert_int_equal(plan_addr_parse_ip(view_of(cases[i].ip), 0, &a), 0);
        assert_int_equal(ip_prefix_contains(&p, &a), cases[i].inside);
    }
}

static void an_origin_is_a_sentence_and_a_path(void **state)
{
    (void)state;
    struct plan_origin o = {.kind = VIEW("VirtualService"),
                            .ns = VIEW("default"),
                            .name = VIEW("reviews"),
                            .rule = VIEW("spec.http[1]"),
                            .file = VIEW("reviews.yaml"),
                            .line = 14};
    struct buf b = {0};
    struct arena a;
    arena_init(&a, 0);
    plan_origin_print(&b, &o);
    assert_string_equal(buf_cstr(&b), "VirtualService default/reviews spec.http[1] (reviews.yaml:14)");
    assert_string_equal(plan_origin_config_path(&a, &o).p,
                        "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews");
    buf_done(&b);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_resources_come_and_go),
        cmocka_unit_test(a_copy_shares_and_changes_alone),
        cmocka_unit_test(listeners_are_found_by_original_destination),
        cmocka_unit_test(equal_content_has_an_equal_hash),
        cmocka_unit_test(keys_are_never_printed),
        cmocka_unit_test(addresses_and_prefixes_are_read_and_written),
        cmocka_unit_test(an_origin_is_a_sentence_and_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
