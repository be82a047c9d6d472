// SPDX-License-Identifier: Apache-2.0
/* Two meshed pods on the simulated network, from YAML to traffic: the compiler's plans go through the bytes of xDS and
 * then to real proxies, which secure and serve what captured applications say to each other. A third pod has no proxy.
 */
#include "harness.h"

#include "compiled.h"
#include "proxy/proxy_impl.h"
#include "trust/ca.h"

#define WALL (UINT64_C(1767225600) * NS_PER_S)
#define GET "GET /reviews/1 HTTP/1.1\r\nHost: reviews\r\nUser-Agent: test\r\n\r\n"

struct mesh {
    struct world w; /* client and first server; its proxy is page's */
    struct arena a;
    struct proxy_options options[2];
    struct proxy *proxies[2];
    struct loop *loops[2], *outside;
    struct ca *ca;
    struct tls_trust *trust;
};

static void give_identity(struct mesh *m, struct proxy *p, const char *account)
{
    struct buf chain = {0}, key = {0};
    const char *why;
    struct view uri = arena_printf(&m->a, "spiffe://cluster.local/ns/default/sa/%s", account);
    struct tls_identity *id;
    assert_int_equal(ca_issue(m->ca, &(struct ca_grant){.uris = &uri, .n_uris = 1}, WALL, &chain, &key, &why), 0);
    assert_int_equal(tls_identity_new(buf_read(&chain), buf_read(&key), &id, &why), 0);
    proxy_post_all(p, &(struct worker_letter){.kind = WORKER_IDENTITY, .identity = id, .trust = m->trust});
    tls_identity_unref(id);
    buf_done(&chain);
    buf_done(&key);
}

static void start_proxy(struct mesh *m, int i, const char *pod, const char *ip, const char *more)
{
    struct view name = view_of(pod);
    m->options[i] = (struct proxy_options){.type = VIEW("sidecar"),
                                           .pod = name,
                                           .ns = VIEW("default"),
                                           .ip = view_of(ip),
                                           .domain = VIEW("default.svc.cluster.local"),
                                           .workload = view_head(name, name.n - 2),
                                           .app = view_head(name, name.n - 2),
                                           .app_version = VIEW("v1"),
                                           .canonical_service = view_head(name, name.n - 2),
                                           .canonical_revision = VIEW("v1"),
                                           .cluster_id = VIEW("Kubernetes"),
                                           .plan = compiled_plan(more, pod),
                                           .metrics_port = 15090,
                                           .drain = 5 * NS_PER_S};
    m->proxies[i] = proxy_new(&m->options[i], m->loops[i], &m->loops[i], 1);
    char account[16];
    snprintf(account, sizeof(account), "%.*s", VIEW_ARGS(m->options[i].workload));
    give_identity(m, m->proxies[i], account);
}

static bool both_ready(void *arg)
{
    struct mesh *m = arg;
    return proxy_ready(m->proxies[0]) && proxy_ready(m->proxies[1]);
}

static bool both_stopped(void *arg)
{
    struct mesh *m = arg;
    return proxy_stopped(m->proxies[0]) && proxy_stopped(m->proxies[1]);
}

static void listen_also(struct mesh *m, struct server *s, uint16_t port)
{
    struct addr at = addr_v4(0x0a000002, port);
    acceptor_close(s->acceptor);
    assert_int_equal(acceptor_open(s->loop, &at, &(struct acceptor_options){0}, &s->task, 1, &s->acceptor), 0);
    (void)m;
}

static void mesh_init(struct mesh *m, const char *more)
{
    memset(m, 0, sizeof(*m));
    struct world *w = &m->w;
    const char *why;
    arena_init(&m->a, 64 * 1024);
    w->sim = sim_new(11);
    w->pod = sim_host(w->sim, "page-1", "10.0.0.1");
    w->app = sim_loop(w->pod, SIM_APP);
    server_init(w, 0, "reviews-1", "10.0.0.2", true);
    struct sim_host *outside = sim_host(w->sim, "outside", "10.0.0.9");
    m->outside = sim_loop(outside, SIM_APP);
    sim_capture(w->pod, &(struct sim_capture){.outbound = 15001, .inbound = 15006, .except = {15090}});
    sim_capture(w->hosts[0], &(struct sim_capture){.outbound = 15001, .inbound = 15006, .except = {15090}});
    m->loops[0] = sim_loop(w->pod, SIM_PROXY);
    m->loops[1] = sim_loop(w->hosts[0], SIM_PROXY);
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("cluster.local")}, WALL, &m->ca, &why), 0);
    struct view root = ca_root_pem(m->ca);
    assert_int_equal(tls_trust_new(&root, 1, &m->trust, &why), 0);
    start_proxy(m, 0, "page-1", "10.0.0.1", more);
    start_proxy(m, 1, "reviews-1", "10.0.0.2", more);
    assert_true(sim_run_until(w->sim, both_ready, m, NS_PER_S));
}

