// SPDX-License-Identifier: Apache-2.0
/* The certificate authority (ca.h). */
#include "trust/ca.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "trust/crypto.h"
#include "trust/csr.h"
#include "trust/roots.h"

#define DAY (24 * 3600 * NS_PER_S)
#define CA_ROOT_TTL (3650 * DAY)
#define CA_LEAF_TTL DAY
#define CA_LEAF_MAX (90 * DAY)
#define CA_BACKDATE (2 * 60 * NS_PER_S) /* clocks of hosts differ; as istiod */

struct ca {
    _Atomic uint32_t refs;
    X509 *cert; /* signs */
    EVP_PKEY *key;
    struct buf cert_pem, chain_pem, root_pem; /* chain: intermediates below the root, maybe none */
    struct buf full_chain;                    /* chain, then root */
    uint64_t begins, ends;                    /* the whole chain with its root, wall ns */
    uint64_t root_not_before, root_not_after, default_ttl, max_ttl;
};

static int refuse(int r, const char *why, const char **ret_why)
{
    if (ret_why)
        *ret_why = why;
    ERR_clear_error();
    return r;
}

struct ca *ca_ref(struct ca *ca)
{
    atomic_fetch_add_explicit(&ca->refs, 1, memory_order_relaxed);
    return ca;
}

struct ca *ca_unref(struct ca *ca)
{
    if (!ca || atomic_fetch_sub_explicit(&ca->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    buf_done(&ca->cert_pem);
    buf_done(&ca->chain_pem);
    buf_done(&ca->root_pem);
    buf_done(&ca->full_chain);
    mem_free(ca);
    return NULL;
}

bool ca_cut_pem(struct view *rest, struct view *ret_one)
{
    static const struct view begin = {"-----BEGIN CERTIFICATE-----", 27}, end = {"-----END CERTIFICATE-----", 25};
    size_t from = view_find_view(*rest, begin);
    if (from == rest->n)
        return false;
    struct view v = view_from(*rest, from);
    size_t to = view_find_view(v, end);
    if (to == v.n)
        return false;
    to += end.n;
    if (to < v.n && v.p[to] == '\n')
        to++;
    *ret_one = view_head(v, to);
    *rest = view_from(v, to);
    return true;
}

static void append_pem(struct buf *out, struct view pem)
{
    buf_view(out, pem);
    if (pem.n && !view_ends(pem, VIEW("\n")))
        buf_char(out, '\n');
}

/* ---- making one ---- */

static STACK_OF(X509) * read_stack(struct view pem)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    struct view one;
    must(all != NULL);
    while (ca_cut_pem(&pem, &one)) {
        X509 *c = crypto_cert_read(one);
        if (c && sk_X509_push(all, c) <= 0)
            X509_free(c);
    }
    return all;
}

/* The chain from the signing certificate to one of the roots, both included, whatever the dates are; NULL: none. */
static STACK_OF(X509) * chain_to(const struct ca *ca, struct view roots)
{
    STACK_OF(X509) *anchors = read_stack(roots), *between = read_stack(buf_read(&ca->chain_pem)), *found = NULL;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    must(store && ctx);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME); /* roots as proxies take them */
    for (int i = 0; i < sk_X509_num(anchors); i++)
        X509_STORE_add_cert(store, sk_X509_value(anchors, i));
    if (X509_STORE_CTX_init(ctx, store, ca->cert, between) == 1 && X509_verify_cert(ctx) == 1)
        found = X509_STORE_CTX_get1_chain(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_pop_free(between, X509_free);
    sk_X509_pop_free(anchors, X509_free);
    ERR_clear_error();
    return found;
}

/* cert-chain.pem often ends in the root, and sometimes leaves the signing certificate out: what peers are shown begins
 * with the certificate that signs and stops below the roots. */
static void read_chain(struct ca *ca, struct view chain)
{
    struct buf all = {0};
    struct view rest, one;
    const char *why;
    if (ca_is_root(ca) || !ca->cert)
        return;
    append_pem(&ca->chain_pem, buf_read(&ca->cert_pem));
    if (roots_read(chain, &all, &why) < 0)
        return;
    for (rest = buf_read(&all); ca_cut_pem(&rest, &one);)
        if (!roots_contain(buf_read(&ca->root_pem), one))
            roots_add(&ca->chain_pem, one);
    buf_done(&all);
}

static const char *take_dates(struct ca *ca)
{
    STACK_OF(X509) *path = chain_to(ca, buf_read(&ca->root_pem));
    if (!path)
        return "the CA certificate does not lead to any of the root certificates, not even with the chain";
    ca->ends = UINT64_MAX;
    for (int i = 0; i < sk_X509_num(path); i++) {
        const X509 *c = sk_X509_value(path, i);
        uint64_t from = crypto_wall(X509_get0_notBefore(c)), until = crypto_wall(X509_get0_notAfter(c));
        ca->begins = from > ca->begins ? from : ca->begins;
        ca->ends = until < ca->ends ? until : ca->ends;
        ca->root_not_before = from; /* the last one is the root */
        ca->root_not_after = until;
    }
    sk_X509_pop_free(path, X509_free);
    return NULL;
}

int ca_from_pem(struct view cert, struct view key, struct view root, struct view chain, const struct ca_options *o,
                struct ca **ret_ca, const char **ret_why)
{
    struct ca *ca = mem_alloc(sizeof(*ca));
    atomic_init(&ca->refs, 1);
    ca->default_ttl = o->default_ttl ? o->default_ttl : CA_LEAF_TTL;
    ca->max_ttl = o->max_ttl ? o->max_ttl : CA_LEAF_MAX;
    ca->cert = crypto_cert_read(cert);
    ca->key = crypto_key_read(key);
    const char *why = NULL;
    if (!ca->cert || crypto_cert_print(ca->cert, &ca->cert_pem) < 0)
        why = "the CA certificate is no PEM certificate";
    else if (!ca->key)
        why = "the CA key is no PEM key without passphrase";
    else if (X509_check_private_key(ca->cert, ca->key) != 1)
        why = "the CA key does not belong to the CA certificate";
    else if (X509_check_ca(ca->cert) != 1)
        why = "the CA certificate must not sign certificates (basicConstraints CA:TRUE, keyUsage keyCertSign)";
    else if (roots_read(root, &ca->root_pem, &why) == 0) {
        read_chain(ca, chain);
        why = take_dates(ca);
    }
    if (why) {
        ca_unref(ca);
        return refuse(-EINVAL, why, ret_why);
    }
    buf_view(&ca->full_chain, buf_read(&ca->chain_pem));
    buf_view(&ca->full_chain, buf_read(&ca->root_pem));
    ERR_clear_error();
    *ret_ca = ca;
    return 0;
}

static int set_name(X509 *cert, const char *field, struct view text)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text.p, (int)text.n, -1, 0) ==
                   1
               ? 0
               : -EINVAL;
}

