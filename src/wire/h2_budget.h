// SPDX-License-Identifier: Apache-2.0
/* How much an HTTP/2 peer may make us work for nothing: token buckets that refill with time, and for window updates with
 * the data that we sent. When one is empty, the connection is closed with ENHANCE_YOUR_CALM (rapid reset, CVE-2023-44487;
 * resets that the peer provokes, CVE-2025-8671; SETTINGS, PING, PRIORITY, empty DATA and WINDOW_UPDATE floods).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum h2_cost { H2_COST_RESET, H2_COST_CONTROL, H2_COST_WINDOW, H2_COSTS };

struct h2_budget {
    uint64_t refilled; /* monotonic ns */
    uint32_t left[H2_COSTS];
};

void h2_budget_init(struct h2_budget *b, uint64_t now);
bool h2_budget_spend(struct h2_budget *b, enum h2_cost cost, uint64_t now); /* false: exceeded */
void h2_budget_data_sent(struct h2_budget *b);                              /* a DATA frame earns window updates */
