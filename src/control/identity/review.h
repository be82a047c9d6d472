// SPDX-License-Identifier: Apache-2.0
/* Who a caller is: the service account behind a bearer token (audience istio-ca), by the API server's TokenReview or by
 * the issuer's public keys where there is no API server.
 *
 *   struct review *v = review_new(reviewer, headers_value(&s->in, HEADER_AUTHORIZATION), false, &task);
 *   … woken with KUBE_WAKE:  r = review_result(v, &identity, &why);   // -EAGAIN: not yet, -EACCES: no, -EIO: ask later
 *   review_free(v);
 *
 * Good answers are remembered for ten seconds, and never beyond the token's own end, by the token's whole text, so that a
 * proxy that asks for a certificate and then for its configuration costs one review. A certificate is never given on what
 * is remembered: `fresh`. Tokens are wiped when they are forgotten and never logged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "xds/server.h"

struct kube_client;
struct loop;
struct review;
struct reviewer;
struct task;
struct token_keys;

struct reviewer_config {
    struct loop *loop;
    struct kube_client *kube; /* TokenReview; or */
    struct token_keys *keys;  /* local verification: referenced */
    struct view issuer;       /* with keys: must equal iss; empty: any */
    struct view audience;     /* istio-ca */
    struct view trust_domain;
};

struct reviewer *reviewer_new(const struct reviewer_config *config) __attribute__((returns_nonnull)); /* texts copied */
struct reviewer *reviewer_free(struct reviewer *r);                                                   /* NULL */

/* authorization: the header's value, "Bearer …". Never NULL; what fails at once is a review that is done. The task is
 * woken with KUBE_WAKE when the answer comes later. */
struct review *review_new(struct reviewer *r, struct view authorization, bool fresh, struct task *wake);
/* 0, -EAGAIN, -EACCES, -EIO (nobody could say). Views live as long as the review. */
int review_result(struct review *v, struct xds_identity *ret, struct view *ret_why) must_check;
struct review *review_free(struct review *v); /* cancels; NULL */

struct reviewer_stats {
    uint64_t asked, remembered, refused, failed; /* failed: no answer, or none that can be trusted */
};
const struct reviewer_stats *reviewer_stats(const struct reviewer *r);
