// SPDX-License-Identifier: Apache-2.0
/* TLS, each test on the kernel's loop with real cryptography and in the simulation without: the same rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "net/conn.h"
#include "net/loop.h"
#include "net/sim.h"
#include "net/tls.h"
#include "net/tls_impl.h"
#include "net/tls_memory.h"
#include "net/tls_share.h"

#define VIEW_INIT(literal)                                                                                             \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    } /* VIEW() is no constant */

/* ---- certificates ---- */

struct authority {
    X509 *cert;
    EVP_PKEY *key;
    struct tls_trust *trust;
};

static X509 *make_cert(EVP_PKEY *key, const char *sans, const struct authority *issuer, long from, long until)
{
    static long serial = 1;
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    time_t now = sans && issuer ? 1767225600 + 100 : 1767225600; /* as the simulation's wall clock */
    if (from == 0 && until == 0) {                               /* good for both clocks */
        ASN1_TIME_set(X509_getm_notBefore(cert), 1700000000);
        ASN1_TIME_set(X509_getm_notAfter(cert), 2500000000);
    } else {
        ASN1_TIME_set(X509_getm_notBefore(cert), now + from);
        ASN1_TIME_set(X509_getm_notAfter(cert), now + until);
    }
    X509_NAME *name = X509_NAME_new();
    if (!issuer) {
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"cluster.local", -1, -1, 0);
        X509_set_issuer_name(cert, name);
    } else {
        X509_set_issuer_name(cert, X509_get_subject_name(issuer->cert));
    }
    X509_set_subject_name(cert, name);
    X509_NAME_free(name);
    X509_set_pubkey(cert, key);
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer ? issuer->cert : cert, cert, NULL, NULL, 0);
    const char *extensions[][2] = {
        {"basicConstraints", issuer ? "critical,CA:FALSE" : "critical,CA:TRUE"},
        {"keyUsage", issuer ? "critical,digitalSignature,keyEncipherment" : "critical,keyCertSign"},
        {"extendedKeyUsage", issuer ? "serverAuth,clientAuth" : NULL},
        {"subjectAltName", sans},
    };
    for (size_t i = 0; i < COUNT_OF(extensions); i++) {
        if (!extensions[i][1])
            continue;
        X509_EXTENSION *e = X509V3_EXT_conf(NULL, &ctx, extensions[i][0], extensions[i][1]);
        assert_non_null(e);
        X509_add_ext(cert, e, -1);
        X509_EXTENSION_free(e);
    }
    assert_true(X509_sign(cert, issuer ? issuer->key : key, EVP_sha256()) > 0);
    return cert;
}

static struct buf pem_of(X509 *cert, EVP_PKEY *key)
{
    BIO *b = BIO_new(BIO_s_mem());
    if (cert)
        PEM_write_bio_X509(b, cert);
    else
        PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
    char *text;
    long n = BIO_get_mem_data(b, &text);
    struct buf out = {0};
    buf_view(&out, view_make(text, (size_t)n));
    BIO_free(b);
    return out;
}

static void authority_init(struct authority *a)
{
    const char *why;
    a->key = EVP_EC_gen("P-256");
    a->cert = make_cert(a->key, NULL, NULL, 0, 0);
    struct buf pem = pem_of(a->cert, NULL);
    assert_int_equal(tls_trust_new(&(struct view){buf_read(&pem).p, buf_read(&pem).n}, 1, &a->trust, &why), 0);
    buf_done(&pem);
}

static void authority_done(struct authority *a)
{
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
    tls_trust_unref(a->trust);
}

