// SPDX-License-Identifier: Apache-2.0
/* Environment variables: order, references, quantities. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/environment.h"

static void references_are_replaced_as_kubelet_does(void **state)
{
    static const struct {
        const char *text, *result;
    } cases[] = {
        {"plain", "plain"}, {"$(A)", "1"},     {"x$(A)y$(B)z", "x1y22z"},
        {"$(NO)", "$(NO)"}, {"$$(A)", "$(A)"}, {"$A", "$A"},
        {"$(A", "$(A"},     {"$", "$"},        {"$$", "$"},
        {"$(A)$", "1$"},    {"$()", "$()"},    {"$(AA)", "$(AA)"},
    };
    char a1[] = "A=1", b22[] = "B=22";
    char *env[] = {a1, b22};
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(arena_str(&a, expand(&a, view_of(cases[i].text), env, 2)), cases[i].result);
    arena_done(&a);
}

static void quantities_are_read(void **state)
{
    static const struct {
        const char *text;
        double milli; /* < 0: refused */
    } cases[] = {{"100m", 100},
                 {"1", 1000},
                 {"1.5", 1500},
                 {"2k", 2e6},
                 {"1Gi", 1073741824e3},
                 {"128Mi", 134217728e3},
                 {"1e3", 1e6},
                 {"", -1},
                 {"Gi", -1},
                 {"1x", -1},
                 {"inf", -1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double milli = -1;
        int err = quantity_milli(view_of(cases[i].text), &milli);
        print_message("  %s\n", cases[i].text);
        assert_int_equal(err, cases[i].milli < 0 ? -EINVAL : 0);
        if (!err)
            assert_float_equal(milli, cases[i].milli, 0.001);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_replaced_as_kubelet_does),
        cmocka_unit_test(quantities_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
