// SPDX-License-Identifier: Apache-2.0
/* The small parts of the proxy that are functions of bytes: paths, texts, sniffing, gRPC counting, options, static plans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "net/loop.h"
#include "plan/plan.h"
#include "proxy/connection.h"
#include "proxy/ejection.h"
#include "proxy/filter/grpc_stats.h"
#include "proxy/inspect.h"
#include "proxy/options.h"
#include "proxy/path.h"
#include "proxy/static_plan.h"
#include "proxy/text.h"
#include "wire/client_hello.h"

#define assert_view(v, text)                                                                                           \
    do {                                                                                                               \
        struct view got_ = (v);                                                                                        \
        if (!view_is(got_, text))                                                                                      \
            fail_msg("\"%.*s\" is not \"%s\"", VIEW_ARGS(got_), text);                                                 \
    } while (0)

static void paths_are_normalised_as_the_application_will_see_them(void **state)
{
    static const struct {
        const char *in, *dots, *all; /* NULL: refused; dots: dot segments only; all: slashes merged and decoded too */
    } cases[] = {
        {"/a/b", "/a/b", "/a/b"},
        {"/a/./b/../c?x=/../y", "/a/c?x=/../y", "/a/c?x=/../y"},
        {"/a/..", "/", "/"},
        {"/a/b/..", "/a/", "/a/"},
        {"/..", NULL, NULL},
        {"/a/../../b", NULL, NULL},
        {"/%2e%2e/x", NULL, NULL},
        {"/a%2Fb", "/a%2Fb", "/a/b"},
        {"/%41%2d%7E%20", "/A-~%20", "/A-~%20"},
        {"/a//b///c", "/a//b///c", "/a/b/c"},
        {"/a\\..\\b", "/b", "/b"},
        {"/.hidden/...", "/.hidden/...", "/.hidden/..."},
        {"*", "*", "*"},
        {"/%", "/%", "/%"},
    };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct view in = view_of(cases[i].in), out;
        int r = path_clean(&a, in, true, false, false, &out);
        assert_int_equal(r, cases[i].dots ? 0 : -EINVAL);
        if (r == 0)
            assert_view(out, cases[i].dots);
        r = path_clean(&a, in, true, true, true, &out);
        assert_int_equal(r, cases[i].all ? 0 : -EINVAL);
        if (r == 0)
            assert_view(out, cases[i].all);
        if (cases[i].dots && strcmp(cases[i].in, cases[i].dots) != 0)
            assert_true(path_needs_cleaning(in));
    }
    arena_done(&a);
}

static void numbers_ids_and_dates_are_written(void **state)
{
    char text[64];
    struct rng rng;
    assert_view(text_u64(text, 0), "0");
    assert_view(text_u64(text, 1234567890), "1234567890");
    assert_view(text_u64(text, UINT64_MAX), "18446744073709551615");
    assert_view(text_http_date(text, UINT64_C(784111777) * NS_PER_S), "Sun, 06 Nov 1994 08:49:37 GMT");
    rng_seed(&rng, 1);
    for (int i = 0; i < 100; i++) {
        struct view id = text_uuid(text, &rng);
        assert_int_equal(id.n, 36);
        for (int k = 0; k < 36; k++)
            assert_int_equal(id.p[k] == '-', k == 8 || k == 13 || k == 18 || k == 23);
        assert_int_equal(id.p[14], '4');
        assert_non_null(strchr("89ab", id.p[19]));
    }
}

static void protocols_are_told_by_their_first_bytes(void **state)
{
    static const struct {
        const char *bytes;
        int spoken; /* -EAGAIN: more are needed */
    } cases[] = {
        {"GET / HTTP/1.1\r\n", SPOKEN_HTTP11},
        {"POST /x HTTP/1.0\n", SPOKEN_HTTP10},
        {"M-SEARCH * HTTP/1.1\r\n", SPOKEN_HTTP11},
        {"G", -EAGAIN},
        {"GET /long", -EAGAIN},
        {"PRI * HT", -EAGAIN},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SPOKEN_HTTP2},
        {"GET / HTTP/3.7\r\n", SPOKEN_UNKNOWN},
        {"hello\n", SPOKEN_UNKNOWN},
        {"hello world\n", SPOKEN_UNKNOWN},
        {"*1\r\n$4\r\nPING\r\n", SPOKEN_UNKNOWN},
        {"GET \x01\x02", SPOKEN_UNKNOWN},
        {"\x10\x20\x30", SPOKEN_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int spoken = 99, r = inspect_http(view_of(cases[i].bytes), &spoken);
        if (cases[i].spoken == -EAGAIN)
            assert_int_equal(r, -EAGAIN);
        else
            assert_int_equal(r < 0 ? r : spoken, cases[i].spoken);
    }
}

