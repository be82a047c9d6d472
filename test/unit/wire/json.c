// SPDX-License-Identifier: Apache-2.0
/* JSON as pull events: what is accepted, what is refused and where, escapes and several documents in one text. */
#include "wire/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "wire/node.h"

/* Reads the text and prints it again, documents one after the other. */
static int echo(struct arena *a, struct view text, struct buf *out, struct pull_error *ret_error)
{
    struct pull *in = json_pull(a, text, 1);
    struct node *n;
    int err;
    while (!(err = node_read(a, in, &n)) && n)
        node_print_json(n, out);
    *ret_error = in->error;
    return err;
}

static void valid_texts_come_back(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"{}", "{}"},
        {" [ ] ", "[]"},
        {"[1,-2,3.5,1e2,true,false,null,\"x\"]", "[1,-2,3.5,100,true,false,null,\"x\"]"},
        {"{\"a\":{\"b\":[{\"c\":1}]}}", "{\"a\":{\"b\":[{\"c\":1}]}}"},
        {"\"\\u00e9\\n\\\"\\\\\\/\"", "\"\xc3\xa9\\n\\\"\\\\/\""},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
        {"{\"a\":1}\n{\"b\":2}", "{\"a\":1}{\"b\":2}"},
        {"0", "0"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a;
        struct buf out = {0};
        struct pull_error e = {0};
        arena_init(&a, 0);
        if (echo(&a, view_of(rows[i].in), &out, &e))
            fail_msg("%s: %.*s", rows[i].in, VIEW_ARGS(e.text));
        assert_string_equal(buf_cstr(&out), rows[i].out);
        buf_done(&out);
        arena_done(&a);
    }
}

static void broken_texts_are_refused_at_their_place(void **state)
{
    static const struct {
        const char *text;
        uint32_t line, col;
    } rows[] = {
        {"{", 1, 2},
        {"[1,]", 1, 4},
        {"{\"a\":1,}", 1, 8},
        {"{\"a\" 1}", 1, 6},
        {"{a:1}", 1, 2},
        {"[1 2]", 1, 4},
        {"[\n1,\n  tru]", 3, 3},
        {"01", 1, 1},
        {"1.", 1, 1},
        {"1e", 1, 1},
        {"\"a", 1, 1},
        {"\"\\x\"", 1, 1},
        {"\"\\ud83d\"", 1, 1},
        {"\"\\udc00\"", 1, 1},
        {"\"\xff\"", 1, 1},
        {"\"\xc0\x80\"", 1, 1},
        {"\"a\nb\"", 1, 1},
        {"[1}", 1, 3},
        {"}", 1, 1},
        {"// x\n1", 1, 1},
        {"\"\\", 1, 1},
        {"-", 1, 1},
        {"{\"a\":1,\"a\":2}", 1, 8},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a;
        struct buf out = {0};
        struct pull_error e = {0};
        arena_init(&a, 0);
        assert_int_equal(echo(&a, view_of(rows[i].text), &out, &e), -EINVAL);
        if (e.line != rows[i].line || e.col != rows[i].col)
            fail_msg("%s: %u:%u %.*s", rows[i].text, e.line, e.col, VIEW_ARGS(e.text));
        buf_done(&out);
        arena_done(&a);
    }
}

static void nesting_is_bounded(void **state)
{
    struct arena a;
    struct buf text = {0}, out = {0};
    struct pull_error e = {0};
    arena_init(&a, 0);
    for (int i = 0; i < 100000; i++)
        buf_str(&text, "[");
    assert_int_equal(echo(&a, buf_read(&text), &out, &e), -E2BIG);
    buf_done(&text);
    buf_done(&out);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_come_back),
        cmocka_unit_test(broken_texts_are_refused_at_their_place),
        cmocka_unit_test(nesting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
