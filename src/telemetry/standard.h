// SPDX-License-Identifier: Apache-2.0
/* Istio's standard metrics (istio_requests_total and its kin): who talked to whom, with all 25 labels of HTTP and 23 of TCP.
 *
 *   struct standard *st = standard_new(metrics, &self);                    // one a worker
 *   id = standard_service(st, host, name, ns);                             // once per cluster, kept by the upstream
 *   standard_request(st, &(struct standard_request){.service = id, …});    // once per request: one hash, then additions
 *
 * Texts that requests refer to (services, principals) are interned to small numbers first, so that the key of a series is
 * a few words. Number 0 always means unknown. Interning is bounded (LIMIT_METRIC_TEXTS); what is beyond becomes unknown.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "plan/end_reason.h"
#include "telemetry/metrics.h"
#include "telemetry/peer.h"

enum reporter { REPORTER_SOURCE, REPORTER_DESTINATION };

struct standard;

struct standard *standard_new(struct metrics *m, const struct workload *self) __attribute__((returns_nonnull));
struct standard *standard_free(struct standard *st);

uint32_t standard_text(struct standard *st, struct view text); /* principals; empty: 0 */
/* host: FQDN; name: short name, or BlackHoleCluster, PassthroughCluster, InboundPassthroughCluster. */
uint32_t standard_service(struct standard *st, struct view host, struct view name, struct view ns);

/* What both kinds share. Source reporter: the peer is the destination; destination reporter: the source. */
struct standard_edge {
    enum reporter reporter;
    uint32_t service;                          /* standard_service */
    uint32_t local_principal, peer_principal;  /* standard_text */
    const struct peer *peer;                   /* NULL: unknown */
    enum end_reason reason;                    /* its flag is the label response_flags */
    bool mutual_tls;
};

struct standard_request {
    struct standard_edge edge;
    uint16_t status; /* 0: none */
    int16_t grpc;    /* grpc-status; -1: not gRPC, or none came */
    bool is_grpc;    /* content-type application/grpc… */
    uint64_t duration_ns, request_bytes, response_bytes;
};
void standard_request(struct standard *st, const struct standard_request *q);
void standard_messages(struct standard *st, const struct standard_request *q, uint64_t from_client, uint64_t from_server);

/* TCP: opened once the peer is known (or at the end), bytes as deltas every few seconds and at the end. */
void standard_tcp_opened(struct standard *st, const struct standard_edge *e);
void standard_tcp_bytes(struct standard *st, const struct standard_edge *e, uint64_t received, uint64_t sent);
void standard_tcp_closed(struct standard *st, const struct standard_edge *e);
