// SPDX-License-Identifier: Apache-2.0
/* Requests through a proxy on the simulated network: routing, failures and what the client is told about them, retries,
 * time-outs, faults, redirects, mirrors, TCP, draining. Time is simulated, so waiting costs nothing and is exact.
 */
#include "harness.h"

#define GET "GET /productpage?u=1 HTTP/1.1\r\nHost: web\r\n\r\n"

static void a_request_is_routed_and_carries_id_and_attempt(void **state)
{
    struct world w;
    world_init(&w, NULL);
    struct client *c = world_request(&w, GET);
    assert_status(c, 200);
    assert_has(&c->in, "hello from v");
    assert_has(&c->in, "server: envoy");
    assert_has(&c->in, "x-envoy-upstream-service-time: ");
    struct buf *seen = w.servers[0].requests ? &w.servers[0].seen : &w.servers[1].seen;
    assert_has(seen, "GET /productpage?u=1 HTTP/1.1\r\n");
    assert_has(seen, "x-request-id: ");
    assert_has(seen, "x-envoy-attempt-count: 1\r\n");
    assert_has(seen, "x-forwarded-proto: http\r\n");
    assert_has(seen, "x-envoy-peer-metadata: ");
    world_done(&w);
}

static void upstream_connections_are_used_again(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.one_endpoint = true});
    struct client *c = world_request(&w, GET);
    for (int i = 0; i < 4; i++)
        client_send(&w, c, GET, NS_PER_S);
    world_request(&w, GET);
    assert_int_equal(w.servers[0].requests, 6);
    assert_int_equal(w.servers[0].n_conns, 1);
    world_done(&w);
}

static void round_robin_reaches_both_endpoints(void **state)
{
    struct world w;
    world_init(&w, NULL);
    struct client *c = world_request(&w, GET);
    for (int i = 0; i < 9; i++)
        client_send(&w, c, GET, NS_PER_S);
    assert_int_equal(w.servers[0].requests, 5);
    assert_int_equal(w.servers[1].requests, 5);
    world_done(&w);
}

static void a_plan_that_comes_at_any_moment_costs_no_request(void **state)
{
    for (uint64_t us = 0; us < 2000; us += 50) { /* while connecting, sending, waiting for the answer, after it */
        struct world w;
        world_init(&w, &(struct world_options){.one_endpoint = true});
        struct plan *before = w.plan;
        struct client *c = world_connect(&w, "10.96.0.10", 9080), *d = world_connect(&w, "10.96.0.10", 9080);
        client_send(&w, c, GET, 0);
        client_send(&w, d, GET, us * NS_PER_S / 1000000);
        w.plan = plan_copy(before);
        put_web(&w, &(struct world_options){.one_endpoint = true});
        proxy_run_plan(w.proxy, w.plan);
        sim_run(w.sim, 2 * NS_PER_S);
        assert_status(c, 200);
        assert_status(d, 200);
        plan_unref(before);
        world_done(&w);
    }
}

/* ---- failures ---- */

static void to_nowhere(struct world *w, struct route *r, struct cluster *c)
{
    r->forward.clusters = lead_to(w->route_arena, "outbound|9080|v9|web.default.svc.cluster.local");
}

static void a_destination_that_does_not_exist_is_503_without_body(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.tune = to_nowhere});
    struct client *c = world_request(&w, GET);
    assert_status(c, 503);
    assert_has(&c->in, "content-length: 0\r\n");
    assert_int_equal(w.servers[0].requests + w.servers[1].requests, 0);
    world_done(&w);
}

static void an_unknown_host_is_404(void **state)
{
    struct world w;
    world_init(&w, NULL);
    struct client *c = world_request(&w, "GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n");
    assert_status(c, 404);
    world_done(&w);
}

static void a_refused_connection_is_503_and_says_why(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.no_v1 = true, .one_endpoint = true});
    struct client *c = world_request(&w, GET);
    assert_status(c, 503);
    assert_has(&c->in, "upstream connect error or disconnect/reset before headers. reset reason: ");
    assert_has(&c->in, "transport failure reason: ");
    world_done(&w);
}

