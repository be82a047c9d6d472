// SPDX-License-Identifier: Apache-2.0
/* Views compare, cut and read numbers without touching a byte outside. */
#include "base/view.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/must.h"

static void cutting_yields_every_field(void **state)
{
    (void)state;
    struct view rest = VIEW("a,,b"), field;
    assert_true(view_cut(&rest, ',', &field) && view_is(field, "a"));
    assert_true(view_cut(&rest, ',', &field) && view_is(field, ""));
    assert_true(view_cut(&rest, ',', &field) && view_is(field, "b"));
    assert_false(view_cut(&rest, ',', &field));
}

static void numbers_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } cases[] = {{"0", 0},
                 {"42", 0},
                 {"18446744073709551615", 0},
                 {"18446744073709551616", -ERANGE},
                 {"", -EINVAL},
                 {"+1", -EINVAL},
                 {"0x1", -EINVAL},
                 {"1 ", -EINVAL}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t n;
        assert_int_equal(view_u64(view_of(cases[i].text), &n), cases[i].result);
    }
}

static void case_is_folded_in_ascii_only(void **state)
{
    (void)state;
    assert_true(view_ieq(VIEW("Host"), VIEW("hOST")));
    assert_false(view_ieq(VIEW("\xc9"), VIEW("\xe9")));
    assert_int_equal(view_ihash(VIEW("Host")), view_ihash(VIEW("hoST")));
    assert_false(view_eq(VIEW("a@"), VIEW("a`")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cutting_yields_every_field),
                                       cmocka_unit_test(numbers_are_strict),
                                       cmocka_unit_test(case_is_folded_in_ascii_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
