// SPDX-License-Identifier: Apache-2.0
/* Metrics as Prometheus text, format 0.0.4: workers added up, a metric's lines together, values escaped (metrics.h). */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "telemetry/series.h"

static const char *const label_names[METRIC_LABELS] = {
#define METRIC(id, name, kind, labels, help)
#define LABEL(id, name, in) [LABEL_##id] = (name),
#define BUCKET(twice, text)
#include "telemetry/metrics.def"
#undef METRIC
#undef LABEL
#undef BUCKET
};

static const char *const bucket_texts[] = {
#define METRIC(id, name, kind, labels, help)
#define LABEL(id, name, in)
#define BUCKET(twice, text) text,
#include "telemetry/metrics.def"
#undef METRIC
#undef LABEL
#undef BUCKET
};

enum metric_kind { COUNTER, HISTOGRAM };
enum metric_protocol { HTTP, TCP };

static const struct {
    const char *name;
    enum metric_kind kind;
    enum metric_protocol protocol;
    const char *help;
} standard[] = {
#define METRIC(id, name, kind, labels, help) [METRIC_##id] = {name, kind, labels, help},
#define LABEL(id, name, in)
#define BUCKET(twice, text)
#include "telemetry/metrics.def"
#undef METRIC
#undef LABEL
#undef BUCKET
};

void metric_labels_print(const struct metric_labels *l, struct buf *out)
{
    for (unsigned i = 0; i < METRIC_LABELS; i++) {
        if (!metric_label_applies(i, l->tcp))
            continue;
        if (buf_len(out))
            buf_char(out, ',');
        buf_str(out, label_names[i]);
        buf_str(out, "=\"");
        struct view v = l->value[i];
        for (size_t k = 0; k < v.n; k++) {
            if (v.p[k] == '\\' || v.p[k] == '"')
                buf_char(out, '\\');
            if (v.p[k] == '\n')
                buf_str(out, "\\n");
            else
                buf_char(out, v.p[k]);
        }
        buf_char(out, '"');
    }
}

/* Where a value lies in a series, by metric. */
static uint64_t counter_of(const struct series *s, unsigned metric)
{
    const uint64_t *const at[] = {
        [METRIC_REQUESTS] = &s->requests,
        [METRIC_REQUEST_MESSAGES] = &s->request_messages,
        [METRIC_RESPONSE_MESSAGES] = &s->response_messages,
        [METRIC_TCP_OPENED] = &s->opened,
        [METRIC_TCP_CLOSED] = &s->closed,
        [METRIC_TCP_SENT] = &s->sent,
        [METRIC_TCP_RECEIVED] = &s->received,
    };
    return __atomic_load_n(at[metric], __ATOMIC_RELAXED);
}

static const struct series_histogram *histogram_of(const struct series *s, unsigned metric)
{
    return metric == METRIC_REQUEST_DURATION ? &s->duration
           : metric == METRIC_REQUEST_BYTES  ? &s->request_bytes
                                             : &s->response_bytes;
}

/* All series with the same labels, one for each worker that has them. */
struct row {
    struct row *next;
    const struct series *series;
};

static uint64_t sum_counter(const struct row *r, unsigned metric)
{
    uint64_t total = 0;
    for (; r; r = r->next)
        total += counter_of(r->series, metric);
    return total;
}

static struct series_histogram sum_histogram(const struct row *r, unsigned metric)
{
    struct series_histogram total = {0};
    for (; r; r = r->next) {
        const struct series_histogram *h = histogram_of(r->series, metric);
        for (unsigned i = 0; i <= METRIC_BUCKETS; i++)
            total.in[i] += __atomic_load_n(&h->in[i], __ATOMIC_RELAXED);
        total.sum += __atomic_load_n(&h->sum, __ATOMIC_RELAXED);
    }
    return total;
}

static void print_head(struct buf *out, const char *name, const char *help, const char *type)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_name(struct buf *out, const char *name, const char *suffix, struct view labels)
{
    buf_str(out, name);
    buf_str(out, suffix);
    if (labels.n) {
        buf_char(out, '{');
        buf_view(out, labels);
        buf_char(out, '}');
    }
    buf_char(out, ' ');
}

static void print_bucket(struct buf *out, const char *name, struct view labels, const char *le, uint64_t n)
{
    buf_str(out, name);
    buf_str(out, "_bucket{");
    buf_view(out, labels);
    buf_str(out, labels.n ? ",le=\"" : "le=\"");
    buf_str(out, le);
    buf_str(out, "\"} ");
    buf_u64(out, n);
    buf_char(out, '\n');
}

