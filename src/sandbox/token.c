// SPDX-License-Identifier: Apache-2.0
/* Signing and reviewing service-account tokens, and making a root CA, with OpenSSL (token.h). */
#include "sandbox/token.h"

#include <errno.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/limits.h"
#include "wire/node.h"

struct token_key {
    EVP_PKEY *key;
    char id[17];
};

enum { P256_BYTES = 32 };

struct token_key *token_key_new(void)
{
    struct token_key *k = mem_alloc(sizeof(*k));
    k->key = EVP_EC_gen("P-256");
    unsigned char random[8];
    if (!k->key || RAND_bytes(random, sizeof(random)) != 1)
        return token_key_free(k);
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(k->id + 2 * i, 3, "%02x", random[i]);
    return k;
}

struct token_key *token_key_free(struct token_key *k)
{
    if (!k)
        return NULL;
    EVP_PKEY_free(k->key);
    mem_free(k);
    return NULL;
}

/* ---- base64url without padding, RFC 7515. */

static struct view encode(struct arena *a, struct view bytes)
{
    char *out = arena_alloc(a, bytes.n * 4 / 3 + 8);
    int n = EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)bytes.p, (int)bytes.n);
    while (n > 0 && out[n - 1] == '=')
        n--;
    for (int i = 0; i < n; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    return view_make(out, (size_t)n);
}

static int decode(struct arena *a, struct view text, struct view *ret)
{
    size_t padded = (text.n + 3) / 4 * 4;
    char *in = arena_alloc(a, padded + 1);
    for (size_t i = 0; i < padded; i++) {
        char c = i < text.n ? text.p[i] : '=';
        if (i < text.n && (c == '+' || c == '/' || c == '='))
            return -EINVAL;
        in[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    unsigned char *out = arena_alloc(a, padded);
    int n = EVP_DecodeBlock(out, (const unsigned char *)in, (int)padded);
    if (n < 0 || text.n % 4 == 1)
        return -EINVAL;
    *ret = view_make(out, (size_t)n - (padded - text.n));
    return 0;
}

/* ---- ES256: a signature is r and s, 32 bytes each. */

static int sign(struct token_key *k, struct view text, unsigned char raw[2 * P256_BYTES])
{
    unsigned char der[128];
    size_t n = sizeof(der);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, k->key) == 1 &&
                EVP_DigestSign(md, der, &n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(md);
    const unsigned char *at = der;
    ECDSA_SIG *sig = good ? d2i_ECDSA_SIG(NULL, &at, (long)n) : NULL;
    good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, P256_BYTES) == P256_BYTES &&
           BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + P256_BYTES, P256_BYTES) == P256_BYTES;
    ECDSA_SIG_free(sig);
    return good ? 0 : -EIO;
}

static bool verify(struct token_key *k, struct view text, struct view raw)
{
    if (raw.n != 2 * P256_BYTES)
        return false;
    const unsigned char *bytes = (const unsigned char *)raw.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, P256_BYTES, NULL), *s = BN_bin2bn(bytes + P256_BYTES, P256_BYTES, NULL);
    unsigned char *der = NULL;
    int n = -1;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL;
        n = i2d_ECDSA_SIG(sig, &der);
    }
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = n > 0 && md && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, k->key) == 1 &&
                EVP_DigestVerify(md, der, (size_t)n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(md);
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return good;
}

/* ---- Tokens. */

static void named(struct arena *a, struct node *in, const char *what, struct view name, struct view uid)
{
    if (!name.n)
        return;
    struct node *n = node_make(a, in, what, NODE_MAP);
    node_set_str(a, n, "name", name);
    node_set_str(a, n, "uid", uid);
}

static struct view payload(struct arena *a, const struct token_claims *c, struct buf *out)
{
    struct node *n = node_new(a, NODE_MAP);
    node_push(a, node_make(a, n, "aud", NODE_SEQ), node_str(a, c->audience.n ? c->audience : VIEW(TOKEN_ISSUER)));
    node_set_int(a, n, "exp", (int64_t)c->expires_s);
    node_set_int(a, n, "iat", (int64_t)c->issued_s);
    node_set_int(a, n, "nbf", (int64_t)c->issued_s);
    node_set_str(a, n, "iss", VIEW(TOKEN_ISSUER));
    struct node *k = node_make(a, n, "kubernetes.io", NODE_MAP);
    node_set_str(a, k, "namespace", c->ns);
    named(a, k, "pod", c->pod, c->pod_uid);
    named(a, k, "serviceaccount", c->service_account, c->service_account_uid);
    node_set_str(a, n, "sub",
                 arena_printf(a, "system:serviceaccount:%.*s:%.*s", VIEW_ARGS(c->ns), VIEW_ARGS(c->service_account)));
    node_print_json(n, out);
    return buf_read(out);
}

