// SPDX-License-Identifier: Apache-2.0
/* The Prometheus text format, read line by line: labels with escapes, comments, and lines that are not one. */
#include "cli/scrape.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void series_are_read_and_nonsense_is_passed_over(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    struct view text = VIEW("# TYPE x counter\n"
                            "x_total{a=\"1\",b=\"say \\\"hi\\\"\\n\",} 42\n"
                            "broken{a=1} 3\n"
                            "broken{a=\"1\n"
                            "plain 1.5 1700000000\n"
                            "h_bucket{le=\"+Inf\"} 7");
    struct series s;
    assert_true(series_next(&a, &text, &s));
    assert_true(view_is(s.name, "x_total"));
    assert_true(view_is(series_label(&s, "a"), "1"));
    assert_true(view_is(series_label(&s, "b"), "say \"hi\"\n"));
    assert_true(s.value == 42);
    assert_true(series_next(&a, &text, &s));
    assert_true(view_is(s.name, "plain") && s.value == 1.5 && s.n_labels == 0);
    assert_true(series_next(&a, &text, &s));
    assert_true(view_is(series_label(&s, "le"), "+Inf") && s.value == 7);
    assert_false(series_next(&a, &text, &s));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(series_are_read_and_nonsense_is_passed_over)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
