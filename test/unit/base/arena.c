// SPDX-License-Identifier: Apache-2.0
/* Arenas hand out zeroed, aligned memory, grow arrays, and run cleanups in reverse order. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 256);
    for (size_t n = 1; n < 1000; n += 37) {
        char *p = arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    arena_done(&a);
}

static void pushed_elements_stay_in_order(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    int *numbers = NULL;
    uint32_t n = 0;
    for (int i = 0; i < 100; i++)
        *ARENA_PUSH(&a, numbers, n) = i;
    assert_int_equal(n, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(numbers[i], i);
    arena_done(&a);
}

static char order[8];
static void note(void *arg)
{
    strcat(order, arg);
}

static void cleanups_run_newest_first(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    arena_cleanup(&a, note, "a");
    arena_cleanup(&a, note, "b");
    arena_done(&a);
    assert_string_equal(order, "ba");
}

static void text_is_terminated(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    struct view v = arena_printf(&a, "%s-%d", "reviews", 3);
    assert_string_equal(v.p, "reviews-3");
    assert_int_equal(v.n, 9);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(pushed_elements_stay_in_order),
        cmocka_unit_test(cleanups_run_newest_first),
        cmocka_unit_test(text_is_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
