// SPDX-License-Identifier: Apache-2.0
/* Metrics add up over workers, print what Prometheus reads, and stay bounded. */
#include "telemetry/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"

static struct metric_labels labels_of(const char *code)
{
    struct metric_labels l = {0};
    l.value[LABEL_REPORTER] = VIEW("source");
    l.value[LABEL_SOURCE_WORKLOAD] = VIEW("productpage-v1");
    l.value[LABEL_RESPONSE_CODE] = view_of(code);
    return l;
}

static void workers_are_added_up(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(VIEW("0.1"));
    struct buf out = {0};
    for (int i = 0; i < 2; i++) {
        struct metrics_worker *w = metrics_worker(m);
        struct metric_labels ok = labels_of("200"), bad = labels_of("503");
        series_request(series_find(w, &ok), 3 * NS_PER_MS, 100, 2000);
        series_request(series_find(w, &ok), NS_PER_MS / 2, 100, 2000);
        series_request(series_find(w, &bad), 3 * NS_PER_MS, 100, 2000);
    }
    metrics_render(m, &out);
    const char *text = buf_cstr(&out);
    assert_non_null(strstr(text, "# TYPE istio_requests_total counter\n"));
    assert_non_null(strstr(
        text,
        "response_code=\"200\",grpc_response_status=\"\",response_flags=\"\",connection_security_policy=\"\"} 4\n"));
    assert_non_null(strstr(
        text,
        "response_code=\"503\",grpc_response_status=\"\",response_flags=\"\",connection_security_policy=\"\"} 2\n"));
    assert_non_null(strstr(text, "le=\"0.5\"} 2\n"));
    assert_non_null(strstr(text, "le=\"5\"} 4\n"));
    assert_non_null(strstr(text, "istio_request_duration_milliseconds_sum{"));
    assert_non_null(strstr(text, "istio_build{component=\"proxy\",tag=\"0.1\"} 1\n"));
    assert_null(strstr(text, "istio_request_messages_total"));
    buf_done(&out);
    metrics_free(m);
}

static void tcp_series_lack_the_labels_of_http(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(VIEW_NONE);
    struct metric_labels l = labels_of("200");
    struct buf out = {0};
    l.tcp = true;
    struct series *s = series_find(metrics_worker(m), &l);
    series_tcp_opened(s);
    series_tcp_bytes(s, 10, 20);
    metrics_render(m, &out);
    const char *line = strstr(buf_cstr(&out), "\nistio_tcp_sent_bytes_total{");
    assert_non_null(line);
    assert_null(strstr(line, "response_code"));
    unsigned n = 0;
    for (const char *p = line + 1; *p != '\n'; p++)
        n += *p == '=';
    assert_int_equal(n, 23);
    buf_done(&out);
    metrics_free(m);
}

static void values_are_escaped(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(VIEW_NONE);
    struct metric_labels l = labels_of("a\"b\\c\nd");
    struct buf out = {0};
    series_request(series_find(metrics_worker(m), &l), 1, 1, 1);
    metrics_render(m, &out);
    assert_non_null(strstr(buf_cstr(&out), "response_code=\"a\\\"b\\\\c\\nd\""));
    buf_done(&out);
    metrics_free(m);
}

static void too_many_series_end_in_one(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(VIEW_NONE);
    struct metrics_worker *w = metrics_worker(m);
    struct series *last = NULL;
    for (int i = 0; i < LIMIT_METRIC_SERIES + 3; i++) {
        char code[16];
        snprintf(code, sizeof(code), "%d", i);
        struct metric_labels l = labels_of(code);
        struct series *s = series_find(w, &l);
        assert_ptr_equal(s, series_find(w, &l));
        if (i > LIMIT_METRIC_SERIES)
            assert_ptr_equal(s, last);
        last = s;
    }
    metrics_free(m);
}

static void gauges_of_one_name_stand_together(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(VIEW_NONE);
    struct buf out = {0};
    static const double bounds[] = {0.1, 1};
    gauge_add(metrics_gauge(m, "pushes_total", GAUGE_COUNTER, "Pushes.", "type=\"cds\""), 2);
    gauge_set(metrics_gauge(m, "up", GAUGE_VALUE, "Up.", ""), 1);
    gauge_add(metrics_gauge(m, "pushes_total", GAUGE_COUNTER, "Pushes.", "type=\"lds\""), 1);
    gauge_add(metrics_gauge(m, "pushes_total", GAUGE_COUNTER, "Pushes.", "type=\"cds\""), 1);
    histogram_observe(metrics_histogram(m, "time_seconds", "Time.", "", bounds, 2), 0.5);
    metrics_render(m, &out);
    assert_string_equal(buf_cstr(&out),
                        "# HELP pushes_total Pushes.\n# TYPE pushes_total counter\n"
                        "pushes_total{type=\"cds\"} 3\npushes_total{type=\"lds\"} 1\n"
                        "# HELP up Up.\n# TYPE up gauge\nup 1\n"
                        "# HELP time_seconds Time.\n# TYPE time_seconds histogram\n"
                        "time_seconds_bucket{le=\"0.1\"} 0\ntime_seconds_bucket{le=\"1\"} 1\n"
                        "time_seconds_bucket{le=\"+Inf\"} 1\ntime_seconds_sum 0.5\ntime_seconds_count 1\n");
    buf_done(&out);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_are_added_up),
        cmocka_unit_test(tcp_series_lack_the_labels_of_http),
        cmocka_unit_test(values_are_escaped),
        cmocka_unit_test(too_many_series_end_in_one),
        cmocka_unit_test(gauges_of_one_name_stand_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
