// SPDX-License-Identifier: Apache-2.0
/* The istio_* metrics of one proxy (metrics.def): plain counters per worker, rendered as Prometheus text.
 *
 *   struct metrics *m = metrics_new();                                  // one a process
 *   struct metrics_worker *w = metrics_worker(m);                       // one a worker
 *   struct series *s = series_find(w, &labels);                         // once per route, peer and status; cached
 *   series_request(s, duration_ns, request_bytes, response_bytes);      // per request: a handful of adds, no lock
 *   metrics_render(m, &out);                                            // any thread, at any time
 *
 * A series is everything that is counted for one tuple of labels: for HTTP five metrics, for TCP four. Whoever ends
 * requests keeps a small cache from (route, peer, status, flags) to its series, so that the tuple is hashed once.
 *
 * Invariants: counters are written by their worker only, relaxed; a reader may see a request in the count and not yet in
 * a sum, never a counter going back. Series live as long as the metrics; LIMIT_METRIC_SERIES bounds them, what comes
 * after is counted in one series with all labels "overflow".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct metrics;
struct metrics_worker;
struct series;

enum metric_label {
#define METRIC(id, name, kind, labels, help)
#define LABEL(id, name, in) LABEL_##id,
#define BUCKET(twice, text)
#include "telemetry/metrics.def"
#undef METRIC
#undef LABEL
#undef BUCKET
    METRIC_LABELS
};

struct metric_labels {
    bool tcp;                         /* then RESPONSE_CODE and GRPC_RESPONSE_STATUS are left out */
    struct view value[METRIC_LABELS]; /* borrowed for the call; an empty view is written as the empty string */
};

struct metrics *metrics_new(struct view version);         /* of istio_build{component="proxy",tag=…} */
struct metrics *metrics_free(struct metrics *m);          /* NULL; after its workers ended */
struct metrics_worker *metrics_worker(struct metrics *m); /* call on the main thread, before the worker runs */

/* Finds or makes. Never NULL. The worker's own thread only. */
struct series *series_find(struct metrics_worker *w, const struct metric_labels *labels)
    __attribute__((returns_nonnull));

void series_request(struct series *s, uint64_t duration_ns, uint64_t request_bytes, uint64_t response_bytes);
void series_messages(struct series *s, uint64_t requests, uint64_t responses); /* gRPC, as they pass */
void series_tcp_opened(struct series *s);
void series_tcp_bytes(struct series *s, uint64_t sent, uint64_t received); /* since the last call */
void series_tcp_closed(struct series *s);

/* A counter, gauge or histogram of the process itself (proxy or control plane), made at start; name, help and labels are
 * literals or live as long as the metrics. labels: Prometheus text without braces, e.g. type="cds"; may be empty. */
struct gauge;
enum gauge_kind { GAUGE_COUNTER, GAUGE_VALUE };
struct gauge *metrics_gauge(struct metrics *m, const char *name, enum gauge_kind kind, const char *help,
                            const char *labels)
    __attribute__((returns_nonnull));       /* main thread; same again: same gauge */
void gauge_add(struct gauge *g, int64_t n); /* any thread */
void gauge_set(struct gauge *g, int64_t n);
int64_t gauge_get(const struct gauge *g);
struct histogram;
struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *help, const char *labels,
                                    const double *bounds, unsigned n_bounds) __attribute__((returns_nonnull));
void histogram_observe(struct histogram *h, double value); /* any thread */

void metrics_render(struct metrics *m, struct buf *out); /* text format 0.0.4, workers added up */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The sum over all series that `match` accepts: for edges and tests. */
uint64_t metrics_requests(struct metrics *m, bool (*match)(void *arg, const struct metric_labels *l), void *arg);