static void print_histogram(struct buf *out, unsigned metric, struct view labels, const struct row *row)
{
    struct series_histogram h = sum_histogram(row, metric);
    const char *name = standard[metric].name;
    uint64_t n = 0;
    for (unsigned i = 0; i < METRIC_BUCKETS; i++)
        print_bucket(out, name, labels, bucket_texts[i], n += h.in[i]);
    print_bucket(out, name, labels, "+Inf", n += h.in[METRIC_BUCKETS]);
    print_name(out, name, "_sum", labels);
    if (metric == METRIC_REQUEST_DURATION)
        buf_printf(out, "%.15g", (double)h.sum / (double)NS_PER_MS);
    else
        buf_u64(out, h.sum);
    buf_char(out, '\n');
    print_name(out, name, "_count", labels);
    buf_u64(out, n);
    buf_char(out, '\n');
}

static void print_metric(struct buf *out, unsigned metric, const struct map *rows)
{
    bool head = false, optional = metric == METRIC_REQUEST_MESSAGES || metric == METRIC_RESPONSE_MESSAGES;
    MAP_EACH (rows, it) {
        const struct row *row = it->value;
        if (row->series->labels.tcp != (standard[metric].protocol == TCP) || (optional && !sum_counter(row, metric)))
            continue;
        if (!head)
            print_head(out, standard[metric].name, standard[metric].help,
                       standard[metric].kind == COUNTER ? "counter" : "histogram");
        head = true;
        if (standard[metric].kind == HISTOGRAM) {
            print_histogram(out, metric, it->key, row);
            continue;
        }
        print_name(out, standard[metric].name, "", it->key);
        buf_u64(out, sum_counter(row, metric));
        buf_char(out, '\n');
    }
}

static void collect(struct metrics *m, struct arena *a, struct map *rows)
{
    for (unsigned w = 0; w < m->n_workers; w++) {
        struct metrics_worker *worker = m->workers[w];
        uint32_t n = __atomic_load_n(&worker->n_series, __ATOMIC_ACQUIRE);
        for (uint32_t i = 0; i < n; i++) {
            struct row *row = ARENA_NEW(a, struct row);
            row->series = &worker->chunks[i / SERIES_CHUNK][i % SERIES_CHUNK];
            row->next = map_get(rows, row->series->text);
            map_put(rows, row->series->text, row);
        }
    }
}

static void print_gauges(const struct metrics *m, struct buf *out)
{
    const char *last = "";
    for (struct gauge *g = __atomic_load_n(&m->gauges, __ATOMIC_ACQUIRE); g;
         g = __atomic_load_n(&g->next, __ATOMIC_ACQUIRE)) {
        if (strcmp(last, g->name) != 0)
            print_head(out, g->name, g->help, g->kind == GAUGE_COUNTER ? "counter" : "gauge");
        last = g->name;
        print_name(out, g->name, "", view_of(g->labels));
        buf_i64(out, gauge_get(g));
        buf_char(out, '\n');
    }
}

static void print_own_histograms(const struct metrics *m, struct buf *out)
{
    const char *last = "";
    for (struct histogram *h = __atomic_load_n(&m->histograms, __ATOMIC_ACQUIRE); h;
         h = __atomic_load_n(&h->next, __ATOMIC_ACQUIRE)) {
        struct view labels = view_of(h->labels);
        uint64_t n = 0;
        char le[32];
        if (strcmp(last, h->name) != 0)
            print_head(out, h->name, h->help, "histogram");
        last = h->name;
        for (unsigned i = 0; i < h->n; i++) {
            snprintf(le, sizeof(le), "%g", h->bounds[i]);
            print_bucket(out, h->name, labels, le, n += __atomic_load_n(&h->in[i], __ATOMIC_RELAXED));
        }
        print_bucket(out, h->name, labels, "+Inf", n += __atomic_load_n(&h->in[h->n], __ATOMIC_RELAXED));
        print_name(out, h->name, "_sum", labels);
        buf_printf(out, "%.15g\n", (double)__atomic_load_n(&h->sum_millionths, __ATOMIC_RELAXED) / 1e6);
        print_name(out, h->name, "_count", labels);
        buf_u64(out, n);
        buf_char(out, '\n');
    }
}

void metrics_render(struct metrics *m, struct buf *out)
{
    struct arena scratch;
    struct map rows;
    arena_init(&scratch, 16384);
    map_init(&rows, &scratch);
    collect(m, &scratch, &rows);
    for (unsigned i = 0; i < COUNT_OF(standard); i++)
        print_metric(out, i, &rows);
    print_gauges(m, out);
    print_own_histograms(m, out);
    if (m->version.n) {
        print_head(out, "istio_build", "Version of this component, always 1.", "gauge");
        buf_str(out, "istio_build{component=\"proxy\",tag=\"");
        buf_view(out, m->version);
        buf_str(out, "\"} 1\n");
    }
    arena_done(&scratch);
}
