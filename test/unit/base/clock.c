// SPDX-License-Identifier: Apache-2.0
/* Durations and timestamps read and print as protobuf's JSON and RFC 3339 do. */
#include "base/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct {
    const char *text;
    uint64_t ns;
    const char *printed; /* NULL: the text is refused */
} durations[] = {
    {"1s", NS_PER_S, "1s"},
    {"100ms", 100 * NS_PER_MS, "100ms"},
    {"1.5s", 1500 * NS_PER_MS, "1.5s"},
    {"1h30m", 5400 * NS_PER_S, "5400s"},
    {"0", 0, "0s"},
    {"0s", 0, "0s"},
    {"250us", 250000, "250us"},
    {"", 0, NULL},
    {"10", 0, NULL},
    {"10 seconds", 0, NULL},
    {"s", 0, NULL},
    {"-1s", 0, NULL},
    {"99999999999999999999h", 0, NULL},
};

static void durations_read_and_print(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        uint64_t ns = 0;
        int r = clock_parse_duration(view_of(durations[i].text), &ns);
        assert_int_equal(r == 0, durations[i].printed != NULL);
        if (r < 0)
            continue;
        assert_int_equal(ns, durations[i].ns);
        struct buf b = {0};
        clock_print_duration(&b, ns);
        assert_string_equal(buf_cstr(&b), durations[i].printed);
        buf_done(&b);
    }
}

static void times_round_trip(void **state)
{
    (void)state;
    uint64_t ns = 0;
    assert_int_equal(clock_parse_time(VIEW("2026-11-22T19:41:20.125+01:00"), &ns), 0);
    struct buf b = {0};
    clock_print_time(&b, ns);
    assert_string_equal(buf_cstr(&b), "2026-11-22T18:41:20.125Z");
    buf_done(&b);
    assert_true(clock_parse_time(VIEW("yesterday"), &ns) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(durations_read_and_print), cmocka_unit_test(times_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
