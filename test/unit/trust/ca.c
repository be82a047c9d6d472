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

static void the_identity_is_the_authenticated_one_whatever_was_asked_for(void **state)
{
    struct ca *ca = make_ca();
    struct buf key = {0}, chain = sign(ca, evil, reviews, 0, &key);
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
    assert_int_equal(ca_sign(ca, buf_read(&csr), &g, NOW, &chain, &why), -EINVAL);
    g.ttl = 24 * HOUR; /* longer than the root lives: cut */
    assert_int_equal(ca_sign(ca, buf_read(&csr), &g, NOW, &chain, &why), 0);
    leaf = read_cert(buf_read(&chain));
    ASN1_TIME_diff(&days, &seconds, now, X509_get0_notAfter(leaf));
    assert_int_equal(days * 86400 + seconds, 10 * 3600);
    X509_free(leaf);
    ASN1_TIME_free(now);
    assert_int_equal(ca_sign(ca, buf_read(&csr), &g, NOW + 11 * HOUR, &chain, &why), -EIO);
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
    assert_int_equal(ca_sign(ca, buf_read(&csr), &(struct ca_grant){0}, NOW, &chain, &why), -EINVAL);
    struct view injected = VIEW("spiffe://a/ns/b/sa/c,DNS:istiod.istio-system.svc");
    g.uris = &injected;
    assert_int_equal(ca_sign(ca, buf_read(&csr), &g, NOW, &chain, &why), -EINVAL);
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
    EVP_PKEY *keys[2] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-256")};
    X509 *certs[2];
    struct buf pem[2] = {0}, key_pem = {0}, full = {0};
    for (int i = 0; i < 2; i++) {
        X509 *x = certs[i] = X509_new();
        X509_set_version(x, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(x), i + 1);
        ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(NOW / NS_PER_S) - 100);
        ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(NOW / NS_PER_S) + 1000000);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                   (const unsigned char *)(i ? "intermediate" : "root"), -1, -1, 0);
        X509_set_issuer_name(x, X509_get_subject_name(certs[0]));
        X509_set_pubkey(x, keys[i]);
        X509V3_CTX ctx;
        X509V3_set_ctx(&ctx, certs[0], x, NULL, NULL, 0);
        X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
        X509_sign(x, keys[0], EVP_sha256());
        BIO *b = BIO_new(BIO_s_mem());
        PEM_write_bio_X509(b, x);
        char *text;
        long n = BIO_get_mem_data(b, &text);
        buf_view(&pem[i], view_make(text, (size_t)n));
        BIO_free(b);
    }
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, keys[1], NULL, NULL, 0, NULL, NULL);
    char *text;
    long n = BIO_get_mem_data(b, &text);
    buf_view(&key_pem, view_make(text, (size_t)n));
    BIO_free(b);
    buf_view(&full, buf_read(&pem[1]));
    buf_view(&full, buf_read(&pem[0]));
    struct ca *ca = NULL;
    const char *why = NULL;
    struct ca_options o = {.trust_domain = VIEW("cluster.local")};
    assert_int_equal(
        ca_from_pem(buf_read(&pem[1]), buf_read(&key_pem), buf_read(&pem[0]), buf_read(&full), &o, &ca, &why), 0);
    struct buf key = {0}, chain = sign(ca, reviews, reviews, 0, &key);
    struct view rest = buf_read(&chain), one, last = VIEW_NONE;
    int count = 0;
    while (ca_cut_pem(&rest, &one)) {
        last = one;
        count++;
    }
    assert_int_equal(count, 3);
    assert_true(view_eq(last, buf_read(&pem[0]))); /* root last */
    assert_true(chain_verifies(buf_read(&chain), buf_read(&pem[0]), NOW));
    struct buf server = {0}, server_key = {0};
    struct view dns[] = {VIEW("istiod.istio-system.svc"), VIEW("istiod.istio-system.svc.cluster.local")};
    assert_int_equal(ca_issue(ca, &(struct ca_grant){.dns = dns, .n_dns = 2}, NOW, &server, &server_key, &why), 0);
    assert_true(chain_verifies(buf_read(&server), buf_read(&pem[0]), NOW));
    /* A key of another certificate, and a certificate that is no CA, are refused. */
    struct ca *bad = NULL;
    assert_int_equal(ca_from_pem(buf_read(&pem[0]), buf_read(&key_pem), buf_read(&pem[0]), VIEW_NONE, &o, &bad, &why),
                     -EINVAL);
    assert_int_equal(
        ca_from_pem(buf_read(&server), buf_read(&server_key), buf_read(&pem[0]), VIEW_NONE, &o, &bad, &why), -EINVAL);
    for (int i = 0; i < 2; i++) {
        X509_free(certs[i]);
        EVP_PKEY_free(keys[i]);
        buf_done(&pem[i]);
    }
    struct buf *all[] = {&key_pem, &full, &key, &chain, &server, &server_key};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buf_done(all[i]);
    ca_unref(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_identity_is_the_authenticated_one_whatever_was_asked_for),
        cmocka_unit_test(lifetimes_are_bounded_by_policy_and_by_the_ca_itself),
        cmocka_unit_test(requests_that_are_malformed_or_not_their_keys_own_are_refused),
        cmocka_unit_test(a_saved_ca_is_the_same_when_loaded),
        cmocka_unit_test(an_intermediate_signs_and_its_chain_travels_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