/* A root of this key. before: whose name it goes on with; NULL: the organization's. */
static int make_root(EVP_PKEY *key, const X509 *before, const struct ca_options *o, uint64_t wall_ns,
                     struct ca **ret_ca, const char **ret_why)
{
    X509 *cert = X509_new();
    struct view org = o->organization.n ? o->organization : o->trust_domain;
    uint64_t ttl = o->root_ttl ? o->root_ttl : CA_ROOT_TTL;
    struct buf cert_pem = {0}, key_pem = {0};
    int r = -EIO;
    if (key && cert && X509_set_version(cert, 2) == 1 && crypto_set_serial(cert) == 0 &&
        crypto_set_times(cert, wall_ns - CA_BACKDATE, wall_ns + ttl) == 0 &&
        (before ? X509_set_subject_name(cert, X509_get_subject_name(before)) == 1 : set_name(cert, "O", org) == 0) &&
        X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 && X509_set_pubkey(cert, key) == 1 &&
        crypto_extend(cert, NULL, NID_basic_constraints, "critical,CA:TRUE") == 0 &&
        crypto_extend(cert, NULL, NID_key_usage, "critical,keyCertSign,cRLSign") == 0 &&
        crypto_extend(cert, NULL, NID_subject_key_identifier, "hash") == 0 && X509_sign(cert, key, EVP_sha256()) > 0 &&
        crypto_cert_print(cert, &cert_pem) == 0 && crypto_key_print(key, &key_pem) == 0)
        r = ca_from_pem(buf_read(&cert_pem), buf_read(&key_pem), buf_read(&cert_pem), VIEW_NONE, o, ret_ca, ret_why);
    else
        refuse(r, "the TLS library could not make a root certificate", ret_why);
    X509_free(cert);
    buf_done(&cert_pem);
    buf_wipe(&key_pem);
    return r;
}

int ca_new(const struct ca_options *o, uint64_t wall_ns, struct ca **ret_ca, const char **ret_why)
{
    EVP_PKEY *key = crypto_key_new();
    int r = make_root(key, NULL, o, wall_ns, ret_ca, ret_why);
    EVP_PKEY_free(key);
    return r;
}

