// SPDX-License-Identifier: Apache-2.0
/* Service-account tokens (token.h): JWS compact form (RFC 7515) with the claims of Kubernetes. */
#include "trust/token.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "trust/crypto.h"
#include "trust/csr.h"
#include "wire/base64.h"
#include "wire/node.h"

enum token_alg { ALG_ES256, ALG_RS256 };
static const char *const alg_names[] = {"ES256", "RS256"};

struct public_key {
    enum token_alg alg;
    char id[65]; /* kid; empty: none was given, fits any */
    EVP_PKEY *key;
};

struct token_key {
    struct public_key pub; /* its key is the pair */
};

#define TOKEN_KEYS 16

struct token_keys {
    _Atomic uint32_t refs;
    struct public_key keys[TOKEN_KEYS];
    uint32_t n;
};

/* ---- keys ---- */

static bool alg_of(EVP_PKEY *key, enum token_alg *ret_alg)
{
    if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 2048) {
        *ret_alg = ALG_RS256;
        return true;
    }
    *ret_alg = ALG_ES256;
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 256;
}

/* Of the public half, so that signer and verifier agree without talking. */
static void key_id(struct public_key *k)
{
    unsigned char *der = NULL;
    uint8_t digest[32];
    unsigned n = sizeof(digest);
    int der_n = i2d_PUBKEY(k->key, &der);
    if (der_n > 0 && EVP_Digest(der, (size_t)der_n, digest, &n, EVP_sha256(), NULL) == 1) {
        struct buf text = {0};
        base64_write(&text, BASE64_URL, view_make(digest, n));
        memcpy(k->id, buf_read(&text).p, buf_len(&text) < sizeof(k->id) ? buf_len(&text) : sizeof(k->id) - 1);
        buf_done(&text);
    }
    OPENSSL_free(der);
}

static int key_wrap(EVP_PKEY *key, struct token_key **ret_key)
{
    enum token_alg alg;
    if (!key || !alg_of(key, &alg)) {
        EVP_PKEY_free(key);
        return -EINVAL;
    }
    struct token_key *k = mem_alloc(sizeof(*k));
    k->pub = (struct public_key){.alg = alg, .key = key};
    key_id(&k->pub);
    *ret_key = k;
    return 0;
}

int token_key_new(struct token_key **ret_key)
{
    return key_wrap(crypto_key_new(), ret_key);
}

int token_key_from_pem(struct view pem, struct token_key **ret_key)
{
    return key_wrap(crypto_key_read(pem), ret_key);
}

int token_key_pem(const struct token_key *key, struct buf *out)
{
    return crypto_key_print(key->pub.key, out);
}

struct token_key *token_key_free(struct token_key *key)
{
    if (key)
        EVP_PKEY_free(key->pub.key);
    mem_free(key);
    return NULL;
}

static void print_number(struct buf *out, const char *name, EVP_PKEY *key, const char *param, int bytes)
{
    BIGNUM *n = NULL;
    unsigned char raw[1024];
    if (EVP_PKEY_get_bn_param(key, param, &n) != 1)
        return;
    int size = bytes ? bytes : BN_num_bytes(n);
    if (size <= (int)sizeof(raw) && BN_bn2binpad(n, raw, size) == size) {
        buf_printf(out, ",\"%s\":\"", name);
        base64_write(out, BASE64_URL, view_make(raw, (size_t)size));
        buf_char(out, '"');
    }
    BN_free(n);
}

void token_key_jwks(const struct token_key *key, struct buf *out)
{
    const struct public_key *k = &key->pub;
    bool ec = k->alg == ALG_ES256;
    buf_printf(out, "{\"keys\":[{\"use\":\"sig\",\"kid\":\"%s\",\"alg\":\"%s\",\"kty\":\"%s\"%s", k->id,
               alg_names[k->alg], ec ? "EC" : "RSA", ec ? ",\"crv\":\"P-256\"" : "");
    print_number(out, ec ? "x" : "n", k->key, ec ? OSSL_PKEY_PARAM_EC_PUB_X : OSSL_PKEY_PARAM_RSA_N, ec ? 32 : 0);
    print_number(out, ec ? "y" : "e", k->key, ec ? OSSL_PKEY_PARAM_EC_PUB_Y : OSSL_PKEY_PARAM_RSA_E, ec ? 32 : 0);
    buf_str(out, "}]}");
    ERR_clear_error();
}

