// SPDX-License-Identifier: Apache-2.0
/* Tests of header lists: tokens of names, first occurrences through every kind of change, joining, copying, rebasing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <ctype.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/headers.h"

static void every_known_name_has_its_token_in_any_case(void **state)
{
    for (int id = 1; id < HEADER_COUNT; id++) {
        struct view name = header_id_name((enum header_id)id);
        assert_int_equal(header_id_of(name), id);
        char other[64];
        for (size_t i = 0; i < name.n; i++)
            other[i] = (char)(i % 2 ? toupper(name.p[i]) : name.p[i]);
        assert_int_equal(header_id_of((struct view){other, name.n}), id);
        other[name.n - 1] = (char)(other[name.n - 1] == 'q' ? 'z' : 'q');
        assert_int_equal(header_id_of((struct view){other, name.n}), HEADER_OTHER);
    }
    static const char *const unknown[] = {"", "x", "ab", "hos", "hosts", "x-unknown", "content-lengthy", "x-envoy-"};
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        assert_int_equal(header_id_of(view_of(unknown[i])), HEADER_OTHER);
}

static void set_add_and_del_keep_the_first_occurrence(void **state)
{
    struct headers h;
    headers_init(&h, NULL);
    assert_null(headers_value(&h, HEADER_COOKIE).p);
    assert_int_equal(headers_add(&h, HEADER_COOKIE, VIEW("a")), 0);
    assert_int_equal(headers_add_name(&h, HEADER_OTHER, VIEW("X-Mine"), VIEW("1")), 0);
    assert_int_equal(headers_add(&h, HEADER_COOKIE, VIEW("b")), 0);
    assert_true(view_is(headers_value(&h, HEADER_COOKIE), "a"));
    headers_del_entry(&h, headers_find(&h, HEADER_COOKIE));
    assert_true(view_is(headers_value(&h, HEADER_COOKIE), "b"));
    assert_true(view_is(headers_get(&h, VIEW("x-mine")), "1"));
    assert_int_equal(headers_add(&h, HEADER_COOKIE, VIEW("c")), 0);
    assert_int_equal(headers_set(&h, HEADER_COOKIE, VIEW("d")), 0);
    int n = 0;
    HEADERS_EACH (&h, e)
        n += e->id == HEADER_COOKIE;
    assert_int_equal(n, 1);
    assert_true(headers_del(&h, HEADER_COOKIE));
    assert_false(headers_del(&h, HEADER_COOKIE));
    assert_false(headers_has(&h, HEADER_COOKIE));
    assert_true(headers_del_name(&h, HEADER_OTHER, VIEW("x-MINE")));
    assert_null(headers_get(&h, VIEW("x-mine")).p);
    assert_int_equal(headers_add(&h, HEADER_COOKIE, VIEW("")), 0);
    assert_non_null(headers_value(&h, HEADER_COOKIE).p);
}

static void several_values_are_joined_by_commas(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct headers h;
    headers_init(&h, &a);
    assert_int_equal(headers_add(&h, HEADER_X_FORWARDED_FOR, VIEW("1.1.1.1")), 0);
    assert_true(view_is(headers_joined(&h, HEADER_X_FORWARDED_FOR, VIEW_NONE, &a), "1.1.1.1"));
    assert_int_equal(headers_add(&h, HEADER_X_FORWARDED_FOR, VIEW("2.2.2.2")), 0);
    assert_true(view_is(headers_joined(&h, HEADER_X_FORWARDED_FOR, VIEW_NONE, &a), "1.1.1.1,2.2.2.2"));
    assert_null(headers_joined(&h, HEADER_VIA, VIEW_NONE, &a).p);
    arena_done(&a);
}

static void the_list_grows_to_its_bound(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct headers h, copy;
    headers_init(&h, &a);
    for (int i = 0; i < HEADERS_MOST; i++)
        assert_int_equal(headers_add(&h, i == 100 ? HEADER_TE : HEADER_VIA, VIEW("v")), 0);
    assert_int_equal(headers_add(&h, HEADER_VIA, VIEW("v")), -E2BIG);
    assert_true(headers_find(&h, HEADER_TE) == &h.at[100]);
    headers_init(&copy, &a);
    assert_int_equal(headers_copy(&copy, &h), 0);
    assert_int_equal(copy.n, HEADERS_MOST);
    assert_true(headers_value(&copy, HEADER_TE).p != headers_value(&h, HEADER_TE).p);
    arena_done(&a);
    headers_init(&h, NULL);
    for (int i = 0; i < HEADERS_INLINE; i++)
        assert_int_equal(headers_add(&h, HEADER_VIA, VIEW("v")), 0);
    assert_int_equal(headers_add(&h, HEADER_VIA, VIEW("v")), -E2BIG);
}

static void views_follow_when_bytes_move(void **state)
{
    static const char old[] = "x-a: one", now[] = "x-a: two";
    struct headers h;
    headers_init(&h, NULL);
    assert_int_equal(headers_add_name(&h, HEADER_OTHER, (struct view){old, 3}, (struct view){old + 5, 3}), 0);
    assert_int_equal(headers_add(&h, HEADER_VIA, VIEW("elsewhere")), 0);
    headers_rebase(&h, old, sizeof(old), now);
    assert_true(view_is(headers_get(&h, VIEW("x-a")), "two"));
    assert_true(view_is(headers_value(&h, HEADER_VIA), "elsewhere"));
}

static void status_codes_have_texts(void **state)
{
    for (unsigned code = 100; code < 1000; code++) {
        char text[8];
        snprintf(text, sizeof(text), "%u", code);
        assert_true(view_is(header_status_text(code), text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_name_has_its_token_in_any_case),
        cmocka_unit_test(set_add_and_del_keep_the_first_occurrence),
        cmocka_unit_test(several_values_are_joined_by_commas),
        cmocka_unit_test(the_list_grows_to_its_bound),
        cmocka_unit_test(views_follow_when_bytes_move),
        cmocka_unit_test(status_codes_have_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
