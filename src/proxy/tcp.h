// SPDX-License-Identifier: Apache-2.0
/* A relay: opaque bytes between a downstream connection and an endpoint, both ways, with half-close and back-pressure.
 *
 * Bytes go straight from one socket to the other through the loop's scratch area; only what the other side does not take
 * is kept (and reading stops until it is gone), so an idle relay owns no buffer. With ALPN istio-peer-exchange both
 * sides first send the metadata preface (telemetry/peer.h) in front of their bytes.
 *
 * Invariants: owned by its connection, runs in the connection's task. It ends when both directions have ended, when one
 * side fails, or when nothing moved for tcp_manager.idle_timeout.
 */
#pragma once

#include <stdbool.h>

struct connection;
struct relay;

struct relay *relay_new(struct connection *c);    /* takes c->conn over */
bool relay_run(struct relay *r, unsigned events); /* false: over, free it */
struct relay *relay_free(struct relay *r);        /* NULL; writes the access log line */
