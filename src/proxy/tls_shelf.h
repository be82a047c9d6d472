// SPDX-License-Identifier: Apache-2.0
/* A worker's TLS contexts: one for each different demand of the plan (role, certificate, trust, ALPN, versions), however
 * many clusters and filter chains make it. Certificates come from three places, told apart by name as Istio does:
 *   default, ROOTCA      the workload's own, renewed by trust/ while connections live
 *   kubernetes://name    a struct secret of the plan (SDS)
 *   file-cert:a~b, file-root:x   files, read when the context is made and again when they change
 *
 *   r = tls_shelf_client(&w->tls, plan, transport->tls, &context, &why);
 *
 * When certificates change, contexts get the new ones; when a secret of the plan or a file changes, its contexts are made
 * anew at their next use (connections live on). What cannot be used, a key that does not belong to its certificate say,
 * replaces nothing: the last good context stays, and a warning names what is wrong. A secret that is gone takes its
 * contexts with it.
 */
#pragma once

#include "base/list.h"
#include "base/must.h"
#include "net/tls.h"
#include "plan/plan.h"

struct loop;

struct tls_shelf {
    struct loop *loop;
    struct list contexts; /* struct shelved */
    struct tls_identity *identity;
    struct tls_trust *trust;
};

void tls_shelf_init(struct tls_shelf *s, struct loop *loop);
void tls_shelf_done(struct tls_shelf *s);
void tls_shelf_renew(struct tls_shelf *s, struct tls_identity *identity,
                     struct tls_trust *trust); /* takes references */
void tls_shelf_plan(struct tls_shelf *s, const struct plan *before,
                    const struct plan *after); /* secrets that changed */

/* -ENOENT: the certificate or trust that is asked for is not here (yet); *ret_why says which. */
int tls_shelf_server(struct tls_shelf *s, const struct plan *plan, const struct tls_server *want,
                     struct tls_context **ret_context, const char **ret_why) must_check;
int tls_shelf_client(struct tls_shelf *s, const struct plan *plan, const struct tls_client *want,
                     struct tls_context **ret_context, const char **ret_why) must_check;

/* The plan's SAN conditions in the form that net/tls.h takes; regular expressions are refused (-ENOTSUP). */
int tls_sans_of(struct arena *a, const struct tls_common *common, struct tls_san **ret_sans, size_t *ret_n) must_check;
