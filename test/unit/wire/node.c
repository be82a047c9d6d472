// SPDX-License-Identifier: Apache-2.0
/* Trees: merge keys, aliases, paths, changing a copy, and printing that reads back as the same tree. */
#include "wire/node.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct node *parse(struct arena *a, const char *text)
{
    struct node *n = NULL;
    struct pull_error e = {0};
    if (node_parse(a, view_of(text), &n, &e))
        fail_msg("%s: %u:%u %.*s", text, e.line, e.col, VIEW_ARGS(e.text));
    return n;
}

static void assert_json(const struct node *n, const char *json)
{
    struct buf out = {0};
    node_print_json(n, &out);
    assert_string_equal(buf_cstr(&out), json);
    buf_done(&out);
}

static void yaml_becomes_the_json_that_kubectl_would_send(void **state)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"a: 1\nb: [x, 'y', \"z\"]\n", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\"]}"},
        {"mode: 0644\non: yes\nv: '1.0'\n", "{\"mode\":420,\"true\":true,\"v\":\"1.0\"}"},
        {"8080: x\n", "{\"8080\":\"x\"}"},
        {"a: &a {x: 1}\nb: *a\n", "{\"a\":{\"x\":1},\"b\":{\"x\":1}}"},
        {"base: &b {x: 1, w: 2}\nc: {<<: *b, w: 3}\n", "{\"base\":{\"x\":1,\"w\":2},\"c\":{\"w\":3,\"x\":1}}"},
        {"c: {<<: [{x: 1}, {x: 2, z: 3}], w: 3}\n", "{\"c\":{\"w\":3,\"x\":1,\"z\":3}}"},
        {"t: |\n  one\n  two\n", "{\"t\":\"one\\ntwo\\n\"}"},
        {"t: >-\n  one\n  two\n", "{\"t\":\"one two\"}"},
        {"empty:\n", "{\"empty\":null}"},
        {"s: !!str 1\n", "{\"s\":\"1\"}"},
        {"{\"a\": [1, {\"b\": null}]}", "{\"a\":[1,{\"b\":null}]}"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a;
        arena_init(&a, 0);
        assert_json(parse(&a, rows[i].yaml), rows[i].json);
        arena_done(&a);
    }
}

static void printed_yaml_reads_back_as_the_same_tree(void **state)
{
    static const char *const texts[] = {
        "{\"a\":{\"b\":[{\"c\":1,\"d\":[\"x\"]},{\"e\":[]},[1,[2]],{}]}}",
        "{\"s\":[\"true\",\"1.5\",\"\",\"~\",\"- x\",\"a: b\",\"a #b\",\" lead\",\"trail "
        "\",\"x:\",\"*\",\"2026-01-01\",\"null\"]}",
        "{\"t\":[\"one\\ntwo\\n\",\"one\\ntwo\",\"one\\n\\n\",\"a\\n\\n  b\\n\",\"\\nlead\",\" x\\ny\",\"a "
        "\\nb\",\"\\t\",\"a\\u0001b\"]}",
        "{\"q\":[\"{\\\"a\\\":1}\",\"it's \\\"x\\\"\",\"a\\\\b\"],\"k\":{\"yes\":1,\"1\":2,\"a b\":3,\"x: "
        "y\":4,\"\":5}}",
        "{\"n\":[-1,1.5,1e300,true,false,null],\"u\":\"\xc3\xa9\"}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct arena a;
        struct buf yaml = {0};
        arena_init(&a, 0);
        struct node *n = parse(&a, texts[i]);
        node_print_yaml(n, &yaml);
        struct node *again = parse(&a, buf_cstr(&yaml));
        if (!node_eq(n, again))
            fail_msg("%s", buf_cstr(&yaml));
        buf_clear(&yaml);
        node_print_json_pretty(n, &yaml);
        assert_true(node_eq(n, parse(&a, buf_cstr(&yaml))));
        buf_done(&yaml);
        arena_done(&a);
    }
}

static void yaml_is_laid_out_as_kubectl_does(void **state)
{
    struct arena a;
    struct buf out = {0};
    arena_init(&a, 0);
    node_print_yaml(parse(&a, "{\"spec\":{\"ports\":[{\"name\":\"http\",\"port\":80},{\"port\":90}],\"v\":\"1\",\"e\":["
                              "],\"c\":\"a\\nb\\n\"}}"),
                    &out);
    assert_string_equal(buf_cstr(&out), "spec:\n"
                                        "  ports:\n"
                                        "  - name: http\n"
                                        "    port: 80\n"
                                        "  - port: 90\n"
                                        "  v: \"1\"\n"
                                        "  e: []\n"
                                        "  c: |\n"
                                        "    a\n"
                                        "    b\n");
    buf_done(&out);
    arena_done(&a);
}

static void a_copy_changes_and_the_original_stays(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct node *n = parse(&a, "{\"a\":[1,2,3],\"b\":{\"x\":1}}");
    struct node *c = node_copy(&a, n);
    struct node *list = node_get(c, VIEW("a"));
    node_insert(&a, list, 0, node_int(&a, 0));
    node_push(&a, list, node_str(&a, VIEW("end")));
    node_remove(list, 2);
    assert_true(node_del(c, VIEW("b")));
    assert_false(node_del(c, VIEW("b")));
    node_set_str(&a, node_make(&a, c, "m", NODE_MAP), "k", VIEW("v"));
    node_set_bool(&a, c, "f", true);
    assert_json(c, "{\"a\":[0,1,3,\"end\"],\"m\":{\"k\":\"v\"},\"f\":true}");
    assert_json(n, "{\"a\":[1,2,3],\"b\":{\"x\":1}}");
    assert_true(view_is(node_text_at(c, "m.k"), "v"));
    assert_true(view_is(node_text_at(c, "a.3"), "end"));
    assert_null(node_at(c, "a.9"));
    assert_null(node_at(c, "m.k.z"));
    arena_done(&a);
}

static void many_keys_are_still_checked_for_duplicates(void **state)
{
    struct arena a;
    struct buf text = {0};
    struct node *n;
    struct pull_error e;
    arena_init(&a, 0);
    for (int i = 0; i < 2000; i++)
        buf_printf(&text, "k%d: %d\n", i, i);
    assert_int_equal(node_parse(&a, buf_read(&text), &n, &e), 0);
    assert_int_equal(n->n, 2000);
    buf_str(&text, "k77: 1\n");
    assert_int_equal(node_parse(&a, buf_read(&text), &n, &e), -EINVAL);
    assert_int_equal(e.line, 2001);
    buf_done(&text);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_becomes_the_json_that_kubectl_would_send),
        cmocka_unit_test(printed_yaml_reads_back_as_the_same_tree),
        cmocka_unit_test(yaml_is_laid_out_as_kubectl_does),
        cmocka_unit_test(a_copy_changes_and_the_original_stays),
        cmocka_unit_test(many_keys_are_still_checked_for_duplicates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
