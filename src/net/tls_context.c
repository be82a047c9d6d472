// SPDX-License-Identifier: Apache-2.0
/* TLS contexts (tls.h): one SSL_CTX each, rebuilt when identity or trust is swapped; connections that were made keep the
 * old one. The settings are those that were measured to matter: no tickets, no automatic chain, fixed groups, our own
 * verification, buffers released when idle.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/limits.h"
#include "net/tls_impl.h"

/* Istio's list for sidecars. */
static const char default_ciphers[] =
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-GCM-SHA256";
static const char tls13_suites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char groups[] = "X25519:P-256";
static const char sigalgs[] = "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:"
                              "rsa_pkcs1_sha256:rsa_pkcs1_sha384:ed25519";

int tls_alpn_wire(const struct view *alpn, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (alpn[i].n == 0 || alpn[i].n > 255)
            return -EINVAL;
        buf_char(out, (char)alpn[i].n);
        buf_view(out, alpn[i]);
    }
    return 0;
}

static bool alpn_next(struct view *rest, struct view *ret_name)
{
    if (rest->n < 1)
        return false;
    size_t n = (uint8_t)rest->p[0];
    if (n == 0 || n + 1 > rest->n)
        return false;
    *ret_name = view_make(rest->p + 1, n);
    *rest = view_from(*rest, n + 1);
    return true;
}

struct view tls_alpn_choose(struct view ours, struct view theirs)
{
    struct view our, their;
    while (alpn_next(&ours, &our))
        for (struct view rest = theirs; alpn_next(&rest, &their);)
            if (view_eq(our, their))
                return their;
    return VIEW_NONE;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *arg)
{
    struct tls_context *x = arg;
    struct view chosen = tls_alpn_choose(buf_read(&x->alpn), view_make(in, in_n));
    if (view_empty(chosen))
        return SSL_TLSEXT_ERR_NOACK; /* goes on without, as Envoy */
    *out = (const unsigned char *)chosen.p;
    *out_n = (unsigned char)chosen.n;
    return SSL_TLSEXT_ERR_OK;
}

/* The whole verification, in place of the library's: see tls_verify.c. */
static int verify_peer(X509_STORE_CTX *store, void *arg)
{
    struct tls_context *x = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_box *b = SSL_get_app_data(ssl);
    const char *why = NULL;
    struct tls_names *names = NULL;
    int r = tls_verify(x, store, X509_STORE_CTX_get0_cert(store), &names, &why);
    if (r == 0 && !tls_names_match(names, b->sans, b->n_sans)) {
        buf_clear(&b->why);
        buf_str(&b->why, "certificate verify failed: SAN ");
        buf_view(&b->why, names->n_uris ? names->uris[0] : names->n_dns ? names->dns[0] : VIEW("(none)"));
        buf_str(&b->why, " is not the expected ");
        buf_view(&b->why, b->sans[0].text);
        if (b->n_sans > 1)
            buf_printf(&b->why, " or %zu others", b->n_sans - 1);
        r = -EACCES;
    } else if (r < 0) {
        buf_clear(&b->why);
        buf_printf(&b->why, "certificate verify failed: %s", why);
    }
    if (r < 0) {
        tls_names_unref(names);
        if (X509_STORE_CTX_get_error(store) == X509_V_OK)
            X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    tls_names_unref(b->peer);
    b->peer = names;
    b->verified = x->trust != NULL;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int version_of(enum tls_version v, int otherwise)
{
    return v == TLS_1_2 ? TLS1_2_VERSION : v == TLS_1_3 ? TLS1_3_VERSION : otherwise;
}

static bool set_identity(SSL_CTX *ctx, struct tls_identity *i)
{
    if (!i)
        return true;
    if (SSL_CTX_use_certificate(ctx, i->leaf) != 1 || SSL_CTX_use_PrivateKey(ctx, i->key) != 1)
        return false;
    for (int n = 0; n < sk_X509_num(i->chain); n++)
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(i->chain, n)) != 1)
            return false;
    return true;
}