int ca_renew(const struct ca *ca, const struct ca_options *o, uint64_t wall_ns, struct ca **ret_ca,
             const char **ret_why)
{
    if (!ca_is_root(ca))
        return refuse(-EINVAL, "the CA is an intermediate: whoever signed it must renew it", ret_why);
    return make_root(ca->key, ca->cert, o, wall_ns, ret_ca, ret_why);
}

/* ---- asking ---- */

struct view ca_cert_pem(const struct ca *ca)
{
    return buf_read(&ca->cert_pem);
}

int ca_key_pem(const struct ca *ca, struct buf *out)
{
    return crypto_key_print(ca->key, out);
}

bool ca_is_root(const struct ca *ca)
{
    return roots_contain(buf_read(&ca->root_pem), buf_read(&ca->cert_pem));
}

bool ca_same_signer(const struct ca *a, const struct ca *b)
{
    return X509_cmp(a->cert, b->cert) == 0;
}

/* A root of the same name and key will do, too: the one that it was renewed by or from. */
static bool has_twin(const struct ca *ca, struct view roots)
{
    STACK_OF(X509) *own = chain_to(ca, buf_read(&ca->root_pem)), *others = read_stack(roots);
    const X509 *root = own ? sk_X509_value(own, sk_X509_num(own) - 1) : NULL;
    bool found = false;
    for (int i = 0; root && i < sk_X509_num(others) && !found; i++) {
        const X509 *x = sk_X509_value(others, i);
        found = X509_NAME_cmp(X509_get_subject_name(x), X509_get_subject_name(root)) == 0 &&
                EVP_PKEY_eq(X509_get0_pubkey(x), X509_get0_pubkey(root)) == 1;
    }
    sk_X509_pop_free(own, X509_free);
    sk_X509_pop_free(others, X509_free);
    ERR_clear_error();
    return found;
}

bool ca_reaches(const struct ca *ca, struct view roots)
{
    STACK_OF(X509) *path = chain_to(ca, roots);
    bool reached = path != NULL;
    sk_X509_pop_free(path, X509_free);
    return reached || has_twin(ca, roots);
}

struct view ca_root_pem(const struct ca *ca)
{
    return buf_read(&ca->root_pem);
}

struct view ca_chain_pem(const struct ca *ca)
{
    return buf_read(&ca->full_chain);
}

uint64_t ca_not_after(const struct ca *ca)
{
    return crypto_wall(X509_get0_notAfter(ca->cert));
}

uint64_t ca_root_not_before(const struct ca *ca)
{
    return ca->root_not_before;
}

uint64_t ca_root_not_after(const struct ca *ca)
{
    return ca->root_not_after;
}

int ca_check(const struct ca *ca, uint64_t wall_ns, const char **ret_why)
{
    if (wall_ns >= ca->ends)
        return refuse(-EINVAL, "the CA certificate, or one that it leads to, has expired", ret_why);
    if (wall_ns < ca->begins)
        return refuse(-EINVAL, "the CA certificate, or one that it leads to, is not valid yet", ret_why);
    return 0;
}

/* ---- signing ---- */

static bool good_name(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= ' ' || v.p[i] == ',' || v.p[i] == '"' || v.p[i] == '\\' || v.p[i] > '~')
            return false;
    return v.n > 0;
}

static int add_sans(X509 *cert, const struct ca_grant *g)
{
    struct buf value = {0};
    int r = g->n_uris + g->n_dns ? 0 : -EINVAL;
    buf_str(&value, "critical"); /* there is no subject */
    for (size_t i = 0; i < g->n_uris + g->n_dns && r == 0; i++) {
        struct view name = i < g->n_uris ? g->uris[i] : g->dns[i - g->n_uris];
        r = good_name(name) ? 0 : -EINVAL;
        buf_str(&value, i < g->n_uris ? ",URI:" : ",DNS:");
        buf_view(&value, name);
    }
    if (r == 0)
        r = crypto_extend(cert, NULL, NID_subject_alt_name, buf_cstr(&value));
    buf_done(&value);
    return r;
}

