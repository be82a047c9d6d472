// SPDX-License-Identifier: Apache-2.0
/* Applying capture rules to the kernel, in a network namespace of this test's own: once, again, others, validation,
 * cleanup; with each iptables that runs here. Needs root, else skipped (77).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "node/iptables.h"

static const char *backend; /* of this round */

static char *no_env(const char *name)
{
    return NULL;
}

static int run(const char *flags)
{
    struct arena a;
    struct iptables_options o;
    struct view why = VIEW_NONE, rest, word;
    char *argv[32];
    int argc = 0;
    arena_init(&a, 0);
    rest = arena_printf(&a, "--force-iptables-binary %s --log_output_level=default:error %s", backend, flags);
    while (view_cut(&rest, ' ', &word))
        if (word.n)
            argv[argc++] = arena_str(&a, word);
    if (iptables_options_parse(&o, &a, argc, argv, no_env, &why) < 0) {
        print_error("%.*s\n", VIEW_ARGS(why));
        fail();
    }
    int code = iptables_run(&o, &a);
    arena_done(&a);
    return code;
}

/* The rules as the kernel shows them, counters and comments left out. */
static void saved(char *text, size_t room)
{
    char command[200];
    snprintf(command, sizeof(command), "iptables-%s-save | grep '^[-*]' ; ip6tables-%s-save | grep '^[-*]'", backend,
             backend);
    FILE *f = popen(command, "r");
    size_t n = fread(text, 1, room - 1, f);
    text[n] = 0;
    pclose(f);
}

#define ISTIO "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020 "

static void rules_are_applied_once_and_prove_themselves(void **state)
{
    char first[8192], again[8192];
    assert_int_equal(run(ISTIO "--run-validation --skip-rule-apply --probe-timeout 300ms"), IPTABLES_PROBE_FAILED);
    assert_int_equal(run(ISTIO "--run-validation"), 0);
    saved(first, sizeof(first));
    assert_non_null(strstr(first, "-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n"));
    assert_int_equal(run(ISTIO), 0);
    saved(again, sizeof(again));
    assert_string_equal(first, again);
}

static void other_rules_are_replaced_only_when_asked(void **state)
{
    char before[8192], after[8192];
    saved(before, sizeof(before));
    assert_int_equal(run(ISTIO "-x 10.0.0.0/8"), 1);
    saved(after, sizeof(after));
    assert_string_equal(before, after);
    assert_int_equal(run(ISTIO "-x 10.0.0.0/8 --reconcile"), 0);
    saved(after, sizeof(after));
    assert_non_null(strstr(after, "-A ISTIO_OUTPUT -d 10.0.0.0/8 -j RETURN\n"));
    assert_int_equal(run(ISTIO "-x 10.0.0.0/8 -c eth9 -k virt0 --drop-invalid -o 99 --reconcile"), 0);
    assert_int_equal(run(ISTIO "-x 10.0.0.0/8 -c eth9 -k virt0 --drop-invalid -o 99"), 0);
    saved(before, sizeof(before));
    assert_non_null(strstr(before, "ISTIO_DROP"));
    assert_int_equal(run(ISTIO "-x 10.0.0.0/8 -c eth9 -k virt0 --drop-invalid -o 99 --force-apply"), 0);
    saved(after, sizeof(after));
    assert_string_equal(before, after);
}

static void cleanup_removes_every_rule(void **state)
{
    char text[8192];
    assert_int_equal(run(ISTIO "-x 10.0.0.0/8 -c eth9 -k virt0 --drop-invalid -o 99 --cleanup-only"), 0);
    saved(text, sizeof(text));
    assert_null(strstr(text, "-A "));
    assert_int_equal(run(ISTIO "--cleanup-only"), 0);
}

static void ipv6_gets_its_rules_with_dual_stack(void **state)
{
    char text[8192];
    if (access("/proc/sys/net/ipv6", F_OK) < 0)
        skip();
    assert_int_equal(run(ISTIO "--dual-stack"), 0);
    saved(text, sizeof(text));
    assert_non_null(strstr(text, "-A ISTIO_OUTPUT -d ::1/128 -j RETURN\n"));
    assert_int_equal(run(ISTIO "--dual-stack"), 0);
    assert_int_equal(run(ISTIO "--dual-stack --cleanup-only"), 0);
    saved(text, sizeof(text));
    assert_null(strstr(text, "-A "));
}

int main(void)
{
    static const char *const backends[] = {"nft", "legacy"};
    static const char *const checks[] = {"iptables-nft-save >/dev/null 2>&1", "iptables-legacy-save >/dev/null 2>&1"};
    int failed = 0, tried = 0;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
        printf("skipped: a network namespace needs root\n");
        return 77;
    }
    log_set(LOG_ERROR, false);
    setenv("XTABLES_LOCKFILE", "/dev/null", 1); /* no file on the machine; nobody else is in this namespace */
    if (system("ip link set lo up") != 0)
        return 77;
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        if (system(checks[i]) != 0)
            continue;
        backend = backends[i];
        tried++;
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(rules_are_applied_once_and_prove_themselves),
            cmocka_unit_test(other_rules_are_replaced_only_when_asked),
            cmocka_unit_test(cleanup_removes_every_rule),
            cmocka_unit_test(ipv6_gets_its_rules_with_dual_stack),
        };
        failed += cmocka_run_group_tests_name(backend, tests, NULL, NULL);
    }
    if (!tried) {
        printf("skipped: no iptables runs here\n");
        return 77;
    }
    return failed;
}
