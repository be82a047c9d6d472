// SPDX-License-Identifier: Apache-2.0
/* Buffers keep bytes in order across growth, and text building prints what printf and JSON would. */
#include "base/buf.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void bytes_survive_growth_and_drops(void **state)
{
    (void)state;
    struct buf b = {0};
    for (unsigned i = 0; i < 1000; i++) {
        buf_be32(&b, i);
        if (i % 3 == 2)
            buf_drop(&b, 4);
    }
    struct view v = buf_read(&b);
    assert_int_equal(v.n, (1000 - 333) * 4);
    assert_int_equal((unsigned char)v.p[v.n - 1], 999 & 0xff);
    assert_int_equal((unsigned char)v.p[3] | (unsigned char)v.p[2] << 8, 333);
    buf_done(&b);
}

static void numbers_print_as_printf_does(void **state)
{
    (void)state;
    const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 18446744073709551615u};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        struct buf b = {0};
        char expected[32];
        snprintf(expected, sizeof(expected), "%lu", (unsigned long)numbers[i]);
        buf_u64(&b, numbers[i]);
        assert_string_equal(buf_cstr(&b), expected);
        buf_done(&b);
    }
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_json_str(&b, VIEW("a\"b\\\n\x01\xc3\xa9\xff\x7f"));
    assert_string_equal(buf_cstr(&b), "\"a\\\"b\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd\\u007f\"");
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_survive_growth_and_drops),
        cmocka_unit_test(numbers_print_as_printf_does),
        cmocka_unit_test(json_strings_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
