// SPDX-License-Identifier: Apache-2.0
/* loadgen: requests at a fixed rate over a few kept-alive connections, one line each five seconds, a summary at the end.
 * Stands outside the mesh and calls through the gateway, as users do. Exit code 1 when a request failed (not 2xx or 3xx).
 */
#include "bookinfo.h"
#include "http.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 8, MOST_SAMPLES = 1 << 20, TIMEOUT_MS = 15000, REPORT_S = 5 };

struct load {
    struct app *app;
    char host[256];
    uint16_t port;
    const char *path;
    struct buf headers;
    uint64_t start_ns;
    atomic_ulong next, done, failed; /* next: number of the next request; its time is start + next / rate */
    uint32_t *samples_us;            /* of every request, newest last */
};

static atomic_bool stopping; /* set by SIGTERM */

static void on_term(int sig)
{
    (void)sig;
    stopping = true;
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void *send_requests(void *arg)
{
    struct load *load = arg;
    struct http_link link = {.host = load->host, .port = load->port, .fd = -1};
    for (;;) {
        unsigned long n = atomic_fetch_add(&load->next, 1);
        uint64_t due = load->start_ns + (uint64_t)((double)n / load->app->rate * 1e9);
        if (load->app->seconds && due >= load->start_ns + load->app->seconds * NS_PER_S)
            return NULL;
        for (uint64_t now = clock_mono(); !stopping && now < due; now = clock_mono()) /* in steps, to see SIGTERM */
            sleep_until(due < now + 100 * NS_PER_MS ? due : now + 100 * NS_PER_MS);
        if (stopping)
            return NULL;
        struct reply r;
        uint64_t sent = clock_mono();
        http_link_call(&link, load->path, buf_read(&load->headers), TIMEOUT_MS, &r);
        if (r.status < 200 || r.status >= 400) {
            atomic_fetch_add(&load->failed, 1);
            printf("failed: status %d after %lu ms\n", r.status, (unsigned long)((clock_mono() - sent) / NS_PER_MS));
            fflush(stdout);
        }
        unsigned long slot = atomic_fetch_add(&load->done, 1);
        load->samples_us[slot % MOST_SAMPLES] = (uint32_t)((clock_mono() - sent) / NS_PER_US);
        reply_done(&r);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(struct load *load, const char *what, unsigned long from)
{
    unsigned long done = load->done, n = done - from;
    if (n > MOST_SAMPLES)
        n = MOST_SAMPLES;
    uint32_t *sorted = mem_alloc((n + 1) * sizeof(*sorted));
    for (unsigned long i = 0; i < n; i++)
        sorted[i] = load->samples_us[(done - n + i) % MOST_SAMPLES];
    qsort(sorted, n, sizeof(*sorted), by_value);
    printf("%s: %lu requests, %lu failed, p50 %.1f ms, p99 %.1f ms\n", what, done - from, (unsigned long)load->failed,
           n ? sorted[n / 2] / 1000.0 : 0, n ? sorted[n * 99 / 100] / 1000.0 : 0);
    fflush(stdout);
    mem_free(sorted);
}

/* http://host[:port]/path */
static bool parse_url(struct load *load)
{
    struct view url = view_of(load->app->url);
    if (!view_starts(url, VIEW("http://")))
        return false;
    struct view rest = view_from(url, 7), authority = view_head(rest, view_find(rest, '/'));
    size_t colon = view_find(authority, ':');
    uint64_t port = 80;
    if (colon == 0 || colon >= sizeof(load->host) ||
        (colon < authority.n && view_u64(view_from(authority, colon + 1), &port)) || port > 65535)
        return false;
    memcpy(load->host, authority.p, colon);
    load->port = (uint16_t)port;
    load->path = authority.n < rest.n ? rest.p + authority.n : "/";
    return true;
}

int loadgen_run(struct app *app)
{
    static struct load load;
    struct sigaction term = {.sa_handler = on_term};
    pthread_t threads[THREADS];
    load.app = app;
    if (!app->url || app->rate <= 0 || !parse_url(&load)) {
        fputs("bookinfo loadgen: give --url http://HOST[:PORT]/PATH and a --rate above 0\n", stderr);
        return 2;
    }
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGINT, &term, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (app->header_line)
        buf_printf(&load.headers, "%s\r\n", app->header_line);
    load.samples_us = mem_alloc(MOST_SAMPLES * sizeof(uint32_t));
    load.start_ns = clock_mono();
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, send_requests, &load))
            return 1;
    uint64_t end = app->seconds ? load.start_ns + app->seconds * NS_PER_S : UINT64_MAX;
    unsigned long seen = 0;
    for (uint64_t next = load.start_ns + REPORT_S * NS_PER_S; !stopping && clock_mono() < end;) {
        sleep_until(clock_mono() + 100 * NS_PER_MS);
        if (clock_mono() < next)
            continue;
        report(&load, "last 5 s", seen);
        seen = load.done;
        next += REPORT_S * NS_PER_S;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    report(&load, "total", 0);
    return load.failed ? 1 : 0;
}
