// SPDX-License-Identifier: Apache-2.0
/* Conditions from diagnostics and acknowledgements, and when they differ from what an object has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "control/status/condition.h"
#include "wire/node.h"

#define WALL (UINT64_C(1767225600) * NS_PER_S) /* 2026-01-01T00:00:00Z */
#define ID(name) "sidecar~10.0.0.1~" name ".default~default.svc.cluster.local"

struct said {
    enum diag_severity severity;
    const char *code, *title;
};

static void collect(struct status_verdict *v, struct arena *a, const struct said *said, unsigned n)
{
    struct diags d;

    diags_init(&d, a);
    for (unsigned i = 0; i < n && said[i].code; i++) {
        struct diag *one =
            diag_add(&d, said[i].severity, said[i].code, &(struct origin){.path = VIEW("spec.hosts[0]")});
        one->title = view_of(said[i].title);
        one->label = VIEW("cause");
        one->hint = VIEW("hint");
        one->effect = VIEW("effect");
        status_verdict_add(v, one);
    }
}

static const char *value_of(const struct status_condition *c)
{
    static const char *const names[] = {"Unknown", "False", "True", "absent"};

    return names[c->value];
}

static void conditions_follow_from_diagnostics_and_acknowledgements(void **state)
{
    static const struct {
        const char *name;
        struct said said[3];
        int64_t in_force;
        uint32_t acked, proxies;
        const char *waiting, *refused_by, *nack;
        const char *want[STATUS_TYPES]; /* status reason message; the message in part */
        const char *messages;
    } rows[] = {
        {.name = "all is well",
         .in_force = 2,
         .acked = 3,
         .proxies = 3,
         .want = {"True Accepted ", "True ResolvedRefs ", "True Programmed 3 of 3 proxies",
                  "True Programmed 3/3 proxies up to date."}},
        {.name = "it concerns nobody",
         .in_force = 2,
         .want = {"True Accepted ", "True ResolvedRefs ", "True Programmed 0 of 0 proxies",
                  "True Programmed 0/0 proxies up to date."}},
        {.name = "one has not acknowledged",
         .in_force = 2,
         .acked = 2,
         .proxies = 3,
         .waiting = ID("web-7"),
         .want = {"True Accepted ", "True ResolvedRefs ",
                  "False Pending 2 of 3 proxies; web-7.default has not acknowledged it yet",
                  "False Pending 2/3 proxies up to date."}},
        {.name = "one refused",
         .in_force = 2,
         .acked = 2,
         .proxies = 3,
         .refused_by = ID("web-7"),
         .nack = "regex is too large",
         .want = {"True Accepted ", "True ResolvedRefs ",
                  "False Refused 2 of 3 proxies; web-7.default refused it and keeps what it had: regex is too large",
                  "False Refused 2/3 proxies up to date."}},
        {.name = "a host does not exist",
         .said = {{DIAG_WARNING, "IST0101", "no such host"}},
         .in_force = 2,
         .acked = 1,
         .proxies = 1,
         .want = {"True Accepted ",
                  "False RefNotFound warning[IST0101]: no such host: cause (spec.hosts[0]); help: hint; effect: effect",
                  "True Programmed 1 of 1 proxies", "True Programmed 1/1 proxies up to date."},
         .messages = "IST0101/WARNING"},
        {.name = "warnings that are not about references, and a note",
         .said = {{DIAG_WARNING, "IST0130", "never reached"}, {DIAG_INFO, "WEFT0008", "no default"}},
         .in_force = 2,
         .want = {"True Accepted warning[IST0130]: never reached: cause (spec.hosts[0]); help: hint; effect: effect\n"
                  "info[WEFT0008]: no default",
                  "True ResolvedRefs ", "True Programmed ", "True Programmed "},
         .messages = "IST0130/WARNING,WEFT0008/INFO"},
        {.name = "the same code twice",
         .said = {{DIAG_WARNING, "IST0101", "no host a"}, {DIAG_WARNING, "IST0101", "no host b"}},
         .in_force = 2,
         .want = {"True Accepted ", "False RefNotFound warning[IST0101]: no host a", "True Programmed ",
                  "True Programmed "},
         .messages = "IST0101/WARNING"},
        {.name = "rejected, and an older one is in force",
         .said = {{DIAG_ERROR, "WEFT0004", "unknown field"}},
         .in_force = 1,
         .acked = 2,
         .proxies = 2,
         .want = {"False Invalid error[WEFT0004]: unknown field: cause (spec.hosts[0]); help: hint; effect: effect\n"
                  "generation 1 of it stays in force",
                  "Unknown NotAccepted ",
                  "False Invalid it is not accepted; generation 1 is in force on 2 of 2 proxies",
                  "False Invalid 0/2 proxies up to date."},
         .messages = "WEFT0004/ERROR"},
        {.name = "rejected, and there is nothing older",
         .said = {{DIAG_ERROR, "WEFT0003", "this kind is not supported yet"}},
         .in_force = -1,
         .acked = 0,
         .proxies = 0,
         .want = {"False NotSupported error[WEFT0003]: this kind", "Unknown NotAccepted ",
                  "False NotSupported 0 of 0 proxies", "False NotSupported 0/0 proxies up to date."},
         .messages = "WEFT0003/ERROR"},
        {.name = "invalid wins over not supported",
         .said = {{DIAG_ERROR, "WEFT0005", "not supported"}, {DIAG_ERROR, "IST0106", "bad value"}},
         .in_force = -1,
         .want = {"False Invalid ", "Unknown NotAccepted ", "False Invalid ", "False Invalid "},
         .messages = "WEFT0005/ERROR,IST0106/ERROR"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct status_verdict v = {0};
        struct status_text s;
        struct arena a;
        struct status_facts f = {.generation = 2,
                                 .in_force = rows[i].in_force,
                                 .acked = rows[i].acked,
                                 .proxies = rows[i].proxies,
                                 .waiting = view_of(rows[i].waiting),
                                 .refused_by = view_of(rows[i].refused_by),
                                 .nack = view_of(rows[i].nack)};

        arena_init(&a, 0);
        collect(&v, &a, rows[i].said, 3);
        status_decide(&f, &v, &a, &s);
        for (int t = 0; t < STATUS_TYPES; t++) {
            const struct status_condition *c = &s.conditions[t];
            struct view have =
                arena_printf(&a, "%s %.*s %.*s", value_of(c), VIEW_ARGS(c->reason), VIEW_ARGS(c->message));
            if (!view_starts(have, view_of(rows[i].want[t])))
                fail_msg("%s: %s: %.*s", rows[i].name, status_type_names[t], VIEW_ARGS(have));
            assert_int_equal(c->generation, 2);
        }
        if (!view_is(s.messages, rows[i].messages ? rows[i].messages : ""))
            fail_msg("%s: %.*s", rows[i].name, VIEW_ARGS(s.messages));
        status_verdict_done(&v);
        arena_done(&a);
    }
}

static void texts_have_a_bound_and_say_that_they_were_cut(void **state)
{
    struct status_verdict v = {0};
    struct status_text s;
    struct arena a;

    arena_init(&a, 0);
    for (int i = 0; i < 1000; i++)
        collect(&v, &a, &(struct said){DIAG_WARNING, "IST0101", "ein Träger, der nicht existiert: äöüäöüäöüäöüäöüäöü"},
                1);
    status_decide(&(struct status_facts){.generation = 1, .in_force = 1}, &v, &a, &s);
    assert_in_range(s.conditions[STATUS_RESOLVED_REFS].message.n, LIMIT_STATUS_MESSAGE_BYTES / 2,
                    LIMIT_STATUS_MESSAGE_BYTES + 100);
    assert_true(view_find_view(s.conditions[STATUS_RESOLVED_REFS].message, VIEW("more: see `weft analyze`")) <
                s.conditions[STATUS_RESOLVED_REFS].message.n);
    status_verdict_done(&v);
    arena_done(&a);
}

/* What was printed, as an API server gives it back. */
static void print_and_read(const struct status_text *s, struct arena *a, struct status_text *ret)
{
    struct buf out = {0};
    struct node *tree = NULL;

    status_print(s, VIEW("7"), &out);
    assert_int_equal(node_parse(a, arena_view(a, buf_read(&out)), &tree, NULL), 0);
    assert_true(view_is(node_text_at(tree, "metadata.resourceVersion"), "7"));
    status_read(node_get(tree, VIEW("status")), a, ret);
    buf_done(&out);
}

static void decide(struct arena *a, int64_t generation, uint32_t acked, uint32_t proxies, const struct said *said,
                   struct status_text *ret)
{
    struct status_verdict v = {0};

    collect(&v, a, said, said ? 1 : 0);
    status_decide(&(struct status_facts){.generation = generation,
                                         .in_force = generation,
                                         .acked = acked,
                                         .proxies = proxies,
                                         .waiting = VIEW(ID("web"))},
                  &v, a, ret);
    status_verdict_done(&v);
}

static void what_is_written_is_not_written_again_and_news_are_told_from_numbers(void **state)
{
    static const struct said lost = {DIAG_WARNING, "IST0101", "no such host"};
    static const struct {
        int64_t generation;
        uint32_t acked, proxies;
        const struct said *said;
        enum status_difference want;
    } rows[] = {
        {1, 3, 3, NULL, STATUS_SAME}, {1, 4, 4, NULL, STATUS_COUNTS}, {1, 0, 0, NULL, STATUS_COUNTS},
        {1, 3, 4, NULL, STATUS_NEWS}, {2, 3, 3, NULL, STATUS_NEWS},   {1, 3, 3, &lost, STATUS_NEWS},
    };
    struct status_text first, none, have;
    struct arena a;

    arena_init(&a, 0);
    status_read(NULL, &a, &none);
    decide(&a, 1, 3, 3, NULL, &first);
    assert_int_equal(status_settle(&first, &none, WALL), STATUS_NEWS);
    print_and_read(&first, &a, &have);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct status_text wish;
        enum status_difference d;
        decide(&a, rows[i].generation, rows[i].acked, rows[i].proxies, rows[i].said, &wish);
        d = status_settle(&wish, &have, WALL + 100 * NS_PER_S);
        if (d != rows[i].want)
            fail_msg("row %zu: %d", i, d);
    }
    arena_done(&a);
}

