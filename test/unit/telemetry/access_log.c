// SPDX-License-Identifier: Apache-2.0
/* Access log lines are those of Envoy: Istio's default text, typed JSON, one line whatever a peer sends. */
#include "telemetry/access_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "wire/headers.h"

static struct headers request;

static struct access_entry entry(void)
{
    static struct addr up, down;
    up = addr_v4(0x0a010203, 9080);
    down = addr_v4(0x0a010204, 40000);
    headers_init(&request, NULL);
    assert_int_equal(headers_add(&request, HEADER_METHOD, VIEW("GET")), 0);
    assert_int_equal(headers_add(&request, HEADER_PATH, VIEW("/rewritten")), 0);
    assert_int_equal(headers_add(&request, HEADER_AUTHORITY, VIEW("reviews:9080")), 0);
    assert_int_equal(headers_add(&request, HEADER_USER_AGENT, VIEW("a\"b\x1b[31m\xff")), 0);
    return (struct access_entry){.start_wall = UINT64_C(1795372880123) * NS_PER_MS,
                                 .duration = 12 * NS_PER_MS,
                                 .request = &request,
                                 .path = VIEW("/reviews/0?x=1"),
                                 .protocol = VIEW("HTTP/1.1"),
                                 .status = 503,
                                 .grpc_status = -1,
                                 .reason = END_NO_CLUSTER,
                                 .bytes_sent = 7,
                                 .cluster = VIEW("outbound|9080||reviews"),
                                 .upstream_host = &up,
                                 .downstream_remote = &down};
}

static const char *printed(struct log_format *f, const struct access_entry *e)
{
    static struct buf out;
    buf_clear(&out);
    log_format_print(f, e, &out);
    log_format_free(f);
    return buf_cstr(&out);
}

static void istios_text(void **state)
{
    (void)state;
    struct log_format *f;
    struct buf why = {0};
    struct access_entry e = entry();
    assert_int_equal(log_format_text(VIEW_NONE, &f, &why), 0);
    assert_string_equal(
        printed(f, &e),
        "[2026-11-22T18:41:20.123Z] \"GET /reviews/0?x=1 HTTP/1.1\" 503 NC cluster_not_found - \"-\" 0 7 12 - \"-\" "
        "\"a'b [31m\xff\" \"-\" \"reviews:9080\" \"10.1.2.3:9080\" outbound|9080||reviews - - 10.1.2.4:40000 - -\n");
}

static void json_keeps_types(void **state)
{
    (void)state;
    struct log_format *f;
    struct access_entry e = entry();
    e.weft_reason = VIEW("VirtualService default/reviews");
    assert_int_equal(log_format_json(&f), 0);
    const char *line = printed(f, &e);
    assert_non_null(strstr(line, "\"response_code\":503,"));
    assert_non_null(strstr(line, "\"response_flags\":\"NC\","));
    assert_non_null(strstr(line, "\"route_name\":null,"));
    assert_non_null(strstr(line, "\"user_agent\":\"a\\\"b\\u001b[31m\xef\xbf\xbd\","));
    assert_non_null(strstr(line, ",\"weft-reason\":\"VirtualService default/reviews\"}\n"));
    assert_true(line[0] == '{');
}

static const struct {
    const char *format, *expected; /* NULL: refused */
} formats[] = {
    {"%REQ(:AUTHORITY):4%", "revi\n"},
    {"%REQ(X-NO?USER-AGENT):1%!", "a!\n"},
    {"100%% %START_TIME(%Y)%", NULL}, /* a percent sign inside of an argument ends the operator */
    {"100%% done", "100% done\n"},
    {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.1.2.4\n"},
    {"%REQ_WITHOUT_QUERY(:PATH)%", "/reviews/0\n"},
    {"%CEL(request.path)%", NULL},
    {"%REQ%", NULL},
    {"%DURATION", NULL},
};

static void formats_that_people_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        struct log_format *f;
        struct buf why = {0};
        struct access_entry e = entry();
        int r = log_format_text(view_of(formats[i].format), &f, &why);
        assert_int_equal(r == 0, formats[i].expected != NULL);
        if (r == 0)
            assert_string_equal(printed(f, &e), formats[i].expected);
        else
            assert_true(buf_len(&why) > 0);
        buf_done(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(istios_text),
        cmocka_unit_test(json_keeps_types),
        cmocka_unit_test(formats_that_people_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
