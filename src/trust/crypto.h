// SPDX-License-Identifier: Apache-2.0
/* Small steps with OpenSSL that the files of trust/ share: PEM to and from buffers, extensions, random serials. Not for
 * use outside of trust/.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

EVP_PKEY *crypto_key_new(void);                                  /* ECDSA P-256; NULL: the generator failed */
EVP_PKEY *crypto_key_read(struct view pem);                      /* no passphrases; NULL */
X509 *crypto_cert_read(struct view pem);                         /* the first; NULL */
int crypto_key_print(EVP_PKEY *key, struct buf *out) must_check; /* PKCS#8 PEM */
int crypto_cert_print(X509 *cert, struct buf *out) must_check;
int crypto_bio_take(BIO *bio, struct buf *out) must_check; /* moves all of a memory BIO and frees it */
/* NULL issuer: the certificate's own. -EINVAL: OpenSSL does not know the value. */
int crypto_extend(X509 *cert, X509 *issuer, int nid, const char *value) must_check;
int crypto_set_times(X509 *cert, uint64_t from_wall, uint64_t until_wall) must_check;
int crypto_set_serial(X509 *cert) must_check; /* 127 random bits */
uint64_t crypto_wall(const ASN1_TIME *t);     /* ns; 0: not readable */