static struct tls_identity *identity_until(const struct authority *a, const char *sans, long from, long until)
{
    const char *why = NULL;
    struct tls_identity *i = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_cert(key, sans, a, from, until);
    struct buf chain = pem_of(cert, NULL), key_pem = pem_of(NULL, key);
    assert_int_equal(tls_identity_new(buf_read(&chain), buf_read(&key_pem), &i, &why), 0);
    buf_done(&chain);
    buf_done(&key_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return i;
}

static struct tls_identity *identity(const struct authority *a, const char *sans)
{
    return identity_until(a, sans, 0, 0);
}

/* ---- a world with two ends ---- */

#define REVIEWS "spiffe://cluster.local/ns/default/sa/reviews"
#define RATINGS "spiffe://cluster.local/ns/default/sa/ratings"

struct end {
    struct task task;
    struct conn *conn;
    struct buf got;
    bool done, ended, closed; /* done: handshake over */
    uint64_t ins, outs;
};

struct world {
    struct sim *sim;
    struct loop *loop;
    struct authority ca, other;
    struct tls_context *server, *client;
    struct end ends[2]; /* client, server */
};

enum { END_IN = 1, END_OUT = 2 };

static void end_run(struct task *t, uint32_t events)
{
    struct end *e = CONTAINER_OF(t, struct end, task);
    e->ins += (events & END_IN) != 0;
    e->outs += (events & END_OUT) != 0;
    e->done = conn_ready(e->conn) != -EAGAIN;
    ssize_t n;
    while ((n = conn_recv_buf(e->conn, &e->got, 1000)) > 0)
        ;
    if (e->done && n == 0)
        e->ended = true;
}

static int setup(void **state, bool sim)
{
    struct world *w = mem_alloc(sizeof(*w));
    if (sim) {
        w->sim = sim_new(3);
        w->loop = sim_loop(sim_host(w->sim, "a", "10.0.0.1"), SIM_PROXY);
    } else {
        w->loop = loop_new(NULL);
    }
    authority_init(&w->ca);
    authority_init(&w->other);
    *state = w;
    return 0;
}

static int kernel_setup(void **state)
{
    return setup(state, false);
}

static int sim_setup(void **state)
{
    return setup(state, true);
}

static int teardown(void **state)
{
    struct world *w = *state;
    tls_context_free(w->server);
    tls_context_free(w->client);
    authority_done(&w->ca);
    authority_done(&w->other);
    if (w->sim)
        sim_free(w->sim);
    else
        loop_free(w->loop);
    mem_free(w);
    return 0;
}

static void turn(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        if (w->sim)
            sim_step(w->sim);
        else
            loop_turn(w->loop, false);
}

static void contexts(struct world *w, const char *server_sans, const char *client_sans, enum tls_client_cert cert)
{
    static const struct view server_alpn[] = {VIEW_INIT("h2"), VIEW_INIT("http/1.1")};
    static const struct view client_alpn[] = {VIEW_INIT("istio-http/1.1"), VIEW_INIT("istio"), VIEW_INIT("http/1.1")};
    const char *why = NULL;
    struct tls_identity *s = identity(&w->ca, server_sans), *c = client_sans ? identity(&w->ca, client_sans) : NULL;
    assert_int_equal(tls_context_new(w->loop,
                                     &(struct tls_config){.server = true,
                                                          .identity = s,
                                                          .trust = w->ca.trust,
                                                          .client_cert = cert,
                                                          .alpn = server_alpn,
                                                          .n_alpn = 2},
                                     &w->server, &why),
                     0);
    assert_int_equal(
        tls_context_new(w->loop,
                        &(struct tls_config){.identity = c, .trust = w->ca.trust, .alpn = client_alpn, .n_alpn = 3},
                        &w->client, &why),
        0);
    tls_identity_unref(s);
    tls_identity_unref(c);
}

static void start(struct world *w, const struct tls_options *client, const struct tls_options *server)
{
    struct conn *a, *b;
    assert_int_equal(conn_pair(w->loop, &a, &b), 0);
    for (int i = 0; i < 2; i++) {
        w->ends[i] = (struct end){0};
        task_init(&w->ends[i].task, w->loop, end_run, "end");
    }
    assert_int_equal(tls_connect(w->client, a, client, &w->ends[0].conn), 0);
    assert_int_equal(tls_accept(w->server, b, server, &w->ends[1].conn), 0);
    for (int i = 0; i < 2; i++)
        conn_own(w->ends[i].conn, &w->ends[i].task, END_IN, END_OUT);
    turn(w, 40);
}

static void stop(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        conn_close(w->ends[i].conn);
        w->ends[i].conn = NULL;
        task_done(&w->ends[i].task);
        buf_done(&w->ends[i].got);
    }
    turn(w, 20);
}

