// SPDX-License-Identifier: Apache-2.0
/* Tests of gRPC calls, both ends over the simulated network: unary, streams in both directions, statuses, deadlines,
 * large messages under back-pressure, and what becomes of a call whose connection breaks.
 */
#include "harness.h"

#include "base/limits.h"
#include "http/grpc_call.h"

static const struct http_conn_config server_2 = {.role = HTTP_SERVER, .version = HTTP_2},
                                     client_2 = {.role = HTTP_CLIENT, .version = HTTP_2};

/* A service in a task of its own: answers each message with itself until the client ends, then with OK. */
struct service {
    struct task task;
    struct http_conn *http;
    struct grpc_call *call;
    int calls, messages;
    size_t bytes;
    bool silent, fail;
    int last;
};

static void service_run(struct task *t, uint32_t events)
{
    struct service *svc = CONTAINER_OF(t, struct service, task);
    struct http_stream *s = svc->http && !svc->call ? http_conn_accept(svc->http, t, BIT_STREAM) : NULL;
    struct view message;
    if (s) {
        svc->call = grpc_call_accept(s, t, BIT_STREAM);
        svc->calls += svc->call != NULL;
    }
    if (!svc->call || svc->silent)
        return;
    while ((svc->last = grpc_call_recv(svc->call, &message)) == 0) {
        svc->messages++;
        svc->bytes += message.n;
        if (grpc_call_send(svc->call, message, false) < 0)
            break;
    }
    if (svc->last == -ENODATA)
        grpc_call_finish(svc->call, svc->fail ? GRPC_PERMISSION_DENIED : GRPC_OK,
                         svc->fail ? VIEW("no \xc3\xa4 way") : VIEW_NONE);
    if (grpc_call_done(svc->call))
        svc->call = grpc_call_free(svc->call);
}

struct rig {
    struct fixture f;
    struct service svc;
    struct grpc_call *call;
};

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    fixture_init(&r->f);
    task_init(&r->svc.task, r->f.loop, service_run, "service");
    connect_ends(&r->f, &client_2, &server_2);
    r->svc.http = r->f.server.http;
    http_conn_own(r->f.server.http, &r->svc.task, BIT_CONN);
}

static void rig_call(struct rig *r, uint64_t deadline)
{
    struct grpc_call_config config = {
        .path = VIEW("/pkg.Echo/Call"), .authority = VIEW("echo"), .deadline_ns = deadline};
    assert_int_equal(grpc_call_start(r->f.client.http, &config, &r->f.client.task, BIT_STREAM, &r->call), 0);
}

static void rig_done(struct rig *r)
{
    grpc_call_free(r->call);
    grpc_call_free(r->svc.call);
    task_done(&r->svc.task);
    fixture_done(&r->f);
}

static void a_unary_call_returns_message_and_status(void **state)
{
    struct rig r;
    struct view m;
    rig_init(&r);
    rig_call(&r, 0);
    assert_int_equal(grpc_call_send(r.call, VIEW("hello"), true), 0);
    assert_int_equal(grpc_call_send(r.call, VIEW("more"), true), -EPIPE);
    run(&r.f);
    assert_int_equal(grpc_call_recv(r.call, &m), 0);
    assert_view(m, "hello");
    assert_int_equal(grpc_call_recv(r.call, &m), -ENODATA);
    assert_int_equal(grpc_call_status(r.call), GRPC_OK);
    assert_int_equal(r.svc.calls, 1);
    rig_done(&r);
}

static void streams_go_both_ways(void **state)
{
    struct rig r;
    struct view m;
    rig_init(&r);
    rig_call(&r, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(grpc_call_send(r.call, VIEW("ping"), false), 0);
        assert_int_equal(grpc_call_send(r.call, VIEW_NONE, false), 0); /* an empty message is a message */
        run(&r.f);
        assert_int_equal(grpc_call_recv(r.call, &m), 0);
        assert_view(m, "ping");
        assert_int_equal(grpc_call_recv(r.call, &m), 0);
        assert_int_equal(m.n, 0);
        assert_int_equal(grpc_call_recv(r.call, &m), -EAGAIN);
    }
    assert_int_equal(grpc_call_end(r.call), 0);
    run(&r.f);
    assert_int_equal(grpc_call_recv(r.call, &m), -ENODATA);
    assert_int_equal(grpc_call_status(r.call), GRPC_OK);
    rig_done(&r);
}