int token_sign(struct token_key *k, const struct token_claims *claims, struct arena *a, struct view *ret_jwt)
{
    struct buf json = {0}, jwt = {0};
    struct view head = arena_printf(a, "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", k->id);
    buf_view(&jwt, encode(a, head));
    buf_char(&jwt, '.');
    buf_view(&jwt, encode(a, payload(a, claims, &json)));
    unsigned char raw[2 * P256_BYTES];
    int err = sign(k, buf_read(&jwt), raw);
    if (!err) {
        buf_char(&jwt, '.');
        buf_view(&jwt, encode(a, view_make(raw, sizeof(raw))));
        *ret_jwt = arena_view(a, buf_read(&jwt));
    }
    buf_done(&json);
    buf_done(&jwt);
    return err;
}

static bool has_audience(const struct node *claims, struct view audience)
{
    const struct node *aud = node_get(claims, VIEW("aud"));
    if (!node_is(aud, NODE_SEQ))
        return view_eq(node_text(aud), audience);
    for (uint32_t i = 0; i < aud->n; i++)
        if (view_eq(node_text(aud->items[i]), audience))
            return true;
    return false;
}

static uint64_t seconds(const struct node *claims, const char *name)
{
    int64_t v;
    const struct node *n = node_get(claims, view_of(name));
    return n && node_i64(n, &v) == 0 && v > 0 ? (uint64_t)v : 0;
}

static const char *check(struct token_key *k, struct view jwt, struct arena *a, struct node **ret_claims)
{
    struct view rest = jwt, head, body, signature, bytes;
    if (jwt.n > LIMIT_JWT_BYTES || !view_cut(&rest, '.', &head) || !view_cut(&rest, '.', &body) || !rest.n ||
        view_find(rest, '.') != rest.n)
        return "not a JWT";
    if (decode(a, rest, &signature) || !verify(k, view_make(jwt.p, head.n + 1 + body.n), signature))
        return "the signature is not this cluster's";
    struct node *header;
    if (decode(a, head, &bytes) || node_parse(a, bytes, &header, NULL) ||
        !view_is(node_text_at(header, "alg"), "ES256"))
        return "the algorithm is not ES256";
    if (decode(a, body, &bytes) || node_parse(a, bytes, ret_claims, NULL) || !node_is(*ret_claims, NODE_MAP))
        return "the claims cannot be read";
    return NULL;
}

int token_review(struct token_key *k, struct view jwt, struct view audience, uint64_t now_s, struct arena *a,
                 struct token_claims *ret_claims, const char **ret_why)
{
    struct node *n = NULL;
    const char *why = check(k, jwt, a, &n);
    if (!why && !view_is(node_text_at(n, "iss"), TOKEN_ISSUER))
        why = "the issuer is another";
    if (!why && (seconds(n, "exp") <= now_s || seconds(n, "nbf") > now_s + 60))
        why = "the token has expired, or is not valid yet";
    if (!why && !has_audience(n, audience.n ? audience : VIEW(TOKEN_ISSUER)))
        why = "the token is meant for another audience";
    if (why) {
        *ret_why = why;
        return -EACCES;
    }
    const struct node *kube = node_get(n, VIEW("kubernetes.io")); /* a key with a dot: no path */
    *ret_claims = (struct token_claims){
        .ns = node_text_at(kube, "namespace"),
        .service_account = node_text_at(kube, "serviceaccount.name"),
        .service_account_uid = node_text_at(kube, "serviceaccount.uid"),
        .pod = node_text_at(kube, "pod.name"),
        .pod_uid = node_text_at(kube, "pod.uid"),
        .audience = audience,
        .issued_s = seconds(n, "iat"),
        .expires_s = seconds(n, "exp"),
    };
    return 0;
}

/* ---- The root CA. */

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = e && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

static X509 *self_signed(EVP_PKEY *key)
{
    enum { TEN_YEARS = 3650 };
    X509 *cert = X509_new();
    unsigned char serial[16];
    if (!cert || RAND_bytes(serial, sizeof(serial)) != 1)
        goto failed;
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    X509_NAME *name = X509_get_subject_name(cert);
    if (good && X509_set_version(cert, 2) && X509_gmtime_adj(X509_getm_notBefore(cert), -120) &&
        X509_time_adj_ex(X509_getm_notAfter(cert), TEN_YEARS, 0, NULL) &&
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"cluster.local", -1, -1, 0) &&
        X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
        add_extension(cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(cert, NID_subject_key_identifier, "hash") && X509_sign(cert, key, EVP_sha256()))
        return cert;
failed:
    X509_free(cert);
    return NULL;
}

static struct view take(struct arena *a, BIO *bio)
{
    char *bytes = NULL;
    long n = BIO_get_mem_data(bio, &bytes);
    return n > 0 ? arena_view(a, view_make(bytes, (size_t)n)) : VIEW_NONE;
}

int token_root_ca(struct arena *a, struct view *ret_cert, struct view *ret_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? self_signed(key) : NULL;
    BIO *cert_out = BIO_new(BIO_s_mem()), *key_out = BIO_new(BIO_s_mem());
    bool good = cert && cert_out && key_out && PEM_write_bio_X509(cert_out, cert) == 1 &&
                PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (good) {
        *ret_cert = take(a, cert_out);
        *ret_key = take(a, key_out);
    }
    BIO_free(cert_out);
    BIO_free(key_out);
    X509_free(cert);
    EVP_PKEY_free(key);
    return good ? 0 : -EIO;
}
