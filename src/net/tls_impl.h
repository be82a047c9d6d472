// SPDX-License-Identifier: Apache-2.0
/* The inside of net/tls.h, for tls*.c only: here OpenSSL's types are seen.
 *
 *   tls_identity.c  identities, trust, names in certificates     tls_context.c  settings, one SSL_CTX per context
 *   tls_verify.c    rules for names, verified-leaf cache          tls.c          the box; tls_sim.c  its simulated twin
 */
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "net/loop_impl.h"
#include "net/timer.h"
#include "net/tls.h"

/* What a certificate says about its owner, in an arena of its own. Counted; one loop (identities': immutable). */
struct tls_names {
    uint32_t refs;
    struct arena arena;
    struct view *uris, *dns, *ips;
    size_t n_uris, n_dns, n_ips;
    struct view spiffe, subject, hash, serial;
    uint64_t not_before, not_after;
};

struct tls_names *tls_names_of(X509 *cert); /* NULL: names that are malformed or too many */
struct tls_names *tls_names_ref(struct tls_names *n);
struct tls_names *tls_names_unref(struct tls_names *n); /* NULL */
uint64_t tls_wall_of(const ASN1_TIME *t);               /* ns; 0 when it is not readable */

struct tls_identity {
    _Atomic uint32_t refs;
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf */
    EVP_PKEY *key;
    struct tls_names *names;
    char *pem;
    size_t pem_n;
};

struct tls_trust {
    _Atomic uint32_t refs;
    X509_STORE *store;
    uint64_t generation;
    char *pem;
    size_t pem_n;
};

/* One leaf that was verified. */
struct tls_verified {
    struct list link; /* least recently used first */
    struct tls_names *names;
    uint64_t not_after; /* of its chain */
    size_t der_n;
    char der[];
};

struct tls_context {
    uint32_t refs; /* the owner's and one for each connection */
    struct loop *loop;
    bool server;
    enum tls_client_cert client_cert;
    enum tls_version min, max;
    char *ciphers;   /* NULL: default */
    struct buf alpn; /* in the form of the wire: length, bytes, … */
    struct tls_identity *identity;
    struct tls_trust *trust;
    SSL_CTX *ctx;
    BIO_METHOD *bio;
    struct map verified; /* DER → struct tls_verified */
    struct list verified_lru;
    uint64_t hits, misses; /* of the cache */
};

struct tls_context *tls_context_ref(struct tls_context *x);
struct tls_context *tls_context_unref(struct tls_context *x); /* NULL */
void tls_verified_clear(struct tls_context *x);
int tls_alpn_wire(const struct view *alpn, size_t n, struct buf *out); /* -EINVAL: empty or too long names */
/* The server's choice: the first of ours that the peer offers too; empty: none. */
struct view tls_alpn_choose(struct view ours, struct view theirs);

/* Who `leaf` is: from the cache, else verified against the context's trust (when it has one) with the certificates in
 * `store`. 0 and a reference in *ret_names; -EACCES and why. */
int tls_verify(struct tls_context *x, X509_STORE_CTX *store, X509 *leaf, struct tls_names **ret_names,
               const char **ret_why);
bool tls_names_match(const struct tls_names *names, const struct tls_san *sans, size_t n);

/* What a box of either kind has. */
struct tls_box {
    struct conn conn;
    struct tls_context *x;
    struct task task;
    struct timer timer;
    const struct tls_san *sans;
    size_t n_sans;
    struct tls_names *peer;
    struct tls_identity *identity; /* that we showed */
    struct tls_info info;
    bool established, verified;
    char *sni, *alpn;
    struct buf why;
};

enum tls_bits {
    TLS_BIT_IN = 1,
    TLS_BIT_OUT = 2,
    TLS_BIT_LATE = 4,
};

void tls_box_init(struct tls_box *b, struct tls_context *x, const struct conn_ops *ops, struct conn *lower, task_fn run,
                  const struct tls_options *o);
void tls_box_done(struct tls_box *b); /* all but lower, and the box itself */
void tls_box_established(struct tls_box *b, const char *version, const char *cipher);
void tls_box_fail(struct tls_box *b, int error,
                  struct view why); /* "TLS error: " before why; empty: the lower's text */
struct view tls_box_error_text(const struct conn *c);
const struct tls_info *tls_box_info(const struct conn *c);

BIO_METHOD *tls_bio_new(void); /* tls.c */
int tls_sim_start(struct tls_context *x, struct conn *lower, const struct tls_options *o, struct conn **ret_conn);