struct token_keys *token_keys_ref(struct token_keys *keys)
{
    atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
    return keys;
}

struct token_keys *token_keys_unref(struct token_keys *keys)
{
    if (!keys || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (uint32_t i = 0; i < keys->n; i++)
        EVP_PKEY_free(keys->keys[i].key);
    mem_free(keys);
    return NULL;
}

static struct token_keys *keys_new(void)
{
    struct token_keys *keys = mem_alloc(sizeof(*keys));
    atomic_init(&keys->refs, 1);
    return keys;
}

static int refuse(int r, const char *why, const char **ret_why)
{
    if (ret_why)
        *ret_why = why;
    ERR_clear_error();
    return r;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

static bool jwk_bytes(const struct node *jwk, const char *field, size_t least, size_t most, struct buf *out)
{
    buf_clear(out);
    return base64_read(out, BASE64_URL, node_text(node_get(jwk, view_of(field)))) == 0 && buf_len(out) >= least &&
           buf_len(out) <= most;
}

static EVP_PKEY *jwk_ec(const struct node *jwk)
{
    struct buf x = {0}, y = {0}, point = {0};
    EVP_PKEY *key = NULL;
    if (view_is(node_text(node_get(jwk, VIEW("crv"))), "P-256") && jwk_bytes(jwk, "x", 32, 32, &x) &&
        jwk_bytes(jwk, "y", 32, 32, &y)) {
        buf_char(&point, 4); /* uncompressed */
        buf_view(&point, buf_read(&x));
        buf_view(&point, buf_read(&y));
        OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
        must(bld != NULL);
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, buf_read(&point).p, buf_len(&point));
        key = from_params("EC", bld); /* checks that the point is on the curve */
    }
    buf_done(&x);
    buf_done(&y);
    buf_done(&point);
    return key;
}

static EVP_PKEY *jwk_rsa(const struct node *jwk)
{
    struct buf n = {0}, e = {0};
    EVP_PKEY *key = NULL;
    if (jwk_bytes(jwk, "n", 256, 1024, &n) && jwk_bytes(jwk, "e", 1, 8, &e)) {
        BIGNUM *bn = BN_bin2bn((const unsigned char *)buf_read(&n).p, (int)buf_len(&n), NULL);
        BIGNUM *be = BN_bin2bn((const unsigned char *)buf_read(&e).p, (int)buf_len(&e), NULL);
        OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
        must(bld && bn && be);
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn);
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be);
        key = from_params("RSA", bld);
        BN_free(bn);
        BN_free(be);
    }
    buf_done(&n);
    buf_done(&e);
    return key;
}

int token_keys_from_jwks(struct view json, struct token_keys **ret_keys, const char **ret_why)
{
    struct arena a;
    struct node *doc;
    arena_init(&a, 0);
    struct token_keys *keys = keys_new();
    struct node *list = NULL;
    if (json.n && json.n <= LIMIT_CERT_CHAIN_BYTES && node_parse(&a, json, &doc, NULL) == 0)
        list = node_get(doc, VIEW("keys"));
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n && keys->n < TOKEN_KEYS; i++) {
        const struct node *jwk = list->items[i];
        struct view type = node_text(node_get(jwk, VIEW("kty"))), use = node_text(node_get(jwk, VIEW("use")));
        struct view id = node_text(node_get(jwk, VIEW("kid")));
        struct public_key k = {.key = view_is(type, "EC") ? jwk_ec(jwk) : view_is(type, "RSA") ? jwk_rsa(jwk) : NULL};
        bool usable = k.key && alg_of(k.key, &k.alg) && id.n < sizeof(k.id) && (use.n == 0 || view_is(use, "sig"));
        if (!usable) { /* keys for other purposes and algorithms may stand beside ours */
            EVP_PKEY_free(k.key);
            continue;
        }
        memcpy(k.id, id.p ? id.p : "", id.n);
        keys->keys[keys->n++] = k;
    }
    arena_done(&a);
    ERR_clear_error();
    if (keys->n == 0) {
        token_keys_unref(keys);
        return refuse(-EINVAL, "the JWKS has no usable key (ES256 or RS256)", ret_why);
    }
    *ret_keys = keys;
    return 0;
}

