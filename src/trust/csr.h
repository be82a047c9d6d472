// SPDX-License-Identifier: Apache-2.0
/* Keys and certificate signing requests of a workload: ECDSA P-256, one SPIFFE URI SAN, PEM in buffers.
 *
 *   struct buf key = {0}, csr = {0};
 *   r = csr_new(VIEW("spiffe://cluster.local/ns/default/sa/reviews"), &key, &csr);
 *   … send csr …; buf_wipe(&key);
 *
 * The CA ignores the SAN of the request and writes the authenticated identity (ca.h); it is there for other CAs.
 */
#pragma once

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

int csr_new(struct view spiffe_uri, struct buf *key_pem, struct buf *csr_pem) must_check; /* appends; -EIO */
