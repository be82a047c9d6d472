// SPDX-License-Identifier: Apache-2.0
/* Identities and trust (tls.h), and the names that a certificate carries. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "net/addr.h"
#include "net/tls_impl.h"

/* ---- names ---- */

uint64_t tls_wall_of(const ASN1_TIME *t)
{
    struct tm tm;
    if (!t || !ASN1_TIME_to_tm(t, &tm))
        return 0;
    time_t s = timegm(&tm);
    return s > 0 ? (uint64_t)s * NS_PER_S : 0;
}

static bool add_name(struct tls_names *n, const GENERAL_NAME *name)
{
    if (n->n_uris + n->n_dns + n->n_ips >= LIMIT_TLS_SANS)
        return false;
    if (name->type == GEN_URI || name->type == GEN_DNS) {
        const ASN1_IA5STRING *s = name->d.ia5;
        struct view v = view_make(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
        if (view_empty(v) || view_find(v, 0) != v.n)
            return false; /* a zero inside a name is an attack */
        if (name->type == GEN_URI)
            *ARENA_PUSH(&n->arena, n->uris, n->n_uris) = arena_view(&n->arena, v);
        else
            *ARENA_PUSH(&n->arena, n->dns, n->n_dns) = arena_view(&n->arena, v);
    } else if (name->type == GEN_IPADD) {
        char text[ADDR_TEXT];
        struct addr a = {.family = ADDR_V4};
        int bytes = ASN1_STRING_length(name->d.ip);
        if (bytes != 4 && bytes != 16)
            return false;
        if (bytes == 16)
            a.family = ADDR_V6;
        memcpy(a.ip, ASN1_STRING_get0_data(name->d.ip), (size_t)bytes);
        *ARENA_PUSH(&n->arena, n->ips, n->n_ips) = arena_view(&n->arena, addr_print_ip(&a, text));
    }
    return true;
}

static struct view print_subject(struct arena *a, X509 *cert)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    must(b != NULL);
    X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    long n = BIO_get_mem_data(b, &text);
    struct view v = n > 0 ? arena_view(a, view_make(text, (size_t)n)) : VIEW_NONE;
    BIO_free(b);
    return v;
}

static struct view print_hex(struct arena *a, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc(a, n * 2 + 1);
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return view_make(text, n * 2);
}

struct tls_names *tls_names_of(X509 *cert)
{
    struct tls_names *n = mem_alloc(sizeof(*n));
    n->refs = 1;
    arena_init(&n->arena, 1024);
    int critical;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    bool good = names || critical == -1; /* -1: there is none; else it does not decode, or comes twice */
    for (int i = 0; good && i < sk_GENERAL_NAME_num(names); i++)
        good = add_name(n, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    if (!good)
        return tls_names_unref(n);
    for (size_t i = 0; i < n->n_uris && view_empty(n->spiffe); i++)
        if (view_starts(n->uris[i], VIEW("spiffe://")))
            n->spiffe = n->uris[i];
    n->subject = print_subject(&n->arena, cert);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_n = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &digest_n))
        n->hash = print_hex(&n->arena, digest, digest_n);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    n->serial = print_hex(&n->arena, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    n->not_before = tls_wall_of(X509_get0_notBefore(cert));
    n->not_after = tls_wall_of(X509_get0_notAfter(cert));
    return n;
}

struct tls_names *tls_names_ref(struct tls_names *n)
{
    n->refs++;
    return n;
}

struct tls_names *tls_names_unref(struct tls_names *n)
{
    if (n && --n->refs == 0) {
        arena_done(&n->arena);
        mem_free(n);
    }
    return NULL;
}

/* ---- identities ---- */

static int refused(const char **ret_why, const char *why)
{
    if (ret_why)
        *ret_why = why;
    ERR_clear_error();
    return -EINVAL;
}

/* Never asks a terminal: a key that needs a passphrase is refused. */
static int no_passphrase(char *to, int room, int writing, void *arg)
{
    return -1;
}

static const char *read_chain(struct tls_identity *i, struct view pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    must(b != NULL);
    i->leaf = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
    i->chain = sk_X509_new_null();
    X509 *next;
    while (i->leaf && (next = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)))
        sk_X509_push(i->chain, next);
    unsigned long error = ERR_peek_last_error();
    BIO_free(b);
    if (!i->leaf)
        return "the certificate chain is no PEM certificate";
    if (ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        return "the certificate chain has a broken certificate";
    if (sk_X509_num(i->chain) + 1 > LIMIT_TLS_CHAIN_CERTS)
        return "the certificate chain is too long";
    return NULL;
}

