// SPDX-License-Identifier: Apache-2.0
/* Keys and signing requests (csr.h). */
#include "trust/csr.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "trust/crypto.h"
#include "trust/spiffe.h"

static int add_san(X509_REQ *req, struct view uri)
{
    struct buf value = {0};
    buf_str(&value, "critical,URI:");
    buf_view(&value, uri);
    STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *san = X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, buf_cstr(&value));
    int r = all && san && sk_X509_EXTENSION_push(all, san) && X509_REQ_add_extensions(req, all) == 1 ? 0 : -EIO;
    if (r < 0 && san && sk_X509_EXTENSION_num(all) == 0)
        X509_EXTENSION_free(san);
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    buf_done(&value);
    return r;
}

int csr_new(struct view spiffe_uri, struct buf *key_pem, struct buf *csr_pem)
{
    struct spiffe id;
    int r = spiffe_parse(spiffe_uri, &id); /* also keeps ',' out of the extension's text */
    if (r < 0)
        return r;
    EVP_PKEY *key = crypto_key_new();
    X509_REQ *req = X509_REQ_new();
    if (!key || !req || X509_REQ_set_version(req, 0) != 1 || X509_REQ_set_pubkey(req, key) != 1 ||
        add_san(req, spiffe_uri) < 0 || X509_REQ_sign(req, key, EVP_sha256()) <= 0)
        r = -EIO;
    if (r == 0) {
        BIO *b = BIO_new(BIO_s_mem());
        must(b != NULL);
        PEM_write_bio_X509_REQ(b, req);
        r = crypto_bio_take(b, csr_pem);
    }
    if (r == 0)
        r = crypto_key_print(key, key_pem);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return r;
}
