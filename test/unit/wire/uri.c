// SPDX-License-Identifier: Apache-2.0
/* Tests of targets, authorities and byte classes: tables, and the fast scans against the plain table walk for every byte at
 * every place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/scan.h"
#include "wire/uri.h"

static void authorities_are_hosts_with_ports(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {{"a", "a", 0},
                {"reviews.default.svc.cluster.local:9080", "reviews.default.svc.cluster.local", 9080},
                {"10.1.2.3:65535", "10.1.2.3", 65535},
                {"[::1]", "::1", 0},
                {"[fe80::1:2]:80", "fe80::1:2", 80},
                {"_x~y!$&'()*+;=z-very-long-name-indeed", "_x~y!$&'()*+;=z-very-long-name-indeed", 0}};
    static const char *const bad[] = {"",
                                      ":",
                                      ":80",
                                      "a:",
                                      "a:b",
                                      "a:65536",
                                      "a:000080",
                                      "a:+1",
                                      "a b",
                                      "a,b",
                                      "a/b",
                                      "a@b",
                                      "a?b",
                                      "a#b",
                                      "a\\b",
                                      "[::1",
                                      "[]",
                                      "[x]",
                                      "[::1]x",
                                      "[::1]:",
                                      "::1",
                                      "a\x80",
                                      "a\t",
                                      "a:80:90",
                                      "a[b]",
                                      "[::1]80",
                                      "a-name-of-many-bytes,with-a-comma",
                                      "a-name-of-many-bytes with-a-space"};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct view host;
        uint16_t port;
        assert_true(uri_authority_valid(view_of(good[i].text)));
        uri_authority_split(view_of(good[i].text), &host, &port);
        assert_true(view_is(host, good[i].host));
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (uri_authority_valid(view_of(bad[i])))
            fail_msg("accepted: %s", bad[i]);
}

static void paths_are_strict_before_the_query(void **state)
{
    static const char *const good[] = {"/", "/a%20b?c=%zz", "/?", "/a/b;c=d,e/~f", "/\"<>\\^`{|}"};
    static const char *const bad[] = {"",       "a",  "*",   "/a b", "/a#b", "/a\x7f",
                                      "/a\x80", "/%", "/%2", "/%2g", "/%00", "/a\tb"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(uri_path_valid(view_of(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (uri_path_valid(view_of(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_true(view_is(uri_path_only(view_of("/a?b?c")), "/a"));
    assert_true(view_is(uri_query(view_of("/a?b?c")), "b?c"));
    assert_true(view_empty(uri_query(view_of("/a"))));
}

static void absolute_targets_have_three_parts(void **state)
{
    struct view scheme, authority, path;
    assert_int_equal(uri_absolute_split(VIEW("HTTP://a:1/b?c"), &scheme, &authority, &path), 0);
    assert_true(view_is(scheme, "HTTP") && view_is(authority, "a:1") && view_is(path, "/b?c"));
    assert_int_equal(uri_absolute_split(VIEW("https://a"), &scheme, &authority, &path), 0);
    assert_true(view_is(path, "/"));
    static const char *const bad[] = {"ftp://a/",   "http:/a",     "http://", "http:///",
                                      "http://a?b", "http://u@a/", "//a/"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(uri_absolute_split(view_of(bad[i]), &scheme, &authority, &path), -EINVAL);
}

static void fast_scans_agree_with_the_table(void **state)
{
    for (size_t n = 1; n <= 40; n++) {
        char *text = (char *)malloc(n); /* exactly n: ASan sees what reads beyond */
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                memset(text, 'a', n);
                text[at] = (char)c;
                const char *end = text + n, *half = text + n / 2;
                assert_true(scan_value(text, text, end) == scan_slow(text, end, SCAN_VALUE));
                assert_true(scan_name(text, text, end) == scan_slow(text, end, SCAN_TOKEN));
                assert_true(scan_target(text, text, end) == scan_slow(text, end, SCAN_TARGET));
                assert_true(scan_host(text, text, end) == scan_slow(text, end, SCAN_HOST));
                assert_true(scan_value(text, half, end) == scan_slow(half, end, SCAN_VALUE));
                assert_true(scan_name(text, half, end) == scan_slow(half, end, SCAN_TOKEN));
            }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authorities_are_hosts_with_ports),
        cmocka_unit_test(paths_are_strict_before_the_query),
        cmocka_unit_test(absolute_targets_have_three_parts),
        cmocka_unit_test(fast_scans_agree_with_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
