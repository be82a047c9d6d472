// SPDX-License-Identifier: Apache-2.0
/* Counting (metrics.h): each worker has a table from label tuples to series, which only it changes; readers see series
 * through a grow-only list of chunks whose length is published with release order. render.c turns them into text.
 */
#include "telemetry/metrics.h"

#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "telemetry/series.h"

static const uint64_t bucket_twice[] = {
#define METRIC(id, name, kind, labels, help)
#define LABEL(id, name, in)
#define BUCKET(twice, text) twice,
#include "telemetry/metrics.def"
#undef METRIC
#undef LABEL
#undef BUCKET
};
_Static_assert(COUNT_OF(bucket_twice) == METRIC_BUCKETS, "metrics.def and series.h agree on the number of buckets");

static const bool label_http_only[METRIC_LABELS] = {
#define HTTP_TCP false
#define HTTP true
#define METRIC(id, name, kind, labels, help)
#define LABEL(id, name, in) [LABEL_##id] = (in),
#define BUCKET(twice, text)
#include "telemetry/metrics.def"
#undef METRIC
#undef LABEL
#undef BUCKET
#undef HTTP_TCP
#undef HTTP
};

bool metric_label_applies(unsigned label, bool tcp)
{
    return !tcp || !label_http_only[label];
}

