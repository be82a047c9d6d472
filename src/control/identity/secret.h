// SPDX-License-Identifier: Apache-2.0
/* The self-signed CA that replicas share: Secret istio-ca-secret (type istio.io/ca-root) of the root namespace.
 *
 *   struct ca_secret *s = ca_secret_new(&config, &task);
 *   … woken with KUBE_WAKE:  while (ca_secret_next(s, &ca, &why)) …ca: what it holds now, ours; NULL: why not…
 *   ca_secret_keep_roots(s, roots);          // what it holds was refused, since it trusts nobody's certificates of now
 *   ca_secret_free(s);
 *
 * Watched, so that what one replica writes is with the others in milliseconds. When there is none it is made: by CREATE, so
 * that of two that start at once one gets 409 and takes the other's. When it is deleted while we run, what it held is
 * written again. In the last part of its root's life the root is renewed with the same key, by PATCH under its
 * resourceVersion: one replica does it. A Secret that Istio made is used as it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "trust/ca.h"

#define CA_SECRET_NAME "istio-ca-secret"
#define CA_SECRET_TYPE "istio.io/ca-root"

struct ca_secret;
struct kube_client;
struct loop;
struct task;

struct ca_secret_config { /* texts must outlive it */
    struct loop *loop;
    struct kube_client *kube;
    struct view ns;
    struct ca_options ca;
    uint64_t check;         /* ns between looks at the root's end */
    unsigned grace_percent; /* of its life, at the end, in which it is renewed */
    bool no_jitter;         /* looks begin at once and not somewhere in the first interval: tests */
};

struct ca_secret *ca_secret_new(const struct ca_secret_config *config, struct task *wake)
    __attribute__((returns_nonnull));
struct ca_secret *ca_secret_free(struct ca_secret *s); /* NULL */

/* What is new since the last call. *ret_ca: the caller's reference, or NULL with *ret_why, static text. false: nothing. */
bool ca_secret_next(struct ca_secret *s, struct ca **ret_ca, const char **ret_why);
/* Adds roots to the Secret's bundle. */
void ca_secret_keep_roots(struct ca_secret *s, struct view roots);
uint64_t ca_secret_renewals(const struct ca_secret *s); /* by this replica */

/* Whether the last percent of a root's life have begun. */
bool ca_root_is_due(const struct ca *ca, unsigned percent, uint64_t wall_ns);
