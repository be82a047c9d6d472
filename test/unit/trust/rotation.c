// SPDX-License-Identifier: Apache-2.0
/* Renewal against a small CA service, both on the simulated network and clock: real gRPC, real certificates, days in
 * milliseconds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "http/conn.h"
#include "http/grpc_call.h"
#include "net/acceptor.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/sim.h"
#include "net/tls.h"
#include "proto/xds.pb-c.h"
#include "trust/ca.h"
#include "trust/rotation.h"
#include "trust/token.h"

#define HOUR (3600 * NS_PER_S)
#define WALL (UINT64_C(1767225600) * NS_PER_S)
static const struct view reviews = {"spiffe://cluster.local/ns/default/sa/reviews", 44};
static const struct view ratings = {"spiffe://cluster.local/ns/default/sa/ratings", 44};

/* ---- the service ---- */

enum { SERVICE_ACCEPT = 1, SERVICE_HTTP = 2, SERVICE_CALL = 4 };

struct service {
    struct task task;
    struct http_shared *shared;
    struct acceptor *acceptor;
    struct tls_context *tls;
    struct http_conn *conns[64];
    struct grpc_call *calls[64];
    unsigned n_conns, n_calls, signed_count;
    struct ca *ca;
    struct token_keys *keys;
    struct view granted; /* instead of who the token says */
};

static void answer(struct service *v, struct grpc_call *call, struct view message)
{
    struct loop *l = v->task.loop;
    struct view bearer = headers_value(&grpc_call_stream(call)->in, HEADER_AUTHORIZATION);
    struct arena a;
    struct token t;
    const char *why = "no bearer token";
    arena_init(&a, 0);
    struct token_rules rules = {.audience = VIEW("istio-ca"), .wall_ns = loop_wall(l)};
    int r = view_starts(bearer, VIEW("Bearer ")) ? token_verify(v->keys, view_from(bearer, 7), &rules, &a, &t, &why)
                                                 : -EACCES;
    if (r < 0) {
        grpc_call_finish(call, GRPC_UNAUTHENTICATED, view_of(why));
        arena_done(&a);
        return;
    }
    Ca__IstioCertificateRequest *request =
        ca__istio_certificate_request__unpack(NULL, message.n, (const uint8_t *)message.p);
    assert_non_null(request);
    assert_string_equal(request->metadata->fields[0]->key, "ClusterID");
    struct view ids[2],
        id = arena_printf(&a, "spiffe://cluster.local/ns/%.*s/sa/%.*s", VIEW_ARGS(t.ns), VIEW_ARGS(t.sa));
    ids[0] = v->granted.n ? v->granted : id;
    ids[1] = id; /* else the request would be refused */
    struct buf chain = {0};
    r = ca_sign(v->ca, view_of(request->csr),
                &(struct ca_grant){.uris = ids,
                                   .n_uris = v->granted.n ? 2 : 1,
                                   .ttl = (uint64_t)request->validity_duration * NS_PER_S},
                loop_wall(l), &chain, &why);
    assert_int_equal(r, 0);
    v->signed_count++;
    char *certs[8];
    Ca__IstioCertificateResponse response = CA__ISTIO_CERTIFICATE_RESPONSE__INIT;
    struct view rest = buf_read(&chain), one;
    while (ca_cut_pem(&rest, &one))
        certs[response.n_cert_chain++] = arena_str(&a, one);
    response.cert_chain = certs;
    size_t n = ca__istio_certificate_response__get_packed_size(&response);
    uint8_t *bytes = arena_alloc(&a, n);
    ca__istio_certificate_response__pack(&response, bytes);
    assert_int_equal(grpc_call_send(call, view_make(bytes, n), false), 0);
    grpc_call_finish(call, GRPC_OK, VIEW_NONE);
    ca__istio_certificate_request__free_unpacked(request, NULL);
    buf_done(&chain);
    arena_done(&a);
}

static void service_run(struct task *task, uint32_t events)
{
    struct service *v = CONTAINER_OF(task, struct service, task);
    struct conn *tcp, *tls;
    struct http_stream *s;
    while (acceptor_accept(v->acceptor, &tcp) == 0) {
        assert_int_equal(tls_accept(v->tls, tcp, NULL, &tls), 0);
        v->conns[v->n_conns++] = http_conn_new(
            v->shared, tls, &(struct http_conn_config){.role = HTTP_SERVER, .version = HTTP_2, .scheme = VIEW("https")},
            task, SERVICE_HTTP);
    }
    for (unsigned i = 0; i < v->n_conns; i++)
        while (v->conns[i] && (s = http_conn_accept(v->conns[i], task, SERVICE_CALL)))
            v->calls[v->n_calls++] = grpc_call_accept(s, task, SERVICE_CALL);
    for (unsigned i = 0; i < v->n_calls; i++) {
        struct view message;
        if (v->calls[i] && grpc_call_recv(v->calls[i], &message) == 0)
            answer(v, v->calls[i], message);
        if (v->calls[i] && grpc_call_done(v->calls[i]))
            v->calls[i] = grpc_call_free(v->calls[i]);
    }
    for (unsigned i = 0; i < v->n_conns; i++)
        if (v->conns[i] && (http_conn_ready(v->conns[i]) & HTTP_CONN_CLOSED))
            v->conns[i] = http_conn_free(v->conns[i]);
}