static inline void count(uint64_t *counter, uint64_t n)
{
    /* One writer: no locked instruction is needed, only a store that a reader cannot see torn. */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

struct metrics *metrics_new(struct view version)
{
    struct metrics *m = mem_alloc(sizeof(*m));
    arena_init(&m->arena, 0);
    m->version = arena_view(&m->arena, version);
    return m;
}

struct metrics *metrics_free(struct metrics *m)
{
    if (!m)
        return NULL;
    for (unsigned i = 0; i < m->n_workers; i++) {
        struct metrics_worker *w = m->workers[i];
        for (unsigned c = 0; c < SERIES_CHUNKS && w->chunks[c]; c++)
            mem_free(w->chunks[c]);
        mem_free(w->slots);
        arena_done(&w->arena);
        mem_free(w);
    }
    arena_done(&m->arena);
    mem_free(m);
    return NULL;
}

struct metrics_worker *metrics_worker(struct metrics *m)
{
    must(m->n_workers < COUNT_OF(m->workers));
    struct metrics_worker *w = mem_alloc(sizeof(*w));
    arena_init(&w->arena, 16384);
    m->workers[m->n_workers++] = w;
    return w;
}

static uint64_t hash_labels(const struct metric_labels *l)
{
    uint64_t h = l->tcp;
    for (unsigned i = 0; i < METRIC_LABELS; i++)
        if (metric_label_applies(i, l->tcp))
            h = (h ^ view_hash(l->value[i])) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static bool same_labels(const struct metric_labels *a, const struct metric_labels *b)
{
    if (a->tcp != b->tcp)
        return false;
    for (unsigned i = 0; i < METRIC_LABELS; i++)
        if (metric_label_applies(i, a->tcp) && !view_eq(a->value[i], b->value[i]))
            return false;
    return true;
}

static struct series *series_at(const struct metrics_worker *w, uint32_t i)
{
    return &w->chunks[i / SERIES_CHUNK][i % SERIES_CHUNK];
}

static uint32_t *slot_of(struct metrics_worker *w, const struct metric_labels *l, uint64_t hash)
{
    for (uint32_t i = (uint32_t)hash & (w->n_slots - 1);; i = (i + 1) & (w->n_slots - 1)) {
        uint32_t at = w->slots[i];
        if (!at)
            return &w->slots[i];
        struct series *s = series_at(w, at - 1);
        if (s->hash == hash && same_labels(&s->labels, l))
            return &w->slots[i];
    }
}

static void grow_slots(struct metrics_worker *w)
{
    uint32_t n = w->n_slots ? w->n_slots * 2 : 64;
    mem_free(w->slots);
    w->slots = mem_alloc(n * sizeof(*w->slots));
    w->n_slots = n;
    for (uint32_t i = 0; i < w->n_series; i++) {
        struct series *s = series_at(w, i);
        *slot_of(w, &s->labels, s->hash) = i + 1;
    }
}

static struct series *series_new(struct metrics_worker *w, const struct metric_labels *l, uint64_t hash)
{
    uint32_t at = w->n_series;
    if (!w->chunks[at / SERIES_CHUNK])
        w->chunks[at / SERIES_CHUNK] = mem_alloc(sizeof(struct series) * SERIES_CHUNK);
    struct series *s = series_at(w, at);
    s->hash = hash;
    s->labels.tcp = l->tcp;
    for (unsigned i = 0; i < METRIC_LABELS; i++)
        if (l->value[i].n && metric_label_applies(i, l->tcp))
            s->labels.value[i] = arena_view(&w->arena, l->value[i]);
    struct buf text = {0};
    metric_labels_print(&s->labels, &text);
    s->text = arena_view(&w->arena, buf_read(&text));
    buf_done(&text);
    __atomic_store_n(&w->n_series, at + 1, __ATOMIC_RELEASE); /* now a reader may see it, whole */
    return s;
}

struct series *series_find(struct metrics_worker *w, const struct metric_labels *labels)
{
    if ((w->n_series + 1) * 2 > w->n_slots)
        grow_slots(w);
    uint64_t hash = hash_labels(labels);
    uint32_t *slot = slot_of(w, labels, hash);
    if (*slot)
        return series_at(w, *slot - 1);
    if (w->n_series >= LIMIT_METRIC_SERIES && !view_is(labels->value[LABEL_REPORTER], "overflow")) {
        struct metric_labels overflow = {.tcp = labels->tcp};
        for (unsigned i = 0; i < METRIC_LABELS; i++)
            overflow.value[i] = VIEW("overflow");
        return series_find(w, &overflow);
    }
    struct series *s = series_new(w, labels, hash);
    *slot_of(w, labels, hash) = w->n_series;
    return s;
}

static void observe(struct series_histogram *h, uint64_t twice, uint64_t value)
{
    unsigned i = 0;
    while (i < METRIC_BUCKETS && twice > bucket_twice[i])
        i++;
    count(&h->in[i], 1);
    count(&h->sum, value);
}

void series_request(struct series *s, uint64_t duration_ns, uint64_t request_bytes, uint64_t response_bytes)
{
    count(&s->requests, 1);
    observe(&s->duration, (duration_ns * 2 + NS_PER_MS - 1) / NS_PER_MS, duration_ns);
    observe(&s->request_bytes, request_bytes * 2, request_bytes);
    observe(&s->response_bytes, response_bytes * 2, response_bytes);
}

void series_messages(struct series *s, uint64_t requests, uint64_t responses)
{
    count(&s->request_messages, requests);
    count(&s->response_messages, responses);
}

void series_tcp_opened(struct series *s)
{
    count(&s->opened, 1);
}

void series_tcp_bytes(struct series *s, uint64_t sent, uint64_t received)
{
    count(&s->sent, sent);
    count(&s->received, received);
}

void series_tcp_closed(struct series *s)
{
    count(&s->closed, 1);
}

static bool same_name(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

struct gauge *metrics_gauge(struct metrics *m, const char *name, enum gauge_kind kind, const char *help,
                            const char *labels)
{
    for (struct gauge *g = m->gauges; g; g = g->next)
        if (same_name(g->name, name) && same_name(g->labels, labels))
            return g;
    struct gauge *g = ARENA_NEW(&m->arena, struct gauge), **end = &m->gauges;
    *g = (struct gauge){.name = name, .kind = kind, .help = help, .labels = arena_str(&m->arena, view_of(labels))};
    while (*end && !(same_name((*end)->name, name) && !((*end)->next && same_name((*end)->next->name, name))))
        end = &(*end)->next; /* behind the last one of its name: the text format wants a metric's lines together */
    if (*end) {
        g->next = (*end)->next;
        __atomic_store_n(&(*end)->next, g, __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(end, g, __ATOMIC_RELEASE);
    }
    return g;
}

void gauge_add(struct gauge *g, int64_t n)
{
    __atomic_fetch_add(&g->value, n, __ATOMIC_RELAXED);
}

void gauge_set(struct gauge *g, int64_t n)
{
    __atomic_store_n(&g->value, n, __ATOMIC_RELAXED);
}

int64_t gauge_get(const struct gauge *g)
{
    return __atomic_load_n(&g->value, __ATOMIC_RELAXED);
}

struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *help, const char *labels,
                                    const double *bounds, unsigned n_bounds)
{
    for (struct histogram *h = m->histograms; h; h = h->next)
        if (same_name(h->name, name) && same_name(h->labels, labels))
            return h;
    struct histogram *h = ARENA_NEW(&m->arena, struct histogram), **end = &m->histograms;
    *h = (struct histogram){.name = name, .help = help, .labels = arena_str(&m->arena, view_of(labels)), .n = n_bounds};
    h->bounds = arena_copy(&m->arena, bounds, n_bounds * sizeof(*bounds));
    h->in = ARENA_ARRAY(&m->arena, uint64_t, n_bounds + 1);
    while (*end)
        end = &(*end)->next;
    __atomic_store_n(end, h, __ATOMIC_RELEASE);
    return h;
}

void histogram_observe(struct histogram *h, double value)
{
    unsigned i = 0;
    while (i < h->n && value > h->bounds[i])
        i++;
    __atomic_fetch_add(&h->in[i], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&h->sum_millionths, (uint64_t)(value * 1e6), __ATOMIC_RELAXED);
}

uint64_t metrics_requests(struct metrics *m, bool (*match)(void *arg, const struct metric_labels *l), void *arg)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < m->n_workers; i++) {
        uint32_t n = __atomic_load_n(&m->workers[i]->n_series, __ATOMIC_ACQUIRE);
        for (uint32_t k = 0; k < n; k++) {
            struct series *s = series_at(m->workers[i], k);
            if (match(arg, &s->labels))
                total += __atomic_load_n(&s->requests, __ATOMIC_RELAXED);
        }
    }
    return total;
}
