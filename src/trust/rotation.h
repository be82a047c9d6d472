// SPDX-License-Identifier: Apache-2.0
/* Keeps a workload's certificate fresh: asks the CA at the start, and again at half of each certificate's life, with a
 * new key each time; after a failure with growing pauses. Old connections are never dropped: whoever holds the old
 * identity keeps a reference, new handshakes get the new one.
 *
 *   struct rotation *r = rotation_new(&config, &task, MY_CERT);
 *   … in run():  if (rotation_identity(r)) tls_context_set_identity(ctx, rotation_identity(r)); …
 *   rotation_free(r);
 *
 * Renewal is due at 50 % ± 1 % of the life (SECRET_GRACE_PERIOD_RATIO, _JITTER), so that a fleet does not ask at once;
 * pauses after failures double from 250 ms to 10 s, with jitter, and are shorter than what is left of the certificate.
 */
#pragma once

#include <stdint.h>

#include "base/rng.h"
#include "base/view.h"
#include "net/task.h"
#include "net/tls.h"
#include "trust/ca_client.h"

struct rotation;

struct rotation_config {
    struct ca_client_config ca; /* copied; what it points to is borrowed for the rotation's life */
    struct view spiffe;         /* identity to ask for */
};

struct rotation *rotation_new(const struct rotation_config *config, struct task *task, uint32_t bits);
struct rotation *rotation_free(struct rotation *r);               /* NULL */
struct tls_identity *rotation_identity(const struct rotation *r); /* borrowed; NULL before the first */
struct tls_trust *rotation_trust(const struct rotation *r);       /* root that the CA returned; NULL before */
/* Roots that the CA's own server certificate must chain to from the next request on; referenced. */
void rotation_set_ca_trust(struct rotation *r, struct tls_trust *trust);
uint64_t rotation_renews_at(const struct rotation *r); /* wall ns; 0: not known */
struct view rotation_why(const struct rotation *r);    /* of the last failure; empty: none */
uint32_t rotation_failures(const struct rotation *r);  /* in a row */

/* When a certificate is to be renewed, wall ns. */
uint64_t rotation_due(uint64_t not_before, uint64_t not_after, struct rng *rng);
