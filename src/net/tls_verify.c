// SPDX-License-Identifier: Apache-2.0
/* Who a peer is: the chain against the trust, the names against the rules, and a memory of leaves that were verified.
 *
 * Verifying a chain costs about as much as a signature. Proxies meet the same few peers again and again, so a context
 * remembers leaves by all their bytes; the memory is as good as its trust bundle (emptied when that changes), its
 * direction (a context is a server's or a client's) and the first expiry in the chain.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "net/tls_impl.h"

/* RFC 6125: "*.example.org" covers one more label on the left; nothing else is a wildcard. */
static bool dns_covers(struct view pattern, struct view name)
{
    if (view_ends(name, VIEW(".")))
        name.n--;
    if (!view_starts(pattern, VIEW("*.")))
        return view_ieq(pattern, name);
    size_t dot = view_find(name, '.');
    pattern = view_from(pattern, 1); /* from its dot */
    return dot > 0 && dot < name.n && view_find(view_from(pattern, 1), '.') < pattern.n - 1 &&
           view_ieq(pattern, view_from(name, dot));
}

static bool one_matches(const struct view *names, size_t n, const struct tls_san *san)
{
    for (size_t i = 0; i < n; i++) {
        switch (san->kind) {
        case TLS_SAN_URI:
        case TLS_SAN_ANY:
            if (view_eq(names[i], san->text))
                return true;
            break;
        case TLS_SAN_URI_PREFIX:
        case TLS_SAN_ANY_PREFIX:
            if (view_starts(names[i], san->text))
                return true;
            break;
        case TLS_SAN_ANY_SUFFIX:
            if (view_ends(names[i], san->text))
                return true;
            break;
        case TLS_SAN_DNS:
            if (dns_covers(names[i], san->text))
                return true;
            break;
        }
    }
    return false;
}

static bool san_matches(const struct tls_names *n, const struct tls_san *san)
{
    bool uris = san->kind != TLS_SAN_DNS, dns = san->kind != TLS_SAN_URI && san->kind != TLS_SAN_URI_PREFIX;
    if (uris && one_matches(n->uris, n->n_uris, san))
        return true;
    if (!dns)
        return false;
    for (size_t i = 0; i < n->n_ips; i++)
        if (view_eq(n->ips[i], san->text))
            return true;
    return one_matches(n->dns, n->n_dns, san);
}

bool tls_names_match(const struct tls_names *names, const struct tls_san *sans, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (san_matches(names, &sans[i]))
            return true;
    return n == 0;
}

/* ---- the memory ---- */

static void forget(struct tls_context *x, struct tls_verified *v)
{
    map_del(&x->verified, view_make(v->der, v->der_n));
    list_del(&v->link);
    tls_names_unref(v->names);
    mem_free(v);
}

void tls_verified_clear(struct tls_context *x)
{
    LIST_EACH (&x->verified_lru, struct tls_verified, link, v)
        forget(x, v);
}

static void remember(struct tls_context *x, struct view der, struct tls_names *names, uint64_t not_after)
{
    if (map_size(&x->verified) >= LIMIT_TLS_VERIFIED)
        forget(x, LIST_ITEM(x->verified_lru.next, struct tls_verified, link));
    struct tls_verified *v = mem_alloc(sizeof(*v) + der.n);
    v->names = tls_names_ref(names);
    v->not_after = not_after;
    v->der_n = der.n;
    memcpy(v->der, der.p, der.n);
    list_push(&x->verified_lru, &v->link);
    map_put(&x->verified, view_make(v->der, v->der_n), v);
}

static struct tls_verified *recall(struct tls_context *x, struct view der)
{
    struct tls_verified *v = map_get(&x->verified, der);
    if (!v)
        return NULL;
    if (v->not_after <= loop_wall(x->loop)) {
        forget(x, v);
        return NULL;
    }
    list_del(&v->link);
    list_push(&x->verified_lru, &v->link);
    return v;
}

/* ---- verification ---- */

static uint64_t first_expiry(X509_STORE_CTX *store, uint64_t not_after)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        uint64_t t = tls_wall_of(X509_get0_notAfter(sk_X509_value(chain, i)));
        not_after = t < not_after ? t : not_after;
    }
    return not_after;
}

static int verify_new(struct tls_context *x, X509_STORE_CTX *store, X509 *leaf, struct view der,
                      struct tls_names **ret_names, const char **ret_why)
{
    x->misses++;
    if (sk_X509_num(X509_STORE_CTX_get0_untrusted(store)) > LIMIT_TLS_CHAIN_CERTS) {
        *ret_why = "certificate chain too long";
        return -EACCES;
    }
    if (x->trust) {
        X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(store), (time_t)(loop_wall(x->loop) / NS_PER_S));
        if (X509_verify_cert(store) != 1) {
            *ret_why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
            ERR_clear_error();
            return -EACCES;
        }
    }
    struct tls_names *names = tls_names_of(leaf);
    if (!names) {
        *ret_why = "malformed subject alternative names";
        return -EACCES;
    }
    /* A handshake that began before a swap of trust was judged by the old one. */
    if (x->trust && X509_STORE_CTX_get0_store(store) == x->trust->store)
        remember(x, der, names, first_expiry(store, names->not_after));
    *ret_names = names;
    return 0;
}

int tls_verify(struct tls_context *x, X509_STORE_CTX *store, X509 *leaf, struct tls_names **ret_names,
               const char **ret_why)
{
    unsigned char *der = NULL;
    int n = i2d_X509(leaf, &der);
    if (n <= 0 || n > LIMIT_CERT_CHAIN_BYTES) {
        OPENSSL_free(der);
        *ret_why = "certificate too large";
        return -EACCES;
    }
    struct tls_verified *known = recall(x, view_make(der, (size_t)n));
    int r = 0;
    if (known) {
        x->hits++;
        *ret_names = tls_names_ref(known->names);
    } else {
        r = verify_new(x, store, leaf, view_make(der, (size_t)n), ret_names, ret_why);
    }
    OPENSSL_free(der);
    return r;
}
