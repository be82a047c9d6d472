// SPDX-License-Identifier: Apache-2.0
/* Header blocks between HTTP/2 and struct headers: adding what was decoded, checking what nghttp2 does not, and the list
 * of name-value pairs to encode. Private to wire/.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/types.h>

#include "wire/h2.h"

int h2_block_add(struct headers *block, struct view name, struct view value) must_check; /* copies into its arena */
/* NULL when the block is acceptable, else the rule it breaks. Puts cookie crumbs together, makes :authority of host. */
const char *h2_block_check(struct headers *block, enum h2_block kind);
/* Fills nv (HEADERS_MOST entries) with borrowed bytes; the count, or -EINVAL. */
ssize_t h2_block_make(const struct headers *headers, nghttp2_nv *nv, struct arena *scratch,
                      enum h2_block kind) must_check;