static void an_endpoint_that_closes_without_answer_is_503(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.v1 = {.answer = "", .close = true}, .one_endpoint = true});
    struct client *c = world_request(&w, GET);
    assert_status(c, 503);
    assert_has(&c->in, "connection termination");
    world_done(&w);
}

static void malformed_requests_never_reach_an_endpoint(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: web\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: web\r\n\r\n",
    };
    struct world w;
    world_init(&w, NULL);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct client *c = world_request(&w, bad[i]);
        assert_status(c, 400);
        assert_true(c->eof);
    }
    assert_int_equal(w.servers[0].requests + w.servers[1].requests, 0);
    assert_int_equal(w.servers[0].n_conns + w.servers[1].n_conns, 0);
    world_done(&w);
}

/* ---- retries and time-outs ---- */

static void with_retries(struct world *w, struct route *r, struct cluster *c)
{
    struct retry_policy *p = r->forward.retry = ARENA_NEW(w->route_arena, struct retry_policy);
    p->on = RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM | RETRY_5XX;
    p->attempts = 2;
    p->previous_hosts = true;
    p->host_attempts = 5;
}

static void a_connect_failure_is_tried_again_elsewhere(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.tune = with_retries, .no_v1 = true});
    for (int i = 0; i < 4; i++)
        assert_status(world_request(&w, GET), 200);
    assert_int_equal(w.servers[1].requests, 4);
    assert_has(&w.servers[1].seen, "x-envoy-attempt-count: 2\r\n");
    world_done(&w);
}

static void a_body_is_sent_again_with_the_retry(void **state)
{
    struct world w;
    world_init(
        &w, &(struct world_options){.tune = with_retries,
                                    .one_endpoint = true,
                                    .v1 = {.answer = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", .only_first = 2}});
    struct client *c = world_request(&w, "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\nsome body");
    assert_status(c, 200);
    assert_int_equal(w.servers[0].requests, 3);
    struct view rest = buf_read(&w.servers[0].seen);
    int bodies = 0;
    for (size_t at; (at = view_find_view(rest, VIEW("some body"))) < rest.n; rest = view_from(rest, at + 9))
        bodies++;
    assert_int_equal(bodies, 3);
    world_done(&w);
}

static void the_last_answer_is_passed_on_when_retries_are_used_up(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.tune = with_retries,
                                           .one_endpoint = true,
                                           .v1 = {.answer = "HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy"}});
    struct client *c = world_request(&w, GET);
    assert_status(c, 503);
    assert_has(&c->in, "busy");
    assert_int_equal(w.servers[0].requests, 3);
    world_done(&w);
}

static void with_timeout(struct world *w, struct route *r, struct cluster *c)
{
    r->forward.timeout = 500 * NS_PER_MS;
}

static void a_slow_answer_is_504_after_the_timeout(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.tune = with_timeout, .one_endpoint = true, .v1 = {.delay = 5 * NS_PER_S}});
    struct client *c = world_connect(&w, "10.96.0.10", 9080);
    client_send(&w, c, GET, 490 * NS_PER_MS);
    assert_int_equal(buf_len(&c->in), 0);
    sim_run(w.sim, 30 * NS_PER_MS);
    assert_status(c, 504);
    assert_has(&c->in, "upstream request timeout");
    world_done(&w);
}

/* ---- answers of the route itself ---- */

static void with_fault(struct world *w, struct route *r, struct cluster *c)
{
    struct fault *f = r->fault = ARENA_NEW(w->route_arena, struct fault);
    f->delay = 700 * NS_PER_MS;
    f->delay_per_million = 1000000;
    f->abort_status = 418;
    f->abort_grpc = -1;
    f->abort_per_million = 1000000;
}

static void a_fault_delays_and_then_aborts(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.tune = with_fault});
    struct client *c = world_connect(&w, "10.96.0.10", 9080);
    client_send(&w, c, GET, 690 * NS_PER_MS);
    assert_int_equal(buf_len(&c->in), 0);
    sim_run(w.sim, 30 * NS_PER_MS);
    assert_status(c, 418);
    assert_has(&c->in, "fault filter abort");
    assert_int_equal(w.servers[0].requests + w.servers[1].requests, 0);
    world_done(&w);
}

static void with_redirect(struct world *w, struct route *r, struct cluster *c)
{
    r->action = ROUTE_REDIRECT;
    r->redirect = ARENA_NEW(w->route_arena, struct route_redirect);
    r->redirect->status = 302;
    r->redirect->host = VIEW("other.example");
}

