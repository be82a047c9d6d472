// SPDX-License-Identifier: Apache-2.0
/* SPIFFE ids: what parses, what is refused, how trust domains are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/spiffe.h"

static void an_identity_has_three_parts_and_prints_as_it_was(void **state)
{
    struct spiffe id;
    struct buf out = {0};
    struct view uri = VIEW("spiffe://cluster.local/ns/default/sa/bookinfo-reviews");
    assert_int_equal(spiffe_parse(uri, &id), 0);
    assert_true(view_is(id.trust_domain, "cluster.local"));
    assert_true(view_is(id.ns, "default"));
    assert_true(view_is(id.sa, "bookinfo-reviews"));
    spiffe_print(&out, &id);
    assert_true(view_eq(buf_read(&out), uri));
    buf_done(&out);
}

static void anything_else_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "spiffe://",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/default",
        "spiffe://cluster.local/ns/default/sa",
        "spiffe://cluster.local/ns/default/sa/",
        "spiffe://cluster.local/ns//sa/x",
        "spiffe:///ns/default/sa/x",
        "spiffe://cluster.local/ns/default/sa/x/y",
        "spiffe://cluster.local/sa/default/ns/x",
        "SPIFFE://cluster.local/ns/default/sa/x",
        "https://cluster.local/ns/default/sa/x",
        "spiffe://cluster.local/ns/default/sa/x,URI:spiffe://evil",
        "spiffe://cluster.local/ns/def ault/sa/x",
        "spiffe://user@cluster.local/ns/default/sa/x",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct spiffe id;
        if (spiffe_parse(view_of(rows[i]), &id) == 0)
            fail_msg("parsed: %s", rows[i]);
    }
}

static void an_at_sign_in_a_trust_domain_becomes_a_dot(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    assert_true(view_is(spiffe_trust_domain(&a, VIEW("mesh@example.org")), "mesh.example.org"));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_has_three_parts_and_prints_as_it_was),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(an_at_sign_in_a_trust_domain_becomes_a_dot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