static void both_ends_know_each_other(void **state)
{
    struct world *w = *state;
    struct tls_san expected = {TLS_SAN_URI, VIEW(REVIEWS)},
                   prefix = {TLS_SAN_URI_PREFIX, VIEW("spiffe://cluster.local/")};
    contexts(w, "URI:" REVIEWS ",DNS:reviews.example.org", "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    start(w,
          &(struct tls_options){
              .sni = VIEW("outbound_.9080_._.reviews.default.svc.cluster.local"), .sans = &expected, .n_sans = 1},
          &(struct tls_options){.sans = &prefix, .n_sans = 1});
    const struct tls_info *c = tls_info(w->ends[0].conn), *s = tls_info(w->ends[1].conn);
    assert_non_null(c);
    assert_non_null(s);
    assert_true(view_is(c->spiffe, REVIEWS));
    assert_true(view_is(c->local, RATINGS));
    assert_true(view_is(s->spiffe, RATINGS));
    assert_true(view_is(s->local, REVIEWS));
    assert_true(c->verified && s->verified);
    assert_int_equal(c->n_dns, 1);
    assert_true(view_is(c->dns[0], "reviews.example.org"));
    assert_true(view_is(c->alpn, "http/1.1"));
    assert_true(view_is(s->alpn, "http/1.1"));
    assert_true(view_is(s->sni, "outbound_.9080_._.reviews.default.svc.cluster.local"));
    assert_int_equal(s->hash.n, 64);
    assert_string_equal(c->version, "TLSv1.3");
    assert_int_equal(conn_send_view(w->ends[0].conn, VIEW("GET / HTTP/1.1\r\n\r\n")), 18);
    turn(w, 20);
    assert_true(view_is(buf_read(&w->ends[1].got), "GET / HTTP/1.1\r\n\r\n"));
    stop(w);
}

static void what_one_end_ends_the_other_still_answers(void **state)
{
    struct world *w = *state;
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    start(w, NULL, NULL);
    conn_send_view(w->ends[0].conn, VIEW("question"));
    conn_shutdown(w->ends[0].conn);
    turn(w, 30);
    assert_true(w->ends[1].ended);
    assert_false(w->ends[0].ended);
    assert_false(tls_info(w->ends[1].conn)->truncated);
    assert_int_equal(conn_send_view(w->ends[1].conn, VIEW("answer")), 6);
    turn(w, 30);
    assert_true(view_is(buf_read(&w->ends[0].got), "answer"));
    stop(w);
}

static void a_peer_that_is_not_who_it_should_be_is_refused(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *server, *client;
        struct tls_san by_client, by_server;
        int client_result, server_result; /* 0: good */
    } rows[] = {
        {REVIEWS,
         RATINGS,
         {TLS_SAN_URI, VIEW_INIT(REVIEWS)},
         {TLS_SAN_URI_PREFIX, VIEW_INIT("spiffe://cluster.local/")},
         0,
         0},
        {REVIEWS,
         RATINGS,
         {TLS_SAN_URI, VIEW_INIT(RATINGS)},
         {TLS_SAN_URI_PREFIX, VIEW_INIT("spiffe://")},
         -EPROTO,
         -EPROTO},
        {REVIEWS,
         RATINGS,
         {TLS_SAN_URI, VIEW_INIT("spiffe://cluster.local/ns/default/sa/review")},
         {TLS_SAN_URI_PREFIX, VIEW_INIT("spiffe://")},
         -EPROTO,
         -EPROTO},
        {REVIEWS,
         RATINGS,
         {TLS_SAN_URI, VIEW_INIT(REVIEWS)},
         {TLS_SAN_URI_PREFIX, VIEW_INIT("spiffe://other.domain/")},
         -EPROTO,
         -EPROTO},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char s[100], c[100];
        snprintf(s, sizeof(s), "URI:%s", rows[i].server);
        snprintf(c, sizeof(c), "URI:%s", rows[i].client);
        contexts(w, s, c, TLS_CLIENT_REQUIRED);
        start(w, &(struct tls_options){.sans = &rows[i].by_client, .n_sans = 1},
              &(struct tls_options){.sans = &rows[i].by_server, .n_sans = 1});
        assert_int_equal(conn_ready(w->ends[1].conn), rows[i].server_result);
        char byte;
        ssize_t r = conn_recv(w->ends[0].conn, &byte, 1); /* in TLS 1.3 a client learns its refusal by reading */
        assert_int_equal(r, rows[i].client_result ? rows[i].client_result : -EAGAIN);
        if (rows[i].client_result)
            assert_true(view_starts(conn_error_text(w->ends[1].conn), VIEW("TLS error: ")));
        stop(w);
        w->server = tls_context_free(w->server);
        w->client = tls_context_free(w->client);
    }
}

