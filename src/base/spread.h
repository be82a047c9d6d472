// SPDX-License-Identifier: Apache-2.0
/* How long things took, as a histogram that its owner counts in plain numbers: for metrics of one thread's work, printed by
 * whoever is asked for them.
 *
 *   struct spread settle = {0};
 *   spread_add(&settle, loop_now(l) - begin);
 *   spread_print(&settle, "pilot_proxy_convergence_time", "Seconds from …", &out);
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

#define SPREAD_BOUNDS(B)                                                                                               \
    B(1, "0.001")                                                                                                      \
    B(10, "0.01")                                                                                                      \
    B(50, "0.05")                                                                                                      \
    B(100, "0.1") B(500, "0.5") B(1000, "1") B(3000, "3") B(5000, "5") B(10000, "10") B(20000, "20") B(30000, "30")
#define SPREAD_ONE(ms, text) +1
enum { SPREADS = 0 SPREAD_BOUNDS(SPREAD_ONE) };

struct spread {
    uint64_t n, sum_ns, upto[SPREADS]; /* upto: how many took as long or less; each counts in the ones after it, too */
};

static inline void spread_add(struct spread *s, uint64_t ns)
{
#define SPREAD_NS(ms, text) (ms) * NS_PER_MS,
    static const uint64_t bounds[SPREADS] = {SPREAD_BOUNDS(SPREAD_NS)};
#undef SPREAD_NS
    s->n++;
    s->sum_ns += ns;
    for (int i = SPREADS; i-- > 0 && ns <= bounds[i];)
        s->upto[i]++;
}

/* Prometheus text: name is in seconds. */
static inline void spread_print(const struct spread *s, const char *name, const char *help, struct buf *out)
{
#define SPREAD_TEXT(ms, text) text,
    static const char *const bounds[SPREADS] = {SPREAD_BOUNDS(SPREAD_TEXT)};
#undef SPREAD_TEXT
    buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (int i = 0; i < SPREADS; i++)
        buf_printf(out, "%s_bucket{le=\"%s\"} %llu\n", name, bounds[i], (unsigned long long)s->upto[i]);
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9f\n%s_count %llu\n", name, (unsigned long long)s->n, name,
               (double)s->sum_ns / (double)NS_PER_S, name, (unsigned long long)s->n);
}