static void a_redirect_has_a_location(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.tune = with_redirect});
    struct client *c = world_request(&w, GET);
    assert_status(c, 302);
    assert_has(&c->in, "location: http://other.example/productpage?u=1\r\n");
    world_done(&w);
}

static void with_rewrite(struct world *w, struct route *r, struct cluster *c)
{
    r->path.value = VIEW("/productpage");
    r->forward.prefix_rewrite = VIEW("/page");
    r->forward.host_rewrite = VIEW("inner");
    r->changes.request.set = ARENA_NEW(w->route_arena, struct header_value);
    r->changes.request.set[0] = (struct header_value){VIEW("x-tag"), VIEW("%PROTOCOL%"), false};
    r->changes.request.n_set = 1;
    r->changes.response.remove = ARENA_NEW(w->route_arena, struct view);
    r->changes.response.remove[0] = VIEW("x-secret");
    r->changes.response.n_remove = 1;
}

static void path_host_and_headers_are_changed(void **state)
{
    struct world w;
    world_init(
        &w, &(struct world_options){.tune = with_rewrite,
                                    .one_endpoint = true,
                                    .v1 = {.answer = "HTTP/1.1 200 OK\r\nx-secret: 1\r\ncontent-length: 0\r\n\r\n"}});
    struct client *c = world_request(&w, GET);
    assert_status(c, 200);
    assert_false(has(&c->in, "x-secret"));
    assert_has(&w.servers[0].seen, "GET /page?u=1 HTTP/1.1\r\n");
    assert_has(&w.servers[0].seen, "x-envoy-original-path: /productpage?u=1\r\n");
    assert_has(&w.servers[0].seen, "ost: inner\r\n");
    assert_has(&w.servers[0].seen, "x-tag: HTTP/1.1\r\n");
    world_done(&w);
}

static void with_mirror(struct world *w, struct route *r, struct cluster *c)
{
    r->forward.mirrors = ARENA_NEW(w->route_arena, struct route_mirror);
    r->forward.mirrors[0] =
        (struct route_mirror){.cluster = name_ref_copy(w->route_arena, view_of(WEB)), .per_million = 1000000};
    r->forward.n_mirrors = 1;
}

static void a_mirror_gets_a_copy_and_nobody_waits_for_it(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.tune = with_mirror});
    struct client *c = world_request(&w, "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody");
    assert_status(c, 200);
    assert_int_equal(w.servers[0].requests, 1);
    assert_int_equal(w.servers[1].requests, 1);
    assert_true(has(&w.servers[0].seen, "ost: web-shadow\r\n") != has(&w.servers[1].seen, "ost: web-shadow\r\n"));
    assert_has(&w.servers[0].seen, "\r\n\r\nbody");
    assert_has(&w.servers[1].seen, "\r\n\r\nbody");
    world_done(&w);
}

static void with_one_request(struct world *w, struct route *r, struct cluster *c)
{
    c->breaker.requests = 1;
}

static void a_full_circuit_breaker_is_503_overloaded(void **state)
{
    struct world w;
    world_init(
        &w, &(struct world_options){.tune = with_one_request, .one_endpoint = true, .v1 = {.delay = 800 * NS_PER_MS}});
    struct client *first = world_connect(&w, "10.96.0.10", 9080), *second = world_connect(&w, "10.96.0.10", 9080);
    client_send(&w, first, GET, 100 * NS_PER_MS);
    client_send(&w, second, GET, 100 * NS_PER_MS);
    assert_status(second, 503);
    assert_has(&second->in, "x-envoy-overloaded: true\r\n");
    sim_run(w.sim, NS_PER_S);
    assert_status(first, 200);
    world_done(&w);
}

/* ---- bytes ---- */

