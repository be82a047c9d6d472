// SPDX-License-Identifier: Apache-2.0
/* The proxy's own HTTP ports, all served by the control loop so that no page ever waits for or delays traffic:
 *   15000  admin, on localhost           15020  merged metrics, readiness, probes of the application
 *   15021  readiness                     15090  metrics of the proxy alone
 * What is served where is the table admin.def.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/view.h"

struct admin;
struct proxy;

struct admin *admin_new(struct proxy *p);
struct admin *admin_free(struct admin *a); /* NULL */
