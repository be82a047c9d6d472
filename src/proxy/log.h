// SPDX-License-Identifier: Apache-2.0
/* What is told about streams, relays and connections: access log lines and the istio_* metrics (telemetry/).
 *
 * A worker opens each access log of the plan once; a connection looks up its own when it starts to be served. Series of
 * metrics are found through a small cache by (cluster, peer, status, reason …), so a request ends with a few additions.
 */
#pragma once

#include <stdbool.h>

struct connection;
struct relay;
struct stream;
struct upstream;
struct worker;

void log_worker_init(struct worker *w);
void log_worker_done(struct worker *w);
void log_forget_upstream(struct worker *w, const struct upstream *u);

void log_connection_open(struct connection *c); /* its filter chain is chosen */
void log_connection(struct connection *c);      /* it ended before it was served: no chain, TLS failure */
void log_refused(struct connection *c);         /* malformed HTTP that never became a stream */
void log_connection_peer_done(struct connection *c);

void log_stream(struct stream *s);           /* at the end of every stream */
void log_relay(struct relay *r, bool ended); /* every 5 s, and at the end */
