// SPDX-License-Identifier: Apache-2.0
/* Cross-origin resource sharing (VirtualService http.corsPolicy), as Envoy's cors filter. */
#pragma once

#include <stdbool.h>

struct headers;
struct stream;

/* Whether the request is a preflight that the policy answers itself. Remembers if the origin is allowed. */
bool cors_preflight(struct stream *s);
/* Adds the policy's headers to an answer, when the request's origin is allowed. */
void cors_answer(struct stream *s, struct headers *h, bool preflight);
