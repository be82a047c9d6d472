// SPDX-License-Identifier: Apache-2.0
/* hostPort of containers: a port of 127.0.0.1 of the machine leads into the pod that declares it (a gateway). When the
 * pod is replaced, the port follows to the next one that is ready.
 */
#pragma once

#include "base/buf.h"
#include "sandbox/store.h"

struct host_ports;
struct runtime;

struct host_ports *host_ports_new(struct store *store, struct runtime *rt);
struct host_ports *host_ports_free(struct host_ports *h);
void host_ports_sync(struct host_ports *h);
void host_ports_print(const struct host_ports *h, struct buf *json); /* [{"hostPort":8080,"pod":…,"error":…}] */
