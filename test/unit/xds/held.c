// SPDX-License-Identifier: Apache-2.0
/* xds/held.c: differences and name sets are shared while somebody uses them; oddities come and go. */
#include "xds/held.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct plan *with(struct plan *p, const char *name, uint64_t hash)
{
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, view_of(name));

    c->res.hash = hash;
    plan_put(p, &c->res);
    resource_unref(c);
    return p;
}

static void a_difference_is_found_once_and_has_what_is_new_changed_and_gone(void **state)
{
    struct plan *from = with(with(with(plan_new(), "same", 1), "changed", 2), "gone", 3);
    struct plan *to = with(with(with(plan_new(), "same", 1), "changed", 4), "new", 5);
    struct shelf s;
    struct diff *d, *again;

    shelf_init(&s);
    d = diff_get(&s, RESOURCE_CLUSTER, from, to);
    again = diff_get(&s, RESOURCE_CLUSTER, from, to);
    assert_ptr_equal(d, again);
    assert_int_equal(d->n_changed, 2);
    assert_int_equal(d->n_gone, 1);
    assert_true(view_is(d->gone[0]->name, "gone"));
    for (uint32_t i = 0; i < d->n_changed; i++)
        assert_true(view_is(d->changed[i]->name, "changed") || view_is(d->changed[i]->name, "new"));
    plan_unref(from);
    plan_unref(to); /* the difference keeps both */
    assert_true(view_is(again->gone[0]->name, "gone"));
    diff_unref(&s, d);
    diff_unref(&s, again);
    shelf_done(&s); /* must() that nothing is left */
}

static void of_nothing_everything_is_new_and_nothing_is_another_kind_s(void **state)
{
    struct plan *to = with(with(plan_new(), "a", 1), "b", 2);
    struct shelf s;
    struct diff *clusters, *routes;

    shelf_init(&s);
    clusters = diff_get(&s, RESOURCE_CLUSTER, NULL, to);
    routes = diff_get(&s, RESOURCE_ROUTES, NULL, to);
    assert_int_equal(clusters->n_changed, 2);
    assert_false(diff_empty(clusters));
    assert_true(diff_empty(routes));
    diff_unref(&s, clusters);
    diff_unref(&s, routes);
    plan_unref(to);
    shelf_done(&s);
}

static struct shared_names *set_of(struct shelf *s, uint64_t first, uint64_t n)
{
    struct name_set set = {0};

    for (uint64_t i = 0; i < n; i++)
        name_set_add(&set, first + i);
    return names_share(s, &set);
}

static void equal_sets_of_names_are_one_and_others_are_not(void **state)
{
    struct shared_names *a, *b, *c, *none;
    struct name_set changed;
    struct shelf s;

    shelf_init(&s);
    a = set_of(&s, 100, 1000);
    b = set_of(&s, 100, 1000);
    c = set_of(&s, 101, 1000);
    none = set_of(&s, 0, 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_null(none);
    name_set_copy(&changed, a);
    name_set_del(&changed, 100);
    name_set_add(&changed, 1100);
    names_unref(&s, b);
    b = names_share(&s, &changed); /* by another way to the same names */
    assert_ptr_equal(b, c);
    assert_true(names_has(a, 100)); /* who still has the old set keeps it */
    names_unref(&s, a);
    names_unref(&s, b);
    names_unref(&s, c);
    shelf_done(&s);
}

static void sets_whose_sums_collide_stay_apart(void **state)
{
    struct shared_names *a, *b, *c;
    struct name_set one = {0}, other = {0}, third = {0};
    struct shelf s;

    shelf_init(&s);
    name_set_add(&one, 10);
    name_set_add(&one, 40);
    name_set_add(&other, 20);
    name_set_add(&other, 30);
    name_set_add(&third, 24);
    name_set_add(&third, 26);
    a = names_share(&s, &one);
    b = names_share(&s, &other);
    c = names_share(&s, &third);
    assert_int_equal(a->sum, b->sum);
    assert_ptr_not_equal(a, b);
    assert_ptr_not_equal(b, c);
    assert_false(names_has(a, 20));
    names_unref(&s, a); /* the first of the chain goes, then one in its middle */
    assert_true(names_has(b, 30) && names_has(c, 24));
    names_unref(&s, c);
    names_unref(&s, b);
    shelf_done(&s);
}

static void an_oddity_holds_its_resource_and_the_last_one_frees_the_list(void **state)
{
    struct plan *p = with(plan_new(), "a", 1);
    struct resource *r = plan_by_hash(p, RESOURCE_CLUSTER, view_hash(VIEW("a")));
    struct held h = {0};
    struct shelf s;

    shelf_init(&s);
    map_init(&h.odd, NULL);
    assert_non_null(r);
    held_make_odd(&h, r->name_hash, r);
    held_make_odd(&h, 7, NULL)->denied = 9;
    plan_unref(p);
    assert_true(view_is(held_odd(&h, r->name_hash)->has->name, "a"));
    assert_int_equal(held_odd(&h, 7)->denied, 9);
    assert_null(held_odd(&h, 8));
    held_forget_odd(&h, 7);
    held_forget_odd(&h, 7); /* harmless */
    held_forget_odd(&h, r->name_hash);
    assert_null(h.odd.items);
    held_clear(&s, &h);
    shelf_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_difference_is_found_once_and_has_what_is_new_changed_and_gone),
        cmocka_unit_test(of_nothing_everything_is_new_and_nothing_is_another_kind_s),
        cmocka_unit_test(equal_sets_of_names_are_one_and_others_are_not),
        cmocka_unit_test(sets_whose_sums_collide_stay_apart),
        cmocka_unit_test(an_oddity_holds_its_resource_and_the_last_one_frees_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
