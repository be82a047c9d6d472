// SPDX-License-Identifier: Apache-2.0
/* Going down in order, in two steps:
 *
 *   drain_start   a sidecar's preStop hook: the pod was deleted, the application goes on for its grace, and the rest of the
 *                 mesh learns of it in a moment. So nothing is refused and nothing idle is closed: the listeners stay, and
 *                 every inbound HTTP connection is told to come to an end (Connection: close, GOAWAY) with its next answer.
 *   drain_leave   SIGTERM: the same for all connections, and the end after terminationDrainDuration, or as soon as nothing
 *                 is left when EXIT_ON_ZERO_ACTIVE_CONNECTIONS is set: the proxy asks to be stopped (proxy->quit).
 *
 * A kept-alive HTTP/1 connection that is closed while idle may cost a request that is on its way: 503 UC at the client.
 */
#pragma once

struct proxy;

void drain_start(struct proxy *p); /* preStop, /drain */
void drain_leave(struct proxy *p); /* SIGTERM */
void drain_tick(struct proxy *p);  /* the proxy's timer */
