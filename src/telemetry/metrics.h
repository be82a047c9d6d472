// SPDX-License-Identifier: Apache-2.0
/* Metrics: plain counters and histograms that belong to one thread, and their text in Prometheus' format.
 *
 *   struct metrics *m = metrics_new();                                     // one a worker
 *   metric_add(m, METRIC_PILOT_XDS_PUSHES, VIEW("type=\"cds\""), 1);       // seldom: looks the series up
 *   struct series *s = metric_series(m, METRIC_ISTIO_TCP_SENT, labels);    // hot path: keep the handle …
 *   series_add(s, n);                                                      // … one addition, no lock
 *
 * Scraping: each worker copies its values (metrics_copy, on its own thread, sent by a mailbox); whoever answers merges the
 * copies and prints (metrics_print). Label texts live as long as the metrics they belong to, so copies borrow them.
 *
 * Bound: LIMIT_METRIC_SERIES series a worker; what comes later is counted in weft_proxy_series_dropped_total only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/view.h"

enum metric {
#define METRIC(id, type, name, help) METRIC_##id,
#include "telemetry/metrics.def"
#undef METRIC
    METRIC_COUNT
};

enum { HISTOGRAM_BUCKETS = 19 };

struct histogram {
    uint64_t in[HISTOGRAM_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    double sum;
};

struct series {
    enum metric metric;
    struct view labels; /* key="value",key="value", escaped; may be empty */
    uint64_t value;     /* counter, or gauge as bits of a double */
    struct histogram *histogram;
};

struct metrics;

struct metrics *metrics_new(void) __attribute__((returns_nonnull));
struct metrics *metrics_free(struct metrics *m);

/* Finds or makes; labels are copied when made. NULL when there are too many series; the functions below accept it. */
struct series *metric_series(struct metrics *m, enum metric metric, struct view labels);

static inline void series_add(struct series *s, uint64_t n)
{
    if (s)
        s->value += n;
}
void series_observe(struct series *s, double value);
void series_set(struct series *s, double value);

void metric_add(struct metrics *m, enum metric metric, struct view labels, uint64_t n);
void metric_set(struct metrics *m, enum metric metric, struct view labels, double value);
void metric_observe(struct metrics *m, enum metric metric, struct view labels, double value);
double metric_value(struct metrics *m, enum metric metric, struct view labels); /* 0 when there is none; tests, status */

/* Appends `,key="value"` (without the comma at the start of the buffer), the value escaped as the format wants it. */
void metric_label(struct buf *out, const char *key, struct view value);

struct metrics_copy {
    struct series *series; /* in order of making; histograms are copies too */
    size_t n;
};
void metrics_copy(const struct metrics *m, struct arena *a, struct metrics_copy *ret_copy);

/* Text format 0.0.4 with HELP and TYPE, in the order of metrics.def; equal series of several copies are added. */
void metrics_print(const struct metrics_copy *copies, size_t n_copies, struct buf *out);
void metrics_print_one(const struct metrics *m, struct buf *out); /* of the calling thread alone */
