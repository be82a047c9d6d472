// SPDX-License-Identifier: Apache-2.0
/* Why a stream or connection ended: one enum from one table (end_reason.def), with its access-log flag, details, HTTP
 * and gRPC status.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum end_reason {
#define END_REASON(id, flag, details, http, grpc, error, text) END_##id,
#include "plan/end_reason.def"
#undef END_REASON
};

struct end_reason_info {
    const char *id;      /* NO_ROUTE */
    const char *flag;    /* NR; "-": none */
    const char *details; /* Envoy's response_code_details */
    uint16_t http;       /* status that we answer; 0: no answer of ours */
    int8_t grpc;         /* grpc-status to a gRPC request */
    bool error;          /* counts against the destination's success rate */
    const char *text;    /* one sentence for people */
};

const struct end_reason_info *end_reason_info(enum end_reason reason) __attribute__((returns_nonnull));
#define END_REASONS_MAX 128
unsigned end_reason_count(void);
