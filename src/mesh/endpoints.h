// SPDX-License-Identifier: Apache-2.0
/* Endpoints (v1) and EndpointSlice (discovery.k8s.io/v1): the addresses behind a Service. */
#pragma once

#include "mesh/object.h"
#include "mesh/service.h"

struct endpoint_port {
    struct view name, app_protocol;
    enum l4_protocol l4;
    uint32_t port;
};

struct target_ref {
    struct view kind, ns, name;
};

struct slice_endpoint {
    struct strings addresses;
    struct opt_bool ready, serving, terminating; /* conditions; ready unset counts as ready */
    struct view hostname, node_name, zone;
    struct target_ref target;
};

struct endpoint_slice {
    struct object o;
    struct view address_type; /* IPv4, IPv6, FQDN */
    struct slice_endpoint *endpoints;
    uint32_t n_endpoints;
    struct endpoint_port *ports;
    uint32_t n_ports;
};

/* The Service that a slice belongs to: label kubernetes.io/service-name. */
struct view endpoint_slice_service(const struct endpoint_slice *s);

struct endpoint_address {
    struct view ip, hostname, node_name;
    struct target_ref target;
};

struct endpoint_subset {
    struct endpoint_address *addresses, *not_ready;
    uint32_t n_addresses, n_not_ready;
    struct endpoint_port *ports;
    uint32_t n_ports;
};

struct endpoints {
    struct object o;
    struct endpoint_subset *subsets;
    uint32_t n_subsets;
};
