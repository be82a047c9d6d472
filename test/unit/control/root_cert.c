// SPDX-License-Identifier: Apache-2.0
/* Every namespace gets the mesh's root: written where it is missing or wrong, left alone where it is right or forbidden.
 * Against a small API server on a Unix socket that answers as its table says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/port.h"
#include "control/reply.h"
#include "control/root_cert.h"
#include "http/stream.h"
#include "kube/client.h"
#include "mesh/parse.h"
#include "net/loop.h"

#define ROOT "-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n"

struct server {
    struct loop *loop;
    int get, write;   /* status of answers */
    const char *held; /* root-cert.pem of what GET finds */
    struct buf seen;
};

static void serve(void *arg, const struct port_request *q)
{
    struct server *s = arg;
    struct view method = headers_value(&q->stream->in, HEADER_METHOD);
    bool get = view_is(method, "GET");
    struct buf body = {0};

    buf_printf(&s->seen, "%.*s %.*s\n", VIEW_ARGS(method), VIEW_ARGS(q->path));
    buf_str(&body, "{\"kind\":\"ConfigMap\",\"data\":{\"root-cert.pem\":");
    buf_json_str(&body, view_of(s->held));
    buf_str(&body, "}}");
    reply_send(s->loop, q->stream, (unsigned)(get ? s->get : s->write), VIEW("application/json"), &body);
}

/* What was asked of the server for namespaces a and b, a moment after a snapshot with both. */
static void run(int get, int write, const char *held, const char *want, uint64_t want_written)
{
    struct server s = {.loop = loop_new(NULL), .get = get, .write = write, .held = held};
    struct http_shared *http = http_shared_new(s.loop);
    struct port_config config = {.loop = s.loop, .http = http, .version = HTTP_1, .serve = serve, .arg = &s};
    struct object_list objects = {0};
    struct kube_client *api;
    struct root_cert *roots;
    struct diags diags;
    struct arena a;
    struct port *port;
    char path[64];

    snprintf(path, sizeof(path), "/tmp/weft-roots-%d.sock", (int)getpid());
    config.at = addr_unix(view_of(path));
    assert_int_equal(port_open(&config, &port), 0);
    api = kube_client_new(s.loop, &(struct kube_config){.unix_path = view_of(path)});
    arena_init(&a, 0);
    diags_init(&diags, &a);
    assert_int_equal(
        mesh_parse(&a, &diags,
                   &(struct mesh_source){.text = VIEW("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n"
                                                      "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n")},
                   &objects),
        0);
    roots = root_cert_new(s.loop, api, VIEW(ROOT));
    root_cert_check(roots, snapshot_new(&a, &diags, objects.list, objects.n));
    for (int i = 0; i < 200; i++) {
        loop_turn(s.loop, false);
        usleep(500);
    }
    assert_string_equal(buf_cstr(&s.seen), want);
    assert_int_equal(root_cert_written(roots), want_written);
    root_cert_free(roots);
    kube_client_free(api);
    port_free(port);
    http_shared_free(http);
    loop_free(s.loop);
    arena_done(&a);
    buf_done(&s.seen);
    unlink(path);
}

#define AT(ns) "/api/v1/namespaces/" ns "/configmaps"
#define ONE(ns) AT(ns) "/istio-ca-root-cert"

static void what_is_missing_is_created(void **state)
{
    run(404, 201, "", "GET " ONE("a") "\nPOST " AT("a") "\nGET " ONE("b") "\nPOST " AT("b") "\n", 2);
}

static void what_is_wrong_is_changed(void **state)
{
    run(200, 200, "another root", "GET " ONE("a") "\nPATCH " ONE("a") "\nGET " ONE("b") "\nPATCH " ONE("b") "\n", 2);
}

static void what_is_right_is_left_alone(void **state)
{
    run(200, 500, ROOT, "GET " ONE("a") "\nGET " ONE("b") "\n", 0);
}

static void who_came_first_wins(void **state)
{
    run(404, 409, "", "GET " ONE("a") "\nPOST " AT("a") "\nGET " ONE("b") "\nPOST " AT("b") "\n", 0);
}

static void without_the_right_to_write_it_stops_asking(void **state)
{
    run(404, 403, "", "GET " ONE("a") "\nPOST " AT("a") "\n", 0);
}

static void a_failing_server_is_asked_again_later(void **state)
{
    run(500, 500, "", "GET " ONE("a") "\n", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_created),
        cmocka_unit_test(what_is_wrong_is_changed),
        cmocka_unit_test(what_is_right_is_left_alone),
        cmocka_unit_test(who_came_first_wins),
        cmocka_unit_test(without_the_right_to_write_it_stops_asking),
        cmocka_unit_test(a_failing_server_is_asked_again_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