static int sign_key(const struct ca *ca, EVP_PKEY *key, const struct ca_grant *g, uint64_t wall, struct buf *out,
                    const char **ret_why)
{
    uint64_t ttl = g->ttl ? g->ttl : ca->default_ttl, last = ca->ends;
    if (ttl > ca->max_ttl)
        return refuse(-ERANGE, "the requested lifetime is longer than the CA grants", ret_why);
    if (wall >= last)
        return refuse(-ESTALE, "the CA's own certificate has expired", ret_why);
    uint64_t until = wall + ttl < last ? wall + ttl : last;
    X509 *cert = X509_new();
    must(cert != NULL);
    int r = -EIO;
    if (add_sans(cert, g) < 0)
        r = refuse(-EINVAL, "a name to certify is empty or has characters that no name has", ret_why);
    else if (X509_set_version(cert, 2) == 1 && crypto_set_serial(cert) == 0 &&
             crypto_set_times(cert, wall - CA_BACKDATE, until) == 0 &&
             X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 && X509_set_pubkey(cert, key) == 1 &&
             crypto_extend(cert, NULL, NID_key_usage, "critical,digitalSignature,keyEncipherment") == 0 &&
             crypto_extend(cert, NULL, NID_ext_key_usage, "serverAuth,clientAuth") == 0 &&
             crypto_extend(cert, NULL, NID_basic_constraints, "critical,CA:FALSE") == 0 &&
             (X509_get0_subject_key_id(ca->cert) == NULL ||
              crypto_extend(cert, ca->cert, NID_authority_key_identifier, "keyid") == 0) &&
             X509_sign(cert, ca->key, EVP_sha256()) > 0)
        r = crypto_cert_print(cert, out);
    else
        refuse(r, "the TLS library could not sign", ret_why);
    X509_free(cert);
    ERR_clear_error();
    return r;
}

/* Small RSA keys and foreign curves are refused: nobody's peer would accept them. */
static bool strong_enough(EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);
    return EVP_PKEY_is_a(key, "EC") ? bits == 256 || bits == 384
                                    : EVP_PKEY_is_a(key, "RSA") && bits >= 2048 && bits <= 8192;
}

/* A request may name nobody, or whom the caller proved to be. What it says of DNS names and the like is not certified. */
static bool names_only(X509_REQ *req, const struct ca_grant *g)
{
    STACK_OF(X509_EXTENSION) *asked = X509_REQ_get_extensions(req);
    GENERAL_NAMES *names = X509V3_get_d2i(asked, NID_subject_alt_name, NULL, NULL);
    bool good = true;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && good; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = n->d.uniformResourceIdentifier;
        struct view name = view_make(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
        good = false;
        for (size_t k = 0; k < g->n_uris && !good; k++)
            good = view_eq(name, g->uris[k]);
    }
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
    return good;
}

int ca_sign(const struct ca *ca, struct view csr_pem, const struct ca_grant *grant, uint64_t wall_ns, struct buf *chain,
            const char **ret_why)
{
    if (csr_pem.n == 0 || csr_pem.n > LIMIT_CSR_BYTES)
        return refuse(-EINVAL, "the signing request is empty or too large", ret_why);
    BIO *b = BIO_new_mem_buf(csr_pem.p, (int)csr_pem.n);
    must(b != NULL);
    X509_REQ *req = PEM_read_bio_X509_REQ(b, NULL, NULL, NULL);
    BIO_free(b);
    EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
    int r = 0;
    if (!key)
        r = refuse(-EINVAL, "the signing request is malformed", ret_why);
    else if (!strong_enough(key))
        r = refuse(-EINVAL, "the key of the signing request is neither P-256, P-384 nor RSA of 2048 bits", ret_why);
    else if (X509_REQ_verify(req, key) != 1)
        r = refuse(-EINVAL, "the signature of the signing request does not verify", ret_why);
    else if (!names_only(req, grant))
        r = refuse(-EPERM, "the signing request names another identity than the caller's", ret_why);
    struct buf out = {0};
    if (r == 0)
        r = sign_key(ca, key, grant, wall_ns, &out, ret_why);
    if (r == 0) {
        buf_view(chain, buf_read(&out));
        buf_view(chain, buf_read(&ca->full_chain));
    }
    buf_done(&out);
    X509_REQ_free(req);
    ERR_clear_error();
    return r;
}

int ca_issue(const struct ca *ca, const struct ca_grant *grant, uint64_t wall_ns, struct buf *chain,
             struct buf *key_pem, const char **ret_why)
{
    EVP_PKEY *key = crypto_key_new();
    struct buf cert = {0}, made_key = {0};
    int r = key ? sign_key(ca, key, grant, wall_ns, &cert, ret_why)
                : refuse(-EIO, "the TLS library could not make a key", ret_why);
    if (r == 0)
        r = crypto_key_print(key, &made_key);
    if (r == 0) {
        buf_view(chain, buf_read(&cert));
        buf_view(chain, buf_read(&ca->chain_pem));
        buf_view(key_pem, buf_read(&made_key));
    }
    buf_done(&cert);
    buf_wipe(&made_key);
    EVP_PKEY_free(key);
    return r;
}