static void the_time_of_a_transition_moves_with_the_status_only(void **state)
{
    static const struct said lost = {DIAG_WARNING, "IST0101", "no such host"};
    struct status_text first, none, have, wish;
    struct arena a;

    arena_init(&a, 0);
    status_read(NULL, &a, &none);
    decide(&a, 1, 3, 3, NULL, &first);
    (void)status_settle(&first, &none, WALL);
    print_and_read(&first, &a, &have);
    decide(&a, 2, 5, 5, &lost, &wish);
    assert_int_equal(status_settle(&wish, &have, WALL + 60 * NS_PER_S), STATUS_NEWS);
    assert_int_equal(wish.conditions[STATUS_ACCEPTED].since, WALL);
    assert_int_equal(wish.conditions[STATUS_RESOLVED_REFS].since, WALL + 60 * NS_PER_S);
    assert_int_equal(wish.conditions[STATUS_PROGRAMMED].since, WALL); /* 3 of 3, 5 of 5: true both times */
    arena_done(&a);
}

static void conditions_of_others_and_istios_ways_of_writing_survive(void **state)
{
    static const char text[] =
        "{\"observedGeneration\":\"4\",\"conditions\":["
        "{\"type\":\"PassedAnalysis\",\"status\":\"True\",\"message\":\"by \\\"another\\\"\"},"
        "{\"type\":\"Accepted\",\"status\":\"True\",\"reason\":\"Accepted\",\"lastTransitionTime\":\"2026-01-01T00:00:"
        "00Z\","
        "\"observedGeneration\":\"4\"}],"
        "\"validationMessages\":[{\"level\":\"INFO\",\"type\":{\"name\":\"x\",\"code\":\"IST0118\"}}]}";
    struct status_text have, wish, again;
    struct node *tree = NULL;
    struct arena a;

    arena_init(&a, 0);
    assert_int_equal(node_parse(&a, VIEW(text), &tree, NULL), 0);
    status_read(tree, &a, &have);
    assert_int_equal(have.generation, 4);
    assert_int_equal(have.conditions[STATUS_ACCEPTED].generation, 4);
    assert_int_equal(have.conditions[STATUS_PROGRAMMED].value, STATUS_ABSENT);
    assert_true(view_is(have.messages, "IST0118/INFO"));
    decide(&a, 4, 0, 0, NULL, &wish);
    assert_int_equal(status_settle(&wish, &have, WALL + NS_PER_S), STATUS_NEWS);
    assert_int_equal(wish.conditions[STATUS_ACCEPTED].since, WALL);
    print_and_read(&wish, &a, &again);
    assert_true(view_eq(again.foreign, have.foreign) && again.foreign.n > 0);
    assert_int_equal(again.messages.n, 0); /* null in a merge patch */
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_follow_from_diagnostics_and_acknowledgements),
        cmocka_unit_test(texts_have_a_bound_and_say_that_they_were_cut),
        cmocka_unit_test(what_is_written_is_not_written_again_and_news_are_told_from_numbers),
        cmocka_unit_test(the_time_of_a_transition_moves_with_the_status_only),
        cmocka_unit_test(conditions_of_others_and_istios_ways_of_writing_survive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
