// SPDX-License-Identifier: Apache-2.0
/* A plan as text for people: stable, complete, one fact a line. Golden files are made of it, the content hash of a
 * resource is taken over it, so whatever is not printed does not count as a change. Fields at their zero value are left
 * out. Secrets print names and a hash of the certificate, never a key.
 */
#pragma once

#include "base/buf.h"
#include "plan/plan.h"

void resource_print(struct buf *out, const struct resource *r);
void plan_print(struct buf *out, const struct plan *p); /* clusters, endpoints, listeners, routes, secrets, by name */
