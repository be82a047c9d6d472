// SPDX-License-Identifier: Apache-2.0
/* Maps find what was put, forget what was deleted, and keep the order of insertion. */
#include "base/map.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void a_thousand_keys_come_and_go(void **state)
{
    (void)state;
    struct arena a;
    struct map m;
    arena_init(&a, 0);
    map_init(&m, NULL);
    for (uintptr_t i = 1; i <= 1000; i++)
        map_put(&m, arena_printf(&a, "key-%lu", (unsigned long)i), (void *)i);
    for (uintptr_t i = 1; i <= 1000; i += 2)
        assert_ptr_equal(map_del(&m, arena_printf(&a, "key-%lu", (unsigned long)i)), (void *)i);
    assert_int_equal(map_size(&m), 500);
    for (uintptr_t i = 1; i <= 1000; i++)
        assert_ptr_equal(map_get(&m, arena_printf(&a, "key-%lu", (unsigned long)i)), i % 2 ? NULL : (void *)i);
    uintptr_t last = 0;
    MAP_EACH (&m, it) {
        assert_true((uintptr_t)it->value > last);
        last = (uintptr_t)it->value;
    }
    map_done(&m);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_thousand_keys_come_and_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