static void unknown_destinations_pass_as_bytes_with_half_close(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.v1 = {.raw_echo = true}});
    /* the server listens on 9080 only, which is HTTP: another port of the same address is not served */
    struct addr at;
    assert_int_equal(addr_parse_ip(VIEW("10.0.0.2"), 7777, &at), 0);
    acceptor_close(w.servers[0].acceptor);
    assert_int_equal(acceptor_open(w.servers[0].loop, &at, &(struct acceptor_options){0}, &w.servers[0].task, 1,
                                   &w.servers[0].acceptor),
                     0);
    struct client *c = world_connect(&w, "10.0.0.2", 7777);
    c->half_close = true;
    client_send(&w, c, "any bytes \r\n\r\n", NS_PER_S);
    assert_string_equal(buf_cstr(&c->in), "any bytes \r\n\r\n");
    assert_true(c->eof);
    world_done(&w);
}

/* ---- going down ---- */

static void draining_says_goodbye_with_each_answer_and_refuses_nothing(void **state)
{
    struct world w;
    world_init(&w, &(struct world_options){.v1 = {.delay = NS_PER_S}, .one_endpoint = true});
    struct client *c = world_connect(&w, "10.96.0.10", 9080), *idle = world_connect(&w, "10.96.0.10", 9080);
    client_send(&w, idle, GET, 2 * NS_PER_S);
    client_send(&w, c, GET, 100 * NS_PER_MS);
    buf_clear(&idle->in);
    proxy_drain(w.proxy);
    sim_run(w.sim, 100 * NS_PER_MS);
    assert_false(proxy_ready(w.proxy));
    assert_false(idle->eof); /* its next request may be on its way */
    struct client *late = world_connect(&w, "10.96.0.10", 9080);
    client_send(&w, idle, GET, 0);
    client_send(&w, late, GET, 2 * NS_PER_S);
    struct client *all[] = {c, idle, late};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_status(all[i], 200);
        assert_has(&all[i]->in, "onnection: close\r\n");
        assert_true(all[i]->eof);
    }
    world_done(&w);
}

static void metrics_name_both_sides(void **state)
{
    struct world w;
    world_init(&w, NULL);
    assert_status(world_request(&w, GET), 200);
    struct loop *inside = w.proxy_loop;
    struct client *c = &w.clients[w.n_clients++];
    struct addr to = addr_v4(0x7f000001, 15090);
    task_init(&c->task, inside, client_run, "scrape");
    assert_int_equal(conn_connect(inside, &to, &(struct conn_options){0}, &c->conn), 0);
    conn_own(c->conn, &c->task, 1, 2);
    client_send(&w, c, "GET /stats/prometheus HTTP/1.1\r\nHost: x\r\n\r\n", NS_PER_S);
    assert_status(c, 200);
    assert_has(&c->in, "istio_requests_total{reporter=\"source\",source_workload=\"client\"");
    assert_has(&c->in, "destination_service=\"web.default.svc.cluster.local\"");
    assert_has(&c->in, "response_code=\"200\"");
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_routed_and_carries_id_and_attempt),
        cmocka_unit_test(upstream_connections_are_used_again),
        cmocka_unit_test(round_robin_reaches_both_endpoints),
        cmocka_unit_test(a_plan_that_comes_at_any_moment_costs_no_request),
        cmocka_unit_test(a_destination_that_does_not_exist_is_503_without_body),
        cmocka_unit_test(an_unknown_host_is_404),
        cmocka_unit_test(a_refused_connection_is_503_and_says_why),
        cmocka_unit_test(an_endpoint_that_closes_without_answer_is_503),
        cmocka_unit_test(malformed_requests_never_reach_an_endpoint),
        cmocka_unit_test(a_connect_failure_is_tried_again_elsewhere),
        cmocka_unit_test(a_body_is_sent_again_with_the_retry),
        cmocka_unit_test(the_last_answer_is_passed_on_when_retries_are_used_up),
        cmocka_unit_test(a_slow_answer_is_504_after_the_timeout),
        cmocka_unit_test(a_fault_delays_and_then_aborts),
        cmocka_unit_test(a_redirect_has_a_location),
        cmocka_unit_test(path_host_and_headers_are_changed),
        cmocka_unit_test(a_mirror_gets_a_copy_and_nobody_waits_for_it),
        cmocka_unit_test(a_full_circuit_breaker_is_503_overloaded),
        cmocka_unit_test(unknown_destinations_pass_as_bytes_with_half_close),
        cmocka_unit_test(draining_says_goodbye_with_each_answer_and_refuses_nothing),
        cmocka_unit_test(metrics_name_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