/* A ClientHello with these extensions, in records of at most `most` bytes. */
static size_t make_hello(uint8_t *out, const uint8_t *exts, size_t n_exts, size_t most)
{
    uint8_t body[512];
    size_t n = 4;
    body[0] = 1;
    body[n++] = 3, body[n++] = 3;
    memset(body + n, 7, 32), n += 32;
    body[n++] = 0;                                                 /* session */
    body[n++] = 0, body[n++] = 2, body[n++] = 0x13, body[n++] = 1; /* suites */
    body[n++] = 1, body[n++] = 0;                                  /* compression */
    body[n++] = (uint8_t)(n_exts >> 8), body[n++] = (uint8_t)n_exts;
    memcpy(body + n, exts, n_exts), n += n_exts;
    body[1] = 0, body[2] = (uint8_t)((n - 4) >> 8), body[3] = (uint8_t)(n - 4);
    size_t to = 0;
    for (size_t at = 0; at < n; at += most) {
        size_t part = n - at < most ? n - at : most;
        out[to++] = 22, out[to++] = 3, out[to++] = 1, out[to++] = (uint8_t)(part >> 8), out[to++] = (uint8_t)part;
        memcpy(out + to, body + at, part), to += part;
    }
    return to;
}

static const uint8_t extensions[] = {0, 0,  0, 14, 0, 12, 0, 0,   9,   'a', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e',
                                     0, 16, 0, 14, 0, 12, 2, 'h', '2', 8,   'h', 't', 't', 'p', '/', '1', '.', '1'};

static void a_client_hello_gives_name_and_protocols_however_it_is_cut(void **state)
{
    uint8_t bytes[1024];
    char scratch[1024];
    struct client_hello hello;
    for (size_t most = 16; most < 400; most += 40) {
        size_t n = make_hello(bytes, extensions, sizeof(extensions), most);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(client_hello_read(view_make(bytes, i), scratch, &hello), -EAGAIN);
        assert_int_equal(client_hello_read(view_make(bytes, n), scratch, &hello), 0);
        assert_view(hello.server_name, "a.example");
        assert_int_equal(hello.n_alpn, 2);
        assert_view(hello.alpn[0], "h2");
        assert_view(hello.alpn[1], "http/1.1");
    }
}

static void what_is_no_client_hello_is_refused(void **state)
{
    uint8_t bytes[1024];
    char scratch[1024];
    struct client_hello hello;
    assert_int_equal(client_hello_read(VIEW("GET / HTTP/1.1\r\n\r\n"), scratch, &hello), -EPROTO);
    size_t n = make_hello(bytes, extensions, sizeof(extensions), 400);
    for (size_t at = 0; at < n; at++) { /* no damaged byte may read behind the end */
        for (int v = 0; v < 256; v += 17) {
            uint8_t before = bytes[at];
            bytes[at] = (uint8_t)v;
            int r = client_hello_read(view_make(bytes, n), scratch, &hello);
            assert_true(r == 0 || r == -EPROTO || r == -EAGAIN);
            bytes[at] = before;
        }
    }
}

static void grpc_messages_are_counted_however_they_are_cut(void **state)
{
    static const char bytes[] = "\0\0\0\0\3abc\0\0\0\0\0\1\0\0\1\0";
    char all[18 + 256];
    memset(all, 'x', sizeof(all));
    memcpy(all, bytes, sizeof(bytes) - 1);
    for (size_t cut = 1; cut < sizeof(all); cut++) {
        struct grpc_count c = {0};
        for (size_t at = 0; at < sizeof(all); at += cut)
            grpc_count(&c, view_head((struct view){all + at, sizeof(all) - at}, cut));
        assert_int_equal(c.messages, 3);
        assert_int_equal(c.left, 0);
    }
}

static void options_come_from_arguments_and_environment(void **state)
{
    char *argv[] = {"weft-proxy",
                    "proxy",
                    "router",
                    "--domain",
                    "a.svc.cluster.local",
                    "--proxyLogLevel=warning",
                    "--concurrency",
                    "3",
                    "--log_output_level=default:info"};
    char *env[] = {
        "POD_NAME=gw-1",
        "POD_NAMESPACE=istio-system",
        "INSTANCE_IP=10.0.0.7,fd00::7",
        "ISTIO_META_WORKLOAD_NAME=gw",
        "ISTIO_META_OWNER=kubernetes://apis/apps/v1/namespaces/istio-system/deployments/gw",
        "ISTIO_METAJSON_LABELS={\"app\":\"gateway\",\"version\":\"v7\"}",
        "PROXY_CONFIG={\"discoveryAddress\":\"istiod.istio-system.svc:15012\",\"terminationDrainDuration\":\"7s\"}",
        "WEFT_LABELS=/nonexistent",
        NULL};
    struct proxy_options o;
    struct view why;
    assert_int_equal(options_read(&o, COUNT_OF(argv), argv, env, &why), 0);
    assert_view(o.type, "router");
    assert_view(o.ip, "10.0.0.7");
    assert_view(o.discovery_host, "istiod.istio-system.svc");
    assert_int_equal(o.discovery_port, 15012);
    assert_view(o.ca_host, "istiod.istio-system.svc");
    assert_int_equal(o.concurrency, 3);
    assert_int_equal(o.drain, 7 * NS_PER_S);
    assert_view(o.canonical_service, "gateway");
    assert_view(o.canonical_revision, "v7");
    assert_view(o.workload_type, "deployment");
    struct xds_node node;
    struct buf id = {0};
    options_node(&o, &node);
    xds_node_print_id(&id, &node);
    assert_view(buf_read(&id), "router~10.0.0.7~gw-1.istio-system~a.svc.cluster.local");
    buf_done(&id);
    options_done(&o);
}

