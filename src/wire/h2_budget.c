// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 budgets: see h2_budget.h. A bucket holds what may be spent in one second; a whole second refills it.
 */
#include "wire/h2_budget.h"

#include "base/clock.h"
#include "base/limits.h"

static const uint32_t most[H2_COSTS] = {
    [H2_COST_RESET] = LIMIT_H2_RESETS_PER_S,
    [H2_COST_CONTROL] = LIMIT_H2_CONTROL_PER_S,
    [H2_COST_WINDOW] = LIMIT_H2_CONTROL_PER_S,
};
enum { WINDOWS_PER_DATA = 10, WINDOWS_MOST = 100000 };

void h2_budget_init(struct h2_budget *b, uint64_t now)
{
    b->refilled = now;
    for (int i = 0; i < H2_COSTS; i++)
        b->left[i] = most[i];
}

bool h2_budget_spend(struct h2_budget *b, enum h2_cost cost, uint64_t now)
{
    if (now - b->refilled >= NS_PER_S) {
        b->refilled = now;
        for (int i = 0; i < H2_COSTS; i++)
            if (b->left[i] < most[i])
                b->left[i] = most[i];
    }
    if (b->left[cost] == 0)
        return false;
    b->left[cost]--;
    return true;
}

void h2_budget_data_sent(struct h2_budget *b)
{
    if (b->left[H2_COST_WINDOW] < WINDOWS_MOST)
        b->left[H2_COST_WINDOW] += WINDOWS_PER_DATA;
}
