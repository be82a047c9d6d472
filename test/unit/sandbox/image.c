// SPDX-License-Identifier: Apache-2.0
/* images.yaml: which image names match, what a bad file is told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/image.h"

static void patterns_match_names_with_and_without_tags(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"weft/proxy", "weft/proxy", true},
        {"weft/proxy", "weft/proxy:0.1", true},
        {"weft/proxy", "weft/proxy@sha256:0123", true},
        {"weft/proxy", "weft/proxy-extra", false},
        {"weft/proxy:0.1", "weft/proxy:0.2", false},
        {"docker.io/istio/examples-bookinfo-reviews-v1:*", "istio/examples-bookinfo-reviews-v1:1.20.3", true},
        {"istio/examples-bookinfo-reviews-v*", "docker.io/istio/examples-bookinfo-reviews-v3:1.20.3", true},
        {"istio/examples-bookinfo-reviews-v1", "docker.io/istio/examples-bookinfo-reviews-v10:1", false},
        {"busybox", "docker.io/library/busybox:1.36", true},
        {"registry:5000/app", "registry:5000/app:1", true},
        {"registry", "registry:5000/app", false},
        {"*", "anything/at:all", true},
        {"a*b*c", "axxbyyc", true},
        {"a*b*c", "axxbyy", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        print_message("  %s %s %s\n", cases[i].pattern, cases[i].matches ? "matches" : "does not match", cases[i].name);
        assert_int_equal(image_matches(view_of(cases[i].pattern), view_of(cases[i].name)), cases[i].matches);
    }
}

static void the_first_entry_counts_and_ours_come_last(void **state)
{
    struct arena a;
    struct image_table t;
    struct view why = VIEW_NONE;
    arena_init(&a, 0);
    assert_int_equal(
        image_table_read(&a,
                         VIEW("images:\n- image: app:2\n  command: [two, '3']\n  user: 1000\n  env: {A: b}\n"
                              "- {image: app, command: [any], replace: true, workingDir: /x}\n"
                              "- {image: busybox, command: [mine]}\n"),
                         VIEW("i.yaml"), &t, &why),
        0);
    const struct image *two = image_find(&t, VIEW("app:2")), *any = image_find(&t, VIEW("app:1"));
    assert_true(view_is(two->command.list[0], "two") && view_is(two->command.list[1], "3") && two->user == 1000);
    assert_true(view_is(two->env.list[0].key, "A") && view_is(two->env.list[0].value, "b"));
    assert_true(any->replace && view_is(any->working_dir, "/x"));
    assert_true(view_is(image_find(&t, VIEW("busybox:1"))->command.list[0], "mine"));
    assert_true(view_is(image_find(&t, VIEW("weft/proxy:dev"))->command.list[0], "weft-proxy"));
    assert_int_equal(image_find(&t, VIEW("alpine"))->command.n, 0);
    assert_null(image_find(&t, VIEW("nobody/knows")));
    arena_done(&a);
}

static void a_bad_file_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"images: {}", "i.yaml:1"},
        {"images: [", "i.yaml:"},
        {"image: []", "images:"},
        {"images:\n- {command: [x]}", "needs `image`"},
        {"images:\n- {image: a, comand: [x]}", "i.yaml:2:22"},
        {"images:\n- {image: a, user: -1}", "i.yaml:2"},
        {"images:\n- {image: a, command: x}", "i.yaml:2"},
        {"images:\n- {image: a, replace: true}", "`replace` needs"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a;
        struct image_table t;
        struct view why = VIEW_NONE;
        arena_init(&a, 0);
        assert_int_equal(image_table_read(&a, view_of(cases[i].text), VIEW("i.yaml"), &t, &why), -EINVAL);
        print_message("  %.*s\n", VIEW_ARGS(why));
        assert_true(view_find_view(why, view_of(cases[i].part)) < why.n);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_names_with_and_without_tags),
        cmocka_unit_test(the_first_entry_counts_and_ours_come_last),
        cmocka_unit_test(a_bad_file_is_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
