// SPDX-License-Identifier: Apache-2.0
/* The rules of traffic capture against their exact expected text, for each flag; refused flags; the comparison with what
 * iptables-save prints. No kernel is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "node/iptables.h"

#define MAX_ARGS 24

static char *no_env(const char *name)
{
    return NULL;
}

static char *some_env(const char *name)
{
    static char groups[] = "100,200", tunnel[] = "16008", drop[] = "true";
    if (strcmp(name, "ISTIO_OUTBOUND_OWNER_GROUPS") == 0)
        return groups;
    if (strcmp(name, "INBOUND_TUNNEL_PORT") == 0)
        return tunnel;
    return strcmp(name, "INVALID_DROP") == 0 ? drop : NULL;
}

static int parse(struct iptables_options *o, struct arena *a, const char *const *args, char *(*env)(const char *),
                 struct view *why)
{
    char *argv[MAX_ARGS];
    int argc = 0;
    for (; args[argc]; argc++)
        argv[argc] = arena_str(a, view_of(args[argc]));
    return iptables_options_parse(o, a, argc, argv, env, why);
}

#define HEAD                                                                                                           \
    "* nat\n"                                                                                                          \
    "-N ISTIO_INBOUND\n-N ISTIO_REDIRECT\n-N ISTIO_IN_REDIRECT\n-N ISTIO_OUTPUT\n"
#define REDIRECTS                                                                                                      \
    "-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN\n"                                                                \
    "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n"                                                          \
    "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n"
#define OUTPUT "-A OUTPUT -j ISTIO_OUTPUT\n"
#define SELF "-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN\n"
#define OWNER(kind)                                                                                                    \
    "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --" kind                                  \
    "-owner 1337 -j ISTIO_IN_REDIRECT\n"                                                                               \
    "-A ISTIO_OUTPUT -o lo -m owner ! --" kind "-owner 1337 -j RETURN\n"                                               \
    "-A ISTIO_OUTPUT -m owner --" kind "-owner 1337 -j RETURN\n"
#define OWNERS OWNER("uid") OWNER("gid")
#define LOOPBACK "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n"

static const struct {
    const char *name;
    const char *args[MAX_ARGS];
    const char *v4;
} cases[] = {
    {"the flags of the injection template",
     {"-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d",
      "15090,15021,15020", "--log_output_level=default:info"},
     HEAD REDIRECTS "-A PREROUTING -p tcp -j ISTIO_INBOUND\n"
                    "-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN\n"
                    "-A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN\n"
                    "-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN\n"
                    "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n" OUTPUT SELF OWNERS LOOPBACK
                    "-A ISTIO_OUTPUT -j ISTIO_REDIRECT\nCOMMIT\n"},
    {"no flags: nothing is captured", {NULL}, HEAD REDIRECTS OUTPUT SELF OWNERS LOOPBACK "COMMIT\n"},
    {"outbound CIDRs, excluded ones before them",
     {"-i", "10.1.2.3/8,fd00::/8,192.168.0.0/16", "-x", "10.2.0.0/16"},
     HEAD REDIRECTS OUTPUT SELF OWNERS LOOPBACK "-A ISTIO_OUTPUT -d 10.2.0.0/16 -j RETURN\n"
                                                "-A ISTIO_OUTPUT -d 10.0.0.0/8 -j ISTIO_REDIRECT\n"
                                                "-A ISTIO_OUTPUT -d 192.168.0.0/16 -j ISTIO_REDIRECT\nCOMMIT\n"},
    {"loopback among the outbound CIDRs: calls of the application to itself are captured too",
     {"--istio-service-cidr=127.0.0.0/8", "-g", "1337"},
     HEAD REDIRECTS OUTPUT SELF
     "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT\n"
     "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n"
     "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT\n"
     "-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN\n" LOOPBACK
     "-A ISTIO_OUTPUT -d 127.0.0.0/8 -j ISTIO_REDIRECT\nCOMMIT\n"},
    {"outbound ports in and out",
     {"-q", "80,443", "-o", "9999"},
     HEAD REDIRECTS OUTPUT "-A ISTIO_OUTPUT -p tcp --dport 9999 -j RETURN\n"
                           "-A ISTIO_OUTPUT -p udp --dport 9999 -j RETURN\n" SELF OWNERS LOOPBACK
                           "-A ISTIO_OUTPUT -p tcp --dport 80 -j ISTIO_REDIRECT\n"
                           "-A ISTIO_OUTPUT -p tcp --dport 443 -j ISTIO_REDIRECT\nCOMMIT\n"},
    {"inbound ports by list: exclusions do not count",
     {"-b", "80,8080", "-d", "15090"},
     HEAD REDIRECTS "-A PREROUTING -p tcp -j ISTIO_INBOUND\n"
                    "-A ISTIO_INBOUND -p tcp --dport 80 -j ISTIO_IN_REDIRECT\n"
                    "-A ISTIO_INBOUND -p tcp --dport 8080 -j ISTIO_IN_REDIRECT\n" OUTPUT SELF OWNERS LOOPBACK
                    "COMMIT\n"},
    {"interfaces left out and rerouted",
     {"-c", "eth1", "-k", "virbr0,virbr1", "-i", "*"},
     HEAD
     "-A PREROUTING -i eth1 -j RETURN\n-A OUTPUT -o eth1 -j RETURN\n"
     "-I PREROUTING 1 -i virbr0 -j RETURN\n-I PREROUTING 1 -i virbr1 -j RETURN\n" REDIRECTS OUTPUT SELF OWNERS LOOPBACK
     "-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n"
     "-I PREROUTING 1 -i virbr0 -j ISTIO_REDIRECT\n-I PREROUTING 1 -i virbr1 -j ISTIO_REDIRECT\nCOMMIT\n"},
    {"a rerouted interface with CIDRs",
     {"-kvirbr0", "-i=10.0.0.0/8"},
     HEAD "-I PREROUTING 1 -i virbr0 -j RETURN\n" REDIRECTS OUTPUT SELF OWNERS LOOPBACK
          "-I PREROUTING 1 -i virbr0 -d 10.0.0.0/8 -j ISTIO_REDIRECT\n-A ISTIO_OUTPUT -d 10.0.0.0/8 -j "
          "ISTIO_REDIRECT\nCOMMIT\n"},
    {"invalid packets dropped",
     {"--drop-invalid"},
     "* mangle\n-N ISTIO_DROP\n-A PREROUTING -m conntrack --ctstate INVALID -j ISTIO_DROP\n-A ISTIO_DROP -j "
     "DROP\nCOMMIT\n" HEAD REDIRECTS OUTPUT SELF OWNERS LOOPBACK "COMMIT\n"},
};

static void each_flag_gives_istios_rules(void **state)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a;
        struct iptables_options o;
        struct view why = VIEW_NONE;
        struct buf out = {0};
        arena_init(&a, 0);
        print_message("  %s\n", cases[i].name);
        assert_int_equal(parse(&o, &a, cases[i].args, no_env, &why), 0);
        iptables_rules(&o, IPTABLES_V4, &out);
        assert_string_equal(buf_cstr(&out), cases[i].v4);
        buf_done(&out);
        arena_done(&a);
    }
}

static void ipv6_has_the_same_chains_with_its_own_addresses(void **state)
{
    static const char *const args[] = {"-i", "10.0.0.0/8,fd00:1::2/32", "-x", "fd00:2::/32", NULL};
    struct arena a;
    struct iptables_options o;
    struct view why;
    struct buf out = {0};
    arena_init(&a, 0);
    assert_int_equal(parse(&o, &a, args, no_env, &why), 0);
    iptables_rules(&o, IPTABLES_V6, &out);
    assert_non_null(strstr(buf_cstr(&out), "-A ISTIO_OUTPUT -o lo -s ::6/128 -j RETURN\n"));
    assert_non_null(strstr(buf_cstr(&out), "-o lo ! -d ::1/128 -p tcp ! --dport 15008"));
    assert_non_null(strstr(buf_cstr(&out), "-d ::1/128 -j RETURN\n-A ISTIO_OUTPUT -d fd00:2::/32 -j RETURN\n"
                                           "-A ISTIO_OUTPUT -d fd00:1::/32 -j ISTIO_REDIRECT\nCOMMIT\n"));
    assert_null(strstr(buf_cstr(&out), "10.0.0.0"));
    buf_done(&out);
    arena_done(&a);
}

static void the_environment_stands_in_for_flags_and_yields_to_them(void **state)
{
    static const char *const args[] = {"-e", "17008", "--drop-invalid=false", NULL};
    struct arena a;
    struct iptables_options o;
    struct view why;
    struct buf out = {0};
    arena_init(&a, 0);
    assert_int_equal(parse(&o, &a, args, some_env, &why), 0);
    iptables_rules(&o, IPTABLES_V4, &out);
    assert_non_null(strstr(buf_cstr(&out), "--dport 17008"));
    assert_null(strstr(buf_cstr(&out), "mangle"));
    assert_non_null(
        strstr(buf_cstr(&out), "-A ISTIO_OUTPUT -m owner ! --gid-owner 100 -m owner ! --gid-owner 200 -j RETURN\n"));
    buf_done(&out);
    arena_done(&a);
}

static void what_is_not_supported_or_not_valid_is_refused_by_name(void **state)
{
    static const struct {
        const char *args[4];
        const char *word; /* in the message */
    } bad[] = {
        {{"-m", "TPROXY"}, "TPROXY"},
        {{"--redirect-dns"}, "redirect-dns"},
        {{"--capture-all-dns=true"}, "capture-all-dns"},
        {{"--native-nftables"}, "native-nftables"},
        {{"--network-namespace", "/x"}, "network-namespace"},
        {{"-x", "*"}, "istio-service-exclude-cidr"},
        {{"-i", "10.0.0.0"}, "10.0.0.0"},
        {{"-i", "10.0.0.0/33"}, "10.0.0.0/33"},
        {{"-b", "80,http"}, "http"},
        {{"-b", "0"}, "`0`"},
        {{"-d", "65536"}, "65536"},
        {{"-u", "1337 -j ACCEPT"}, "ACCEPT"},
        {{"-c", "eth0\nCOMMIT"}, "exclude-interfaces"},
        {{"--unknown"}, "--unknown"},
        {{"-p"}, "needs a value"},
        {{"--dry-run=perhaps"}, "perhaps"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct arena a;
        struct iptables_options o;
        struct view why = VIEW_NONE;
        arena_init(&a, 0);
        print_message("  %s %s\n", bad[i].args[0], bad[i].args[1] ? bad[i].args[1] : "");
        assert_int_not_equal(parse(&o, &a, bad[i].args, no_env, &why), 0);
        assert_true(view_find_view(why, view_of(bad[i].word)) < why.n);
        arena_done(&a);
    }
    struct arena a;
    struct iptables_options o;
    struct view why;
    static const char *const off[] = {"--redirect-dns=false", NULL};
    arena_init(&a, 0);
    assert_int_equal(parse(&o, &a, off, no_env, &why), 0);
    arena_done(&a);
}

