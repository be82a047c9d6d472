// SPDX-License-Identifier: Apache-2.0
/* JSON Patches: what they say, and that applying them gives the second tree, for chosen and for random pairs of trees. */
#include "inject/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "patch_apply.h"

static struct node *tree(struct arena *a, struct view text)
{
    struct node *n = NULL;
    assert_int_equal(node_parse(a, text, &n, NULL), 0);
    return n;
}

/* The patch, after it was seen to do what it should. */
static struct view make(struct arena *a, const struct node *from, const struct node *to)
{
    struct buf b = {0};
    json_patch(&b, from, to);
    struct view text = arena_view(a, buf_read(&b));
    struct node *doc = node_copy(a, from);
    if (!patch_apply(a, &doc, tree(a, text)) || !node_eq(doc, to))
        fail_msg("wrong patch: %.*s", VIEW_ARGS(text));
    buf_done(&b);
    return text;
}

static void patches_say_only_what_differs(void **state)
{
    static const struct {
        const char *from, *to, *patch;
    } rows[] = {
        {"{\"a\":1}", "{\"a\":1}", "[]"},
        {"{\"a\":1}", "{\"a\":2}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2}]"},
        {"{\"a\":1}", "{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]"},
        {"{}", "{\"a~/b\":null}", "[{\"op\":\"add\",\"path\":\"/a~0~1b\",\"value\":null}]"},
        {"{\"l\":[1,2]}", "{\"l\":[1,2,3]}", "[{\"op\":\"add\",\"path\":\"/l/2\",\"value\":3}]"},
        {"{\"l\":[1,2]}", "{\"l\":[2,1]}", "[{\"op\":\"replace\",\"path\":\"/l\",\"value\":[2,1]}]"},
        {"{\"l\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
         "{\"l\":[{\"name\":\"x\"},{\"name\":\"a\"},{\"name\":\"b\",\"v\":1}]}",
         "[{\"op\":\"add\",\"path\":\"/l/0\",\"value\":{\"name\":\"x\"}},{\"op\":\"add\",\"path\":\"/l/2/"
         "v\",\"value\":1}]"},
        {"{\"l\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", "{\"l\":[{\"name\":\"b\"}]}",
         "[{\"op\":\"remove\",\"path\":\"/l/0\"}]"},
        {"{\"a\":{\"b\":[]}}", "{\"a\":{\"b\":{}}}", "[{\"op\":\"replace\",\"path\":\"/a/b\",\"value\":{}}]"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct view got = make(&a, tree(&a, view_of(rows[i].from)), tree(&a, view_of(rows[i].to)));
        if (!view_is(got, rows[i].patch))
            fail_msg("row %zu: %.*s", i, VIEW_ARGS(got));
        arena_done(&a);
    }
}

static struct node *grow(struct arena *a, struct rng *r, int depth)
{
    unsigned kind = (unsigned)rng_below(r, depth > 3 ? 2 : 5);
    struct node *n = node_new(a, kind < 4 ? NODE_SEQ : NODE_MAP);
    if (kind < 2)
        return node_int(a, (int64_t)rng_below(r, 3));
    for (uint64_t i = rng_below(r, 5); i > 0; i--) {
        struct node *item = kind == 3 ? node_new(a, NODE_MAP) : grow(a, r, depth + 1);
        if (kind == 3) { /* a list of named things; now and then twice the same name */
            node_set_str(a, item, "name", arena_printf(a, "%u", (unsigned)rng_below(r, 12)));
            node_set(a, item, VIEW("v"), grow(a, r, depth + 1));
        }
        if (n->type == NODE_SEQ)
            node_push(a, n, item);
        else
            node_set(a, n, arena_printf(a, "k/%u~", (unsigned)rng_below(r, 6)), item);
    }
    return n;
}

static void random_trees_become_each_other(void **state)
{
    struct rng r;
    rng_seed(&r, 4711);
    for (int i = 0; i < 3000; i++) {
        struct arena a;
        arena_init(&a, 0);
        make(&a, grow(&a, &r, 0), grow(&a, &r, 0));
        arena_done(&a);
    }
}

/* A stranger chooses how many keys there are: 100,000 of them must not take seconds. */
static void many_keys_take_linear_time(void **state)
{
    struct buf b = {0}, out = {0};
    struct arena a;
    arena_init(&a, 0);
    buf_str(&b, "{\"l\":[{\"m\":{");
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "%s\"k%d\":\"v\"", i ? "," : "", i);
    buf_str(&b, "}}]}");
    struct node *from = tree(&a, buf_read(&b)), *to = node_copy(&a, from);
    uint64_t began = clock_mono();
    json_patch(&out, from, to);
    assert_true(clock_mono() - began < 2 * NS_PER_S);
    assert_true(view_is(buf_read(&out), "[]"));
    buf_done(&b);
    buf_done(&out);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(patches_say_only_what_differs),
                                       cmocka_unit_test(random_trees_become_each_other),
                                       cmocka_unit_test(many_keys_take_linear_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
