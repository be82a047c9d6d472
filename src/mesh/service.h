// SPDX-License-Identifier: Apache-2.0
/* Service (v1): the name that a set of pods is called by, its ports, and which protocol each port speaks. */
#pragma once

#include "mesh/object.h"

enum l4_protocol { L4_TCP, L4_UDP, L4_SCTP };

enum service_type { SERVICE_CLUSTER_IP, SERVICE_NODE_PORT, SERVICE_LOAD_BALANCER, SERVICE_EXTERNAL_NAME };

/* What a port speaks, declared by appProtocol or the port's name. */
enum port_protocol {
    PORT_AUTO, /* not declared: sniffed */
    PORT_HTTP,
    PORT_HTTP2,
    PORT_GRPC,
    PORT_GRPC_WEB,
    PORT_HTTPS, /* TLS passed through, by SNI */
    PORT_TLS,
    PORT_TCP,
    PORT_MONGO, /* the database protocols are carried as TCP */
    PORT_MYSQL,
    PORT_REDIS,
    PORT_UDP, /* never proxied */
};

/* Istio's rule: appProtocol, else the name `<protocol>[-suffix]`, else well-known server-first ports, else auto. */
enum port_protocol port_protocol_of(enum l4_protocol l4, uint32_t port, struct view name, struct view app_protocol);
/* As Gateway and ServiceEntry write it (HTTP, HTTPS, GRPC, TLS …), any case; -EINVAL. */
int port_protocol_parse(struct view text, enum port_protocol *ret_protocol) must_check;
const char *port_protocol_name(enum port_protocol p); /* "http", "tcp" … */
static inline bool port_protocol_is_http(enum port_protocol p)
{
    return p >= PORT_HTTP && p <= PORT_GRPC_WEB;
}

struct service_port {
    struct part part;
    struct view name, app_protocol;
    enum l4_protocol l4;
    uint32_t port, node_port;
    struct int_or_str target_port; /* unset: same as port */
    enum port_protocol protocol;
};

struct service {
    struct object o;
    enum service_type type;
    struct view cluster_ip; /* "None": headless; empty: not assigned yet */
    struct strings cluster_ips, external_ips;
    struct labels selector; /* empty: endpoints are made by someone else */
    struct service_port *ports;
    uint32_t n_ports;
    struct view external_name;
    struct view session_affinity; /* "None", "ClientIP" or empty */
    bool publish_not_ready;
    struct strings export_to; /* annotation networking.istio.io/exportTo; empty: mesh default */
};

bool service_is_headless(const struct service *s);
const struct service_port *service_port_by_number(const struct service *s, uint32_t port); /* NULL when absent */
/* `<name>.<ns>.svc.<domain>`, in the arena. */
struct view service_host(struct arena *a, const struct service *s, struct view domain);