#define SAVED_TOP "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [1:60]\n:ISTIO_IN - [0:0]\n"

static const struct {
    const char *name, *wanted, *saved;
    bool residue, delta;
} compared[] = {
    {"the same rules, printed the kernel's way",
     "* nat\n-N ISTIO_IN\n-A ISTIO_IN -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 1 -m owner --uid-owner 1337 -j "
     "RETURN\n-A OUTPUT -j ISTIO_IN\nCOMMIT\n",
     SAVED_TOP "-A OUTPUT -j ISTIO_IN\n-A ISTIO_IN ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 1 -m owner "
               "--uid-owner 1337 -j RETURN\nCOMMIT\n",
     true, false},
    {"nothing there", "* nat\n-N ISTIO_IN\n-A OUTPUT -j ISTIO_IN\nCOMMIT\n", "*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
     false, true},
    {"another order in a chain",
     "* nat\n-N ISTIO_IN\n-A ISTIO_IN -p tcp -j RETURN\n-A ISTIO_IN -p udp -j RETURN\nCOMMIT\n",
     SAVED_TOP "-A ISTIO_IN -p udp -j RETURN\n-A ISTIO_IN -p tcp -j RETURN\nCOMMIT\n", true, true},
    {"one rule more", "* nat\n-N ISTIO_IN\n-A ISTIO_IN -p tcp -j RETURN\nCOMMIT\n",
     SAVED_TOP "-A ISTIO_IN -p tcp -j RETURN\n-A ISTIO_IN -p udp -j RETURN\nCOMMIT\n", true, true},
    {"a negation missing", "* nat\n-N ISTIO_IN\n-A ISTIO_IN ! -d 1.1.1.1/32 -j RETURN\nCOMMIT\n",
     SAVED_TOP "-A ISTIO_IN -d 1.1.1.1/32 -j RETURN\nCOMMIT\n", true, true},
    {"foreign rules do not count", "* nat\n-N ISTIO_IN\n-A OUTPUT -j ISTIO_IN\nCOMMIT\n",
     SAVED_TOP "-A OUTPUT -p udp -j ACCEPT\n-A OUTPUT -j ISTIO_IN\nCOMMIT\n", true, false},
    {"a jump that is no longer wanted", "* nat\n-N ISTIO_IN\n-A OUTPUT -j ISTIO_IN\nCOMMIT\n",
     SAVED_TOP "-A PREROUTING -j ISTIO_IN\n-A OUTPUT -j ISTIO_IN\nCOMMIT\n", true, true},
};

