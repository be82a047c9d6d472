// SPDX-License-Identifier: Apache-2.0
/* The command line: options anywhere, joined or apart; what is unknown is told and exits 2. */
#include "cli/cli.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

static int parse(struct cli *c, const char *const *words)
{
    int n = 0;
    while (words[n])
        n++;
    return cli_parse(c, n, (char **)(uintptr_t)words);
}

static void options_stand_anywhere(void **state)
{
    (void)state;
    static const char *const lines[][10] = {
        {"weft", "get", "pods", "-n", "shop", "-o", "json", "-A", NULL},
        {"weft", "get", "-nshop", "-Ao", "json", "pods", NULL},
        {"weft", "get", "--namespace=shop", "--output", "json", "--all-namespaces", "pods", NULL},
        {"weft", "get", "-n=shop", "-o=json", "-A", "pods", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct cli c;
        assert_int_equal(parse(&c, lines[i]), 0);
        assert_string_equal(c.verb->name, "get");
        assert_true(view_is(c.ns, "shop"));
        assert_int_equal(c.output, OUTPUT_JSON);
        assert_non_null(c.opt[OPT_ALL_NAMESPACES]);
        assert_int_equal(c.n_args, 1);
        assert_string_equal(c.args[0], "pods");
        cli_done(&c);
    }
}

static void a_letter_means_what_the_verb_says(void **state)
{
    (void)state;
    struct cli c;
    assert_int_equal(parse(&c, (const char *const[]){"weft", "apply", "-f", "a.yaml", "-f", "b", NULL}), 0);
    assert_int_equal(c.n_files, 2);
    assert_string_equal(c.files[1], "b");
    cli_done(&c);
    assert_int_equal(parse(&c, (const char *const[]){"weft", "logs", "-f", "web", NULL}), 0);
    assert_non_null(c.opt[OPT_FOLLOW]);
    assert_int_equal(c.n_args, 1);
    cli_done(&c);
}

static void what_follows_the_dashes_is_the_command(void **state)
{
    (void)state;
    struct cli c;
    assert_int_equal(parse(&c, (const char *const[]){"weft", "exec", "web", "-c", "app", "--", "ls", "-l", NULL}), 0);
    assert_int_equal(c.n_command, 2);
    assert_string_equal(c.command[1], "-l");
    assert_string_equal(c.opt[OPT_CONTAINER], "app");
    cli_done(&c);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const char *const lines[][5] = {
        {"weft", "aply", "-f", "x", NULL},
        {"weft", "get", "pods", "--namespce=x", NULL},
        {"weft", "get", "pods", "-n", NULL},
        {"weft", "get", "pods", "-oxml", NULL},
        {"weft", "get", NULL},
        {"weft", "status", "extra", NULL},
        {"weft", "get", "pods", "--all-namespaces=1", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct cli c;
        assert_int_equal(parse(&c, lines[i]), EXIT_USAGE);
        cli_done(&c);
    }
}

static void the_sandbox_comes_from_the_environment(void **state)
{
    (void)state;
    struct cli c;
    setenv("WEFT_SANDBOX", "blue", 1);
    assert_int_equal(parse(&c, (const char *const[]){"weft", "status", NULL}), 0);
    assert_true(view_is(c.sandbox, "blue"));
    cli_done(&c);
    assert_int_equal(parse(&c, (const char *const[]){"weft", "status", "-s", "red", NULL}), 0);
    assert_true(view_is(c.sandbox, "red"));
    cli_done(&c);
    unsetenv("WEFT_SANDBOX");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(a_letter_means_what_the_verb_says),
        cmocka_unit_test(what_follows_the_dashes_is_the_command),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(the_sandbox_comes_from_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