static void mesh_done(struct mesh *m)
{
    struct world *w = &m->w;
    for (uint32_t i = 0; i < w->n_clients; i++) {
        conn_close(w->clients[i].conn);
        task_done(&w->clients[i].task);
        buf_done(&w->clients[i].in);
        buf_done(&w->clients[i].out);
    }
    proxy_stop(m->proxies[0]);
    proxy_stop(m->proxies[1]);
    assert_true(sim_run_until(w->sim, both_stopped, m, 10 * NS_PER_S));
    for (int i = 0; i < 2; i++) {
        proxy_free(m->proxies[i]);
        plan_unref(m->options[i].plan);
    }
    server_done(&w->servers[0]);
    tls_trust_unref(m->trust);
    ca_unref(m->ca);
    sim_free(w->sim);
    arena_done(&m->a);
}

/* A connection from a loop that is not page's. */
static struct client *connect_from(struct mesh *m, struct loop *loop, const char *ip, uint16_t port)
{
    struct world *w = &m->w;
    struct client *c = &w->clients[w->n_clients++];
    struct addr to;
    task_init(&c->task, loop, client_run, "client");
    assert_int_equal(addr_parse_ip(view_of(ip), port, &to), 0);
    assert_int_equal(conn_connect(loop, &to, &(struct conn_options){0}, &c->conn), 0);
    conn_own(c->conn, &c->task, 1, 2);
    return c;
}

static struct client *metrics_of(struct mesh *m, const char *ip)
{
    struct client *c = connect_from(m, m->outside, ip, 15090);
    client_send(&m->w, c, "GET /stats/prometheus HTTP/1.1\r\nHost: x\r\n\r\n", NS_PER_S);
    assert_status(c, 200);
    return c;
}

static void a_request_between_meshed_pods_is_mutual_tls_and_measured_on_both_sides(void **state)
{
    struct mesh m;
    mesh_init(&m, NULL);
    struct client *c = world_connect(&m.w, "10.96.0.3", 9080);
    client_send(&m.w, c, GET, NS_PER_S);
    assert_status(c, 200);
    assert_has(&c->in, "hello from reviews-1");
    assert_has(&c->in, "server: envoy");
    assert_false(has(&c->in, "x-envoy-peer-metadata"));
    struct buf *seen = &m.w.servers[0].seen;
    assert_has(seen, "x-forwarded-client-cert: By=spiffe://cluster.local/ns/default/sa/reviews;Hash=");
    assert_has(seen, ";URI=spiffe://cluster.local/ns/default/sa/page");
    assert_false(has(seen, "x-envoy-peer-metadata"));
    client_send(&m.w, c, GET, NS_PER_S);
    assert_int_equal(m.w.servers[0].requests, 2);
    assert_int_equal(m.w.servers[0].n_conns, 1);
    struct client *source = metrics_of(&m, "10.0.0.1"), *destination = metrics_of(&m, "10.0.0.2");
    assert_has(&source->in, "istio_requests_total{reporter=\"source\",source_workload=\"page\"");
    assert_has(&source->in, "destination_workload=\"reviews\"");
    assert_has(&source->in, "destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\"");
    assert_has(&destination->in, "istio_requests_total{reporter=\"destination\",source_workload=\"page\"");
    assert_has(&destination->in, "source_principal=\"spiffe://cluster.local/ns/default/sa/page\"");
    assert_has(&destination->in, "connection_security_policy=\"mutual_tls\"} 2");
    mesh_done(&m);
}

static void a_client_without_proxy_is_served_when_permissive_and_refused_when_strict(void **state)
{
    struct mesh m;
    mesh_init(&m, NULL);
    struct client *c = connect_from(&m, m.outside, "10.0.0.2", 9080);
    client_send(&m.w, c, GET, NS_PER_S);
    assert_status(c, 200);
    mesh_done(&m);

    mesh_init(&m, "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
                  "metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n");
    c = connect_from(&m, m.outside, "10.0.0.2", 9080);
    client_send(&m.w, c, GET, NS_PER_S);
    assert_int_equal(buf_len(&c->in), 0);
    assert_true(c->eof);
    assert_int_equal(m.w.servers[0].n_conns, 0);
    c = world_connect(&m.w, "10.96.0.3", 9080);
    client_send(&m.w, c, GET, NS_PER_S);
    assert_status(c, 200);
    mesh_done(&m);
}

