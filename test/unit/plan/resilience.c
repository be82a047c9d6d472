// SPDX-License-Identifier: Apache-2.0
/* Retries, outliers, circuit breakers and end reasons: what counts as what. */
#include "plan/retry.h"

#include "base/clock.h"
#include "plan/breaker.h"
#include "plan/outlier.h"
#include "support.h"

static void retry_words_are_read_and_written(void **state)
{
    (void)state;
    uint32_t on, n;
    uint16_t statuses[2];
    struct view bad;
    assert_int_equal(retry_parse_on(VIEW("5xx, reset ,503"), &on, statuses, &n, 2, &bad), 0);
    assert_int_equal(on, RETRY_5XX | RETRY_RESET | RETRY_RETRIABLE_STATUS_CODES);
    assert_int_equal(n, 1);
    assert_int_equal(statuses[0], 503);
    struct buf b = {0};
    retry_print_on(&b, on);
    assert_string_equal(buf_cstr(&b), "5xx,reset,retriable-status-codes");
    buf_done(&b);
    static const char *const wrong[] = {"5xx,nonsense", "99", "600", "1,2,3", "501,502,503"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(retry_parse_on(view_of(wrong[i]), &on, statuses, &n, 2, &bad), -22);
    assert_int_equal(retry_parse_on(VIEW(""), &on, statuses, &n, 2, &bad), 0);
    assert_int_equal(on, 0);
}

static void a_try_is_repeated_only_for_what_the_policy_names(void **state)
{
    (void)state;
    uint16_t status_429 = 429;
    const uint32_t usual = RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM | RETRY_UNAVAILABLE | RETRY_CANCELLED;
    const struct {
        uint32_t on;
        struct try_outcome o;
        bool wanted;
    } cases[] = {
        {usual, {.reason = END_CONNECT_FAILED, .grpc_status = -1}, true},
        {usual, {.reason = END_TLS_FAILED, .grpc_status = -1}, true},
        {usual, {.reason = END_UPSTREAM_REFUSED, .grpc_status = -1, .request_sent = true}, true},
        {usual, {.reason = END_UPSTREAM_RESET, .grpc_status = -1, .request_sent = true}, false},
        {usual, {.status = 503, .grpc_status = -1}, false},
        {usual, {.status = 200, .grpc_status = 14}, true},
        {usual, {.status = 200, .grpc_status = 13}, false},
        {usual, {.reason = END_OVERFLOW, .grpc_status = -1}, false},
        {usual, {.reason = END_UPSTREAM_TIMEOUT, .grpc_status = -1}, false},
        {RETRY_5XX, {.status = 500, .grpc_status = -1}, true},
        {RETRY_5XX, {.status = 404, .grpc_status = -1}, false},
        {RETRY_5XX, {.reason = END_UPSTREAM_CLOSED, .grpc_status = -1, .request_sent = true}, true},
        {RETRY_5XX, {.reason = END_PER_TRY_TIMEOUT, .grpc_status = -1, .request_sent = true}, true},
        {RETRY_GATEWAY_ERROR, {.status = 500, .grpc_status = -1}, false},
        {RETRY_GATEWAY_ERROR, {.status = 504, .grpc_status = -1}, true},
        {RETRY_RESET_BEFORE_REQUEST, {.reason = END_UPSTREAM_CLOSED, .grpc_status = -1}, true},
        {RETRY_RESET_BEFORE_REQUEST, {.reason = END_UPSTREAM_CLOSED, .grpc_status = -1, .request_sent = true}, false},
        {RETRY_RETRIABLE_4XX, {.status = 409, .grpc_status = -1}, true},
        {RETRY_RETRIABLE_STATUS_CODES, {.status = 429, .grpc_status = -1}, true},
        {RETRY_RETRIABLE_STATUS_CODES, {.status = 430, .grpc_status = -1}, false},
        {RETRY_5XX, {.status = 503, .grpc_status = -1, .ratelimited = true}, false},
        {RETRY_ENVOY_RATELIMITED, {.status = 429, .grpc_status = -1, .ratelimited = true}, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct retry_policy p = {.on = cases[i].on, .attempts = 1, .statuses = &status_429, .n_statuses = 1};
        if (retry_wanted(&p, &cases[i].o) != cases[i].wanted)
            fail_msg("case %zu", i);
        p.attempts = 0;
        assert_false(retry_wanted(&p, &cases[i].o));
    }
}

static void the_pause_grows_to_a_ceiling(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    struct retry_policy p = {0};
    static const uint64_t most_ms[] = {0, 25, 75, 175, 250, 250};
    for (uint32_t n = 1; n < COUNT_OF(most_ms); n++) {
        uint64_t longest = 0;
        for (int i = 0; i < 2000; i++) {
            uint64_t pause = retry_backoff(&p, n, &rng);
            longest = pause > longest ? pause : longest;
        }
        assert_in_range(longest, most_ms[n] * NS_PER_MS * 9 / 10, most_ms[n] * NS_PER_MS);
    }
    assert_true(retry_backoff(&p, 1000, &rng) <= 250 * NS_PER_MS);
}

static void failures_in_a_row_eject_longer_each_time(void **state)
{
    (void)state;
    struct outlier_config c = {.on = true,
                               .consecutive_5xx = 2,
                               .interval = 10,
                               .base_ejection = 100,
                               .max_ejection = 250,
                               .max_ejection_percent = 100};
    struct outlier_state s = {.n_hosts = 4};
    struct outlier_host h = {0};
    static const uint64_t times[] = {100, 200, 250, 250};
    uint64_t now = 0;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        assert_false(outlier_record(&c, &s, &h, OUTLIER_5XX, now));
        assert_false(outlier_record(&c, &s, &h, OUTLIER_OK, now)); /* breaks the row */
        assert_false(outlier_record(&c, &s, &h, OUTLIER_5XX, now));
        assert_true(outlier_record(&c, &s, &h, OUTLIER_LOCAL, now));
        assert_false(outlier_sweep_host(&c, &s, &h, now + times[i] - 1));
        now += times[i];
        assert_true(outlier_sweep_host(&c, &s, &h, now));
        assert_int_equal(s.n_ejected, 0);
    }
    for (int i = 0; i < 4; i++)
        outlier_sweep_host(&c, &s, &h, now);
    assert_int_equal(h.ejections, 0); /* forgiven while healthy */
}

static void what_another_worker_has_ejected_is_ejected_here_within_the_same_bounds(void **state)
{
    (void)state;
    struct outlier_config c = {.on = true,
                               .consecutive_5xx = 5,
                               .interval = 10,
                               .base_ejection = 100,
                               .max_ejection = 1000,
                               .max_ejection_percent = 50};
    struct outlier_state s = {.n_hosts = 2};
    struct outlier_host one = {0}, two = {0};
    assert_false(outlier_eject(&c, &s, &one, 50, 1, 60)); /* it is over already */
    assert_true(outlier_eject(&c, &s, &one, 260, 2, 60));
    assert_false(outlier_eject(&c, &s, &one, 300, 2, 61)); /* it is out */
    assert_false(outlier_eject(&c, &s, &two, 260, 1, 60)); /* more than half of them */
    assert_int_equal(s.n_ejected, 1);
    assert_int_equal(s.next_sweep, 70);
    assert_false(outlier_sweep_host(&c, &s, &one, 259));
    assert_true(outlier_sweep_host(&c, &s, &one, 260));
    for (int i = 0; i < 5; i++)
        outlier_record(&c, &s, &one, OUTLIER_5XX, 300);
    assert_int_equal(one.until, 600); /* the third time in a row */
    c.on = false;
    assert_false(outlier_eject(&c, &s, &two, 900, 1, 700));
}

static void split_local_failures_have_their_own_row(void **state)
{
    (void)state;
    struct outlier_config c = {.on = true, .consecutive_5xx = 1, .consecutive_local = 3, .split_local = true};
    struct outlier_state s = {.n_hosts = 2};
    struct outlier_host h = {0};
    assert_false(outlier_record(&c, &s, &h, OUTLIER_LOCAL, 1));
    assert_false(outlier_record(&c, &s, &h, OUTLIER_LOCAL, 1));
    assert_true(outlier_record(&c, &s, &h, OUTLIER_LOCAL, 1));
    c = (struct outlier_config){.on = true, .consecutive_gateway = 1};
    h = (struct outlier_host){0};
    s = (struct outlier_state){.n_hosts = 2};
    assert_false(outlier_record(&c, &s, &h, outlier_event_of_status(500), 1));
    assert_true(outlier_record(&c, &s, &h, outlier_event_of_status(502), 1));
    c.on = false;
    assert_false(outlier_record(&c, &s, &h, OUTLIER_GATEWAY, 1));
}

static void a_breaker_opens_at_its_share(void **state)
{
    (void)state;
    struct breaker_state s = {0};
    breaker_configure(&s, &(struct breaker_limits){UINT32_MAX, 10, 1, 0}, 4);
    assert_true(breaker_take(&s, BREAKER_CONNECTIONS));
    assert_true(breaker_take(&s, BREAKER_PENDING) && breaker_take(&s, BREAKER_PENDING));
    assert_false(breaker_take(&s, BREAKER_PENDING));
    assert_true(breaker_take(&s, BREAKER_REQUESTS)); /* 1 ÷ 4 is still one */
    assert_false(breaker_take(&s, BREAKER_REQUESTS));
    assert_false(breaker_take(&s, BREAKER_RETRIES));
    breaker_give(&s, BREAKER_REQUESTS);
    assert_true(breaker_take(&s, BREAKER_REQUESTS));
    assert_int_equal(s.overflows[BREAKER_REQUESTS], 1);
}

static void every_end_reason_is_complete(void **state)
{
    (void)state;
    for (unsigned i = 0; i < end_reason_count(); i++) {
        const struct end_reason_info *r = end_reason_info((enum end_reason)i);
        assert_true(r->details[0] && r->text[0] && r->flag[0]);
        assert_true(r->http == 0 || (r->http >= 200 && r->http < 600));
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(r->id, end_reason_info((enum end_reason)j)->id);
    }
    assert_string_equal(end_reason_info(END_NO_CLUSTER)->flag, "NC");
    assert_int_equal(end_reason_info(END_NO_ROUTE)->http, 404);
    assert_string_equal(end_reason_info(END_NO_HEALTHY_UPSTREAM)->details, "no_healthy_upstream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_words_are_read_and_written),
        cmocka_unit_test(a_try_is_repeated_only_for_what_the_policy_names),
        cmocka_unit_test(the_pause_grows_to_a_ceiling),
        cmocka_unit_test(failures_in_a_row_eject_longer_each_time),
        cmocka_unit_test(what_another_worker_has_ejected_is_ejected_here_within_the_same_bounds),
        cmocka_unit_test(split_local_failures_have_their_own_row),
        cmocka_unit_test(a_breaker_opens_at_its_share),
        cmocka_unit_test(every_end_reason_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
