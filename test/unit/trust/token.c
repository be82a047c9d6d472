// SPDX-License-Identifier: Apache-2.0
/* Service-account tokens: what is signed verifies, whatever is touched does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/clock.h"
#include "trust/token.h"
#include "wire/base64.h"

#define NOW (UINT64_C(1767225600) * NS_PER_S)

static struct token example(void)
{
    return (struct token){
        .issuer = VIEW("https://kubernetes.default.svc"),
        .audience = VIEW("istio-ca"),
        .ns = VIEW("default"),
        .sa = VIEW("bookinfo-reviews"),
        .sa_uid = VIEW("0b1"),
        .pod = VIEW("reviews-v1-abc"),
        .pod_uid = VIEW("77"),
        .issued = NOW,
        .expires = NOW + 3600 * NS_PER_S,
    };
}

static struct token_keys *public_half(const struct token_key *key)
{
    struct buf jwks = {0};
    struct token_keys *keys = NULL;
    const char *why = NULL;
    token_key_jwks(key, &jwks);
    assert_int_equal(token_keys_from_jwks(buf_read(&jwks), &keys, &why), 0);
    buf_done(&jwks);
    return keys;
}

static struct token_key *rsa_key(void)
{
    EVP_PKEY *k = EVP_RSA_gen(2048);
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    struct token_key *key = NULL;
    PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL);
    long n = BIO_get_mem_data(b, &text);
    assert_int_equal(token_key_from_pem(view_make(text, (size_t)n), &key), 0);
    BIO_free(b);
    EVP_PKEY_free(k);
    return key;
}

static void round_trip(struct token_key *key)
{
    struct token_keys *keys = public_half(key);
    struct token t = example(), got;
    struct buf text = {0};
    struct arena a;
    const char *why = "";
    arena_init(&a, 0);
    assert_int_equal(token_sign(key, &t, &text), 0);
    struct token_rules rules = {.audience = VIEW("istio-ca"), .issuer = t.issuer, .wall_ns = NOW + NS_PER_S};
    assert_int_equal(token_verify(keys, buf_read(&text), &rules, &a, &got, &why), 0);
    assert_true(view_is(got.ns, "default"));
    assert_true(view_is(got.sa, "bookinfo-reviews"));
    assert_true(view_is(got.pod, "reviews-v1-abc"));
    assert_true(view_is(got.subject, "system:serviceaccount:default:bookinfo-reviews"));
    assert_int_equal(got.expires, t.expires);
    /* Each byte that is changed spoils it. */
    for (size_t i = 0; i < buf_len(&text); i += 7) {
        char *at = text.data + text.at + i, was = *at;
        *at = was == 'A' ? 'B' : 'A';
        assert_true(token_verify(keys, buf_read(&text), &rules, &a, &got, &why) < 0);
        *at = was;
    }
    arena_done(&a);
    buf_done(&text);
    token_keys_unref(keys);
    token_key_free(key);
}

static void what_was_signed_verifies_and_what_was_touched_does_not(void **state)
{
    struct token_key *ec = NULL;
    assert_int_equal(token_key_new(&ec), 0);
    round_trip(ec);
    round_trip(rsa_key());
}

static void time_audience_issuer_and_key_must_fit(void **state)
{
    struct token_key *key = NULL, *other = NULL;
    assert_int_equal(token_key_new(&key), 0);
    assert_int_equal(token_key_new(&other), 0);
    struct token_keys *keys = public_half(key), *other_keys = public_half(other);
    struct token t = example(), got;
    struct buf text = {0};
    struct arena a;
    const char *why = NULL;
    arena_init(&a, 0);
    assert_int_equal(token_sign(key, &t, &text), 0);
    struct {
        struct token_keys *keys;
        struct token_rules rules;
        int result;
    } rows[] = {
        {keys, {.wall_ns = NOW}, 0},
        {keys, {.wall_ns = t.expires}, -ETIME},
        {keys, {.wall_ns = t.expires, .leeway = NS_PER_S}, 0},
        {keys, {.wall_ns = NOW - NS_PER_S}, -ETIME},
        {keys, {.wall_ns = NOW, .audience = VIEW("istiod")}, -EACCES},
        {keys, {.wall_ns = NOW, .issuer = VIEW("someone else")}, -EACCES},
        {other_keys, {.wall_ns = NOW}, -EACCES},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(token_verify(rows[i].keys, buf_read(&text), &rows[i].rules, &a, &got, &why), rows[i].result);
    arena_done(&a);
    buf_done(&text);
    token_keys_unref(keys);
    token_keys_unref(other_keys);
    token_key_free(key);
    token_key_free(other);
}

static void tokens_without_signature_and_other_rubbish_are_refused(void **state)
{
    struct token_key *key = NULL;
    assert_int_equal(token_key_new(&key), 0);
    struct token_keys *keys = public_half(key);
    struct buf none = {0};
    base64_write(&none, BASE64_URL, VIEW("{\"alg\":\"none\"}"));
    buf_char(&none, '.');
    base64_write(&none, BASE64_URL, VIEW("{\"exp\":9999999999,\"aud\":\"istio-ca\"}"));
    buf_char(&none, '.');
    const char *rows[] = {buf_cstr(&none), "", ".", "..", "a.b.c", "e30.e30.", "e30.e30.e30", "no dots at all"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct token got;
        struct arena a;
        const char *why = NULL;
        arena_init(&a, 0);
        struct token_rules rules = {.wall_ns = NOW};
        assert_true(token_verify(keys, view_of(rows[i]), &rules, &a, &got, &why) < 0);
        assert_non_null(why);
        arena_done(&a);
    }
    buf_done(&none);
    token_keys_unref(keys);
    token_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_signed_verifies_and_what_was_touched_does_not),
        cmocka_unit_test(time_audience_issuer_and_key_must_fit),
        cmocka_unit_test(tokens_without_signature_and_other_rubbish_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
