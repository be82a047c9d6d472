// SPDX-License-Identifier: Apache-2.0
/* Service-account tokens: JWTs as Kubernetes issues them. The sandbox signs (ES256), the control plane verifies with the
 * issuer's public keys (JWKS or PEM; ES256 and RS256).
 *
 *   token_sign(key, &(struct token){.issuer = …, .audience = VIEW("istio-ca"), .ns = ns, .sa = sa, .expires = …}, &out);
 *   r = token_verify(keys, text, &(struct token_rules){.audience = VIEW("istio-ca"), .wall_ns = now}, &arena, &t, &why);
 *   t.ns, t.sa → the identity
 *
 * Invariants: fails closed: an algorithm, key id or critical header that we do not know, a missing exp, a claim of the
 * wrong type refuse the token. Tokens are never logged; `why` is static text. Keys are immutable, shared by reference.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct token_key;  /* private, signs */
struct token_keys; /* public, verify */

int token_key_new(struct token_key **ret_key) must_check;                       /* ECDSA P-256 */
int token_key_from_pem(struct view pem, struct token_key **ret_key) must_check; /* ECDSA P-256 or RSA */
int token_key_pem(const struct token_key *key, struct buf *out) must_check;
struct token_key *token_key_free(struct token_key *key);           /* NULL; wiped */
void token_key_jwks(const struct token_key *key, struct buf *out); /* {"keys":[…]} with the public half */

int token_keys_from_jwks(struct view json, struct token_keys **ret_keys, const char **ret_why) must_check;
int token_keys_from_pem(struct view pem, struct token_keys **ret_keys, const char **ret_why) must_check;
struct token_keys *token_keys_ref(struct token_keys *keys);
struct token_keys *token_keys_unref(struct token_keys *keys); /* NULL */

struct token {
    struct view issuer, subject; /* subject: system:serviceaccount:<ns>:<sa>, made from ns and sa when empty */
    struct view audience;        /* when verified: the one that was asked for */
    struct view ns, sa;          /* kubernetes.io */
    struct view sa_uid, pod, pod_uid;
    uint64_t issued, expires; /* wall ns; issued doubles as nbf */
};

struct token_rules {
    struct view audience; /* must be among aud; empty: any */
    struct view issuer;   /* must equal iss; empty: any */
    uint64_t wall_ns;
    uint64_t leeway; /* ns for exp and nbf */
};

int token_sign(const struct token_key *key, const struct token *t, struct buf *out) must_check;
/* -EINVAL malformed, -EACCES signature, audience or issuer, -ETIME expired or not yet valid. Views live in the arena. */
int token_verify(const struct token_keys *keys, struct view text, const struct token_rules *rules, struct arena *a,
                 struct token *ret_token, const char **ret_why) must_check;
/* The claims of a token without any verification: for showing, and for the owner of the token itself. */
int token_peek(struct view text, struct arena *a, struct token *ret_token) must_check;
