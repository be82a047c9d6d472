// SPDX-License-Identifier: Apache-2.0
/* The control plane as objects of the sandbox: what a cluster's installation would have applied. */
#pragma once

#include "sandbox/cluster.h"

/* Secret cacerts (the mesh's root and signing key), Service and Deployment istiod in istio-system. Sets c->root_cert in
 * `a`. certificate_ttl: of workloads, NULL for 24 h. -EINVAL or -EIO with diagnostics. */
int istiod_install(struct cluster *c, const char *certificate_ttl, struct arena *a, struct diags *d) must_check;