static void the_error_text_names_the_identity_that_came_and_the_one_expected(void **state)
{
    struct world *w = *state;
    if (w->sim)
        skip();
    struct tls_san expected = {TLS_SAN_URI, VIEW(RATINGS)};
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    start(w, &(struct tls_options){.sans = &expected, .n_sans = 1}, NULL);
    assert_true(view_is(conn_error_text(w->ends[0].conn),
                        "TLS error: certificate verify failed: SAN " REVIEWS " is not the expected " RATINGS));
    stop(w);
}

static void expired_foreign_and_missing_certificates_are_refused(void **state)
{
    struct world *w = *state;
    long real = (long)(time(NULL) - 1767225600), now = w->sim ? 0 : real; /* seconds since the base of make_cert */
    struct tls_identity *bad[] = {
        identity_until(&w->ca, "URI:" RATINGS, now - 7200, now - 3600), /* expired */
        identity_until(&w->ca, "URI:" RATINGS, now + 3600, now + 7200), /* not yet valid */
        identity(&w->other, "URI:" RATINGS),                            /* of another authority */
        NULL,                                                           /* none */
    };
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(tls_context_set_identity(w->client, bad[i]), 0);
        start(w, NULL, NULL);
        char byte;
        assert_int_equal(conn_ready(w->ends[1].conn), -EPROTO);
        assert_int_equal(conn_recv(w->ends[0].conn, &byte, 1), -EPROTO);
        assert_null(tls_info(w->ends[1].conn));
        stop(w);
        tls_identity_unref(bad[i]);
    }
}

static void an_optional_client_certificate_may_be_missing_but_not_wrong(void **state)
{
    struct world *w = *state;
    contexts(w, "URI:" REVIEWS, NULL, TLS_CLIENT_OPTIONAL);
    start(w, NULL, NULL);
    assert_int_equal(conn_ready(w->ends[1].conn), 0);
    assert_true(view_empty(tls_info(w->ends[1].conn)->spiffe));
    assert_false(tls_info(w->ends[1].conn)->verified);
    stop(w);
    struct tls_identity *foreign = identity(&w->other, "URI:" RATINGS);
    assert_int_equal(tls_context_set_identity(w->client, foreign), 0);
    tls_identity_unref(foreign);
    start(w, NULL, NULL);
    assert_int_equal(conn_ready(w->ends[1].conn), -EPROTO);
    stop(w);
}

