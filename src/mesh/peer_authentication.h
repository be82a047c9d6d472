// SPDX-License-Identifier: Apache-2.0
/* PeerAuthentication (security.istio.io): whether a workload's ports demand mutual TLS. */
#pragma once

#include "mesh/object.h"

enum mtls_mode { MTLS_UNSET, MTLS_DISABLE, MTLS_PERMISSIVE, MTLS_STRICT };

struct port_mtls {
    struct part part;
    uint32_t port; /* of the workload, not of a Service */
    enum mtls_mode mode;
};

struct peer_authentication {
    struct object o;
    struct part spec;
    bool has_selector;
    struct labels selector;
    enum mtls_mode mode;
    struct port_mtls *ports;
    uint32_t n_ports;
};
