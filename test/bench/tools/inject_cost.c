// SPDX-License-Identifier: Apache-2.0
/* What the injection webhook takes for one pod: AdmissionReview in, AdmissionReview with its patch out, no network.
 *
 *   inject_cost [KILOBYTES=50] [TIMES=2000] [CEILING_US=1000]
 *
 * Prints one JSON object: p50, p99 and the longest in microseconds of CPU (what others do to the machine meanwhile is not in
 * it) and p99 by the clock, bytes in and out. Exits 1 when p99 of CPU is above the ceiling.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "inject/admission.h"
#include "inject/settings.h"

/* A pod with containers, probes, environment and annotations until the review has about `bytes`. */
static void make_review(struct buf *b, size_t bytes)
{
    buf_str(b, "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":\"705ab4f5\","
               "\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\"},\"resource\":{\"group\":\"\",\"version\":"
               "\"v1\",\"resource\":\"pods\"},\"namespace\":\"default\",\"operation\":\"CREATE\",\"dryRun\":false,"
               "\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"generateName\":\"web-7c9b-\","
               "\"labels\":{\"app\":\"web\",\"pod-template-hash\":\"7c9b\"},\"annotations\":{\"a/b\":\"c\"},"
               "\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-7c9b\",\"uid\":"
               "\"x\",\"controller\":true}]},\"spec\":{\"serviceAccountName\":\"web\",\"containers\":[");
    for (unsigned i = 0; buf_len(b) < bytes; i++) {
        buf_printf(b,
                   "%s{\"name\":\"c%u\",\"image\":\"example.org/app:%u\",\"ports\":[{\"containerPort\":%u,\"protocol\":"
                   "\"TCP\"}],\"readinessProbe\":{\"httpGet\":{\"path\":\"/ready\",\"port\":%u}},\"livenessProbe\":"
                   "{\"tcpSocket\":{\"port\":%u}},\"env\":[",
                   i ? "," : "", i, i, 8000 + i, 8000 + i, 8000 + i);
        for (unsigned j = 0; j < 30; j++)
            buf_printf(b, "%s{\"name\":\"SETTING_%u\",\"value\":\"the value of setting %u\"}", j ? "," : "", j, j);
        buf_str(b, "],\"volumeMounts\":[{\"name\":\"data\",\"mountPath\":\"/data\"}]}");
    }
    buf_str(b, "],\"volumes\":[{\"name\":\"data\",\"emptyDir\":{}}]}}}}");
}

static uint64_t cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    size_t kilobytes = argc > 1 ? (size_t)atol(argv[1]) : 50, times = argc > 2 ? (size_t)atol(argv[2]) : 2000;
    uint64_t ceiling = argc > 3 ? (uint64_t)atol(argv[3]) : 1000;
    uint64_t *took = calloc(times + 1, sizeof(*took)), *wall = calloc(times + 1, sizeof(*wall));
    struct buf review = {0}, out = {0};
    struct inject_outcome seen;
    struct arena settings;
    arena_init(&settings, 0);
    struct inject_config c = inject_config_kubernetes(&settings);
    if (!took || !wall || !times)
        return 2;
    make_review(&review, kilobytes * 1024);
    for (size_t i = 0; i < times; i++) {
        struct arena a;
        uint64_t began = clock_mono(), work = cpu();
        buf_clear(&out);
        arena_init(&a, 64 * 1024);
        if (inject_review(&a, buf_read(&review), &c, &out, &seen) || seen.result != INJECT_DONE)
            return 2;
        arena_done(&a);
        took[i] = cpu() - work;
        wall[i] = clock_mono() - began;
    }
    qsort(wall, times, sizeof(*wall), by_size);
    qsort(took, times, sizeof(*took), by_size);
    size_t at = times - 1 - times / 100;
    uint64_t p99 = took[at];
    printf("{\"inject_cost\":{\"pod_bytes\":%zu,\"answer_bytes\":%zu,\"times\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"most_us\":%.1f,"
           "\"wall_p99_us\":%.1f}}\n",
           buf_len(&review), buf_len(&out), times, (double)took[times / 2] / 1e3, (double)p99 / 1e3,
           (double)took[times - 1] / 1e3, (double)wall[at] / 1e3);
    buf_done(&review);
    buf_done(&out);
    arena_done(&settings);
    free(took);
    free(wall);
    return p99 > ceiling * NS_PER_US;
}
