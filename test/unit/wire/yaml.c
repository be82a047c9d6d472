// SPDX-License-Identifier: Apache-2.0
/* YAML as pull events: what plain scalars mean, where errors point, and the limits. */
#include "wire/yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "wire/node.h"

static void plain_scalars_mean_what_go_yaml_says(void **state)
{
    static const struct {
        const char *text;
        enum pull_scalar type;
    } rows[] = {
        {"", PULL_NULL},     {"~", PULL_NULL},   {"null", PULL_NULL},    {"Null", PULL_NULL},  {"nUll", PULL_STR},
        {"true", PULL_BOOL}, {"yes", PULL_BOOL}, {"off", PULL_BOOL},     {"y", PULL_BOOL},     {"yEs", PULL_STR},
        {"1", PULL_INT},     {"-17", PULL_INT},  {"+5", PULL_INT},       {"0644", PULL_INT},   {"0o17", PULL_INT},
        {"0x1F", PULL_INT},  {"0b11", PULL_INT}, {"1_000", PULL_INT},    {"08", PULL_FLOAT},   {"1.5", PULL_FLOAT},
        {"1e3", PULL_FLOAT}, {".5", PULL_FLOAT}, {".inf", PULL_FLOAT},   {"1.10", PULL_FLOAT}, {"1.2.3", PULL_STR},
        {"10s", PULL_STR},   {"v1", PULL_STR},   {"-", PULL_STR},        {".", PULL_STR},      {"1e", PULL_STR},
        {"0x", PULL_STR},    {"_1", PULL_STR},   {"10.0.0.1", PULL_STR}, {"*", PULL_STR},      {"100m", PULL_STR},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (yaml_plain_type(view_of(rows[i].text)) != rows[i].type)
            fail_msg("`%s` is typed %d", rows[i].text, yaml_plain_type(view_of(rows[i].text)));
}

static void integers_of_every_base_have_their_value(void **state)
{
    static const struct {
        const char *text;
        int err;
        int64_t value;
    } rows[] = {
        {"0644", 0, 420},
        {"0o17", 0, 15},
        {"0x1F", 0, 31},
        {"-0b11", 0, -3},
        {"1_000", 0, 1000},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", -ERANGE, 0},
        {"abc", -EINVAL, 0},
        {"99999999999999999999999", -ERANGE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t value = 0;
        assert_int_equal(yaml_plain_int(view_of(rows[i].text), &value), rows[i].err);
        assert_true(value == rows[i].value);
    }
}

static int read_all(struct arena *a, struct view text, struct pull_error *ret_error)
{
    struct pull *in = yaml_pull(a, text, 1);
    struct node *n;
    int err;
    while (!(err = node_read(a, in, &n)) && n)
        ;
    *ret_error = in->error;
    return err;
}

static void errors_say_what_and_where(void **state)
{
    static const struct {
        const char *text, *says;
        uint32_t line, col;
    } rows[] = {
        {"a: 1\n\tb: 2\n", "found a tab character that violates indentation", 2, 1},
        {"a: [1, 2\nb: 3\n", "did not find expected ',' or ']'", 2, 2},
        {"a: 1\na: 2\n", "key `a` is already set in this map", 2, 1},
        {"a: *b\n", "no anchor `&b` before", 1, 4},
        {"a: &x [*x]\n", "no anchor `&x` before", 1, 8},
        {"a: !!binary aGk=\n", "tag tag:yaml.org,2002:binary is not supported", 1, 4},
        {"[a]: 1\n", "a key must be a plain word or a string", 1, 1},
        {"a: b: c\n", "mapping values are not allowed in this context", 1, 5},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct pull_error e = {0};
        assert_int_equal(read_all(&a, view_of(rows[i].text), &e), -EINVAL);
        if (!view_starts(e.text, view_of(rows[i].says)) || e.line != rows[i].line || e.col != rows[i].col)
            fail_msg("%s: %u:%u %.*s", rows[i].text, e.line, e.col, VIEW_ARGS(e.text));
        arena_done(&a);
    }
}

static void nesting_and_aliases_are_bounded(void **state)
{
    struct arena a;
    struct pull_error e = {0};
    struct buf text = {0};
    arena_init(&a, 0);
    for (int i = 0; i < 100000; i++)
        buf_char(&text, '[');
    assert_int_equal(read_all(&a, buf_read(&text), &e), -E2BIG);
    buf_clear(&text);
    buf_str(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++)
        buf_printf(&text, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_int_equal(read_all(&a, buf_read(&text), &e), -E2BIG);
    buf_clear(&text);
    buf_str(&text, "a: &a 1\nb: [");
    for (int i = 0; i <= LIMIT_YAML_ALIASES; i++)
        buf_str(&text, "*a,");
    buf_str(&text, "]\n");
    assert_int_equal(read_all(&a, buf_read(&text), &e), -E2BIG);
    buf_done(&text);
    arena_done(&a);
}

static void events_carry_places(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct pull *in = yaml_pull(&a, VIEW("a:\n  host: \"x\"\n"), 10);
    struct pull_event e;
    enum pull_type types[] = {PULL_DOC_START, PULL_MAP_START, PULL_SCALAR,  PULL_MAP_START, PULL_SCALAR,
                              PULL_SCALAR,    PULL_MAP_END,   PULL_MAP_END, PULL_DOC_END,   PULL_END};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        assert_int_equal(pull_next(in, &e), 0);
        assert_int_equal(e.type, types[i]);
        if (i == 5) {
            assert_int_equal(e.line, 11);
            assert_int_equal(e.col, 9);
            assert_int_equal(e.span, 3);
            assert_true(e.quoted);
        }
    }
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_mean_what_go_yaml_says),
        cmocka_unit_test(integers_of_every_base_have_their_value),
        cmocka_unit_test(errors_say_what_and_where),
        cmocka_unit_test(nesting_and_aliases_are_bounded),
        cmocka_unit_test(events_carry_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