static void rules_are_compared_by_meaning(void **state)
{
    for (size_t i = 0; i < COUNT_OF(compared); i++) {
        struct arena a;
        struct iptables_difference d;
        arena_init(&a, 0);
        print_message("  %s\n", compared[i].name);
        iptables_compare(&a, view_of(compared[i].wanted), view_of(compared[i].saved), &d);
        assert_int_equal(d.residue, compared[i].residue);
        assert_int_equal(d.delta, compared[i].delta);
        buf_done(&d.cleanup);
        arena_done(&a);
    }
}

static void cleanup_removes_jumps_then_empties_then_deletes(void **state)
{
    struct arena a;
    struct iptables_difference d;
    arena_init(&a, 0);
    iptables_compare(
        &a, VIEW("* nat\n-N ISTIO_IN\n-A OUTPUT -j ISTIO_IN\nCOMMIT\n"),
        VIEW(SAVED_TOP
             ":ISTIO_B - [0:0]\n-A OUTPUT -p udp -j ACCEPT\n-A OUTPUT -j ISTIO_IN\n-A ISTIO_IN -j ISTIO_B\nCOMMIT\n"),
        &d);
    assert_string_equal(buf_cstr(&d.cleanup),
                        "* nat\n-D OUTPUT -j ISTIO_IN\n-F ISTIO_IN\n-F ISTIO_B\n-X ISTIO_IN\n-X ISTIO_B\nCOMMIT\n");
    buf_done(&d.cleanup);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_flag_gives_istios_rules),
        cmocka_unit_test(ipv6_has_the_same_chains_with_its_own_addresses),
        cmocka_unit_test(the_environment_stands_in_for_flags_and_yields_to_them),
        cmocka_unit_test(what_is_not_supported_or_not_valid_is_refused_by_name),
        cmocka_unit_test(rules_are_compared_by_meaning),
        cmocka_unit_test(cleanup_removes_jumps_then_empties_then_deletes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