static void a_server_name_is_checked_against_dns_names_with_wildcards(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *sans, *name;
        bool good;
    } rows[] = {
        {"DNS:istiod.istio-system.svc", "istiod.istio-system.svc", true},
        {"DNS:istiod.istio-system.svc", "ISTIOD.istio-system.svc.", true},
        {"DNS:istiod.istio-system.svc", "istiod.istio-system.svc.cluster.local", false},
        {"DNS:*.example.org", "www.example.org", true},
        {"DNS:*.example.org", "a.www.example.org", false},
        {"DNS:*.example.org", "example.org", false},
        {"DNS:*.org", "example.org", false},
        {"DNS:w*.example.org", "www.example.org", false},
        {"IP:10.0.0.1", "10.0.0.1", true},
        {"IP:10.0.0.1", "10.0.0.2", false},
        {"URI:www.example.org", "www.example.org", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_san san = {TLS_SAN_DNS, view_of(rows[i].name)};
        contexts(w, rows[i].sans, NULL, TLS_CLIENT_NONE);
        start(w, &(struct tls_options){.sans = &san, .n_sans = 1, .sni = san.text}, NULL);
        if (conn_ready(w->ends[0].conn) != (rows[i].good ? 0 : -EPROTO))
            fail_msg("%s for %s", rows[i].sans, rows[i].name);
        stop(w);
        w->server = tls_context_free(w->server);
        w->client = tls_context_free(w->client);
    }
}

static void a_renewed_identity_serves_new_connections_and_drops_no_old_one(void **state)
{
    struct world *w = *state;
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    start(w, NULL, NULL);
    struct end old[2] = {w->ends[0], w->ends[1]};
    struct view old_hash = tls_info(w->ends[0].conn)->hash;
    struct tls_identity *renewed = identity(&w->ca, "URI:" REVIEWS);
    assert_int_equal(tls_context_set_identity(w->server, renewed), 0);
    tls_identity_unref(renewed);
    for (int i = 0; i < 2; i++)
        conn_own(old[i].conn, NULL, 0, 0);
    start(w, NULL, NULL);
    assert_int_equal(conn_ready(w->ends[0].conn), 0);
    assert_false(view_eq(old_hash, tls_info(w->ends[0].conn)->hash));
    assert_int_equal(conn_send_view(old[0].conn, VIEW("still here")), 10);
    turn(w, 20);
    char text[20];
    assert_int_equal(conn_recv(old[1].conn, text, sizeof(text)), 10);
    stop(w);
    for (int i = 0; i < 2; i++) {
        conn_close(old[i].conn);
        buf_done(&old[i].got);
    }
}

static void a_known_leaf_is_verified_once_until_the_trust_changes(void **state)
{
    struct world *w = *state;
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    for (int i = 0; i < 3; i++) {
        start(w, NULL, NULL);
        assert_int_equal(conn_ready(w->ends[1].conn), 0);
        stop(w);
    }
    assert_int_equal(w->server->misses, 1);
    assert_int_equal(w->server->hits, 2);
    assert_int_equal(tls_context_set_trust(w->server, w->other.trust), 0);
    start(w, NULL, NULL);
    assert_int_equal(conn_ready(w->ends[1].conn), -EPROTO);
    stop(w);
}

static void a_large_body_arrives_whole_and_in_order(void **state)
{
    struct world *w = *state;
    enum { BODY = 3 * 1000 * 1000 };
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    start(w, NULL, NULL);
    char *body = mem_alloc(BODY);
    for (size_t i = 0; i < BODY; i++)
        body[i] = (char)(i * 7 + i / 257);
    size_t sent = 0;
    while (sent < BODY) {
        struct iovec iov[3] = {{body + sent, 10}, {body + sent + 10, 5}, {NULL, 0}};
        size_t left = BODY - sent;
        iov[0].iov_len = left < 10 ? left : 10;
        iov[1].iov_len = left <= 10 ? 0 : left - 10 < 5 ? left - 10 : 5;
        iov[2].iov_base = body + sent + iov[0].iov_len + iov[1].iov_len;
        iov[2].iov_len = left - iov[0].iov_len - iov[1].iov_len;
        ssize_t n = conn_send(w->ends[0].conn, iov, 3);
        if (n == -EAGAIN) {
            uint64_t outs = w->ends[0].outs;
            for (int i = 0; i < 1000 && w->ends[0].outs == outs; i++)
                turn(w, 1);
            assert_true(w->ends[0].outs > outs); /* the edge that was promised */
            continue;
        }
        assert_true(n > 0);
        sent += (size_t)n;
    }
    conn_close(w->ends[0].conn); /* what was taken is still delivered */
    w->ends[0].conn = NULL;
    turn(w, 3000);
    assert_true(w->ends[1].ended);
    assert_int_equal(buf_len(&w->ends[1].got), BODY);
    assert_memory_equal(buf_read(&w->ends[1].got).p, body, BODY);
    mem_free(body);
    stop(w);
}

