// SPDX-License-Identifier: Apache-2.0
/* The counters of the webhooks and their text (stats.h). One loop writes and reads them. */
#include "control/webhook/stats.h"

#include <stdio.h>

#include "base/clock.h"

/* Upper bounds of sidecar_injection_time_seconds. */
static const struct {
    uint64_t ns;
    const char *text;
} bounds[STATS_BUCKETS] = {
    {100 * NS_PER_US, "0.0001"}, {500 * NS_PER_US, "0.0005"}, {NS_PER_MS, "0.001"},     {5 * NS_PER_MS, "0.005"},
    {10 * NS_PER_MS, "0.01"},    {50 * NS_PER_MS, "0.05"},    {100 * NS_PER_MS, "0.1"}, {NS_PER_S, "1"}};

void stats_injected(struct webhook_stats *s, const struct inject_outcome *o, uint64_t took_ns)
{
    s->requests++;
    s->success += o->result == INJECT_DONE;
    s->skip += o->result == INJECT_SKIPPED;
    s->failure += o->result == INJECT_FAILED;
    s->time_ns += took_ns;
    for (int i = 0; i < STATS_BUCKETS; i++)
        s->bucket[i] += took_ns <= bounds[i].ns;
}

static void count(struct validation_count *rows, const char *labels)
{
    int i = 0;
    while (i + 1 < STATS_KINDS && rows[i].n && strcmp(rows[i].labels, labels) != 0)
        i++;
    if (!rows[i].n)
        snprintf(rows[i].labels, sizeof(rows[i].labels), "%s",
                 i + 1 < STATS_KINDS ? labels : "group=\"other\",resource=\"other\",version=\"other\"");
    rows[i].n++;
}

/* Label values of a stranger: anything but the letters of a group, version or plural is left out. */
static struct view plain(char *to, size_t room, struct view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.n && n + 1 < room; i++) {
        char c = v.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-')
            to[n++] = c;
    }
    return view_make(to, n);
}

void stats_validated(struct webhook_stats *s, struct view group, struct view version, struct view resource,
                     const char *reason)
{
    char text[240], a[64], b[32], c[64];
    struct view g = plain(a, sizeof(a), group), v = plain(b, sizeof(b), version), r = plain(c, sizeof(c), resource);
    if (reason)
        snprintf(text, sizeof(text), "group=\"%.*s\",reason=\"%s\",resource=\"%.*s\",version=\"%.*s\"", VIEW_ARGS(g),
                 reason, VIEW_ARGS(r), VIEW_ARGS(v));
    else
        snprintf(text, sizeof(text), "group=\"%.*s\",resource=\"%.*s\",version=\"%.*s\"", VIEW_ARGS(g), VIEW_ARGS(r),
                 VIEW_ARGS(v));
    count(reason ? s->failed : s->passed, text);
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t n)
{
    head(out, name, "counter", help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)n);
}

static void counters(struct buf *out, const char *name, const char *help, const struct validation_count *rows)
{
    head(out, name, "counter", help);
    for (int i = 0; i < STATS_KINDS && rows[i].n; i++)
        buf_printf(out, "%s{%s} %llu\n", name, rows[i].labels, (unsigned long long)rows[i].n);
}

static void print_times(const struct webhook_stats *s, struct buf *out)
{
    static const char name[] = "sidecar_injection_time_seconds";
    head(out, name, "histogram", "Time of one injection.");
    for (int i = 0; i < STATS_BUCKETS; i++)
        buf_printf(out, "%s_bucket{le=\"%s\"} %llu\n", name, bounds[i].text, (unsigned long long)s->bucket[i]);
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9f\n%s_count %llu\n", name, (unsigned long long)s->requests,
               name, (double)s->time_ns / (double)NS_PER_S, name, (unsigned long long)s->requests);
}

void stats_print(const struct webhook_stats *s, struct buf *out)
{
    counter(out, "sidecar_injection_requests_total", "Requests for injection.", s->requests);
    counter(out, "sidecar_injection_success_total", "Pods that got a sidecar.", s->success);
    counter(out, "sidecar_injection_failure_total", "Requests that were refused.", s->failure);
    counter(out, "sidecar_injection_skip_total", "Pods that were left as they are.", s->skip);
    print_times(s, out);
    counters(out, "galley_validation_passed", "Objects that were let in.", s->passed);
    counters(out, "galley_validation_failed", "Objects that were refused.", s->failed);
    counter(out, "galley_validation_http_error", "Requests that were no AdmissionReviews.", s->http_errors);
    counter(out, "galley_validation_config_updates", "Times that failurePolicy or caBundle was written.",
            s->bundle_updates);
    counter(out, "webhook_patch_attempts_total", "Patches of webhook configurations.", s->patch_attempts);
    counter(out, "webhook_patch_retries_total", "Patches that were tried again.", s->patch_retries);
    counter(out, "webhook_patch_failures_total", "Patches that failed.", s->patch_failures);
}
