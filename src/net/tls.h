// SPDX-License-Identifier: Apache-2.0
/* TLS as a box: wraps a conn and is a conn. PEM and DER in, SPIFFE ids out; no type of the TLS library is seen outside.
 *
 *   identity  our chain and key; immutable, shared between threads by reference
 *   trust     root certificates; the same
 *   context   one per worker and purpose; identity and trust can be swapped while connections live
 *
 *   r = tls_context_new(loop, &(struct tls_config){.server = true, .identity = id, .trust = roots,
 *                       .client_cert = TLS_CLIENT_REQUIRED, .alpn = alpn, .n_alpn = 2}, &ctx, &why);
 *   r = tls_accept(ctx, lower, &(struct tls_options){.sans = sans, .n_sans = 1}, &c);      // c owns lower
 *   … conn_ready(c) == 0 …  tls_info(c)->spiffe …
 *   tls_context_set_identity(ctx, renewed);         // new handshakes use it; old connections are not dropped
 *
 * The handshake runs by itself; the owner is woken with both bits when it ends. A peer's leaf that was verified before
 * (same bytes, same trust, same direction, not expired) is not verified again, only its signature of this handshake is.
 * No session tickets, no renegotiation, TLS 1.2 and 1.3 only. In a simulation the box carries the same identities,
 * checks the same rules and does no cryptography.
 *
 * Invariants: everything that a peer sends is bounded (LIMIT_CERT_CHAIN_BYTES) and refused closed. Private keys never
 * leave the identity and are wiped with it. Views of tls_info are valid until conn_close.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "net/conn.h"

struct tls_identity;
struct tls_trust;
struct tls_context;

/* ---- identity and trust: any thread; atomic reference counts ---- */

/* chain_pem: leaf first, then intermediates. -EINVAL: *ret_why says what is wrong (static text). */
int tls_identity_new(struct view chain_pem, struct view key_pem, struct tls_identity **ret_identity,
                     const char **ret_why) must_check;
struct tls_identity *tls_identity_ref(struct tls_identity *i);
struct tls_identity *tls_identity_unref(struct tls_identity *i); /* NULL */
struct view tls_identity_spiffe(const struct tls_identity *i);   /* first URI SAN; may be empty */
uint64_t tls_identity_not_before(const struct tls_identity *i);  /* wall ns */
uint64_t tls_identity_not_after(const struct tls_identity *i);
struct view tls_identity_serial(const struct tls_identity *i);    /* hexadecimal */
struct view tls_identity_chain_pem(const struct tls_identity *i); /* as given */

/* All certificates of all bundles are roots. */
int tls_trust_new(const struct view *bundles_pem, size_t n, struct tls_trust **ret_trust,
                  const char **ret_why) must_check;
/* The system's roots (SIMPLE towards the internet). */
int tls_trust_new_system(struct tls_trust **ret_trust, const char **ret_why) must_check;
struct tls_trust *tls_trust_ref(struct tls_trust *t);
struct tls_trust *tls_trust_unref(struct tls_trust *t);   /* NULL */
struct view tls_trust_pem(const struct tls_trust *t);     /* the bundles as given, one after the other */
uint64_t tls_trust_generation(const struct tls_trust *t); /* differs between any two trusts of a process */

/* ---- what a peer must be ---- */

enum tls_san_kind {
    TLS_SAN_URI,        /* a URI SAN equal to text */
    TLS_SAN_URI_PREFIX, /* a URI SAN that starts with text: spiffe://cluster.local/ */
    TLS_SAN_DNS,        /* a DNS SAN that covers the name text (wildcards in the certificate, RFC 6125) */
    TLS_SAN_ANY,        /* a URI or DNS SAN equal to text (DestinationRule subjectAltNames) */
    TLS_SAN_ANY_PREFIX,
    TLS_SAN_ANY_SUFFIX,
};

struct tls_san {
    enum tls_san_kind kind;
    struct view text;
};

enum tls_client_cert {
    TLS_CLIENT_NONE,     /* not asked for */
    TLS_CLIENT_OPTIONAL, /* asked for; verified when it comes */
    TLS_CLIENT_REQUIRED,
};

enum tls_version {
    TLS_VERSION_DEFAULT, /* 1.2 as least, 1.3 as most */
    TLS_1_2,
    TLS_1_3,
};

/* ---- contexts: one loop ---- */

struct tls_config {
    bool server;
    struct tls_identity *identity; /* referenced; NULL: a client without certificate */
    struct tls_trust *trust;       /* referenced; NULL: a client that verifies nothing, a server that needs no client */
    enum tls_client_cert client_cert;
    enum tls_version min, max;
    struct view ciphers;     /* TLS 1.2, OpenSSL names with ':'; empty: Istio's list */
    const struct view *alpn; /* in order of preference; copied */
    size_t n_alpn;
};

int tls_context_new(struct loop *l, const struct tls_config *config, struct tls_context **ret_context,
                    const char **ret_why) must_check;
struct tls_context *tls_context_free(struct tls_context *c); /* NULL; connections that use it live on */
/* For handshakes that start from now on. -EINVAL: the library refuses it, the old one stays. */
int tls_context_set_identity(struct tls_context *c, struct tls_identity *i) must_check;
int tls_context_set_trust(struct tls_context *c, struct tls_trust *t) must_check;

/* ---- connections ---- */

struct tls_options {
    struct view sni;         /* client: empty for none. Copied */
    const struct view *alpn; /* instead of the context's, when n_alpn > 0; borrowed during the call */
    size_t n_alpn;
    const struct tls_san *sans; /* the peer's certificate must match one, when n_sans > 0; borrowed until the handshake
                                   has ended */
    size_t n_sans;
    uint64_t timeout; /* of the handshake, in ns; 0: 10 s */
};

/* Both take over `lower` on success. For the client it may still be connecting; for the server bytes may have been
 * pushed back with conn_unread. */
int tls_accept(struct tls_context *x, struct conn *lower, const struct tls_options *options,
               struct conn **ret_conn) must_check;
int tls_connect(struct tls_context *x, struct conn *lower, const struct tls_options *options,
                struct conn **ret_conn) must_check;

struct tls_info {
    struct view spiffe;      /* the peer's first URI SAN that starts with spiffe://; empty without one */
    const struct view *uris; /* all URI SANs of the peer */
    size_t n_uris;
    const struct view *dns;
    size_t n_dns;
    struct view subject;   /* RFC 2253, as Envoy's XFCC Subject */
    struct view hash;      /* SHA-256 of the peer's leaf, lower-case hexadecimal (XFCC Hash) */
    uint64_t not_after;    /* of the peer's leaf, wall ns; 0: no certificate */
    struct view local;     /* our own first URI SAN */
    struct view alpn, sni; /* negotiated; asked for */
    const char *version;   /* "TLSv1.3" */
    const char *cipher;    /* "TLS_AES_128_GCM_SHA256" */
    bool verified;         /* the peer's certificate was verified against a trust */
    bool truncated;        /* the peer's end came without close_notify */
};

/* NULL: no TLS in this stack of boxes, or the handshake has not ended. */
const struct tls_info *tls_info(const struct conn *c);
