// SPDX-License-Identifier: Apache-2.0
/* PEM, extensions, serials (crypto.h). */
#include "trust/crypto.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/clock.h"

EVP_PKEY *crypto_key_new(void)
{
    return EVP_EC_gen("P-256");
}

static int no_passphrase(char *to, int room, int writing, void *arg)
{
    return -1;
}

EVP_PKEY *crypto_key_read(struct view pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    must(b != NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
    BIO_free(b);
    ERR_clear_error();
    return key;
}

X509 *crypto_cert_read(struct view pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    must(b != NULL);
    X509 *cert = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
    BIO_free(b);
    ERR_clear_error();
    return cert;
}

int crypto_bio_take(BIO *bio, struct buf *out)
{
    char *text;
    long n = BIO_get_mem_data(bio, &text);
    if (n > 0) {
        buf_view(out, view_make(text, (size_t)n));
        OPENSSL_cleanse(text, (size_t)n); /* it may have been a key */
    }
    BIO_free(bio);
    ERR_clear_error();
    return n > 0 ? 0 : -EIO;
}

int crypto_key_print(EVP_PKEY *key, struct buf *out)
{
    BIO *b = BIO_new(BIO_s_mem());
    must(b != NULL);
    PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
    return crypto_bio_take(b, out);
}

int crypto_cert_print(X509 *cert, struct buf *out)
{
    BIO *b = BIO_new(BIO_s_mem());
    must(b != NULL);
    PEM_write_bio_X509(b, cert);
    return crypto_bio_take(b, out);
}

int crypto_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer ? issuer : cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    int r = e && X509_add_ext(cert, e, -1) == 1 ? 0 : -EINVAL;
    X509_EXTENSION_free(e);
    ERR_clear_error();
    return r;
}

int crypto_set_times(X509 *cert, uint64_t from_wall, uint64_t until_wall)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(from_wall / NS_PER_S)) &&
                   ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(until_wall / NS_PER_S))
               ? 0
               : -EINVAL;
}

int crypto_set_serial(X509 *cert)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return -EIO;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always as long */
    BIGNUM *n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    int r = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) ? 0 : -EIO;
    BN_free(n);
    return r;
}

uint64_t crypto_wall(const ASN1_TIME *t)
{
    struct tm tm;
    if (!t || !ASN1_TIME_to_tm(t, &tm))
        return 0;
    time_t s = timegm(&tm);
    return s > 0 ? (uint64_t)s * NS_PER_S : 0;
}