static void service_open(struct service *v, struct loop *l, struct ca *ca, struct token_keys *keys)
{
    static const struct view name = {"istiod.istio-system.svc", 23}, h2 = {"h2", 2};
    struct buf chain = {0}, key = {0};
    const char *why = NULL;
    struct tls_identity *id = NULL;
    *v = (struct service){.ca = ca, .keys = keys};
    v->shared = http_shared_new(l);
    task_init(&v->task, l, service_run, "ca");
    assert_int_equal(
        ca_issue(ca, &(struct ca_grant){.dns = &name, .n_dns = 1, .ttl = 90 * 24 * HOUR}, WALL, &chain, &key, &why), 0);
    assert_int_equal(tls_identity_new(buf_read(&chain), buf_read(&key), &id, &why), 0);
    struct tls_config config = {.server = true, .identity = id, .alpn = &h2, .n_alpn = 1};
    assert_int_equal(tls_context_new(l, &config, &v->tls, &why), 0);
    tls_identity_unref(id);
    buf_done(&chain);
    buf_done(&key);
    struct addr at = addr_v4(0, 15012);
    assert_int_equal(acceptor_open(l, &at, NULL, &v->task, SERVICE_ACCEPT, &v->acceptor), 0);
}

static void service_close(struct service *v)
{
    for (unsigned i = 0; i < v->n_calls; i++)
        grpc_call_free(v->calls[i]);
    for (unsigned i = 0; i < v->n_conns; i++)
        http_conn_free(v->conns[i]);
    acceptor_close(v->acceptor);
    tls_context_free(v->tls);
    task_done(&v->task);
    http_shared_free(v->shared);
}

/* ---- the world ---- */

struct world {
    struct sim *sim;
    struct loop *control, *pod;
    struct ca *ca;
    struct token_key *key;
    struct token_keys *keys;
    struct tls_trust *trust;
    struct http_shared *shared;
    struct resolver *resolver;
    struct buf token;
    struct service service;
    struct task owner;
    unsigned woken;
    struct rotation_config config;
    struct rotation *rotation;
};

static void owner_run(struct task *t, uint32_t events)
{
    CONTAINER_OF(t, struct world, owner)->woken++;
}

static void make_token(struct world *w, const char *audience, uint64_t lasts)
{
    buf_clear(&w->token);
    struct token t = {.issuer = VIEW("sandbox"),
                      .audience = view_of(audience),
                      .ns = VIEW("default"),
                      .sa = VIEW("reviews"),
                      .issued = WALL,
                      .expires = WALL + lasts};
    assert_int_equal(token_sign(w->key, &t, &w->token), 0);
    w->config.ca.token = buf_read(&w->token);
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));
    const char *why = NULL;
    w->sim = sim_new(21);
    sim_wall(w->sim, WALL);
    w->control = sim_loop(sim_host(w->sim, "control", "10.0.0.1"), SIM_APP);
    w->pod = sim_loop(sim_host(w->sim, "pod", "10.0.0.2"), SIM_PROXY);
    sim_name(w->sim, "istiod.istio-system.svc", "10.0.0.1");
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("cluster.local")}, WALL, &w->ca, &why), 0);
    assert_int_equal(token_key_new(&w->key), 0);
    struct buf jwks = {0};
    token_key_jwks(w->key, &jwks);
    assert_int_equal(token_keys_from_jwks(buf_read(&jwks), &w->keys, &why), 0);
    buf_done(&jwks);
    struct view root = ca_root_pem(w->ca);
    assert_int_equal(tls_trust_new(&root, 1, &w->trust, &why), 0);
    w->shared = http_shared_new(w->pod);
    w->resolver = resolver_new(w->pod, NULL);
    task_init(&w->owner, w->pod, owner_run, "owner");
    service_open(&w->service, w->control, w->ca, w->keys);
    w->config = (struct rotation_config){
        .ca = {.loop = w->pod,
               .http = w->shared,
               .resolver = w->resolver,
               .host = VIEW("istiod.istio-system.svc"),
               .port = 15012,
               .trust = w->trust,
               .cluster_id = VIEW("Kubernetes"),
               .ttl = 24 * HOUR},
        .spiffe = reviews,
    };
    make_token(w, "istio-ca", 365 * 24 * HOUR);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    rotation_free(w->rotation);
    service_close(&w->service);
    task_done(&w->owner);
    resolver_free(w->resolver);
    http_shared_free(w->shared);
    tls_trust_unref(w->trust);
    token_keys_unref(w->keys);
    token_key_free(w->key);
    ca_unref(w->ca);
    buf_done(&w->token);
    sim_free(w->sim);
    mem_free(w);
    return 0;
}

