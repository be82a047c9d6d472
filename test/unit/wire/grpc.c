// SPDX-License-Identifier: Apache-2.0
/* Tests of gRPC's byte formats.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include "base/clock.h"
#include "wire/grpc.h"

static void timeouts_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } table[] = {{"1S", NS_PER_S},       {"100m", 100 * NS_PER_MS}, {"5u", 5000}, {"7n", 7},
                 {"2M", 120 * NS_PER_S}, {"99999999H", UINT64_MAX}, {"0S", 0}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        uint64_t ns;
        assert_int_equal(grpc_timeout_parse(view_of(table[i].text), &ns), 0);
        assert_true(ns == table[i].ns);
    }
    static const char *const bad[] = {"", "1", "S", "1s", "-1S", "123456789S", "1.5S", "1S ", " 1S"};
    uint64_t ns;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(grpc_timeout_parse(view_of(bad[i]), &ns), -EINVAL);
    static const struct {
        uint64_t ns;
        const char *text;
    } printed[] = {{1, "1n"},
                   {99999998, "99999998n"},
                   {NS_PER_S, "1000000u"},
                   {NS_PER_S + 1, "1000001u"},
                   {3600 * NS_PER_S, "3600000m"},
                   {UINT64_MAX, "18446745S"}};
    for (size_t i = 0; i < COUNT_OF(printed); i++) {
        struct buf b = {0};
        grpc_timeout_print(&b, printed[i].ns);
        uint64_t back;
        assert_int_equal(grpc_timeout_parse(buf_read(&b), &back), 0);
        assert_true(back >= printed[i].ns || printed[i].ns == UINT64_MAX);
        if (printed[i].ns != UINT64_MAX)
            assert_string_equal(buf_cstr(&b), printed[i].text);
        buf_done(&b);
    }
}

static void messages_are_percent_encoded(void **state)
{
    struct buf b = {0}, back = {0};
    grpc_message_encode(&b, VIEW("50% of \xc3\xa4\nlines"));
    assert_string_equal(buf_cstr(&b), "50%25 of %C3%A4%0Alines");
    grpc_message_decode(&back, buf_read(&b));
    assert_string_equal(buf_cstr(&back), "50% of \xc3\xa4\nlines");
    buf_clear(&back);
    grpc_message_decode(&back, VIEW("bad %zz %4"));
    assert_string_equal(buf_cstr(&back), "bad %zz %4");
    buf_done(&b);
    buf_done(&back);
}

static void frames_are_read_whole_or_refused(void **state)
{
    struct view message;
    size_t need;
    assert_int_equal(grpc_frame_read(VIEW("\0\0\0\0"), 10, &message, &need), -EAGAIN);
    assert_int_equal(need, 5);
    assert_int_equal(grpc_frame_read(VIEW("\0\0\0\0\3ab"), 10, &message, &need), -EAGAIN);
    assert_int_equal(need, 8);
    assert_int_equal(grpc_frame_read(VIEW("\0\0\0\0\3abcd"), 10, &message, &need), 0);
    assert_true(view_is(message, "abc"));
    assert_int_equal(grpc_frame_read(VIEW("\0\0\0\0\0"), 10, &message, &need), 0);
    assert_int_equal(message.n, 0);
    assert_int_equal(grpc_frame_read(VIEW("\0\0\0\0\13"), 10, &message, &need), -EMSGSIZE);
    assert_int_equal(grpc_frame_read(VIEW("\0\xff\xff\xff\xff"), 10, &message, &need), -EMSGSIZE);
    assert_int_equal(grpc_frame_read(VIEW("\1\0\0\0\3abc"), 10, &message, &need), -EOPNOTSUPP);
    assert_int_equal(grpc_frame_read(VIEW("\2\0\0\0\3abc"), 10, &message, &need), -EINVAL);
}

static void statuses_have_names_and_http_equivalents(void **state)
{
    assert_string_equal(grpc_status_name(14), "UNAVAILABLE");
    assert_string_equal(grpc_status_name(17), "");
    assert_int_equal(grpc_status_parse(VIEW("16")), GRPC_UNAUTHENTICATED);
    assert_int_equal(grpc_status_parse(VIEW("99")), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_parse(VIEW("x")), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_status_of_http(503), GRPC_UNAVAILABLE);
    assert_true(grpc_content_type(VIEW("application/grpc+proto")));
    assert_true(grpc_content_type(VIEW("application/grpc")));
    assert_false(grpc_content_type(VIEW("application/grpc-web")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_are_read_and_written),
        cmocka_unit_test(messages_are_percent_encoded),
        cmocka_unit_test(frames_are_read_whole_or_refused),
        cmocka_unit_test(statuses_have_names_and_http_equivalents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