static void declared_tcp_passes_both_proxies_at_once_and_is_measured(void **state)
{
    struct mesh m;
    mesh_init(&m, NULL);
    m.w.servers[0].does.raw_echo = true;
    listen_also(&m, &m.w.servers[0], 9000);
    struct client *c = world_connect(&m.w, "10.96.0.3", 9000);
    c->half_close = true;
    client_send(&m.w, c, "raw bytes", NS_PER_S);
    assert_string_equal(buf_cstr(&c->in), "raw bytes");
    assert_true(c->eof);
    struct client *destination = metrics_of(&m, "10.0.0.2");
    assert_has(&destination->in,
               "istio_tcp_connections_opened_total{reporter=\"destination\",source_workload=\"page\"");
    mesh_done(&m);
}

static void an_undeclared_port_is_sniffed(void **state)
{
    struct mesh m;
    mesh_init(&m, NULL);
    listen_also(&m, &m.w.servers[0], 9001);
    struct client *c = world_connect(&m.w, "10.96.0.3", 9001);
    client_send(&m.w, c, "GET / HTTP/1.1\r\nHost: reviews:9001\r\n\r\n", NS_PER_S);
    assert_status(c, 200);
    assert_has(&c->in, "x-envoy-upstream-service-time");
    mesh_done(&m);

    mesh_init(&m, NULL);
    m.w.servers[0].does.raw_echo = true;
    listen_also(&m, &m.w.servers[0], 9001);
    c = world_connect(&m.w, "10.96.0.3", 9001);
    sim_run(m.w.sim, 50 * NS_PER_MS);
    assert_int_equal(m.w.servers[0].n_conns, 0);
    sim_run(m.w.sim, 300 * NS_PER_MS); /* twice 100 ms of silence: both proxies give up waiting for the client */
    assert_int_equal(m.w.servers[0].n_conns, 1);
    client_send(&m.w, c, "\x01\x02 binary", NS_PER_S);
    assert_string_equal(buf_cstr(&c->in), "\x01\x02 binary");
    mesh_done(&m);
}

static void a_renewed_certificate_does_not_drop_connections(void **state)
{
    struct mesh m;
    mesh_init(&m, NULL);
    struct client *c = world_connect(&m.w, "10.96.0.3", 9080);
    client_send(&m.w, c, GET, NS_PER_S);
    give_identity(&m, m.proxies[0], "page");
    give_identity(&m, m.proxies[1], "reviews");
    for (int i = 0; i < 3; i++)
        client_send(&m.w, c, GET, NS_PER_S);
    assert_int_equal(m.w.servers[0].requests, 4);
    assert_int_equal(m.w.servers[0].n_conns, 1);
    assert_false(c->eof);
    mesh_done(&m);
}

static void a_new_plan_keeps_connections_of_unchanged_listeners(void **state)
{
    struct mesh m;
    mesh_init(&m, NULL);
    struct client *c = world_connect(&m.w, "10.96.0.3", 9080);
    client_send(&m.w, c, GET, NS_PER_S);
    struct plan *next = compiled_plan("apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
                                      "metadata: {name: reviews, namespace: default}\n"
                                      "spec: {hosts: [reviews], http: [{name: teapot, fault: {abort: {httpStatus: 418, "
                                      "percentage: {value: 100}}}, route: [{destination: {host: reviews}}]}]}\n",
                                      "page-1");
    proxy_run_plan(m.proxies[0], next);
    plan_unref(next);
    sim_run(m.w.sim, NS_PER_S);
    assert_false(c->eof);
    buf_clear(&c->in);
    client_send(&m.w, c, GET, NS_PER_S);
    assert_status(c, 418);
    mesh_done(&m);
}

static void the_wrong_identity_behind_an_address_is_not_talked_to(void **state)
{
    struct mesh m;
    mesh_init(&m, NULL);
    give_identity(&m, m.proxies[1], "impostor");
    sim_run(m.w.sim, NS_PER_S);
    struct client *c = world_connect(&m.w, "10.96.0.3", 9080);
    client_send(&m.w, c, GET, 3 * NS_PER_S);
    assert_status(c, 503);
    assert_has(&c->in, "transport failure reason: ");
    assert_int_equal(m.w.servers[0].n_conns, 0);
    mesh_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_between_meshed_pods_is_mutual_tls_and_measured_on_both_sides),
        cmocka_unit_test(a_client_without_proxy_is_served_when_permissive_and_refused_when_strict),
        cmocka_unit_test(declared_tcp_passes_both_proxies_at_once_and_is_measured),
        cmocka_unit_test(an_undeclared_port_is_sniffed),
        cmocka_unit_test(a_renewed_certificate_does_not_drop_connections),
        cmocka_unit_test(a_new_plan_keeps_connections_of_unchanged_listeners),
        cmocka_unit_test(the_wrong_identity_behind_an_address_is_not_talked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