static int verify_mode(const struct tls_context *x)
{
    if (!x->server)
        return SSL_VERIFY_PEER; /* our callback decides, also that nothing is to be verified */
    switch (x->client_cert) {
    case TLS_CLIENT_NONE:
        return SSL_VERIFY_NONE;
    case TLS_CLIENT_OPTIONAL:
        return SSL_VERIFY_PEER;
    case TLS_CLIENT_REQUIRED:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

static const char *build(struct tls_context *x, SSL_CTX **ret_ctx)
{
    SSL_CTX *ctx = SSL_CTX_new(x->server ? TLS_server_method() : TLS_client_method());
    must(ctx != NULL);
    const char *why = NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_max_cert_list(ctx, LIMIT_CERT_CHAIN_BYTES);
    SSL_CTX_set_verify(ctx, verify_mode(x), NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, x);
    if (x->trust)
        SSL_CTX_set1_cert_store(ctx, x->trust->store);
    if (x->server && buf_len(&x->alpn))
        SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, x);
    if (SSL_CTX_set_min_proto_version(ctx, version_of(x->min, TLS1_2_VERSION)) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, version_of(x->max, TLS1_3_VERSION)) != 1)
        why = "the TLS versions are not usable";
    else if (SSL_CTX_set_cipher_list(ctx, x->ciphers ? x->ciphers : default_ciphers) != 1)
        why = "the cipher list has no usable cipher";
    else if (SSL_CTX_set_ciphersuites(ctx, tls13_suites) != 1 || SSL_CTX_set1_groups_list(ctx, groups) != 1 ||
             SSL_CTX_set1_sigalgs_list(ctx, sigalgs) != 1)
        why = "the TLS library lacks our groups or signature algorithms";
    else if (!x->server && buf_len(&x->alpn) &&
             SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)buf_read(&x->alpn).p, (unsigned)buf_len(&x->alpn)))
        why = "the ALPN list is malformed";
    else if (!set_identity(ctx, x->identity))
        why = "the TLS library refuses the certificate (key too weak?)";
    ERR_clear_error();
    if (why) {
        SSL_CTX_free(ctx);
        return why;
    }
    *ret_ctx = ctx;
    return NULL;
}

int tls_context_new(struct loop *l, const struct tls_config *config, struct tls_context **ret_context,
                    const char **ret_why)
{
    struct tls_context *x = mem_alloc(sizeof(*x));
    *x = (struct tls_context){.refs = 1,
                              .loop = l,
                              .server = config->server,
                              .client_cert = config->client_cert,
                              .min = config->min,
                              .max = config->max,
                              .identity = tls_identity_ref(config->identity),
                              .trust = tls_trust_ref(config->trust)};
    map_init(&x->verified, NULL);
    list_init(&x->verified_lru);
    const char *why = NULL;
    if (config->ciphers.n)
        x->ciphers = view_dup(config->ciphers);
    if (tls_alpn_wire(config->alpn, config->n_alpn, &x->alpn) < 0)
        why = "an ALPN name is empty or longer than 255 bytes";
    else if (x->server && !x->identity)
        why = "a TLS server needs a certificate";
    else if (x->server && x->client_cert != TLS_CLIENT_NONE && !x->trust)
        why = "client certificates cannot be verified without trusted roots";
    else
        why = build(x, &x->ctx);
    if (why) {
        if (ret_why)
            *ret_why = why;
        tls_context_unref(x);
        return -EINVAL;
    }
    x->bio = tls_bio_new();
    *ret_context = x;
    return 0;
}

struct tls_context *tls_context_ref(struct tls_context *x)
{
    x->refs++;
    return x;
}

struct tls_context *tls_context_unref(struct tls_context *x)
{
    if (!x || --x->refs)
        return NULL;
    tls_verified_clear(x);
    map_done(&x->verified);
    SSL_CTX_free(x->ctx);
    BIO_meth_free(x->bio);
    tls_identity_unref(x->identity);
    tls_trust_unref(x->trust);
    buf_done(&x->alpn);
    mem_free(x->ciphers);
    mem_free(x);
    return NULL;
}

struct tls_context *tls_context_free(struct tls_context *x)
{
    return tls_context_unref(x);
}

static int rebuild(struct tls_context *x)
{
    SSL_CTX *ctx;
    if (build(x, &ctx))
        return -EINVAL;
    SSL_CTX_free(x->ctx);
    x->ctx = ctx;
    return 0;
}

int tls_context_set_identity(struct tls_context *x, struct tls_identity *i)
{
    struct tls_identity *old = x->identity;
    if (i == old)
        return 0;
    if (x->server && !i)
        return -EINVAL;
    x->identity = i;
    int r = rebuild(x);
    if (r < 0) {
        x->identity = old;
        return r;
    }
    tls_identity_ref(i);
    tls_identity_unref(old);
    return 0;
}

int tls_context_set_trust(struct tls_context *x, struct tls_trust *t)
{
    struct tls_trust *old = x->trust;
    if (t == old)
        return 0;
    if (x->server && x->client_cert != TLS_CLIENT_NONE && !t)
        return -EINVAL;
    x->trust = t;
    int r = rebuild(x);
    if (r < 0) {
        x->trust = old;
        return r;
    }
    tls_verified_clear(x);
    tls_trust_ref(t);
    tls_trust_unref(old);
    return 0;
}
