// SPDX-License-Identifier: Apache-2.0
/* What counting (metrics.c) and printing (render.c) share: the memory of series. Nobody else includes this. */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "telemetry/metrics.h"

enum { METRIC_BUCKETS = 19, SERIES_CHUNK = 64, SERIES_CHUNKS = 512, METRIC_WORKERS = 64 };

enum standard_metric {
#define METRIC(id, name, kind, labels, help) METRIC_##id,
#define LABEL(id, name, in)
#define BUCKET(twice, text)
#include "telemetry/metrics.def"
#undef METRIC
#undef LABEL
#undef BUCKET
};

struct series_histogram {
    uint64_t in[METRIC_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    uint64_t sum;                    /* ns or bytes */
};

struct series {
    struct metric_labels labels; /* texts in the worker's arena */
    struct view text;            /* key="value",… as printed */
    uint64_t hash;
    union {
        struct {
            uint64_t requests, request_messages, response_messages;
            struct series_histogram duration, request_bytes, response_bytes;
        };
        struct {
            uint64_t opened, closed, sent, received;
        };
    };
};

struct metrics_worker {
    struct series *chunks[SERIES_CHUNKS];
    uint32_t n_series; /* published with release order */
    uint32_t n_slots, *slots;
    struct arena arena;
};

struct gauge {
    struct gauge *next;
    const char *name, *help, *labels;
    enum gauge_kind kind;
    int64_t value;
};

struct histogram {
    struct histogram *next;
    const char *name, *help, *labels;
    const double *bounds;
    unsigned n;
    uint64_t *in, sum_millionths;
};

struct metrics {
    struct arena arena;
    struct view version;
    struct metrics_worker *workers[METRIC_WORKERS];
    unsigned n_workers;
    struct gauge *gauges;
    struct histogram *histograms;
};

bool metric_label_applies(unsigned label, bool tcp);
void metric_labels_print(const struct metric_labels *l, struct buf *out);
