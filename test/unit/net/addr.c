// SPDX-License-Identifier: Apache-2.0
/* Addresses: what parses, how it prints, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "net/addr.h"

static void a_printed_address_is_what_was_parsed(void **state)
{
    static const struct {
        const char *text, *printed;
        enum addr_family family;
    } rows[] = {
        {"10.1.2.3:9080", "10.1.2.3:9080", ADDR_V4},
        {"0.0.0.0:0", "0.0.0.0:0", ADDR_V4},
        {"255.255.255.255:65535", "255.255.255.255:65535", ADDR_V4},
        {"[::1]:80", "[::1]:80", ADDR_V6},
        {"[fd00:0:0::0001]:15006", "[fd00::1]:15006", ADDR_V6},
        {"[fe80::1%2]:80", "[fe80::1%2]:80", ADDR_V6},
        {"[::ffff:10.0.0.1]:80", "10.0.0.1:80", ADDR_V4},
        {"unix:/run/weft.sock", "/run/weft.sock", ADDR_UNIX},
        {"unix:@weft", "@weft", ADDR_UNIX},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr a, again;
        char text[ADDR_TEXT];
        assert_int_equal(addr_parse(view_of(rows[i].text), &a), 0);
        assert_int_equal(a.family, rows[i].family);
        struct view printed = addr_print(&a, text);
        assert_true(view_is(printed, rows[i].printed));
        if (a.family == ADDR_UNIX)
            continue;
        struct sockaddr_storage ss;
        socklen_t len = addr_to_sockaddr(&a, &ss);
        addr_from_sockaddr(&again, (struct sockaddr *)&ss, len);
        assert_memory_equal(&a, &again, sizeof(a));
    }
}

static void an_ipv4_address_is_a_number(void **state)
{
    static const struct {
        const char *text;
        uint32_t number;
    } rows[] = {
        {"10.1.2.3", 0x0a010203}, {"255.255.255.255", 0xffffffff}, {"0.0.0.0", 0}, {"", 0}, {"None", 0}, {"10.1.2", 0},
        {"10.1.2.3:80", 0},       {"::ffff:10.1.2.3", 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(addr_v4_number(view_of(rows[i].text)), rows[i].number);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "10.1.2.3",
        "10.1.2.3:",
        "10.1.2.3:65536",
        "10.1.2:80",
        "10.1.2.3.4:80",
        "10.1.2.256:80",
        "01.1.1.1:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[10.0.0.1]:80",
        "[::g]:80",
        "[fe80::1%eth0]:80",
        "reviews:80",
        "1.2.3.4:8 0",
        "unix:",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr a;
        if (addr_parse(view_of(rows[i]), &a) != -EINVAL)
            fail_msg("parsed: %s", rows[i]);
    }
}

static void a_prefix_holds_its_addresses_and_no_others(void **state)
{
    static const struct {
        const char *net, *ip;
        bool in;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},      {"10.0.0.0/8", "11.0.0.1", false},
        {"10.16.0.0/12", "10.31.255.255", true}, {"10.16.0.0/12", "10.32.0.0", false},
        {"0.0.0.0/0", "1.2.3.4", true},          {"0.0.0.0/0", "::1", false},
        {"10.0.0.1", "10.0.0.1", true},          {"10.0.0.1", "10.0.0.2", false},
        {"fd00::/8", "fdff::1", true},           {"fd00::/8", "fe00::1", false},
        {"fd00::/127", "fd00::1", true},         {"fd00::/127", "fd00::2", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr net, ip;
        unsigned bits;
        assert_int_equal(addr_parse_cidr(view_of(rows[i].net), &net, &bits), 0);
        assert_int_equal(addr_parse_ip(view_of(rows[i].ip), 0, &ip), 0);
        assert_int_equal(addr_in(&ip, &net, bits), rows[i].in);
    }
    struct addr net;
    unsigned bits;
    assert_int_equal(addr_parse_cidr(VIEW("10.0.0.0/33"), &net, &bits), -EINVAL);
    assert_int_equal(addr_parse_cidr(VIEW("10.0.0.0/"), &net, &bits), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_printed_address_is_what_was_parsed),
        cmocka_unit_test(an_ipv4_address_is_a_number),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_prefix_holds_its_addresses_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
