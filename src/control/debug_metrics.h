// SPDX-License-Identifier: Apache-2.0
/* /metrics of the control plane: Istio's names where the figure is the same, weft_… where Istio has none. A series is
 * printed when it means something here: labelled counters from their first count on, what belongs to an API server only
 * where there is one.
 *
 *   debug_metrics_print(&config, started, &out);
 *
 * Figures are kept by their owners as plain numbers and put into words when somebody asks.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"

struct debug_config;

void debug_metrics_print(const struct debug_config *config, uint64_t started, struct buf *out);