static void a_certificate_seen_before_is_not_decoded_again(void **state)
{
    struct world *w = *state;
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    start(w, NULL, NULL);
    stop(w);
    uint64_t before = tls_share_hits(w->loop->tls_share);
    start(w, NULL, NULL);
    assert_int_equal(conn_ready(w->ends[1].conn), 0);
#ifdef WEFT_SHARE_X509
    assert_int_equal(tls_share_hits(w->loop->tls_share) - before, 2); /* the one of each end */
#else
    assert_int_equal(tls_share_hits(w->loop->tls_share), before);
#endif
    stop(w);
}

static void records_in_the_steady_state_ask_the_heap_for_nothing(void **state)
{
    struct world *w = *state;
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    start(w, NULL, NULL);
    uint64_t before = 0, calls = 0;
    for (int i = 0; i < 110; i++) {
        if (i == 10) {
            before = tls_memory_heap_count();
            calls = loop_stats(w->loop)->system_calls;
        }
        assert_int_equal(conn_send_view(w->ends[0].conn, VIEW("ping")), 4);
        loop_turn(w->loop, true);
    }
    assert_int_equal(buf_len(&w->ends[1].got), 440);
    assert_int_equal(tls_memory_heap_count(), before);
    assert_int_equal(loop_stats(w->loop)->system_calls - calls, 100 * 3); /* send, epoll_wait, recv */
    stop(w);
}

static void bytes_that_are_no_tls_end_the_handshake(void **state)
{
    struct world *w = *state;
    struct conn *a, *b;
    contexts(w, "URI:" REVIEWS, "URI:" RATINGS, TLS_CLIENT_REQUIRED);
    assert_int_equal(conn_pair(w->loop, &a, &b), 0);
    conn_unread(b, VIEW("GET / HTTP/1.1\r\n\r\n")); /* as a sniffer gives them back */
    w->ends[1] = (struct end){0};
    task_init(&w->ends[1].task, w->loop, end_run, "end");
    assert_int_equal(tls_accept(w->server, b, NULL, &w->ends[1].conn), 0);
    conn_own(w->ends[1].conn, &w->ends[1].task, END_IN, END_OUT);
    turn(w, 10);
    assert_int_equal(conn_ready(w->ends[1].conn), -EPROTO);
    conn_close(a);
    conn_close(w->ends[1].conn);
    buf_done(&w->ends[1].got);
    task_done(&w->ends[1].task);
    turn(w, 10);
}

#define ON(setup, test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BOTH(test) ON(kernel_setup, test), ON(sim_setup, test)

int main(void)
{
    if (!tls_memory_init())
        return 1;
    const struct CMUnitTest tests[] = {
        BOTH(both_ends_know_each_other),
        BOTH(what_one_end_ends_the_other_still_answers),
        BOTH(a_peer_that_is_not_who_it_should_be_is_refused),
        ON(kernel_setup, the_error_text_names_the_identity_that_came_and_the_one_expected),
        BOTH(expired_foreign_and_missing_certificates_are_refused),
        BOTH(an_optional_client_certificate_may_be_missing_but_not_wrong),
        BOTH(a_server_name_is_checked_against_dns_names_with_wildcards),
        BOTH(a_renewed_identity_serves_new_connections_and_drops_no_old_one),
        BOTH(a_known_leaf_is_verified_once_until_the_trust_changes),
        BOTH(a_large_body_arrives_whole_and_in_order),
        ON(kernel_setup, a_certificate_seen_before_is_not_decoded_again),
        ON(kernel_setup, records_in_the_steady_state_ask_the_heap_for_nothing),
        BOTH(bytes_that_are_no_tls_end_the_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