int token_keys_from_pem(struct view pem, struct token_keys **ret_keys, const char **ret_why)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    must(b != NULL);
    struct token_keys *keys = keys_new();
    EVP_PKEY *key;
    while (keys->n < TOKEN_KEYS && (key = PEM_read_bio_PUBKEY(b, NULL, NULL, NULL))) {
        struct public_key k = {.key = key};
        if (alg_of(key, &k.alg)) {
            key_id(&k);
            keys->keys[keys->n++] = k;
        } else {
            EVP_PKEY_free(key);
        }
    }
    BIO_free(b);
    ERR_clear_error();
    if (keys->n == 0) {
        token_keys_unref(keys);
        return refuse(-EINVAL, "there is no usable public key (P-256 or RSA)", ret_why);
    }
    *ret_keys = keys;
    return 0;
}

/* ---- ECDSA signatures: DER in OpenSSL, two numbers of 32 bytes in a JWS ---- */

static int ec_to_raw(struct view der, uint8_t raw[64])
{
    const unsigned char *at = (const unsigned char *)der.p;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.n);
    if (!sig)
        return -EIO;
    const BIGNUM *r, *s;
    ECDSA_SIG_get0(sig, &r, &s);
    int good = BN_bn2binpad(r, raw, 32) == 32 && BN_bn2binpad(s, raw + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return good ? 0 : -EIO;
}

static int ec_to_der(struct view raw, struct buf *der)
{
    if (raw.n != 64)
        return -EINVAL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    const unsigned char *bytes = (const unsigned char *)raw.p;
    BIGNUM *r = BN_bin2bn(bytes, 32, NULL), *s = BN_bin2bn(bytes + 32, 32, NULL);
    must(sig && r && s && ECDSA_SIG_set0(sig, r, s));
    unsigned char *out = NULL;
    int n = i2d_ECDSA_SIG(sig, &out);
    if (n > 0)
        buf_view(der, view_make(out, (size_t)n));
    OPENSSL_free(out);
    ECDSA_SIG_free(sig);
    return n > 0 ? 0 : -EIO;
}

static int sign_bytes(const struct public_key *k, struct view text, struct buf *out)
{
    unsigned char sig[1024];
    uint8_t raw[64];
    size_t n = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx != NULL);
    int r = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
                    EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.p, text.n) == 1
                ? 0
                : -EIO;
    EVP_MD_CTX_free(ctx);
    if (r == 0 && k->alg == ALG_ES256) {
        r = ec_to_raw(view_make(sig, n), raw);
        if (r == 0)
            base64_write(out, BASE64_URL, view_make(raw, sizeof(raw)));
    } else if (r == 0) {
        base64_write(out, BASE64_URL, view_make(sig, n));
    }
    ERR_clear_error();
    return r;
}

