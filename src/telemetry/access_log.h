// SPDX-License-Identifier: Apache-2.0
/* Access log lines in Envoy's formats: command operators (%RESPONSE_CODE%, %REQ(X-REQUEST-ID)%, …) compiled once into a list
 * of pieces, written per request without allocation or printf.
 *
 *   log_format_new(&arena, plan_log, &format, &why);              // -EINVAL names the operator that is not supported
 *   log_format_write(format, &facts, log_file_line(file));        // one line
 *
 * In JSON a value that is one operator keeps its type (numbers bare, absent ones null), as Envoy's json_format does. When
 * `reason` is set, which object and rule decided stands behind it: JSON key "weft-reason", in text weft-reason="…".
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "plan/access_log.h"
#include "wire/headers.h"

/* Everything that an operator may ask for; empty views and NULL are absent. Times: nanoseconds. */
struct log_facts {
    uint64_t start_wall;
    uint64_t duration;          /* of the whole stream or connection */
    uint64_t request_duration;  /* until the last byte from downstream */
    uint64_t response_duration; /* until the first byte from upstream; UINT64_MAX: none */
    const struct headers *request, *response, *trailers;
    struct view original_path; /* as received; REQ(:PATH) may be rewritten, X-ENVOY-ORIGINAL-PATH falls back to it */
    struct view protocol;      /* HTTP/1.1, HTTP/2; empty: TCP */
    uint16_t status;
    int16_t grpc;              /* -1: none */
    struct view flags;         /* NR, UF,URX; empty: - */
    struct view details, termination_details, transport_failure;
    uint64_t bytes_received, bytes_sent;
    struct view upstream_host, upstream_cluster, upstream_local;
    struct view downstream_local, downstream_remote; /* ip:port */
    struct view downstream_direct_remote;            /* the connection's own, when XFF changed the other */
    struct view server_name, route_name;
    struct view peer_principal, local_principal, peer_subject, tls_version, tls_cipher;
    uint32_t attempts;
    struct view reason; /* weft-reason */
};

struct log_format;

int log_format_new(struct arena *a, const struct access_log *log, struct log_format **ret_format, struct view *ret_why) must_check;
void log_format_write(const struct log_format *f, const struct log_facts *facts, struct buf *out);

/* A log's file: lines collect in memory and leave in one write. One a worker and path; lines are never torn. */
struct log_file;
int log_file_open(struct view path, struct log_file **ret_file) must_check; /* /dev/stdout and /dev/stderr: the program's own */
struct log_file *log_file_close(struct log_file *f);                        /* flushes */
struct buf *log_file_line(struct log_file *f);                              /* append one line here */
void log_file_flush(struct log_file *f);                                    /* once a loop turn; what the disk refuses is dropped and counted */
uint64_t log_file_dropped(const struct log_file *f);
