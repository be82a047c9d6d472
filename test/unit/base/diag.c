// SPDX-License-Identifier: Apache-2.0
/* A diagnostic prints place, picture, help and effect; the nearest word is found. */
#include "base/diag.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void the_picture_points_at_the_value(void **state)
{
    (void)state;
    struct arena a;
    struct diags diags;
    struct buf out = {0};
    arena_init(&a, 0);
    diags_init(&diags, &a);
    struct origin at = {.file = VIEW("r.yaml"),
                        .line = 14,
                        .col = 7,
                        .span = 7,
                        .kind = VIEW("VirtualService"),
                        .ns = VIEW("default"),
                        .name = VIEW("reviews"),
                        .path = VIEW("spec.hosts[0]")};
    struct diag *d = diag_add(&diags, DIAG_ERROR, "IST0101", &at);
    d->title = VIEW("no such host");
    d->label = VIEW("unknown");
    d->hint = VIEW("did you mean `reviews`?");
    d->effect = VIEW("503 (flag NC)");
    d->source_line = VIEW("host: reviewz");
    diags_print(&diags, &out, false);
    assert_string_equal(buf_cstr(&out), "error[IST0101]: no such host\n"
                                        "   --> r.yaml:14:7   (VirtualService default/reviews, spec.hosts[0])\n"
                                        "   |\n"
                                        "14 | host: reviewz\n"
                                        "   |       ^^^^^^^ unknown\n"
                                        "   = help: did you mean `reviews`?\n"
                                        "   = effect: 503 (flag NC)\n"
                                        "\n"
                                        "1 error, 0 warnings\n");
    buf_done(&out);
    arena_done(&a);
}

static void the_nearest_word_is_found(void **state)
{
    (void)state;
    const struct view known[] = {VIEW("retries"), VIEW("timeout"), VIEW("match")};
    assert_true(view_is(diag_nearest(VIEW("retires"), known, 3), "retries"));
    assert_true(view_is(diag_nearest(VIEW("timeOut"), known, 3), "timeout"));
    assert_true(view_empty(diag_nearest(VIEW("completely"), known, 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_picture_points_at_the_value),
                                       cmocka_unit_test(the_nearest_word_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
