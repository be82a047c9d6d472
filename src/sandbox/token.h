// SPDX-License-Identifier: Apache-2.0
/* Service-account tokens (JWT, ES256) as an API server signs and reviews them, with a key of this sandbox alone: it is
 * made at the start and never leaves the daemon. Also the mesh's root: a self-signed CA for the Secret `cacerts`.
 *
 *   struct token_key *k = token_key_new();
 *   err = token_sign(k, &claims, &arena, &jwt);
 *   err = token_review(k, jwt, VIEW("istio-ca"), wall_s, &arena, &claims);      // -EACCES: *ret_why says why
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

struct token_key;

struct token_claims {
    struct view ns, service_account, service_account_uid;
    struct view pod, pod_uid;     /* may be empty */
    struct view audience;         /* empty: the API server's own */
    uint64_t issued_s, expires_s; /* since 1970 */
};

#define TOKEN_ISSUER "https://kubernetes.default.svc.cluster.local"

struct token_key *token_key_new(void); /* NULL: no key could be made */
struct token_key *token_key_free(struct token_key *k);
int token_sign(struct token_key *k, const struct token_claims *claims, struct arena *a,
               struct view *ret_jwt) must_check;
/* Signature, issuer, time and audience (empty: the API server's own). -EACCES with *ret_why (static). */
int token_review(struct token_key *k, struct view jwt, struct view audience, uint64_t now_s, struct arena *a,
                 struct token_claims *ret_claims, const char **ret_why) must_check;

/* A new P-256 root CA (O=cluster.local), PEM. -EIO. */
int token_root_ca(struct arena *a, struct view *ret_cert, struct view *ret_key) must_check;
