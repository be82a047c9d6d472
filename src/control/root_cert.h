// SPDX-License-Identifier: Apache-2.0
/* Gives every namespace the mesh's root, as Istio does: ConfigMap istio-ca-root-cert with key root-cert.pem, which injected
 * pods mount.
 *
 *   struct root_cert *r = root_cert_new(loop, api, ca_root_pem(ca));
 *   root_cert_check(r, snapshot);              // after each snapshot: namespaces that are new are looked at
 *   root_cert_free(r);
 *
 * One call at a time: read, then create or change what is missing or different. Where we have no right to, or the API
 * server has its own (a sandbox), nothing is written and one line says so.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"
#include "mesh/snapshot.h"

struct kube_client;
struct loop;
struct root_cert;

struct root_cert *root_cert_new(struct loop *loop, struct kube_client *api, struct view root_pem)
    __attribute__((returns_nonnull));                  /* the PEM must outlive it */
struct root_cert *root_cert_free(struct root_cert *r); /* NULL */
void root_cert_check(struct root_cert *r, const struct mesh_snapshot *snapshot);
uint64_t root_cert_written(const struct root_cert *r);