static void statuses_carry_their_message(void **state)
{
    struct rig r;
    struct view m;
    rig_init(&r);
    r.svc.fail = true;
    rig_call(&r, 0);
    assert_int_equal(grpc_call_end(r.call), 0);
    run(&r.f);
    assert_int_equal(grpc_call_recv(r.call, &m), -ENODATA);
    assert_int_equal(grpc_call_status(r.call), GRPC_PERMISSION_DENIED);
    assert_view(grpc_call_message(r.call), "no \xc3\xa4 way");
    rig_done(&r);
}

static void deadlines_end_calls(void **state)
{
    struct rig r;
    struct view m;
    rig_init(&r);
    r.svc.silent = true;
    rig_call(&r, loop_now(r.f.loop) + NS_PER_S);
    assert_int_equal(grpc_call_end(r.call), 0);
    run(&r.f);
    assert_int_equal(grpc_call_recv(r.call, &m), -EAGAIN);
    int woken = r.f.client.woken;
    run(&r.f);
    run(&r.f);
    assert_true(r.f.client.woken > woken);
    assert_int_equal(grpc_call_recv(r.call, &m), -ENODATA);
    assert_int_equal(grpc_call_status(r.call), GRPC_DEADLINE_EXCEEDED);
    rig_done(&r);
}

static void large_messages_pass_in_pieces(void **state)
{
    struct rig r;
    struct view m = VIEW_NONE;
    rig_init(&r);
    rig_call(&r, 0);
    static char bytes[5000000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    assert_int_equal(grpc_call_send(r.call, (struct view){bytes, sizeof(bytes)}, false), 0);
    assert_true(grpc_call_pending(r.call) > 0);
    assert_int_equal(grpc_call_send(r.call, VIEW("next"), true), -EAGAIN);
    int got = -EAGAIN;
    for (int i = 0; i < 2000 && got == -EAGAIN; i++) {
        sim_run(r.f.sim, NS_PER_MS);
        got = grpc_call_recv(r.call, &m);
    }
    assert_int_equal(got, 0);
    assert_int_equal(m.n, sizeof(bytes));
    assert_memory_equal(m.p, bytes, sizeof(bytes));
    rig_done(&r);
}

static void a_broken_connection_is_unavailable(void **state)
{
    struct rig r;
    struct view m;
    rig_init(&r);
    rig_call(&r, 0);
    run(&r.f);
    r.svc.call = grpc_call_free(r.svc.call);
    r.svc.http = NULL;
    r.f.server.http = http_conn_free(r.f.server.http);
    run(&r.f);
    assert_int_equal(grpc_call_recv(r.call, &m), -ENODATA);
    assert_true(grpc_call_status(r.call) == GRPC_UNAVAILABLE || grpc_call_status(r.call) == GRPC_CANCELLED);
    assert_int_equal(grpc_call_send(r.call, VIEW("x"), false), -EPIPE);
    rig_done(&r);
}

static void plain_http_is_turned_away(void **state)
{
    struct rig r;
    rig_init(&r);
    struct http_stream *s = open_stream(&r.f);
    struct headers h;
    request_headers(&h, &s->arena, "POST", "/pkg.Echo/Call");
    assert_int_equal(http_stream_headers(s, &h, true), 0);
    run(&r.f);
    assert_int_equal(r.svc.calls, 0);
    assert_int_equal(headers_status(&s->in), 415);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unary_call_returns_message_and_status),
        cmocka_unit_test(streams_go_both_ways),
        cmocka_unit_test(statuses_carry_their_message),
        cmocka_unit_test(deadlines_end_calls),
        cmocka_unit_test(large_messages_pass_in_pieces),
        cmocka_unit_test(a_broken_connection_is_unavailable),
        cmocka_unit_test(plain_http_is_turned_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