int tls_identity_new(struct view chain_pem, struct view key_pem, struct tls_identity **ret_identity,
                     const char **ret_why)
{
    if (chain_pem.n == 0 || chain_pem.n > LIMIT_CERT_CHAIN_BYTES || key_pem.n == 0 ||
        key_pem.n > LIMIT_CERT_CHAIN_BYTES)
        return refused(ret_why, "the certificate chain or the key is empty or too large");
    struct tls_identity *i = mem_alloc(sizeof(*i));
    atomic_init(&i->refs, 1);
    const char *why = read_chain(i, chain_pem);
    if (!why) {
        BIO *b = BIO_new_mem_buf(key_pem.p, (int)key_pem.n);
        must(b != NULL);
        i->key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
        BIO_free(b);
        if (!i->key)
            why = "the private key is no PEM key without passphrase";
        else if (X509_check_private_key(i->leaf, i->key) != 1)
            why = "the private key does not belong to the certificate";
    }
    if (!why && !(i->names = tls_names_of(i->leaf)))
        why = "the certificate's subject alternative names are malformed";
    if (why) {
        tls_identity_unref(i);
        return refused(ret_why, why);
    }
    ERR_clear_error();
    i->pem = view_dup(chain_pem);
    i->pem_n = chain_pem.n;
    *ret_identity = i;
    return 0;
}

struct tls_identity *tls_identity_ref(struct tls_identity *i)
{
    if (i)
        atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    return i;
}

struct tls_identity *tls_identity_unref(struct tls_identity *i)
{
    if (!i || atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    X509_free(i->leaf);
    sk_X509_pop_free(i->chain, X509_free);
    EVP_PKEY_free(i->key); /* wipes the private part */
    tls_names_unref(i->names);
    mem_free(i->pem);
    mem_free(i);
    return NULL;
}

struct view tls_identity_spiffe(const struct tls_identity *i)
{
    return i->names->n_uris ? i->names->uris[0] : VIEW_NONE;
}

uint64_t tls_identity_not_before(const struct tls_identity *i)
{
    return i->names->not_before;
}

uint64_t tls_identity_not_after(const struct tls_identity *i)
{
    return i->names->not_after;
}

struct view tls_identity_serial(const struct tls_identity *i)
{
    return i->names->serial;
}

struct view tls_identity_chain_pem(const struct tls_identity *i)
{
    return view_make(i->pem, i->pem_n);
}

/* ---- trust ---- */

static struct tls_trust *trust_new(void)
{
    static _Atomic uint64_t generations; /* a name for each, not state: nothing but equality is asked */
    struct tls_trust *t = mem_alloc(sizeof(*t));
    atomic_init(&t->refs, 1);
    t->generation = atomic_fetch_add(&generations, 1) + 1;
    t->store = X509_STORE_new();
    must(t->store != NULL);
    /* An intermediate in the bundle is trusted as it is, as Envoy does. */
    X509_STORE_set_flags(t->store, X509_V_FLAG_PARTIAL_CHAIN);
    return t;
}

static int add_bundle(struct tls_trust *t, struct view pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    must(b != NULL);
    int n = 0;
    X509 *cert;
    while ((cert = PEM_read_bio_X509(b, NULL, no_passphrase, NULL))) {
        n += X509_STORE_add_cert(t->store, cert) == 1;
        X509_free(cert);
    }
    bool broken = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    BIO_free(b);
    ERR_clear_error();
    return broken || n == 0 ? -EINVAL : 0;
}

int tls_trust_new(const struct view *bundles_pem, size_t n, struct tls_trust **ret_trust, const char **ret_why)
{
    struct tls_trust *t = trust_new();
    struct buf all = {0};
    bool good = n > 0;
    for (size_t i = 0; good && i < n; i++) {
        good = bundles_pem[i].n > 0 && bundles_pem[i].n < INT32_MAX && add_bundle(t, bundles_pem[i]) == 0;
        buf_view(&all, bundles_pem[i]);
        if (good && !view_ends(bundles_pem[i], VIEW("\n")))
            buf_char(&all, '\n');
    }
    if (!good) {
        buf_done(&all);
        tls_trust_unref(t);
        return refused(ret_why, "the trust bundle has no certificate, or a broken one");
    }
    t->pem = view_dup(buf_read(&all));
    t->pem_n = buf_len(&all);
    buf_done(&all);
    *ret_trust = t;
    return 0;
}

int tls_trust_new_system(struct tls_trust **ret_trust, const char **ret_why)
{
    struct tls_trust *t = trust_new();
    if (X509_STORE_set_default_paths(t->store) != 1) {
        tls_trust_unref(t);
        return refused(ret_why, "the system's root certificates cannot be read");
    }
    t->pem = view_dup(VIEW_NONE);
    *ret_trust = t;
    return 0;
}

struct tls_trust *tls_trust_ref(struct tls_trust *t)
{
    if (t)
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

struct tls_trust *tls_trust_unref(struct tls_trust *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    X509_STORE_free(t->store);
    mem_free(t->pem);
    mem_free(t);
    return NULL;
}

struct view tls_trust_pem(const struct tls_trust *t)
{
    return view_make(t->pem, t->pem_n);
}

uint64_t tls_trust_generation(const struct tls_trust *t)
{
    return t->generation;
}
