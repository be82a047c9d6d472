// SPDX-License-Identifier: Apache-2.0
/* The CA: what it signs, what it refuses, and that a chain it made is one that peers accept. */
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
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/tls.h"
#include "trust/ca.h"
#include "trust/csr.h"
#include "trust/roots.h"

#include "pki.h"

#define NOW (UINT64_C(1767225600) * NS_PER_S)
#define HOUR (3600 * NS_PER_S)
static const struct view reviews = {"spiffe://cluster.local/ns/default/sa/reviews", 44};
static const struct view evil = {"spiffe://cluster.local/ns/istio-system/sa/istiod", 48};

static struct ca *make_ca(void)
{
    struct ca *ca = NULL;
    const char *why = NULL;
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("cluster.local")}, NOW, &ca, &why), 0);
    return ca;
}

static X509 *read_cert(struct view pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    assert_non_null(x);
    return x;
}

/* Whether the leaf at the front of chain verifies against root with the rest of the chain, at a time. */
static bool chain_verifies(struct view chain, struct view root, uint64_t wall)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    struct view rest = chain, one;
    X509 *leaf = NULL, *root_cert = read_cert(root);
    X509_STORE_add_cert(store, root_cert);
    while (ca_cut_pem(&rest, &one)) {
        X509 *x = read_cert(one);
        if (leaf)
            sk_X509_push(others, x);
        else
            leaf = x;
    }
    X509_STORE_CTX_init(ctx, store, leaf, others);
    X509_STORE_CTX_set_default(ctx, "ssl_client");
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)(wall / NS_PER_S));
    bool good = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(leaf);
    X509_free(root_cert);
    sk_X509_pop_free(others, X509_free);
    return good;
}

static struct buf sign(const struct ca *ca, struct view asked, struct view granted, uint64_t ttl, struct buf *key)
{
    struct buf csr = {0}, chain = {0};
    const char *why = NULL;
    assert_int_equal(csr_new(asked, key, &csr), 0);
    assert_int_equal(
        ca_sign(ca, buf_read(&csr), &(struct ca_grant){.uris = &granted, .n_uris = 1, .ttl = ttl}, NOW, &chain, &why),
        0);
    buf_done(&csr);
    return chain;
}

static void the_identity_is_the_authenticated_one_and_asking_for_another_is_refused(void **state)
{
    struct ca *ca = make_ca();
    struct buf key = {0}, chain = {0}, csr = {0};
    const char *refusal = NULL;
    assert_int_equal(csr_new(evil, &key, &csr), 0);
    assert_int_equal(
        ca_sign(ca, buf_read(&csr), &(struct ca_grant){.uris = &reviews, .n_uris = 1}, NOW, &chain, &refusal), -EPERM);
    assert_string_equal(refusal, "the signing request names another identity than the caller's");
    assert_int_equal(buf_len(&chain), 0);
    buf_done(&key);
    buf_done(&csr);
    chain = sign(ca, reviews, reviews, 0, &key);
    struct tls_identity *id = NULL;
    const char *why = NULL;
    assert_int_equal(tls_identity_new(buf_read(&chain), buf_read(&key), &id, &why), 0);
    assert_true(view_eq(tls_identity_spiffe(id), reviews));
    assert_int_equal(tls_identity_not_after(id), NOW + 24 * HOUR);
    assert_true(tls_identity_not_before(id) < NOW); /* for clocks that are behind */
    assert_true(chain_verifies(buf_read(&chain), ca_root_pem(ca), NOW));
    assert_false(chain_verifies(buf_read(&chain), ca_root_pem(ca), NOW + 25 * HOUR));
    X509 *leaf = read_cert(buf_read(&chain));
    assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
    assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER | XKU_SSL_CLIENT);
    assert_int_equal(X509_check_ca(leaf), 0);
    assert_int_equal(X509_get_ext_count(leaf), 5);
    int critical;
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    assert_int_equal(critical, 1);
    assert_int_equal(sk_GENERAL_NAME_num(names), 1);
    GENERAL_NAMES_free(names);
    X509_free(leaf);
    tls_identity_unref(id);
    buf_done(&key);
    buf_done(&chain);
    ca_unref(ca);
}

