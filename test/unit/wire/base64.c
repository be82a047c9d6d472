// SPDX-License-Identifier: Apache-2.0
/* Tests of base64 in its three forms: the vectors of RFC 4648 §10, every refusal, and all bytes there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "wire/base64.h"

static void bytes_are_written_and_read_in_each_form(void **state)
{
    static const struct {
        const char *bytes, *standard, *url;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "-_-_"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const texts[] = {
            [BASE64_STANDARD] = rows[i].standard, [BASE64_URL] = rows[i].url, [BASE64_LINES] = rows[i].standard};
        for (size_t form = 0; form < COUNT_OF(texts); form++) {
            struct buf text = {0}, bytes = {0};
            base64_write(&text, form, view_of(rows[i].bytes));
            assert_true(view_is(buf_read(&text), texts[form]));
            assert_int_equal(base64_read(&bytes, form, view_of(texts[form])), 0);
            assert_true(view_is(buf_read(&bytes), rows[i].bytes));
            buf_done(&text);
            buf_done(&bytes);
        }
    }
}

static void what_is_no_text_of_the_form_is_refused_and_appends_nothing(void **state)
{
    static const struct {
        enum base64_form form;
        const char *text;
    } rows[] = {
        {BASE64_STANDARD, "Z"},
        {BASE64_STANDARD, "Zg"},
        {BASE64_STANDARD, "Zg="},
        {BASE64_STANDARD, "Zg==="},
        {BASE64_STANDARD, "Zg==Zg=="},
        {BASE64_STANDARD, "Zm9v="},
        {BASE64_STANDARD, "Zm9v===="},
        {BASE64_STANDARD, "===="},
        {BASE64_STANDARD, "Zh=="},
        {BASE64_STANDARD, "Zm9="},
        {BASE64_STANDARD, "Zm-v"},
        {BASE64_STANDARD, "Zm9v\n"},
        {BASE64_STANDARD, " Zm9v"},
        {BASE64_URL, "Z"},
        {BASE64_URL, "Zh"},
        {BASE64_URL, "Zm9"},
        {BASE64_URL, "Zg=="},
        {BASE64_URL, "Zm9v "},
        {BASE64_URL, "Zm+v"},
        {BASE64_URL, "Zm/v"},
        {BASE64_URL, "Zm9v\n"},
        {BASE64_URL, "Zm\xc3\xa9"},
        {BASE64_LINES, "Zg"},
        {BASE64_LINES, "Zg=\n"},
        {BASE64_LINES, "Zm9v\nZg==\nZg"},
        {BASE64_LINES, "Zm 9v"},
        {BASE64_LINES, "Zm-v"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf bytes = {0};
        buf_str(&bytes, "before");
        assert_int_equal(base64_read(&bytes, rows[i].form, view_of(rows[i].text)), -EINVAL);
        assert_true(view_is(buf_read(&bytes), "before"));
        buf_done(&bytes);
    }
    struct buf bytes = {0};
    assert_int_equal(base64_read(&bytes, BASE64_STANDARD, view_make("Zg=\0", 4)), -EINVAL);
    assert_int_equal(base64_read(&bytes, BASE64_URL, view_make("Zm9\0", 4)), -EINVAL);
    buf_done(&bytes);
}

static void kubernetes_data_may_have_line_breaks_and_unused_bits(void **state)
{
    static const char *const rows[] = {"Zm9v\nYg==\n", "Zm\r\n9vYg=\n=", "Zm9vYh=="};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf bytes = {0};
        assert_int_equal(base64_read(&bytes, BASE64_LINES, view_of(rows[i])), 0);
        assert_true(view_is(buf_read(&bytes), "foob"));
        buf_done(&bytes);
    }
}

static void all_bytes_of_all_lengths_come_back(void **state)
{
    char all[256];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof(all); n++)
        for (enum base64_form form = BASE64_STANDARD; form <= BASE64_LINES; form++) {
            struct buf text = {0}, bytes = {0};
            base64_write(&text, form, view_make(all, n));
            assert_int_equal(base64_read(&bytes, form, buf_read(&text)), 0);
            assert_true(view_eq(buf_read(&bytes), view_make(all, n)));
            buf_done(&text);
            buf_done(&bytes);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_written_and_read_in_each_form),
        cmocka_unit_test(what_is_no_text_of_the_form_is_refused_and_appends_nothing),
        cmocka_unit_test(kubernetes_data_may_have_line_breaks_and_unused_bits),
        cmocka_unit_test(all_bytes_of_all_lengths_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
