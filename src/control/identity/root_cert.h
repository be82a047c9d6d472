// SPDX-License-Identifier: Apache-2.0
/* Gives every namespace the mesh's roots, as Istio does: ConfigMap istio-ca-root-cert with key root-cert.pem, which injected
 * pods mount.
 *
 *   struct root_cert *r = root_cert_new(loop, api, authority_roots(a));
 *   root_cert_check(r, snapshot);              // after each snapshot: namespaces that are new get one
 *   root_cert_set(r, authority_roots(a));      // roots changed: all of them are written again
 *   root_cert_lead(r, kube_lease_held(lease)); // only one replica writes
 *   root_cert_free(r);
 *
 * They are watched by name: what is edited or deleted is put right at once, and again and again at growing intervals if
 * somebody insists. Only what differs is written, one at a time. Where we have no right to, or the API server has its own
 * (a sandbox), nothing is written and one line says so. System namespaces get none, as in Istio.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "mesh/snapshot.h"

struct kube_client;
struct loop;
struct root_cert;

struct root_cert *root_cert_new(struct loop *loop, struct kube_client *api, struct view roots_pem)
    __attribute__((returns_nonnull));
struct root_cert *root_cert_free(struct root_cert *r); /* NULL */
void root_cert_check(struct root_cert *r, const struct mesh_snapshot *snapshot);
void root_cert_set(struct root_cert *r, struct view roots_pem);
void root_cert_lead(struct root_cert *r, bool leads); /* true at first */
uint64_t root_cert_written(const struct root_cert *r);
/* Namespaces that have not got it yet, or another one. */
uint32_t root_cert_missing(const struct root_cert *r);