static void lifetimes_are_bounded_by_policy_and_by_the_ca_itself(void **state)
{
    struct ca *ca = NULL;
    const char *why = NULL;
    struct ca_options o = {.trust_domain = VIEW("cluster.local"), .root_ttl = 10 * HOUR};
    assert_int_equal(ca_new(&o, NOW, &ca, &why), 0);
    struct buf key = {0}, csr = {0}, chain = {0}, short_lived = sign(ca, reviews, reviews, HOUR, &key);
    X509 *leaf = read_cert(buf_read(&short_lived));
    int days, seconds;
    ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t)(NOW / NS_PER_S));
    ASN1_TIME_diff(&days, &seconds, now, X509_get0_notAfter(leaf));
    assert_int_equal(days * 86400 + seconds, 3600);
    X509_free(leaf);
    buf_done(&key);
    assert_int_equal(csr_new(reviews, &key, &csr), 0);
    struct ca_grant g = {.uris = &reviews, .n_uris = 1, .ttl = 91 * 24 * HOUR};
    assert_int_equal(ca_sign(ca, buf_read(&csr), &g, NOW, &chain, &why), -ERANGE);
    g.ttl = 24 * HOUR; /* longer than the root lives: cut */
    assert_int_equal(ca_sign(ca, buf_read(&csr), &g, NOW, &chain, &why), 0);
    leaf = read_cert(buf_read(&chain));
    ASN1_TIME_diff(&days, &seconds, now, X509_get0_notAfter(leaf));
    assert_int_equal(days * 86400 + seconds, 10 * 3600);
    X509_free(leaf);
    ASN1_TIME_free(now);
    assert_int_equal(ca_sign(ca, buf_read(&csr), &g, NOW + 11 * HOUR, &chain, &why), -ESTALE);
    buf_done(&key);
    buf_done(&csr);
    buf_done(&chain);
    buf_done(&short_lived);
    ca_unref(ca);
}

static void requests_that_are_malformed_or_not_their_keys_own_are_refused(void **state)
{
    struct ca *ca = make_ca();
    struct buf key = {0}, csr = {0}, chain = {0};
    const char *why = NULL;
    struct ca_grant g = {.uris = &reviews, .n_uris = 1};
    assert_int_equal(csr_new(reviews, &key, &csr), 0);
    /* The signature's last bytes: decode, change, encode. */
    BIO *b = BIO_new_mem_buf(buf_read(&csr).p, (int)buf_len(&csr));
    X509_REQ *req = PEM_read_bio_X509_REQ(b, NULL, NULL, NULL);
    BIO_free(b);
    const ASN1_BIT_STRING *sig;
    X509_REQ_get0_signature(req, &sig, NULL);
    sig->data[sig->length - 1] ^= 1;
    b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(b, req);
    char *text;
    long n = BIO_get_mem_data(b, &text);
    assert_int_equal(ca_sign(ca, view_make(text, (size_t)n), &g, NOW, &chain, &why), -EINVAL);
    assert_string_equal(why, "the signature of the signing request does not verify");
    BIO_free(b);
    X509_REQ_free(req);
    assert_int_equal(ca_sign(ca, VIEW("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"), &g, NOW, &chain, &why), -EINVAL);
    assert_int_equal(ca_sign(ca, VIEW_NONE, &g, NOW, &chain, &why), -EINVAL);
    assert_int_equal(ca_sign(ca, buf_read(&csr), &(struct ca_grant){0}, NOW, &chain, &why), -EPERM);
    struct view injected = VIEW("spiffe://a/ns/b/sa/c,DNS:istiod.istio-system.svc");
    g.uris = &injected;
    buf_done(&key);
    assert_int_equal(ca_issue(ca, &g, NOW, &chain, &key, &why), -EINVAL);
    assert_int_equal(buf_len(&chain), 0);
    buf_done(&key);
    buf_done(&csr);
    buf_done(&chain);
    ca_unref(ca);
}

