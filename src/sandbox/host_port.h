// SPDX-License-Identifier: Apache-2.0
/* Host ports: what the supervisor accepted on 127.0.0.1 of the machine is joined with a connection to a pod or Service.
 *
 *   host_port_set(set, 8080, ip, 80);            // listens, or only leads elsewhere from now on; ip 0: stops listening
 *   taken = host_port_accepted(set, id, fd);
 *
 * Bytes are copied both ways with half-close and back-pressure (64 KiB a direction).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"

struct host_port_set;
struct isolate;
struct loop;

struct host_port_set *host_port_set_new(struct loop *loop, struct isolate *iso);
struct host_port_set *host_port_set_free(struct host_port_set *s);
int host_port_set(struct host_port_set *s, uint16_t port, uint32_t target_ip, uint16_t target_port) must_check;
bool host_port_accepted(struct host_port_set *s, uint32_t id, int fd) must_check;
