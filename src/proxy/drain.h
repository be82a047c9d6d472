// SPDX-License-Identifier: Apache-2.0
/* Going down in order: readiness turns false, listeners close, HTTP connections say goodbye (GOAWAY, Connection: close)
 * and finish what runs; after terminationDrainDuration, or as soon as nothing is left when
 * EXIT_ON_ZERO_ACTIVE_CONNECTIONS is set, the proxy asks to be stopped (proxy->quit).
 */
#pragma once

struct proxy;

void drain_start(struct proxy *p); /* SIGTERM, /drain, preStop */
void drain_tick(struct proxy *p);  /* the proxy's timer */