static void a_saved_ca_is_the_same_when_loaded(void **state)
{
    char folder[] = "/tmp/weft-test-ca-XXXXXX", path[100];
    const char *why = NULL;
    struct ca_options o = {.trust_domain = VIEW("cluster.local")};
    struct ca *ca = make_ca(), *again = NULL;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(ca_load(folder, &o, &again, &why), -ENOENT);
    assert_int_equal(ca_save(ca, folder), 0);
    assert_int_equal(ca_load(folder, &o, &again, &why), 0);
    assert_true(view_eq(ca_root_pem(ca), ca_root_pem(again)));
    struct buf key = {0}, chain = sign(again, reviews, reviews, 0, &key);
    assert_true(chain_verifies(buf_read(&chain), ca_root_pem(ca), NOW));
    ca_unref(again);
    snprintf(path, sizeof(path), "%s/ca-key.pem", folder);
    unlink(path);
    assert_int_equal(ca_load(folder, &o, &again, &why), -EINVAL); /* half a CA is an error, not none */
    static const char *const files[] = {"ca-cert.pem", "root-cert.pem", "cert-chain.pem"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    buf_done(&key);
    buf_done(&chain);
    ca_unref(ca);
}

/* root → intermediate → leaf, as an operator plugs it in. */
static void an_intermediate_signs_and_its_chain_travels_along(void **state)
{
    struct pki root, mid;
    struct buf full = {0}, key = {0}, server = {0}, server_key = {0};
    struct ca *ca = NULL;
    const char *why = NULL;
    struct ca_options o = {.trust_domain = VIEW("cluster.local")};
    pki_make(&root, NULL, "root", NOW - HOUR, NOW + 240 * HOUR, true);
    pki_make(&mid, &root, "intermediate", NOW - HOUR, NOW + 240 * HOUR, true);
    buf_view(&full, buf_read(&mid.cert));
    buf_view(&full, buf_read(&root.cert));
    assert_int_equal(
        ca_from_pem(buf_read(&mid.cert), buf_read(&mid.key), buf_read(&root.cert), buf_read(&full), &o, &ca, &why), 0);
    assert_false(ca_is_root(ca));
    struct buf chain = sign(ca, reviews, reviews, 0, &key);
    struct view rest = buf_read(&chain), one, last = VIEW_NONE;
    int count = 0;
    while (ca_cut_pem(&rest, &one)) {
        last = one;
        count++;
    }
    assert_int_equal(count, 3);
    assert_true(view_eq(last, buf_read(&root.cert))); /* root last */
    assert_true(chain_verifies(buf_read(&chain), buf_read(&root.cert), NOW));
    struct view dns[] = {VIEW("istiod.istio-system.svc"), VIEW("istiod.istio-system.svc.cluster.local")};
    assert_int_equal(ca_issue(ca, &(struct ca_grant){.dns = dns, .n_dns = 2}, NOW, &server, &server_key, &why), 0);
    assert_true(chain_verifies(buf_read(&server), buf_read(&root.cert), NOW));
    pki_done(&root);
    pki_done(&mid);
    struct buf *all[] = {&full, &key, &chain, &server, &server_key};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buf_done(all[i]);
    ca_unref(ca);
}

/* Secret of type kubernetes.io/tls, as cert-manager writes it: tls.crt is the chain, ca.crt the root. */
static void a_ca_is_read_in_the_form_of_a_tls_secret_too(void **state)
{
    struct pki root, mid, low;
    struct ca *ca = NULL;
    const char *why = NULL;
    char folder[] = "/tmp/weft-test-tls-XXXXXX", path[100];
    struct buf chain = {0}, key = {0};
    pki_make(&root, NULL, "root", NOW - HOUR, NOW + 240 * HOUR, true);
    pki_make(&mid, &root, "intermediate", NOW - HOUR, NOW + 240 * HOUR, true);
    pki_make(&low, &mid, "lower", NOW - HOUR, NOW + 240 * HOUR, true);
    buf_view(&chain, buf_read(&low.cert));
    buf_view(&chain, buf_read(&mid.cert));
    const struct {
        const char *name;
        const struct buf *text;
    } files[] = {{"tls.crt", &chain}, {"tls.key", &low.key}, {"ca.crt", &root.cert}};
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i].name);
        FILE *f = fopen(path, "w");
        struct view v = buf_read(files[i].text);
        assert_true(f && fwrite(v.p, 1, v.n, f) == v.n && fclose(f) == 0);
    }
    assert_int_equal(ca_load(folder, &(struct ca_options){.trust_domain = VIEW("cluster.local")}, &ca, &why), 0);
    assert_true(view_eq(ca_cert_pem(ca), buf_read(&low.cert)));
    struct buf leaf = sign(ca, reviews, reviews, 0, &key);
    assert_true(chain_verifies(buf_read(&leaf), buf_read(&root.cert), NOW));
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i].name);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    struct buf *all[] = {&chain, &key, &leaf};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buf_done(all[i]);
    pki_done(&root);
    pki_done(&mid);
    pki_done(&low);
    ca_unref(ca);
}

