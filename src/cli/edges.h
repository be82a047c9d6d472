// SPDX-License-Identifier: Apache-2.0
/* Who talks to whom, from the proxies' own metrics: shared by `weft edges` and `weft demo`. */
#pragma once

#include <stdio.h>

#include "cli/cli.h"

struct edge {
    struct view source, source_ns, destination, destination_ns, version; /* workloads; destination may be a service */
    struct view protocol;                                                /* http, grpc, tcp */
    struct view source_id, destination_id;                               /* spiffe://… ; empty: unknown */
    bool mtls, inside;                                                   /* inside: both ends have a proxy */
    bool tcp;                       /* rate: connections opened; no success, no latency */
    double rate, success, p50, p99; /* per second; percent; ms. success and latencies < 0: unknown */
    double total;                   /* requests or connections since the proxies started */
};

/* Scrapes twice, window_ns apart. */
int edges_collect(struct cli *c, uint64_t window_ns, struct edge **ret_edges, size_t *ret_n) must_check;
void edges_print(struct cli *c, const struct edge *edges, size_t n, FILE *to);