static void options_that_are_wrong_are_named(void **state)
{
    static const struct {
        char *arg, *env;
        const char *why;
    } cases[] = {
        {"--frobnicate", "X=1", "argument --frobnicate is not understood"},
        {"proxy", "PROXY_CONFIG={", "PROXY_CONFIG: "},
        {"proxy", "X=1", "no control plane"},
        {"--bench-route=1:2:3", "X=1", "argument --bench-route=1:2:3 is not understood"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct proxy_options o;
        struct view why = VIEW_NONE;
        assert_int_equal(
            options_read(&o, 2, (char *[]){"weft-proxy", cases[i].arg}, (char *[]){cases[i].env, NULL}, &why), -EINVAL);
        if (!view_starts(why, view_of(cases[i].why)))
            fail_msg("%.*s", VIEW_ARGS(why));
        options_done(&o);
    }
}

static void static_plans_have_a_listener_and_a_cluster(void **state)
{
    struct plan *p = plan_new();
    assert_int_equal(static_plan_parse(p, VIEW("8080:9080")), 0);
    assert_int_equal(static_plan_parse(p, VIEW("tcp:8081:9081")), 0);
    assert_int_equal(static_plan_parse(p, VIEW("0:1")), -EINVAL);
    assert_int_equal(static_plan_parse(p, VIEW("8080")), -EINVAL);
    assert_int_equal(static_plan_parse(p, VIEW("8080:99999")), -EINVAL);
    assert_int_equal(plan_count(p, RESOURCE_LISTENER), 2);
    assert_int_equal(plan_count(p, RESOURCE_CLUSTER), 2);
    plan_unref(p);
}

static void ejected_endpoints_are_remembered_while_they_are_out_and_their_cluster_is_there(void **state)
{
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, VIEW("web"));
    struct plan *with = plan_new(), *without = plan_new();
    struct ejections e;
    struct buf out = {0};
    struct plan_addr one = plan_addr_of(VIEW("10.0.0.1"), 80), two = plan_addr_of(VIEW("10.0.0.2"), 80);
    (void)state;
    plan_put(with, &c->res);
    ejections_init(&e);
    ejections_add(&e, &(struct ejection){.cluster = c, .address = one, .until = 100}, 10);
    ejections_add(&e, &(struct ejection){.cluster = c, .address = one, .until = 110}, 11); /* a second worker saw it */
    ejections_add(&e, &(struct ejection){.cluster = c, .address = two, .until = 50}, 12);
    assert_true(ejections_has(&e, c, &one, 105));
    assert_true(ejections_has(&e, c, &two, 49));
    assert_false(ejections_has(&e, c, &two, 50));
    ejections_print(&e, &out, 60);
    assert_view(buf_read(&out), "cluster.web.outlier_detection.ejections_active: 1\n"
                                "cluster.web.outlier_detection.ejections_enforced_total: 2\n");
    ejections_add(&e, &(struct ejection){.cluster = c, .address = two, .until = 300}, 200);
    assert_false(ejections_has(&e, c, &one, 200));
    ejections_plan(&e, with);
    assert_true(ejections_has(&e, c, &two, 201));
    ejections_plan(&e, without);
    assert_false(ejections_has(&e, c, &two, 201));
    ejections_add(&e, &(struct ejection){.cluster = c, .address = two, .until = 300}, 200); /* freed at the end */
    ejections_done(&e);
    plan_unref(with);
    plan_unref(without);
    resource_unref(c);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_normalised_as_the_application_will_see_them),
        cmocka_unit_test(numbers_ids_and_dates_are_written),
        cmocka_unit_test(protocols_are_told_by_their_first_bytes),
        cmocka_unit_test(a_client_hello_gives_name_and_protocols_however_it_is_cut),
        cmocka_unit_test(what_is_no_client_hello_is_refused),
        cmocka_unit_test(grpc_messages_are_counted_however_they_are_cut),
        cmocka_unit_test(options_come_from_arguments_and_environment),
        cmocka_unit_test(options_that_are_wrong_are_named),
        cmocka_unit_test(ejected_endpoints_are_remembered_while_they_are_out_and_their_cluster_is_there),
        cmocka_unit_test(static_plans_have_a_listener_and_a_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