static bool verifies(const struct public_key *k, struct view text, struct view sig)
{
    struct buf der = {0};
    if (k->alg == ALG_ES256) {
        if (ec_to_der(sig, &der) < 0)
            return false;
        sig = buf_read(&der);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx != NULL);
    bool good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
                EVP_DigestVerify(ctx, (const unsigned char *)sig.p, sig.n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    buf_done(&der);
    ERR_clear_error();
    return good;
}

/* ---- tokens ---- */

static void print_claim(struct buf *out, const char *name, struct view value)
{
    buf_printf(out, "\"%s\":", name);
    buf_json_str(out, value);
}

static void print_claims(struct buf *out, const struct token *t)
{
    buf_str(out, "{\"aud\":[");
    buf_json_str(out, t->audience);
    buf_printf(out, "],\"exp\":%llu,\"iat\":%llu,\"nbf\":%llu,", (unsigned long long)(t->expires / NS_PER_S),
               (unsigned long long)(t->issued / NS_PER_S), (unsigned long long)(t->issued / NS_PER_S));
    print_claim(out, "iss", t->issuer);
    buf_str(out, ",\"kubernetes.io\":{");
    print_claim(out, "namespace", t->ns);
    if (t->pod.n) {
        buf_str(out, ",\"pod\":{");
        print_claim(out, "name", t->pod);
        buf_char(out, ',');
        print_claim(out, "uid", t->pod_uid);
        buf_char(out, '}');
    }
    buf_str(out, ",\"serviceaccount\":{");
    print_claim(out, "name", t->sa);
    buf_char(out, ',');
    print_claim(out, "uid", t->sa_uid);
    buf_str(out, "}},\"sub\":");
    struct buf subject = {0};
    if (t->subject.n) {
        buf_view(&subject, t->subject);
    } else {
        buf_str(&subject, "system:serviceaccount:");
        buf_view(&subject, t->ns);
        buf_char(&subject, ':');
        buf_view(&subject, t->sa);
    }
    buf_json_str(out, buf_read(&subject));
    buf_done(&subject);
    buf_char(out, '}');
}

int token_sign(const struct token_key *key, const struct token *t, struct buf *out)
{
    struct buf json = {0}, text = {0};
    buf_printf(&json, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}", alg_names[key->pub.alg], key->pub.id);
    base64_write(&text, BASE64_URL, buf_read(&json));
    buf_char(&text, '.');
    buf_clear(&json);
    print_claims(&json, t);
    base64_write(&text, BASE64_URL, buf_read(&json));
    struct buf sig = {0};
    int r = sign_bytes(&key->pub, buf_read(&text), &sig);
    if (r == 0) {
        buf_view(out, buf_read(&text));
        buf_char(out, '.');
        buf_view(out, buf_read(&sig));
    }
    buf_done(&json);
    buf_wipe(&text);
    buf_wipe(&sig);
    return r;
}

struct parsed {
    struct node *header, *claims;
    struct view signed_text;
    struct buf sig;
};

static struct node *read_part(struct arena *a, struct view part)
{
    struct buf json = {0};
    struct node *n = NULL;
    if (base64_read(&json, BASE64_URL, part) == 0 && node_parse(a, arena_view(a, buf_read(&json)), &n, NULL) < 0)
        n = NULL;
    buf_wipe(&json);
    return node_is(n, NODE_MAP) ? n : NULL;
}

static int parse(struct view text, struct arena *a, struct parsed *ret)
{
    size_t first = view_find(text, '.');
    size_t second = first + 1 + view_find(view_from(text, first + 1), '.');
    if (text.n > LIMIT_JWT_BYTES || first >= text.n || second >= text.n)
        return -EINVAL;
    ret->signed_text = view_head(text, second);
    ret->header = read_part(a, view_head(text, first));
    ret->claims = read_part(a, view_from(ret->signed_text, first + 1));
    return ret->header && ret->claims && base64_read(&ret->sig, BASE64_URL, view_from(text, second + 1)) == 0 ? 0
                                                                                                              : -EINVAL;
}

static bool time_claim(const struct node *claims, const char *name, uint64_t *ret_wall, bool *ret_there)
{
    int64_t s = 0;
    const struct node *n = node_get(claims, view_of(name));
    *ret_there = n != NULL;
    if (n && (node_i64(n, &s) < 0 || s < 0 || (uint64_t)s > UINT64_MAX / NS_PER_S))
        return false;
    *ret_wall = (uint64_t)s * NS_PER_S;
    return true;
}

static bool audience_is(const struct node *aud, struct view wanted, struct token *t)
{
    if (node_is(aud, NODE_STR))
        t->audience = node_text(aud);
    for (uint32_t i = 0; node_is(aud, NODE_SEQ) && i < aud->n; i++)
        if (i == 0 || view_eq(node_text(aud->items[i]), wanted))
            t->audience = node_text(aud->items[i]);
    return wanted.n == 0 || view_eq(t->audience, wanted);
}

static void read_names(const struct node *claims, struct token *t)
{
    static const struct view prefix = {"system:serviceaccount:", 22};
    const struct node *k = node_get(claims, VIEW("kubernetes.io"));
    t->issuer = node_text(node_get(claims, VIEW("iss")));
    t->subject = node_text(node_get(claims, VIEW("sub")));
    t->ns = node_text(node_get(k, VIEW("namespace")));
    t->sa = node_text_at(k, "serviceaccount.name");
    t->sa_uid = node_text_at(k, "serviceaccount.uid");
    t->pod = node_text_at(k, "pod.name");
    t->pod_uid = node_text_at(k, "pod.uid");
    if (!k && view_starts(t->subject, prefix)) { /* tokens of old clusters say it in the subject only */
        struct view rest = view_from(t->subject, prefix.n);
        size_t colon = view_find(rest, ':');
        t->ns = view_head(rest, colon);
        t->sa = view_from(rest, colon + 1);
    }
}

static const struct public_key *key_for(const struct token_keys *keys, const struct parsed *p)
{
    struct view alg = node_text(node_get(p->header, VIEW("alg"))), id = node_text(node_get(p->header, VIEW("kid")));
    for (uint32_t i = 0; i < keys->n; i++) {
        const struct public_key *k = &keys->keys[i];
        bool same_id = id.n == 0 || k->id[0] == 0 || view_is(id, k->id);
        if (same_id && view_is(alg, alg_names[k->alg]) && verifies(k, p->signed_text, buf_read(&p->sig)))
            return k;
    }
    return NULL;
}

static int check(const struct token_keys *keys, const struct parsed *p, const struct token_rules *rules,
                 struct token *t, const char **ret_why)
{
    uint64_t nbf = 0;
    bool has_exp, has_iat, has_nbf;
    if (node_get(p->header, VIEW("crit")))
        return refuse(-EINVAL, "the token has critical header fields that we do not know", ret_why);
    if (!key_for(keys, p))
        return refuse(-EACCES, "the token's signature does not verify with any known key", ret_why);
    if (!time_claim(p->claims, "exp", &t->expires, &has_exp) || !time_claim(p->claims, "iat", &t->issued, &has_iat) ||
        !time_claim(p->claims, "nbf", &nbf, &has_nbf) || !has_exp)
        return refuse(-EINVAL, "the token's times are malformed or it never expires", ret_why);
    if (rules->wall_ns >= t->expires + rules->leeway)
        return refuse(-ETIME, "the token has expired", ret_why);
    if (has_nbf && rules->wall_ns + rules->leeway < nbf)
        return refuse(-ETIME, "the token is not valid yet", ret_why);
    if (!audience_is(node_get(p->claims, VIEW("aud")), rules->audience, t))
        return refuse(-EACCES, "the token is for another audience", ret_why);
    if (rules->issuer.n && !view_eq(node_text(node_get(p->claims, VIEW("iss"))), rules->issuer))
        return refuse(-EACCES, "the token is of another issuer", ret_why);
    read_names(p->claims, t);
    return 0;
}

int token_verify(const struct token_keys *keys, struct view text, const struct token_rules *rules, struct arena *a,
                 struct token *ret_token, const char **ret_why)
{
    struct parsed p = {0};
    struct token t = {0};
    int r = parse(text, a, &p);
    if (r < 0)
        refuse(r, "the token is malformed", ret_why);
    else
        r = check(keys, &p, rules, &t, ret_why);
    if (r == 0)
        *ret_token = t;
    buf_done(&p.sig);
    return r;
}

int token_peek(struct view text, struct arena *a, struct token *ret_token)
{
    struct parsed p = {0};
    struct token t = {0};
    bool there;
    int r = parse(text, a, &p);
    if (r == 0) {
        read_names(p.claims, &t);
        audience_is(node_get(p.claims, VIEW("aud")), VIEW_NONE, &t);
        if (!time_claim(p.claims, "exp", &t.expires, &there) || !time_claim(p.claims, "iat", &t.issued, &there))
            r = -EINVAL;
    }
    if (r == 0)
        *ret_token = t;
    buf_done(&p.sig);
    return r;
}
