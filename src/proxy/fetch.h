// SPDX-License-Identifier: Apache-2.0
/* One HTTP GET (or another probe) by the proxy itself on the control loop: probes of the application, its metrics.
 *
 *   fetch_start(&config, &task, MY_BIT, &f);
 *   … in run():  r = fetch_result(f);      // -EAGAIN: not yet; 0: fetch_status(f), fetch_body(f); -errno
 *   fetch_free(f);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "net/addr.h"
#include "net/task.h"

struct fetch;
struct headers;
struct http_shared;
struct loop;

struct fetch_config {
    struct loop *loop;
    struct http_shared *http;
    struct addr to;
    const struct addr *bind; /* NULL: the kernel's choice */
    bool tls;                /* certificates are not verified: as the kubelet probes */
    bool connect_only;       /* tcpSocket probe: done when connected */
    bool grpc_health;        /* grpc probe: grpc.health.v1.Health/Check of service, 0 when it says SERVING */
    struct view service;
    struct view host, path;
    const struct headers *headers; /* more request headers; NULL: none */
    uint64_t timeout;
    size_t most; /* bytes of body that are kept; more is an error */
};

int fetch_start(const struct fetch_config *config, struct task *owner, uint32_t bits,
                struct fetch **ret_fetch) must_check;
int fetch_result(const struct fetch *f) must_check;
unsigned fetch_status(const struct fetch *f);
struct view fetch_content_type(const struct fetch *f);
struct buf *fetch_body(struct fetch *f);
struct fetch *fetch_free(struct fetch *f); /* NULL; cancels */
