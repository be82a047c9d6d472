// SPDX-License-Identifier: Apache-2.0
/* Writing the mesh's roots where an API server says no, or has no server-side apply: answers come from a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "../mesh/snapshot_of.h"
#include "control/port.h"
#include "control/reply.h"
#include "control/identity/root_cert.h"
#include "http/stream.h"
#include "kube/client.h"
#include "net/loop.h"

#define ROOT "-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n"

#define NAMESPACE(name) "apiVersion: v1\nkind: Namespace\nmetadata: {name: " name "}\n---\n"

struct table {
    struct loop *loop;
    int write;
    const char *body;
    struct buf seen;
    struct http_stream *watching;
};

static void serve(void *arg, const struct port_request *q)
{
    struct table *s = arg;
    struct view method = headers_value(&q->stream->in, HEADER_METHOD);
    struct buf body = {0};

    if (view_find_view(q->query, VIEW("watch=")) < q->query.n) {
        s->watching = q->stream; /* nothing happens */
        return;
    }
    if (view_is(method, "GET")) {
        buf_str(&body, "{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"1\"},"
                       "\"items\":[]}");
        reply_send(s->loop, q->stream, 200, VIEW("application/json"), &body);
        return;
    }
    buf_printf(&s->seen, "%.*s %.*s\n", VIEW_ARGS(method), VIEW_ARGS(q->path));
    buf_str(&body, s->body);
    reply_send(s->loop, q->stream, (unsigned)s->write, VIEW("application/json"), &body);
}

/* What is written for namespaces a and b within a moment. */
static void run(int write, const char *body, const char *want, uint64_t want_written)
{
    struct table s = {.loop = loop_new(NULL), .write = write, .body = body};
    struct http_shared *http = http_shared_new(s.loop);
    struct port_config config = {.loop = s.loop, .http = http, .version = HTTP_1, .serve = serve, .arg = &s};
    struct kube_client *api;
    struct root_cert *roots;
    struct arena a;
    struct port *port;
    char path[64];

    snprintf(path, sizeof(path), "/tmp/weft-roots-%d.sock", (int)getpid());
    config.at = addr_unix(view_of(path));
    assert_int_equal(port_open(&config, &port), 0);
    api = kube_client_new(s.loop, &(struct kube_config){.unix_path = view_of(path)});
    arena_init(&a, 0);
    roots = root_cert_new(s.loop, api, VIEW(ROOT));
    root_cert_check(roots, snapshot_of(&a, NAMESPACE("a") NAMESPACE("b")));
    for (int i = 0; i < 400; i++) {
        loop_turn(s.loop, false);
        usleep(500);
    }
    assert_string_equal(buf_cstr(&s.seen), want);
    assert_int_equal(root_cert_written(roots), want_written);
    root_cert_free(roots);
    http_stream_free(s.watching);
    kube_client_free(api);
    port_free(port);
    http_shared_free(http);
    loop_free(s.loop);
    arena_done(&a);
    buf_done(&s.seen);
    unlink(path);
}

#define APPLY(ns) "PATCH /api/v1/namespaces/" ns "/configmaps/istio-ca-root-cert\n"
#define POST(ns) "POST /api/v1/namespaces/" ns "/configmaps\n"

static void it_is_applied_where_the_server_can_and_created_where_not(void **state)
{
    run(201, "{}", APPLY("a") APPLY("b"), 2);
    run(415, "{}", APPLY("a") POST("a") POST("b"), 0); /* and this one knows no POST either */
}

static void without_the_right_to_write_it_stops_asking(void **state)
{
    run(403, "{\"reason\":\"Forbidden\"}", APPLY("a"), 0);
}

static void a_namespace_that_ends_is_no_reason_to_stop(void **state)
{
    run(403, "{\"reason\":\"Forbidden\",\"details\":{\"causes\":[{\"reason\":\"NamespaceTerminating\"}]}}",
        APPLY("a") APPLY("b"), 0);
    run(404, "{}", APPLY("a") APPLY("b"), 0);
}

static void a_failing_server_is_asked_again_later(void **state)
{
    run(500, "{}", APPLY("a") APPLY("b"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_applied_where_the_server_can_and_created_where_not),
        cmocka_unit_test(without_the_right_to_write_it_stops_asking),
        cmocka_unit_test(a_namespace_that_ends_is_no_reason_to_stop),
        cmocka_unit_test(a_failing_server_is_asked_again_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
