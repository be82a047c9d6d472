// SPDX-License-Identifier: Apache-2.0
/* ServiceEntry (networking.istio.io): a service that Kubernetes does not know, inside or outside the mesh. */
#pragma once

#include "mesh/object.h"
#include "mesh/service.h"

enum se_location { SE_EXTERNAL, SE_INTERNAL };

enum se_resolution { SE_NONE, SE_STATIC, SE_DNS, SE_DNS_ROUND_ROBIN, SE_DYNAMIC_DNS };

struct se_port {
    struct part part;
    uint32_t port, target_port; /* target_port 0: same */
    struct view name;
    enum port_protocol protocol;
};

struct se_endpoint_port {
    struct view name;
    uint32_t port;
};

struct se_endpoint { /* an inline WorkloadEntry */
    struct part part;
    struct view address, network, locality, service_account;
    struct se_endpoint_port *ports;
    uint32_t n_ports;
    struct labels labels;
    uint32_t weight; /* 0: 1 */
};

struct service_entry {
    struct object o;
    struct part spec;
    struct strings hosts, addresses, export_to, subject_alt_names;
    struct se_port *ports;
    uint32_t n_ports;
    enum se_location location;
    enum se_resolution resolution;
    struct se_endpoint *endpoints;
    uint32_t n_endpoints;
    struct labels workload_selector;
    bool has_workload_selector;
};
