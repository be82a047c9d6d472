// SPDX-License-Identifier: Apache-2.0
/* Bundles of root certificates as PEM text: what root-cert.pem, ConfigMaps and trust stores hold.
 *
 *   struct buf all = {0};
 *   r = roots_read(file, &all, &why);              // in one form, each once, in order
 *   roots_add(&all, buf_read(&other));             // those that are not in it yet
 *   if (!roots_share(buf_read(&all), before)) …    // a change that would leave nobody trusting anybody
 *
 * Invariant: what roots_read wrote is canonical: the same certificates in the same order are the same bytes, whatever
 * comments and line ends the file had. The other functions take canonical bundles.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

/* Appends. -EINVAL: nothing in it, or something that is no certificate; *ret_why is static text, nothing was appended. */
int roots_read(struct view pem, struct buf *out, const char **ret_why) must_check;
void roots_add(struct buf *bundle, struct view more);
bool roots_share(struct view a, struct view b);        /* at least one is in both */
bool roots_contain(struct view all, struct view some); /* every one of `some` is in `all` */
unsigned roots_count(struct view bundle);
/* The certificate of a bundle that ends first, wall ns; 0: none is readable. */
uint64_t roots_end(struct view bundle);
