// SPDX-License-Identifier: Apache-2.0
/* One resource of each kind with every field away from its default, for the tests of xds/. */
#pragma once

#include "plan/plan.h"

struct cluster *rich_cluster(const char *name);
struct cluster *rich_dns_cluster(const char *name);
struct endpoint_set *rich_endpoints(const char *name);
struct listener *rich_listener(const char *name, const char *rds); /* rds NULL: routes inside */
struct route_table *rich_routes(const char *name);
struct tls_secret *rich_secret(const char *name);
