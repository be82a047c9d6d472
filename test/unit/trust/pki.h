// SPDX-License-Identifier: Apache-2.0
/* Roots and intermediates as an operator makes them, for tests: names, dates and who signed whom as the test wants them.
 *
 *   struct pki root, mid;
 *   pki_make(&root, NULL, "root", now, now + year, true);
 *   pki_make(&mid, &root, "intermediate", now, now + year, true);
 *   … buf_read(&mid.cert), buf_read(&mid.key) …   pki_done(&mid);
 */
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"

struct pki {
    EVP_PKEY *pkey;
    X509 *x509;
    struct buf cert, key; /* PEM */
};

static inline void pki_take(struct buf *out, BIO *b)
{
    char *text;
    long n = BIO_get_mem_data(b, &text);

    buf_view(out, view_make(text, (size_t)n));
    BIO_free(b);
}

static inline void pki_make(struct pki *p, const struct pki *issuer, const char *name, uint64_t from, uint64_t until,
                            bool is_ca)
{
    X509 *x = X509_new();
    BIO *b;
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    *p = (struct pki){.pkey = EVP_EC_gen("P-256"), .x509 = x};
    issuer = issuer ? issuer : p;
    X509_set_version(x, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), (uint64_t)(uintptr_t)x);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(from / NS_PER_S));
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(until / NS_PER_S));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer->x509));
    X509_set_pubkey(x, p->pkey);
    X509V3_set_ctx(&ctx, issuer->x509, x, NULL, NULL, 0);
    e = X509V3_EXT_nconf_nid(NULL, &ctx, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    X509_sign(x, issuer->pkey, EVP_sha256());
    b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(b, x);
    pki_take(&p->cert, b);
    b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, p->pkey, NULL, NULL, 0, NULL, NULL);
    pki_take(&p->key, b);
}

static inline void pki_done(struct pki *p)
{
    X509_free(p->x509);
    EVP_PKEY_free(p->pkey);
    buf_done(&p->cert);
    buf_wipe(&p->key);
}