static void a_certificate_comes_at_once_and_is_renewed_at_half_of_its_life(void **state)
{
    struct world *w = *state;
    w->rotation = rotation_new(&w->config, &w->owner, 1);
    sim_run(w->sim, NS_PER_S);
    struct tls_identity *first = rotation_identity(w->rotation);
    assert_non_null(first);
    assert_int_equal(w->woken, 1);
    assert_true(view_eq(tls_identity_spiffe(first), reviews));
    struct tls_trust *trust = rotation_trust(w->rotation);
    assert_true(view_eq(tls_trust_pem(trust), ca_root_pem(w->ca)));
    first = tls_identity_ref(first);
    uint64_t half = 12 * HOUR, slack = 24 * HOUR / 100;
    sim_run(w->sim, half - slack - 2 * NS_PER_S);
    assert_ptr_equal(rotation_identity(w->rotation), first);
    sim_run(w->sim, 2 * slack + 4 * NS_PER_S);
    assert_ptr_not_equal(rotation_identity(w->rotation), first);
    assert_int_equal(w->woken, 2);
    assert_ptr_equal(rotation_trust(w->rotation), trust); /* the same root: known peers stay known */
    tls_identity_unref(first);
    sim_run(w->sim, 10 * 24 * HOUR);
    assert_in_range(w->service.signed_count, 20, 23);
}

static void while_the_ca_is_gone_the_old_certificate_stays_and_asking_goes_on(void **state)
{
    struct world *w = *state;
    w->rotation = rotation_new(&w->config, &w->owner, 1);
    sim_run(w->sim, NS_PER_S);
    struct tls_identity *first = rotation_identity(w->rotation);
    assert_non_null(first);
    acceptor_close(w->service.acceptor);
    sim_run(w->sim, 13 * HOUR);
    assert_ptr_equal(rotation_identity(w->rotation), first);
    assert_true(rotation_failures(w->rotation) > 100); /* every ten seconds or so */
    assert_true(rotation_failures(w->rotation) < 1000);
    assert_true(
        view_is(rotation_why(w->rotation), "no connection to the CA: delayed connect error: Connection refused"));
    struct addr at = addr_v4(0, 15012);
    assert_int_equal(acceptor_open(w->control, &at, NULL, &w->service.task, SERVICE_ACCEPT, &w->service.acceptor), 0);
    sim_run(w->sim, 20 * NS_PER_S);
    assert_ptr_not_equal(rotation_identity(w->rotation), first);
    assert_int_equal(rotation_failures(w->rotation), 0);
}

static void what_the_ca_refuses_or_gets_wrong_is_said_in_words(void **state)
{
    struct world *w = *state;
    make_token(w, "another-audience", HOUR);
    w->rotation = rotation_new(&w->config, &w->owner, 1);
    sim_run(w->sim, 100 * NS_PER_MS);
    assert_null(rotation_identity(w->rotation));
    assert_true(
        view_is(rotation_why(w->rotation), "the CA refused: the token is for another audience (UNAUTHENTICATED)"));
    w->rotation = rotation_free(w->rotation);

    make_token(w, "istio-ca", HOUR);
    w->service.granted = ratings;
    w->rotation = rotation_new(&w->config, &w->owner, 1);
    sim_run(w->sim, 100 * NS_PER_MS);
    assert_null(rotation_identity(w->rotation));
    assert_true(view_is(rotation_why(w->rotation), "the CA certified another identity than ours"));
    w->rotation = rotation_free(w->rotation);

    w->config.ca.server_name = VIEW("someone-else.istio-system.svc");
    w->rotation = rotation_new(&w->config, &w->owner, 1);
    sim_run(w->sim, 100 * NS_PER_MS);
    assert_true(
        view_starts(rotation_why(w->rotation), VIEW("no connection to the CA: TLS error: certificate verify failed")));
    w->rotation = rotation_free(w->rotation);

    w->config.ca.server_name = VIEW_NONE;
    w->config.ca.token = VIEW_NONE;
    w->config.ca.token_path = "/nonexistent/token";
    w->rotation = rotation_new(&w->config, &w->owner, 1);
    sim_run(w->sim, 100 * NS_PER_MS);
    assert_true(view_starts(rotation_why(w->rotation), VIEW("the service-account token cannot be read")));
}

static void renewal_is_due_at_half_of_the_life_give_or_take_one_percent(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t at = rotation_due(WALL, WALL + 24 * HOUR, &rng) - WALL;
        least = at < least ? at : least;
        most = at > most ? at : most;
    }
    assert_in_range(least, 49 * 24 * HOUR / 100, 50 * 24 * HOUR / 100);
    assert_in_range(most, 50 * 24 * HOUR / 100, 51 * 24 * HOUR / 100);
    assert_true(most - least > HOUR / 4);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_certificate_comes_at_once_and_is_renewed_at_half_of_its_life),
        IN_WORLD(while_the_ca_is_gone_the_old_certificate_stays_and_asking_goes_on),
        IN_WORLD(what_the_ca_refuses_or_gets_wrong_is_said_in_words),
        cmocka_unit_test(renewal_is_due_at_half_of_the_life_give_or_take_one_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
