// SPDX-License-Identifier: Apache-2.0
/* Gateway (networking.istio.io): which ports, hosts and certificates a gateway workload serves. */
#pragma once

#include "mesh/object.h"
#include "mesh/service.h"

enum server_tls_mode {
    SERVER_TLS_PASSTHROUGH,
    SERVER_TLS_SIMPLE,
    SERVER_TLS_MUTUAL,
    SERVER_TLS_AUTO_PASSTHROUGH,
    SERVER_TLS_ISTIO_MUTUAL,
    SERVER_TLS_OPTIONAL_MUTUAL,
};

enum gateway_tls_version { TLS_VERSION_AUTO, TLS_VERSION_1_0, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct server_tls {
    struct part part;
    bool https_redirect;
    bool has_mode;
    enum server_tls_mode mode;
    struct view server_certificate, private_key, ca_certificates, credential_name;
    struct strings subject_alt_names, cipher_suites;
    enum gateway_tls_version min_version, max_version;
};

struct gateway_server {
    struct part part;
    struct view name, bind;
    uint32_t port;
    struct view port_name;
    enum port_protocol protocol;
    struct strings hosts; /* [ns/]dnsName, `./x`, `*` + `/x` as written */
    struct server_tls *tls;
};

struct gateway {
    struct object o;
    struct part spec;
    struct gateway_server *servers;
    uint32_t n_servers;
    struct labels selector; /* empty: every gateway workload */
};

/* Whether a server entry (`*.example.com`, with or without a namespace before it) admits a host of a VirtualService in vs_ns. gw_ns is what `.` means. */
bool gateway_host_matches(struct view server_host, struct view gw_ns, struct view vs_ns, struct view vs_host);