/* What operators get wrong when they plug in a CA, each with the sentence that they read. */
static void a_ca_that_peers_would_not_accept_is_refused_with_its_reason(void **state)
{
    struct pki root, other, mid, leaf, low;
    struct buf both = {0}, none = {0};
    pki_make(&root, NULL, "root", NOW - HOUR, NOW + 240 * HOUR, true);
    pki_make(&other, NULL, "other", NOW - HOUR, NOW + 240 * HOUR, true);
    pki_make(&mid, &root, "intermediate", NOW - HOUR, NOW + 240 * HOUR, true);
    pki_make(&low, &mid, "lower", NOW - HOUR, NOW + 240 * HOUR, true);
    pki_make(&leaf, &root, "leaf", NOW - HOUR, NOW + 240 * HOUR, false);
    buf_str(&both, "# two roots, with a comment\n");
    buf_view(&both, buf_read(&other.cert));
    buf_view(&both, buf_read(&root.cert));
    const struct {
        const struct buf *cert, *key, *root, *chain;
        const char *why; /* NULL: accepted */
    } rows[] = {
        {&mid.cert, &mid.key, &root.cert, &mid.cert, NULL},
        {&mid.cert, &mid.key, &both, &none, NULL},          /* either of the roots, and no chain at all */
        {&low.cert, &low.key, &root.cert, &mid.cert, NULL}, /* the chain leaves the signing certificate out */
        {&root.cert, &root.key, &root.cert, &none, NULL},
        {&low.cert, &low.key, &root.cert, &low.cert, "does not lead to any of the root"},
        {&mid.cert, &mid.key, &other.cert, &both, "does not lead to any of the root"},
        {&mid.cert, &root.key, &root.cert, &mid.cert, "does not belong to"},
        {&leaf.cert, &leaf.key, &root.cert, &none, "must not sign certificates"},
        {&mid.cert, &mid.key, &none, &none, "the root certificates are no PEM"},
        {&mid.cert, &mid.cert, &root.cert, &none, "no PEM key"},
        {&mid.key, &mid.key, &root.cert, &none, "no PEM certificate"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ca *ca = NULL;
        const char *why = NULL;
        int r =
            ca_from_pem(buf_read(rows[i].cert), buf_read(rows[i].key), buf_read(rows[i].root), buf_read(rows[i].chain),
                        &(struct ca_options){.trust_domain = VIEW("cluster.local")}, &ca, &why);
        if (r != (rows[i].why ? -EINVAL : 0) || (rows[i].why && !strstr(why, rows[i].why)))
            fail_msg("row %zu: %d %s", i, r, why ? why : "");
        if (ca) {
            struct buf key = {0}, chain = sign(ca, reviews, reviews, 0, &key);
            assert_true(chain_verifies(buf_read(&chain), buf_read(&root.cert), NOW));
            buf_done(&key);
            buf_done(&chain);
        }
        ca_unref(ca);
    }
    struct pki *all[] = {&root, &other, &mid, &low, &leaf};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        pki_done(all[i]);
    buf_done(&both);
}

static void the_dates_of_the_whole_chain_count(void **state)
{
    struct pki root, mid;
    struct ca *ca = NULL;
    const char *why = "";
    struct buf key = {0};
    pki_make(&root, NULL, "root", NOW - HOUR, NOW + 2 * HOUR, true);
    pki_make(&mid, &root, "intermediate", NOW, NOW + 240 * HOUR, true);
    assert_int_equal(ca_from_pem(buf_read(&mid.cert), buf_read(&mid.key), buf_read(&root.cert), VIEW_NONE,
                                 &(struct ca_options){.trust_domain = VIEW("cluster.local")}, &ca, &why),
                     0);
    assert_int_equal(ca_check(ca, NOW - 60 * NS_PER_S, &why), -EINVAL);
    assert_non_null(strstr(why, "not valid yet"));
    assert_int_equal(ca_check(ca, NOW, &why), 0);
    assert_int_equal(ca_check(ca, NOW + 3 * HOUR, &why), -EINVAL); /* the intermediate lives on, its root does not */
    assert_non_null(strstr(why, "expired"));
    assert_int_equal(ca_root_not_after(ca), NOW + 2 * HOUR);
    struct buf chain = sign(ca, reviews, reviews, 0, &key);
    struct tls_identity *id = NULL;
    assert_int_equal(tls_identity_new(buf_read(&chain), buf_read(&key), &id, &why), 0);
    assert_int_equal(tls_identity_not_after(id), NOW + 2 * HOUR); /* not longer than the root */
    tls_identity_unref(id);
    buf_done(&key);
    buf_done(&chain);
    ca_unref(ca);
    pki_done(&mid);
    pki_done(&root);
}

static void a_renewed_root_and_the_one_before_verify_each_others_certificates(void **state)
{
    struct ca *old = make_ca(), *young = NULL, *mid_ca = NULL, *none = NULL;
    const char *why = NULL;
    struct ca_options o = {.trust_domain = VIEW("cluster.local")};
    struct pki root, mid;
    struct buf keys[2] = {0};
    assert_int_equal(ca_renew(old, &o, NOW + HOUR, &young, &why), 0);
    assert_false(ca_same_signer(old, young));
    assert_false(view_eq(ca_root_pem(old), ca_root_pem(young)));
    assert_true(ca_root_not_after(young) > ca_root_not_after(old));
    assert_true(ca_reaches(old, ca_root_pem(young)) && ca_reaches(young, ca_root_pem(old)));
    struct buf before = sign(old, reviews, reviews, 0, &keys[0]), after = sign(young, reviews, reviews, 0, &keys[1]);
    assert_true(chain_verifies(buf_read(&before), ca_root_pem(young), NOW + 12 * HOUR));
    assert_true(chain_verifies(buf_read(&after), ca_root_pem(old), NOW + HOUR));
    pki_make(&root, NULL, "root", NOW, NOW + HOUR, true);
    pki_make(&mid, &root, "mid", NOW, NOW + HOUR, true);
    assert_int_equal(
        ca_from_pem(buf_read(&mid.cert), buf_read(&mid.key), buf_read(&root.cert), VIEW_NONE, &o, &mid_ca, &why), 0);
    assert_int_equal(ca_renew(mid_ca, &o, NOW, &none, &why), -EINVAL);
    assert_false(ca_reaches(mid_ca, ca_root_pem(old)));
    struct buf *all[] = {&keys[0], &keys[1], &before, &after};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buf_done(all[i]);
    pki_done(&root);
    pki_done(&mid);
    ca_unref(mid_ca);
    ca_unref(old);
    ca_unref(young);
}

static void bundles_are_read_joined_and_compared_as_sets(void **state)
{
    struct pki a, b;
    struct buf text = {0}, one = {0}, two = {0};
    const char *why = NULL;
    pki_make(&a, NULL, "a", NOW, NOW + HOUR, true);
    pki_make(&b, NULL, "b", NOW, NOW + 2 * HOUR, true);
    buf_str(&text, "subject=a\r\n");
    buf_view(&text, buf_read(&a.cert));
    buf_str(&text, "\n\n");
    buf_view(&text, buf_read(&a.cert));
    assert_int_equal(roots_read(buf_read(&text), &one, &why), 0);
    assert_true(view_eq(buf_read(&one), buf_read(&a.cert))); /* once, without the rest */
    assert_int_equal(roots_read(buf_read(&b.cert), &two, &why), 0);
    assert_false(roots_share(buf_read(&one), buf_read(&two)));
    roots_add(&one, buf_read(&two));
    roots_add(&one, buf_read(&two));
    assert_int_equal(roots_count(buf_read(&one)), 2);
    assert_true(roots_share(buf_read(&one), buf_read(&two)));
    assert_true(roots_contain(buf_read(&one), buf_read(&two)));
    assert_false(roots_contain(buf_read(&two), buf_read(&one)));
    assert_int_equal(roots_end(buf_read(&one)), NOW + HOUR);
    size_t before = buf_len(&one);
    assert_int_equal(roots_read(VIEW("nothing"), &one, &why), -EINVAL);
    buf_str(&text, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_int_equal(roots_read(buf_read(&text), &one, &why), -EINVAL);
    assert_int_equal(buf_len(&one), before);
    buf_done(&text);
    buf_done(&one);
    buf_done(&two);
    pki_done(&a);
    pki_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_identity_is_the_authenticated_one_and_asking_for_another_is_refused),
        cmocka_unit_test(lifetimes_are_bounded_by_policy_and_by_the_ca_itself),
        cmocka_unit_test(requests_that_are_malformed_or_not_their_keys_own_are_refused),
        cmocka_unit_test(a_saved_ca_is_the_same_when_loaded),
        cmocka_unit_test(an_intermediate_signs_and_its_chain_travels_along),
        cmocka_unit_test(a_ca_is_read_in_the_form_of_a_tls_secret_too),
        cmocka_unit_test(a_ca_that_peers_would_not_accept_is_refused_with_its_reason),
        cmocka_unit_test(the_dates_of_the_whole_chain_count),
        cmocka_unit_test(a_renewed_root_and_the_one_before_verify_each_others_certificates),
        cmocka_unit_test(bundles_are_read_joined_and_compared_as_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
