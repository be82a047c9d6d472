// SPDX-License-Identifier: Apache-2.0
/* Plans without a control plane, through the same structs: one listener, one cluster, no features. For benchmarks and
 * tests of the data path alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"

struct plan;

enum static_kind {
    STATIC_HTTP, /* HTTP/1 or HTTP/2 in, the same out as HTTP/1 */
    STATIC_H2,   /* either in, HTTP/2 (prior knowledge) out */
    STATIC_TCP,
};

/* Adds a listener on 127.0.0.1:listen (0.0.0.0 when any) that leads to 127.0.0.1:upstream. */
void static_plan_add(struct plan *p, enum static_kind kind, uint16_t listen, uint16_t upstream, bool any);
/* "18080:9080" with an optional http:, h2: or tcp: in front. -EINVAL. */
int static_plan_parse(struct plan *p, struct view text) must_check;
