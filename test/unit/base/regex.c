// SPDX-License-Identifier: Apache-2.0
/* Regular expressions match the whole text, in the simple forms as in the engine, and refuse what RE2 refuses. */
#include "base/regex.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct {
    const char *pattern, *text;
    bool match;
} cases[] = {
    {"/api", "/api", true},       {"/api", "/api/x", false}, {"/api.*", "/api/x", true},
    {".*html", "/a.html", true},  {".*", "", true},          {"/v[0-9]+", "/v12", true},
    {"/v[0-9]+", "/v12/", false}, {"a|ab", "ab", true},      {"(?i)jason", "JASON", true},
    {"a.c", "abc", true},
};

static void the_whole_text_must_match(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct regex *r;
        struct view why;
        assert_int_equal(regex_new(&a, view_of(cases[i].pattern), &r, &why), 0);
        assert_int_equal(regex_match(r, view_of(cases[i].text)), cases[i].match);
    }
    arena_done(&a);
}

static void a_bad_pattern_is_explained(void **state)
{
    (void)state;
    struct arena a;
    struct regex *r;
    struct view why;
    arena_init(&a, 0);
    assert_true(regex_new(&a, VIEW("[0-9"), &r, &why) < 0);
    assert_true(why.n > 0);
    assert_true(regex_new(&a, VIEW("(?!x)"), &r, &why) < 0);
    arena_done(&a);
}

static void groups_are_substituted(void **state)
{
    (void)state;
    struct arena a;
    struct regex *r;
    struct view why;
    arena_init(&a, 0);
    assert_int_equal(regex_new(&a, VIEW("/service/([^/]+)(/.*)"), &r, &why), 0);
    assert_true(view_is(regex_replace(r, &a, VIEW("/service/foo/v1"), VIEW("\\2/instance/\\1")), "/v1/instance/foo"));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_whole_text_must_match),
                                       cmocka_unit_test(a_bad_pattern_is_explained),
                                       cmocka_unit_test(groups_are_substituted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
