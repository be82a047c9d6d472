// SPDX-License-Identifier: Apache-2.0
/* --set, merging, and the schema's complaints. */
#include "install/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *set, *gives; /* over {a: {b: 1, l: [x, y]}}; NULL: refused */
} sets[] = {
    {"c=d", "{a: {b: 1, l: [x, y]}, c: d}"},
    {"a.b=2", "{a: {b: 2, l: [x, y]}}"},
    {"a.b=2,a.c.d=e", "{a: {b: 2, l: [x, y], c: {d: e}}}"},
    {"a.b=null", "{a: {l: [x, y]}}"},
    {"t=true,m=false,k=007,i=-4", "{a: {b: 1, l: [x, y]}, t: true, m: false, k: \"007\", i: -4}"},
    {"s=", "{a: {b: 1, l: [x, y]}, s: \"\"}"},
    {"v=1.5", "{a: {b: 1, l: [x, y]}, v: \"1.5\"}"},
    {"v=a=b", "{a: {b: 1, l: [x, y]}, v: a=b}"},
    {"v=a\\,b", "{a: {b: 1, l: [x, y]}, v: \"a,b\"}"},
    {"x\\.y/z=w", "{a: {b: 1, l: [x, y]}, x.y/z: w}"},
    {"v={p,2}", "{a: {b: 1, l: [x, y]}, v: [p, 2]}"},
    {"v={}", "{a: {b: 1, l: [x, y]}, v: []}"},
    {"a.l[1]=z", "{a: {b: 1, l: [x, z]}}"},
    {"a.l[3]=z", "{a: {b: 1, l: [x, y, null, z]}}"},
    {"t[0].k=v,t[0].o=p", "{a: {b: 1, l: [x, y]}, t: [{k: v, o: p}]}"},
    {"a.b.c=1", NULL},
    {"a.l.c=1", NULL},
    {"a[0]=1", NULL},
    {"c", NULL},
    {"=d", NULL},
    {".a=d", NULL},
    {"a..b=d", NULL},
    {"v={p", NULL},
    {"l[x]=1", NULL},
    {"l[99999]=1", NULL},
    {"l[0=1", NULL},
    {"", NULL},
};

static struct node *parse(struct arena *a, const char *text)
{
    struct node *n;
    assert_int_equal(node_parse(a, view_of(text), &n, NULL), 0);
    return n;
}

static void set_reads_what_helm_reads(void **state)
{
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct arena a;
        struct view why = VIEW_NONE;
        arena_init(&a, 0);
        struct node *base = node_copy(&a, parse(&a, "{a: {b: 1, l: [x, y]}}"));
        int err = values_set(&a, base, view_of(sets[i].set), &why);
        if ((err == 0) != (sets[i].gives != NULL))
            fail_msg("--set %s: %d %.*s", sets[i].set, err, VIEW_ARGS(why));
        if (err && !why.n)
            fail_msg("--set %s: refused without a reason", sets[i].set);
        if (!err && !node_eq(base, parse(&a, sets[i].gives))) {
            struct buf b = {0};
            node_print_json(base, &b);
            fail_msg("--set %s gave %s", sets[i].set, buf_cstr(&b));
        }
        arena_done(&a);
    }
}

static void merging_goes_key_by_key_and_null_takes_away(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    struct node *base = parse(&a, "{a: {b: 1, c: [1, 2]}, d: {e: f}, g: h}");
    struct node *got = values_merge(&a, base, parse(&a, "{a: {c: [3]}, d: null, g: {i: j}, k: l}"));
    assert_true(node_eq(got, parse(&a, "{a: {b: 1, c: [3]}, g: {i: j}, k: l}")));
    assert_true(node_eq(base, parse(&a, "{a: {b: 1, c: [1, 2]}, d: {e: f}, g: h}")));
    arena_done(&a);
}

static const char schema[] =
    "{type: object, additionalProperties: false, required: [hub], properties: {"
    "hub: {type: string, minLength: 1}, mode: {type: string, enum: [fast, slow]},"
    "size: {type: integer, minimum: 1, maximum: 9}, any: {type: object},"
    "words: {type: object, additionalProperties: {type: string}},"
    "list: {type: array, minItems: 1, items: {type: [string, integer]}},"
    "deep: {type: object, additionalProperties: false, properties: {replicaCount: {type: integer}}}}}";

static const struct {
    const char *values, *why; /* NULL: fine */
} checks[] = {
    {"{hub: a}", NULL},
    {"{hub: a, any: {x: {y: [z]}}, words: {a: b}, list: [a, 1], size: 9, mode: slow}", NULL},
    {"{}", "`hub` is missing"},
    {"{hub: \"\"}", "hub: at least 1, and this is 0"},
    {"{hub: 3}", "hub: a number, but it must be of type string"},
    {"{hub: a, hubb: b}", "there is no value hubb: did you mean hub?"},
    {"{hub: a, deep: {replicaCont: 1}}", "there is no value deep.replicaCont: did you mean deep.replicaCount?"},
    {"{hub: a, deep: {zzzzzzz: 1}}",
     "there is no value deep.zzzzzzz (`weft install --print-values` prints those that there are)"},
    {"{hub: a, size: 0}", "size: at least 1, and this is 0"},
    {"{hub: a, size: 10}", "size: at most 9, and this is 10"},
    {"{hub: a, mode: maybe}", "mode: `maybe` is none of fast, slow"},
    {"{hub: a, words: {a: 1}}", "words.a: a number, but it must be of type string"},
    {"{hub: a, list: []}", "list: at least 1, and this is 0"},
    {"{hub: a, list: [a, {}]}", "list[1]: a map, but it must be of type string or integer"},
    {"{hub: a, deep: [1]}", "deep: a list, but it must be of type object"},
};

static void the_schema_names_the_place_and_the_nearest_value(void **state)
{
    for (size_t i = 0; i < COUNT_OF(checks); i++) {
        struct arena a;
        struct view why = VIEW_NONE;
        arena_init(&a, 0);
        int err = values_check(&a, parse(&a, schema), parse(&a, checks[i].values), &why);
        if ((err == 0) != !checks[i].why || (err && !view_is(why, checks[i].why)))
            fail_msg("%s: %d `%.*s`", checks[i].values, err, VIEW_ARGS(why));
        arena_done(&a);
    }
}

static void a_keyword_that_is_not_known_is_refused(void **state)
{
    struct arena a;
    struct view why = VIEW_NONE;
    arena_init(&a, 0);
    assert_true(
        values_check(&a, parse(&a, "{type: object, properties: {a: {pattern: x}}}"), parse(&a, "{a: b}"), &why) < 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_reads_what_helm_reads),
        cmocka_unit_test(merging_goes_key_by_key_and_null_takes_away),
        cmocka_unit_test(the_schema_names_the_place_and_the_nearest_value),
        cmocka_unit_test(a_keyword_that_is_not_known_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
