// SPDX-License-Identifier: Apache-2.0
/* The access log: one line a request or connection, in Istio's default text or JSON format, or in one that people write
 * with Envoy's command operators.
 *
 *   r = log_format_text(VIEW_NONE, &f, &why);                    // Istio's default; or log_format_json, log_format_fields
 *   struct access_logger *log = access_logger_new(loop, f, "/dev/stdout");
 *   access_logger_write(log, &entry);                            // formats into the worker's buffer
 *   access_logger_free(log);                                     // writes the rest
 *
 * Lines are collected per worker and written with one call when the loop has run its tasks and 16 KB are there, or a
 * second after the first; O_APPEND keeps lines of workers whole. A log that cannot take more loses whole lines and
 * counts them (access_logger_lost). Operators that we do not know are refused when the format is read, by name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "net/addr.h"
#include "plan/access_log.h"
#include "plan/end_reason.h"

struct headers;
struct loop;
struct log_format;
struct access_logger;
struct tls_info;

/* What is known about one request, or, with tcp, about one connection. Empty views and zero print as "-" (JSON: null). */
struct access_entry {
    bool tcp;
    uint64_t start_wall;                                 /* ns */
    uint64_t duration;                                   /* ns */
    const struct headers *request, *response, *trailers; /* NULL: none */
    struct view method, path, authority;                 /* as received (%REQ(:PATH)% prefers the original path) */
    struct view protocol;                                /* HTTP/1.1; empty for TCP */
    uint32_t status;                                     /* 0: none was sent */
    int grpc_status;                                     /* -1: not gRPC */
    enum end_reason reason;                              /* flags and details */
    struct view more_flags;                              /* further flags, e.g. "DI"; joined by ',' */
    struct view details;                                 /* instead of the reason's, e.g. via_upstream */
    struct view termination;                             /* %CONNECTION_TERMINATION_DETAILS% */
    struct view upstream_failure;                        /* %UPSTREAM_TRANSPORT_FAILURE_REASON% */
    uint64_t bytes_received, bytes_sent;                 /* bodies */
    uint64_t wire_received, wire_sent;                   /* downstream, on the wire */
    uint64_t upstream_time;                              /* ns until the upstream's headers */
    uint32_t attempts;
    struct view cluster, route, vhost, service;
    const struct addr *upstream_host, *upstream_local;
    const struct addr *downstream_local, *downstream_remote, *downstream_direct;
    struct view sni; /* %REQUESTED_SERVER_NAME% */
    const struct tls_info *downstream_tls, *upstream_tls;
    struct view weft_reason; /* which object and rule; the extra field weft-reason */
};

/* Parses Envoy's operators. Empty text: Istio's default. -EINVAL: *ret_why names the operator (valid until the next
 * call with the same buffer). */
int log_format_text(struct view format, struct log_format **ret_format, struct buf *ret_why) must_check;
int log_format_json(struct log_format **ret_format) must_check; /* Istio's default JSON */
int log_format_fields(const struct access_log_field *fields, uint32_t n, struct log_format **ret_format,
                      struct buf *ret_why) must_check;
int log_format_of(const struct access_log *plan, struct log_format **ret_format, struct buf *ret_why) must_check;
struct log_format *log_format_free(struct log_format *f);                                         /* NULL */
void log_format_print(const struct log_format *f, const struct access_entry *e, struct buf *out); /* with newline */

/* Takes the format over. path: /dev/stdout, /dev/stderr or a file (appended to). NULL with errno when it cannot be
 * opened. */
struct access_logger *access_logger_new(struct loop *l, struct log_format *f, struct view path);
void access_logger_write(struct access_logger *log, const struct access_entry *e);
void access_logger_flush(struct access_logger *log);
uint64_t access_logger_lost(const struct access_logger *log);
struct access_logger *access_logger_free(struct access_logger *log); /* NULL */
